//! The harness of the optimizers' tests: a small store, a few steps, and a reference in f64 for one element.

use super::{CHUNK, Optimizer, Run};
use crate::device::control::{Control, StepState};
use crate::device::testing::gpu;
use crate::memory::{Arena, Element, Grads, Mode, ParamSpec, Slot, Space, Step, Store};
use crate::rng::{Init, Purpose, Stream};
use crate::{DType, Device, ErrorKind, Real, Result, real};
use std::ops::Range;

/// What a reference may use besides w, dw and its words.
pub struct Case {
    pub step: u64,
    pub learning_rate: f64,
    pub scale: f64,
    pub decay: bool,
}

const STEPS: u64 = 12;

/// Asserts that the rule follows its reference in both types and on both devices, with and without decay and gradient scale.
///
/// Rounding: a step does at most 16 operations on numbers no larger than the largest weight, or the largest change times
/// the number of steps whose rounding the state remembers; errors of all steps add up.
pub fn follows(rule: &dyn Optimizer, reference: impl Fn(&Case, f64, f64, &mut [f64]) -> f64) -> Result<()> {
    rule.check()?;
    let cpu = Device::cpu_threads(1)?;
    let mut machines = vec![(cpu.clone(), DType::F32, 0..LAST), (cpu, DType::F64, 0..LAST)];
    if let Some(gpu) = gpu() {
        // Whole quads, quads and a rest, and a run that begins between quads.
        machines.extend([0..LAST, 4..LAST - 1, 3..LAST - 1].map(|run| (gpu.clone(), DType::F32, run)));
        halts(rule, &gpu)?;
    }
    for (device, dtype, run) in machines {
        for (scale, decay) in [(1.0, true), (0.25, true), (1.0, false)] {
            let worst = deviation(rule, &reference, Machine::on(&device, dtype, &LENS, rule.words())?, &run, (scale, decay))?;
            assert!(worst <= 1.0, "{rule:?} {device} {dtype:?} {run:?}, scale {scale}, decay {decay}: {worst} times the bound");
        }
    }
    same_bits_for_any_threads(rule)
}

/// Parameters of the harness, each on a cache line. The last one, in f32 from element LAST on, lies outside of the run.
const LENS: [usize; 3] = [5, 21, 3];
const LAST: usize = 48;

/// The largest deviation from the reference, in units of the bound of [`follows`].
pub fn deviation(
    rule: &dyn Optimizer,
    reference: &impl Fn(&Case, f64, f64, &mut [f64]) -> f64,
    m: Machine,
    run: &Range<usize>,
    (scale, decay): (f64, bool),
) -> Result<f64> {
    let dtype = m.store.dtype;
    let run = if dtype == DType::F64 { 0..m.store.params[2].offset } else { run.clone() };
    let len = m.store.flat_len();
    let mut w = m.values(m.w())?;
    let (start, mut words) = (w.clone(), vec![vec![0.0; rule.words()]; len]);
    let (mut largest, mut change) = (0.0_f64, 0.0_f64);
    for step in 0..STEPS {
        let dw = m.gradients(step)?;
        let case = Case { step, learning_rate: rule.learning_rate() / (1.0 + step as f64), scale, decay };
        m.update(rule, &case, run.clone())?;
        for i in run.clone() {
            let next = reference(&case, w[i], dw[i], &mut words[i]);
            change = change.max((next - w[i]).abs());
            largest = largest.max(next.abs());
            w[i] = next;
        }
    }
    let n = STEPS as f64;
    let epsilon = real!(dtype, T => T::EPSILON.to_f64());
    let bound = 16.0 * n * epsilon * (largest + n * change);
    let got = m.values(m.w())?;
    assert_eq!(got[run.end..], start[run.end..], "touched what lies outside of its run");
    assert_eq!(got[..run.start], start[..run.start], "touched what lies outside of its run");
    for (i, x) in got.iter().enumerate().filter(|(i, _)| m.padding(*i)) {
        assert!(x.to_bits() == 0, "padding at {i} became {x}");
    }
    assert!(change > 0.0, "nothing moved");
    Ok(run.map(|i| (got[i] - w[i]).abs() / bound).fold(0.0, |a, b| if b <= a { a } else { b }))
}

