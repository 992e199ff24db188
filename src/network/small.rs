//! Small dense layers, of which tiny networks are made: run by the engine itself, without a step, a pass and a guard for each operand.
//!
//! Their slots become places in the arenas once, when a plan gets its memory. The bits are those of the pass.

use super::plan::PlannedNode;
use crate::device::Cpu;
use crate::memory::{Arena, Element, Grads, Slot, Store};
use crate::op::dense_micro::{Places, Small, SmallDense};
use crate::{Real, Result};

/// The layer bound to this memory.
pub(super) fn bind(of: &SmallDense, node: &PlannedNode, capacity: usize, local: &Arena, store: &Store) -> Option<Small> {
    let place = |arena: &Arena, slot: Slot| {
        let region = &arena.regions[slot.index as usize];
        region.offset / region.dtype.bytes()
    };
    let (here, there) = (|slot| place(local, slot), |slot| place(&store.weights, slot));
    let at = Places {
        n: of.n,
        k: of.k,
        act: of.act,
        x: here(node.x[0]),
        y: here(node.y),
        z: of.z.map(here),
        dy: node.backward.then(|| here(node.dy)),
        dx: node.dx[0].map(|(slot, mode)| (here(slot), mode)),
        w: there(of.w.w),
        b: of.b.map(|b| there(b.w)),
        trained: (of.w.dw.is_some(), of.b.is_some_and(|b| b.dw.is_some())),
    };
    Small::new(at, capacity, (local.elements(store.dtype), store.weights.elements(store.dtype)))
}

