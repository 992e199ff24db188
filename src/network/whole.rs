//! A whole training step of a network of small dense layers on the CPU: what tiny networks spend their time with is not arithmetic.
//!
//! Everything that the general path finds anew in each step is found once: places, losses, the samples as rows of one table. The bits
//! are those of the general path ([`Model::run_forward`], [`Model::run_losses`], [`Model::run_backward`], [`Model::step_at`]).

use super::model::{Current, Model};
use super::plan::PlannedNode;
use super::{Plan, one_hot};
use crate::data::{Dataset, Pick};
use crate::device::{Cpu, Device};
use crate::loss::{Direct, Marks, Sides, Target};
use crate::memory::{Arena, Element, Slot};
use crate::op::dense_micro::Chain;
use crate::optim::{Optimizer, RULE_WORDS, Rule};
use crate::{DType, Error, Real, Result, real};
use std::ops::Range;

/// The most numbers of a table.
const MOST: usize = 1 << 22;

/// All samples of a set that never varies: one input, one target and a weight each.
#[derive(Debug)]
pub(crate) struct Table {
    x: Vec<f32>,
    inputs: usize,
    numbers: Vec<f32>,
    labels: Vec<u32>,
    /// Of a sample's target.
    targets: usize,
    weights: Vec<f32>,
}

impl Table {
    /// Reads a set whose target is wanted as this. `None` where it is too large or varies; where it cannot be read the step that
    /// wants the sample will say why.
    pub fn read(data: &dyn Dataset, wanted: Target) -> Option<Self> {
        let ([x], [offered]) = (data.inputs(), data.targets()) else { return None };
        let (n, inputs, targets) = (data.len(), x.len(), wanted.len());
        if data.varies() || data.waits() || n.checked_mul(inputs + targets + 1)? > MOST {
            return None;
        }
        let mut table = Self { x: vec![0.0; n * inputs], inputs, numbers: vec![], labels: vec![], targets, weights: vec![] };
        for i in 0..n {
            let pick = Pick { index: i, epoch: 0, seed: 0 };
            data.input(pick, 0, &mut table.x[i * inputs..(i + 1) * inputs]).ok()?;
            table.read_target(data, pick, *offered, wanted)?;
            if data.is_skipped(pick) {
                // What is left out is counted where batches are staged.
                return None;
            }
            table.weights.push(data.weight(i));
        }
        Some(table)
    }

    fn read_target(&mut self, data: &dyn Dataset, pick: Pick, offered: Target, wanted: Target) -> Option<()> {
        let (at, len) = (self.numbers.len(), self.labels.len());
        match (offered, wanted) {
            (Target::Values(_), Target::Values(_)) => {
                self.numbers.resize(at + self.targets, 0.0);
                data.values(pick, 0, &mut self.numbers[at..]).ok()
            }
            (Target::Index { .. }, Target::Index { .. }) => {
                self.labels.resize(len + self.targets, 0);
                data.classes(pick, 0, &mut self.labels[len..]).ok()
            }
            (Target::Index { positions, .. }, Target::Values(extent)) => {
                let mut labels = vec![0; positions];
                data.classes(pick, 0, &mut labels).ok()?;
                self.numbers.resize(at + self.targets, 0.0);
                one_hot(&labels, extent.c, &mut self.numbers[at..]).ok()
            }
            (Target::Values(_), Target::Index { .. }) | (Target::None, _) | (_, Target::None) => None,
        }
    }
}

/// A plan whose steps can be made at once.
#[derive(Debug)]
pub(crate) struct Whole {
    plan: usize,
    chain: Chain,
    loss: Direct,
    /// Of the loss in the sum.
    factor: f64,
    /// Where inputs begin in the plan's memory.
    x: usize,
    /// Labels of a batch, where targets are labels.
    labels: Option<Vec<u32>>,
    /// The rule of each run, and the learning rate that they were made for.
    rules: (f64, Vec<(Rule, Range<usize>)>),
}