/// With either flag set in the control block, a GPU leaves weights and words as they are.
fn halts(rule: &dyn Optimizer, gpu: &Device) -> Result<()> {
    let m = Machine::on(gpu, DType::F32, &LENS, rule.words())?;
    let all = || -> Result<Vec<Vec<f64>>> {
        (0..rule.words() as u32).map(Machine::word).chain([m.w()]).map(|slot| m.values(slot)).collect()
    };
    let step = |n: u64, state: &dyn Fn(&mut StepState)| -> Result<()> {
        m.gradients(n)?;
        m.steer(|c| state(&mut c.state))?;
        m.update(rule, &Case { step: n, learning_rate: rule.learning_rate(), scale: 1.0, decay: true }, 0..m.store.flat_len())
    };
    step(0, &|_| {})?;
    let before = all()?;
    step(1, &|s| s.diverged = 1)?;
    assert_eq!(all()?, before, "{rule:?}: moved after the loss was not finite");
    step(2, &|s| (s.diverged, s.skip) = (0, 1))?;
    assert_eq!(all()?, before, "{rule:?}: moved after an overflow");
    step(3, &|s| s.skip = 0)?;
    assert!(all()?.iter().zip(&before).all(|(a, b)| a != b), "{rule:?}: did not move again");
    Ok(())
}

fn same_bits_for_any_threads(rule: &dyn Optimizer) -> Result<()> {
    let run = |threads: usize| -> Result<Vec<f64>> {
        let m = Machine::new(DType::F32, &[2 * CHUNK + 77], rule.words(), threads)?;
        for step in 0..2 {
            m.gradients(step)?;
            let case = Case { step, learning_rate: rule.learning_rate(), scale: 0.5, decay: true };
            m.update(rule, &case, 0..m.store.flat_len())?;
        }
        m.values(m.w())
    };
    let one = run(1)?;
    for threads in [2, 7] {
        assert!(one == run(threads)?, "{rule:?}: other bits with {threads} threads");
    }
    Ok(())
}

/// Asserts that every rule is refused, as a value.
pub fn refuses(rules: &[&dyn Optimizer]) {
    for rule in rules {
        assert_eq!(rule.check().map_err(|e| e.kind()), Err(ErrorKind::Value), "{rule:?}");
    }
}

/// A store without a network.
pub struct Machine {
    device: Device,
    pub store: Store,
    local: Arena,
}

impl Machine {
    pub fn new(dtype: DType, lens: &[usize], words: usize, threads: usize) -> Result<Self> {
        Self::on(&Device::cpu_threads(threads)?, dtype, lens, words)
    }

    pub fn on(device: &Device, dtype: DType, lens: &[usize], words: usize) -> Result<Self> {
        let mut store = Store::new(device, dtype);
        for (i, len) in lens.iter().enumerate() {
            store.param(format!("p{i}"), i as u32, &ParamSpec::bias(*len, 0.0).init(Init::Normal(1.0)))?;
        }
        store.seal(11)?;
        store.reserve_words(words)?;
        Ok(Self { device: device.clone(), store, local: Arena::empty() })
    }