/// Runs it on some rows: forward, or backward with these gradients.
#[inline]
pub(super) fn run<T: Real + Element>(
    small: &Small,
    cpu: &Cpu,
    (rows, backward): (usize, Option<Grads>),
    local: &mut Arena,
    store: &mut Store,
) -> Result<()> {
    let (local, parameters) = (local.whole::<T>()?, store.weights.all::<T>()?);
    match backward {
        None => small.forward(cpu, rows, local, parameters),
        Some(grads) => small.backward(cpu, (rows, grads.mode()), local, parameters, store.grads.whole::<T>()?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::device::{Cpu, Isa};
    use crate::loss::{CrossEntropy, GaussianNll, Huber, LogisticBce, Loss, Mae, Mse, SoftmaxCrossEntropy, Target};
    use crate::op::dense_micro::{self, switch};
    use crate::optim::{Adam, RmsProp, Sgd};
    use crate::rng::{Purpose, Stream};
    use crate::*;
    use std::sync::Arc;

    /// A random network of dense layers, its loss and rule, and what is special about it.
    struct Case {
        net: Network,
        /// Inputs and units of each layer.
        sizes: Vec<(usize, usize)>,
        loss: Arc<dyn Loss>,
        rule: Box<dyn Optimizer>,
        rows: usize,
        frozen: Option<NodeId>,
        kept: Option<NodeId>,
        values: bool,
        /// Of inputs and of the loss: products of the smallest underflow, to −0 too.
        scales: (f32, f64),
        seed: u64,
    }

    const ACTS: [Activation; 12] = [
        Linear,
        Relu,
        LeakyRelu { slope: 0.05, saturation: Some(2.0) },
        Elu { alpha: 0.7 },
        Selu,
        Gelu,
        Silu,
        Tanh,
        Logistic,
        ScaledLogistic { slope: 1.5, saturation: Some(40.0) },
        Softplus,
        Softmax,
    ];

    fn case(seed: u64) -> Case {
        let r = &mut Stream::new(seed, Purpose::User, 0);
        let (depth, rows) = (1 + r.below(4), [1, 1, 1 + r.below(8)][r.below(3)]);
        let wide = |r: &mut Stream| if r.below(4) == 0 { 1 + r.below(32) } else { 1 + r.below(12) };
        let mut k = wide(r);
        let mut net = Network::new(Extent::flat(k));
        // A probability for one, pairs for another: each loss has an output that it makes sense for.
        let (loss, last): (Arc<dyn Loss>, Option<Activation>) = match r.below(8) {
            0 => (Arc::new(SoftmaxCrossEntropy), Some(Linear)),
            1 => (Arc::new(CrossEntropy), Some(Softmax)),
            2 => (Arc::new(GaussianNll), Some(Linear)),
            3 => (Arc::new(LogisticBce), None),
            4 => (Arc::new(Mae), None),
            5 => (Arc::new(Huber::new(0.3)), None),
            6 => (Arc::new(Mse), None),
            _ => (Arc::new(Mse::half()), None),
        };
        let (mut sizes, mut nodes) = (Vec::new(), Vec::new());
        for layer in 0..depth {
            let mut n = wide(r);
            let mut act = ACTS[r.below(ACTS.len())];
            if layer + 1 == depth {
                n += usize::from(loss.kind() == "gaussian_nll") * (n % 2);
                act = last.unwrap_or(act);
            }
            let dense = Dense::new(n).act(act);
            nodes.push(net.push(if r.below(5) == 0 { dense.no_bias() } else { dense.bias_init(0.1) }));
            sizes.push((k, n));
            k = n;
        }
        let rule: Box<dyn Optimizer> = match r.below(4) {
            0 => Box::new(Sgd::new(0.05)),
            1 => Box::new(Sgd::new(0.02).momentum(0.9).weight_decay(1e-3)),
            2 => Box::new(Adam::new(0.01)),
            _ => Box::new(RmsProp::new(0.01)),
        };
        let some = |r: &mut Stream| (r.below(3) == 0).then(|| nodes[r.below(nodes.len())]);
        let (frozen, kept) = (some(r), some(r));
        let scales = if seed % 8 == 7 { (1e-30, 1e-20) } else { (1.0, 0.7) };
        Case { net, sizes, loss, rule, rows, frozen, kept, values: r.below(2) == 0, scales, seed }
    }

    /// The bits of everything that can be seen of some steps, and how many nodes were planned as small.
    fn run(case: &Case, isa: Isa, precision: Precision) -> Result<(Vec<u64>, usize)> {
        let r = &mut Stream::new(case.seed, Purpose::User, 1);
        let device = Device::Cpu(Cpu::with_isa(1, isa)?);
        let builder = Model::builder(case.net.clone()).device(device).precision(precision).seed(case.seed);
        let mut model = builder.loss_shared("output", case.loss.clone(), case.scales.1).build()?;
        case.frozen.into_iter().for_each(|node| model.freeze(node));
        case.kept.into_iter().for_each(|node| model.keep(node));
        let (x, y) = (Extent::flat(case.sizes[0].0), Extent::flat(case.sizes[case.sizes.len() - 1].1));
        let target = if case.values && case.loss.kind() != "gaussian_nll" { Target::Values(y) } else { case.loss.target(y) };
        let mut bits = Vec::new();
        let mut see = |values: &[f64]| bits.extend(values.iter().map(|v| v.to_bits()));
        let all = |view: View<'_>| view.to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
        for step in 0..5 {
            // Fewer rows than the plan has room for, and back.
            let rows = if step == 2 {
                case.rows.div_ceil(2).max(case.rows.next_power_of_two() / 2 + 1).min(case.rows)
            } else {
                case.rows
            };
            let draw = |r: &mut Stream, n: usize| (0..n).map(|_| r.between(-1.0, 1.0) as f32).collect::<Vec<f32>>();
            let data: Vec<f32> = draw(r, rows * x.len()).iter().map(|x| case.scales.0 * x).collect();
            let numbers: Vec<f32> = draw(r, rows * target.len()).iter().map(|t| t.abs()).collect();
            let labels: Vec<u32> = (0..rows).map(|_| r.below(y.c) as u32).collect();
            see(&all(model.forward(Mode::Train, View::new(x, &data)?)?));
            let loss = match target {
                Target::Values(e) => model.loss(&[View::new(e, &numbers)?.into()])?,
                Target::Index { .. } => model.loss(&[Targets::Classes(&labels)])?,
                Target::None => model.loss(&[Targets::None])?,
            };
            assert!(loss.is_finite());
            see(&[loss]);
            let grads = [Grads::Write, Grads::Add, Grads::Skip][usize::saturating_sub(step, 2)];
            see(&all(model.backward(Seed::Loss, grads)?));
            if let Some(node) = case.kept {
                see(&all(model.node_gradient(node)?));
            }
            let names: Vec<String> = model.arrays().map(|(name, _)| name.to_string()).collect();
            for name in &names {
                see(&model.gradient(name)?);
            }
            model.step(&*case.rule)?;
            for name in &names {
                see(&model.array(name)?);
            }
        }
        see(&all(model.forward(Mode::Infer, View::new(x, &vec![0.3; x.len()])?)?));
        let planned = model.plans.iter().flat_map(|(_, plan)| &plan.nodes);
        Ok((bits, planned.filter(|n| n.small.is_some()).count()))
    }

    /// Activations, losses, optimizers, batches, frozen and kept nodes at random, on every instruction set: the same bits as without
    /// the kernels for small layers.
    #[test]
    fn small_layers_have_the_bits_of_the_general_path() -> Result<()> {
        let mut ran = 0;
        for seed in 0..400 {
            let case = case(seed);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
                for precision in [Precision::FP32, Precision::FP64] {
                    let (small, count) = run(&case, isa, precision)?;
                    let (general, none) = switch::general(|| run(&case, isa, precision))?;
                    // Training and inference each have a plan.
                    let fits = |rows: usize| case.sizes.iter().filter(|&&(k, n)| dense_micro::fits([rows, n, k])).count();
                    let expected = fits(case.rows.next_power_of_two()) + fits(1);
                    assert_eq!((count, none), (expected, 0), "case {seed}: nodes that are small");
                    assert!(small == general, "case {seed} on {isa} in {precision:?}: {:?} {:?}", case.net, case.loss);
                    ran += count;
                }
            }
        }
        assert!(ran > 5000, "only {ran} small nodes");
        Ok(())
    }
}