fn find(plan: usize, of: &Plan) -> Option<Whole> {
    let ([input], [output], [port]) = (&of.inputs[..], &of.outputs[..], &of.losses[..]) else { return None };
    let small = |n: &PlannedNode| Some((n.small.filter(|_| n.keep_dy.is_none())?, n.backward));
    let layers = of.nodes.iter().map(small).collect::<Option<Vec<_>>>()?;
    let place = |slot: Slot| {
        let region = &of.arena.regions[slot.index as usize];
        (region.offset / region.dtype.bytes(), region.row.unwrap_or(0))
    };
    let used = port.used();
    let (target, labels) = match used.kind {
        Target::Values(_) => (place(used.target), None),
        Target::Index { positions, .. } => ((0, 0), Some(vec![0; of.capacity * positions])),
        Target::None => return None,
    };
    let sides = [place(output.y), target, place(of.weight?), place(port.value), place(output.dy?)];
    let (chain, loss, (x, _)) = (Chain::new(&layers, sides)?, used.pass.direct()?, place(input.y));
    Some(Whole { plan, chain, loss, factor: port.factor, x, labels, rules: (f64::NAN, Vec::new()) })
}

impl Model {
    /// The whole step of this plan with this rule, where all its parts have such a form.
    pub(crate) fn whole(&self, plan: usize, optimizer: &dyn Optimizer) -> Option<Whole> {
        let probe = self.runs.first().and_then(|run| optimizer.rule(&self.run(run, optimizer.learning_rate(), 1.0, &[])));
        probe.filter(|_| matches!(self.device, Device::Cpu(_)))?;
        find(plan, self.planned(plan))
    }

    /// One step on these samples of the table: the sum of their losses, and where that is finite the update.
    pub(crate) fn step_whole(
        &mut self,
        whole: &mut Whole,
        (table, samples): (&Table, &[u32]),
        optimizer: &dyn Optimizer,
        learning_rate: f64,
    ) -> Result<f64> {
        let forward = self.forwards;
        self.forwards += 1;
        // As after the four parts: nothing may be read from a pass that failed half way.
        self.current = None;
        self.find_rules(whole, optimizer, learning_rate)?;
        let loss = real!(self.store.dtype, T => self.pass_whole::<T>(whole, table, samples))?;
        let done = loss.is_finite();
        self.current = Some(Current { plan: whole.plan, rows: samples.len(), forward, penalty: 1.0, seeded: true, spent: done });
        if done {
            (self.scaled, self.clipped) = (true, false);
            self.updates += 1;
        }
        Ok(loss)
    }

    /// Samples, forward, loss; and backward and update where the loss is finite.
    fn pass_whole<T: Real + Element>(&mut self, whole: &mut Whole, table: &Table, samples: &[u32]) -> Result<f64> {
        let Device::Cpu(cpu) = &self.device else { return Err(Error::order("step", "planned for the CPU")) };
        let (rows, most) = (samples.len(), whole.chain.capacity());
        if !(1..=most).contains(&rows) {
            return Err(Error::order("step", "rows").expected(format!("1 to {most}")).got(rows));
        }
        let (local, weights) = (self.plans[whole.plan].1.arena.whole::<T>()?, self.store.weights.whole::<T>()?);
        whole.stage(table, samples, local);
        whole.chain.forward(cpu, rows, local, weights);
        let loss = whole.loss::<T>(cpu, rows, local).map_err(|e| e.at(format!("loss of output {}", self.net.outputs()[0].0)))?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        let gradients = self.store.grads.whole::<T>()?;
        whole.chain.backward(cpu, rows, local, weights, gradients);
        for (rule, range) in &whole.rules.1 {
            let words = words_of(&mut self.store.words, rule.words(), range)?;
            rule.apply(cpu, &mut weights[range.clone()], &gradients[range.clone()], words);
        }
        Ok(loss)
    }