    pub fn step(&self) -> Step<'_> {
        let (device, store, local) = (&self.device, &self.store, &self.local);
        let (mode, grads) = (Mode::Train, Grads::Write);
        Step {
            device,
            store,
            local,
            dtype: store.dtype,
            master: store.dtype,
            rows: 1,
            mode,
            grads,
            seed: 0,
            forward: 0,
            penalty: 0.0,
        }
    }

    pub fn w(&self) -> Slot {
        self.store.flat(Space::Weight)
    }

    pub fn dw(&self) -> Slot {
        self.store.flat(Space::Grad)
    }

    pub fn word(i: u32) -> Slot {
        Slot { space: Space::Word, index: i }
    }

    pub fn values(&self, slot: Slot) -> Result<Vec<f64>> {
        let s = self.step();
        real!(s.dtype, T => s.host_read::<T, _>(slot, |x| x.iter().map(|x| x.to_f64()).collect()))
    }

    pub fn set(&self, slot: Slot, value: impl Fn(usize) -> f64) -> Result<()> {
        fn fill<T: Real + Element>(x: &mut [T], value: impl Fn(usize) -> f64) {
            x.iter_mut().enumerate().for_each(|(i, x)| *x = T::of(value(i)));
        }
        let s = self.step();
        real!(s.dtype, T => s.host_write::<T>(slot, |x| {
            fill(x, value);
            Ok(())
        }))
    }

    /// What a GPU has in its control block.
    pub fn control(&self) -> Result<Control> {
        self.store.control.host_read::<u32, _>(0, 0, |c| bytemuck::pod_read_unaligned(bytemuck::cast_slice(c)))
    }

    /// Changes the control block of a GPU.
    pub fn steer(&self, f: impl FnOnce(&mut Control)) -> Result<()> {
        if !self.device.is_cuda() {
            return Ok(());
        }
        let mut control = self.control()?;
        f(&mut control);
        self.store.control.host_write::<u32>(0, 0, |c| {
            c.copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(&control)));
            Ok(())
        })
    }

    /// Whether element `i` lies between parameters.
    pub fn padding(&self, i: usize) -> bool {
        !self.store.params.iter().any(|p| (p.offset..p.offset + p.len).contains(&i))
    }

    /// Draws the gradients of a step, of very different sizes, and returns them as stored.
    fn gradients(&self, step: u64) -> Result<Vec<f64>> {
        let mut r = Stream::new(5, Purpose::User, step);
        let sizes = [1.0, 1e-3, 30.0, 0.0];
        let drawn: Vec<f64> = (0..self.store.flat_len()).map(|i| sizes[i % 4] * r.normal()).collect();
        self.set(self.dw(), |i| if self.padding(i) { 0.0 } else { drawn[i] })?;
        self.values(self.dw())
    }

    fn update(&self, rule: &dyn Optimizer, case: &Case, range: Range<usize>) -> Result<()> {
        let words: Vec<Slot> = (0..rule.words() as u32).map(Self::word).collect();
        let mut run = Run {
            w: self.w(),
            dw: self.dw(),
            words: &words,
            range,
            learning_rate: case.learning_rate,
            lr_scale: 0.5,
            grad_scale: case.scale,
            clipped: false,
            decay: case.decay,
            step: case.step,
        };
        // A GPU gets the same numbers by other ways: powers of 2, so that they come out exactly. What the run says of the rate and
        // the step must not matter to it.
        self.steer(|c| {
            (c.params.update, c.params.learning_rate) = (case.step, 2.0 * case.learning_rate);
            (c.state.clip, c.state.loss_scale) = (0.5, 2.0);
        })?;
        if self.device.is_cuda() {
            (run.learning_rate, run.step, run.clipped) = (f64::NAN, 7, case.decay);
            run.grad_scale *= if run.clipped { 4.0 } else { 2.0 };
        }
        rule.update(&self.step(), &run)
    }
}

#[test]
fn a_wrong_reference_is_noticed() -> Result<()> {
    let sgd = super::Sgd::new(0.05).weight_decay(0.1);
    let wrong = |c: &Case, w: f64, dw: f64, _: &mut [f64]| w - c.learning_rate * (c.scale * dw + 0.10001 * w);
    assert!(deviation(&sgd, &wrong, Machine::new(DType::F64, &LENS, 0, 1)?, &(0..LAST), (1.0, true))? > 1.0);
    Ok(())
}

/// A saved rule is found again under its kind, with all its values.
#[test]
fn saved_rules_are_rebuilt_by_the_registry() -> Result<()> {
    use super::{Adadelta, Adam, AdamW, RmsProp, Sgd};
    let rules: [&dyn Optimizer; 5] = [
        &Sgd::new(0.1 + 0.2).momentum(0.9).nesterov().weight_decay(1e-4).velocity_form(),
        &Adam::new(0.1).betas(0.8, 1.0 / 3.0).amsgrad().weight_decay(0.1),
        &AdamW::new(0.1).eps(1e-3),
        &RmsProp::new(0.1).alpha(0.9).momentum(0.5).centered(),
        &Adadelta::new(1.0).rho(0.95),
    ];
    for rule in rules {
        let text = rule.save().to_string();
        let data = serde_json::from_str(&text).expect("JSON");
        let again = crate::network::Registry::standard().optimizer(rule.kind(), &data)?;
        assert_eq!(format!("{again:?}"), format!("{rule:?}"), "{text}");
    }
    Ok(())
}

#[test]
fn a_run_outside_of_the_arena_and_missing_words_are_errors() -> Result<()> {
    let m = Machine::new(DType::F32, &[5], 0, 1)?;
    let case = Case { step: 0, learning_rate: 0.1, scale: 1.0, decay: true };
    let outside = m.update(&super::Sgd::new(0.1), &case, 0..m.store.flat_len() + 1);
    assert_eq!(outside.map_err(|e| e.kind()), Err(ErrorKind::Order));
    let run = Run {
        w: m.w(),
        dw: m.dw(),
        words: &[],
        range: 0..5,
        learning_rate: 0.1,
        lr_scale: 1.0,
        grad_scale: 1.0,
        clipped: false,
        decay: false,
        step: 0,
    };
    let missing = super::Adam::new(0.1).update(&m.step(), &run);
    assert_eq!(missing.map_err(|e| e.kind()), Err(ErrorKind::Order));
    Ok(())
}