    /// The rules of this step, where they are not those of the last one.
    #[inline]
    fn find_rules(&mut self, whole: &mut Whole, optimizer: &dyn Optimizer, learning_rate: f64) -> Result<()> {
        let (made_for, rules) = &mut whole.rules;
        let words = self.store.words.regions.len();
        if *made_for == learning_rate && rules.iter().all(|(rule, _)| rule.is_timeless() && rule.words() == words) {
            return Ok(());
        }
        if self.store.reserve_words(optimizer.words())? {
            self.generation += 1;
        }
        rules.clear();
        for run in &self.runs {
            let run = self.run(run, learning_rate, 1.0, &[]);
            rules.push((optimizer.rule(&run).ok_or_else(|| no_rule(optimizer))?, run.range));
        }
        *made_for = learning_rate;
        Ok(())
    }
}

/// The same range of each word of state.
fn words_of<'a, T: Element>(words: &'a mut Arena, count: usize, range: &Range<usize>) -> Result<[&'a mut [T]; RULE_WORDS]> {
    let mut found = [(); RULE_WORDS].map(|()| &mut [][..]);
    if count == 0 {
        return Ok(found);
    }
    let stride = words.regions.get(1).map_or(0, |r| r.offset / size_of::<T>());
    let mut rest = words.whole::<T>()?;
    for (i, found) in found.iter_mut().enumerate().take(count) {
        let (word, others) = if i + 1 < count { rest.split_at_mut(stride) } else { (rest, &mut [][..]) };
        *found = &mut word[range.clone()];
        rest = others;
    }
    Ok(found)
}

#[cold]
fn no_rule(optimizer: &dyn Optimizer) -> Error {
    Error::order(optimizer.kind(), "the rule has no form on slices any more")
}

impl Whole {
    #[inline]
    fn stage<T: Real + Element>(&mut self, table: &Table, samples: &[u32], local: &mut [T]) {
        let (inputs, targets) = (table.inputs, table.targets);
        // By numbers of rows, not in chunks: there are too few for a division to pay.
        for (row, &i) in samples.iter().enumerate() {
            copy(&mut local[self.x + row * inputs..][..inputs], &table.x[i as usize * inputs..][..inputs]);
        }
        let [_, t, w, ..] = self.chain.sides(samples.len(), local);
        for (row, &i) in samples.iter().enumerate() {
            let from = i as usize * targets;
            match &mut self.labels {
                Some(labels) => labels[row * targets..][..targets].copy_from_slice(&table.labels[from..][..targets]),
                None => copy(&mut t[row * targets..][..targets], &table.numbers[from..][..targets]),
            }
            w[row] = T::of(f64::from(table.weights[i as usize]));
        }
    }

    /// The losses of all rows and their gradients; the sum.
    #[inline]
    fn loss<T: Real>(&self, cpu: &Cpu, rows: usize, local: &mut [T]) -> Result<f64> {
        let [y, t, w, value, dy] = self.chain.sides(rows, local);
        let t = match &self.labels {
            Some(labels) => Marks::Labels(&labels[..labels.len() / self.chain.capacity() * rows]),
            None => Marks::Numbers(t),
        };
        self.loss.run(cpu, t, Sides { y, w, value, dy, scale: 1.0 / rows as f64 * self.factor })?;
        Ok(0.0 + self.factor * value.iter().map(|x| x.to_f64()).sum::<f64>())
    }
}

#[inline(always)]
fn copy<T: Real + Element>(to: &mut [T], from: &[f32]) {
    // A call for a few numbers takes fewer instructions than a loop that is prepared for many.
    match bytemuck::try_cast_slice_mut::<T, f32>(to) {
        Ok(to) if T::ELEMENT == DType::F32 => to.copy_from_slice(from),
        _ => to.iter_mut().zip(from).for_each(|(to, x)| *to = T::of(f64::from(*x))),
    }
}
