//! Parameters in the type of activations: on a GPU products of bf16 or f16 read copies of the f32 masters.
//!
//! One arena for all of them, laid out as the masters are. Optimizers write master and copy in one sweep, so that training needs no
//! pass of its own for them; whatever else changes a parameter leaves the copies stale, and the next step begins by making them anew.

use super::{Arena, Region};
use crate::device::{Cuda, Device, Grid, Kernel, Ptr, Source};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};
use std::cell::Cell;

const CAST: Source = Source::new("cast", include_str!("../../kernels/cast.cu"));

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct CastArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
}

/// The copies, once a plan has asked for one.
#[derive(Debug)]
pub(crate) struct Copies {
    /// The type that plans ask for.
    pub wanted: Option<DType>,
    pub arena: Arena,
    cast: Kernel<CastArgs>,
    /// How often parameters had changed when the copies were last equal to them, if ever.
    equal_at: Cell<Option<u64>>,
    /// Where the elements end that the update under way has written, without a gap, to masters and copies alike.
    written: Cell<usize>,
}

impl Copies {
    pub fn none() -> Self {
        let (equal_at, written) = (Cell::new(None), Cell::new(0));
        Self { wanted: None, arena: Arena::empty(), cast: Kernel::absent(), equal_at, written }
    }

    /// Takes memory where a plan has asked for copies since; whether it did. `masters` lie at these regions.
    pub fn reserve(&mut self, device: &Device, masters: &[Region]) -> Result<bool> {
        let (Some(dtype), Device::Cuda(cuda), true) = (self.wanted, device, self.arena.regions.is_empty()) else {
            return Ok(false);
        };
        let region = |r: &Region| Region { offset: r.offset / r.dtype.bytes() * dtype.bytes(), dtype, ..*r };
        let bytes = masters.last().map_or(0, |all| all.len * dtype.bytes());
        self.cast = cuda.kernel(&CAST, &format!("cast_f32_{}", dtype.suffix()))?;
        self.arena = Arena::new(device, bytes, masters.iter().map(region).collect())?;
        Ok(true)
    }

    /// The type of the copies.
    pub fn dtype(&self) -> Option<DType> {
        self.arena.regions.last().map(|r| r.dtype)
    }

    /// Makes them anew unless they are equal to the masters.
    pub fn refresh(&self, cuda: &Cuda, masters: &Arena) -> Result<()> {
        let Some(all) = self.arena.regions.len().checked_sub(1) else { return Ok(()) };
        if self.equal_at.get() == Some(masters.changes()) {
            return Ok(());
        }
        let n = self.arena.regions[all].len;
        let args = CastArgs { x: masters.ptr(all)?, y: self.arena.ptr(all)?, n: n as u64 };
        self.cast.launch(cuda, Grid::cover(n.div_ceil(4)), &args)?;
        self.equal_at.set(Some(masters.changes()));
        Ok(())
    }

    /// Where an update writes the copies of elements from `start` on, which it will do for so many of them; null where there are none.
    pub fn written_by_update(&self, start: usize, len: usize) -> Result<Ptr> {
        let Some(all) = self.arena.regions.last() else { return Ok(Ptr::NULL) };
        if start <= self.written.get() {
            self.written.set(self.written.get().max(start + len));
        }
        Ok(self.arena.ptr(self.arena.regions.len() - 1)?.offset(start * all.dtype.bytes()))
    }

    /// Before the update of the elements from `start` on.
    pub fn begin_update(&self, start: usize) {
        self.written.set(start);
    }

    /// Whether it wrote the copies of all up to `end`.
    pub fn wrote(&self, end: usize) -> bool {
        self.written.get() >= end
    }

    /// Says that masters were changed by an update; `wrote`: and their copies in the same way.
    pub fn updated(&self, masters: &Arena, wrote: bool) {
        let equal = self.equal_at.get() == Some(masters.changes());
        masters.changed();
        if equal && wrote {
            self.equal_at.set(Some(masters.changes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::data::Samples;
    use crate::device::testing::gpu;
    use crate::layer::Fields;
    use crate::memory::Step;
    use crate::optim::{Adadelta, AdamW, Clip, RmsProp, Run};
    use crate::*;
    use half::{bf16, f16};
    use std::sync::Arc;

    const X: Extent = Extent::image(6, 6, 16);

    fn trainer(gpu: &Device, precision: Precision, rule: Arc<dyn Optimizer>, accumulate: usize) -> Result<Trainer> {
        let mut net = Network::new(X);
        net.push(Conv::new(64, 3).pad(1).act(Relu));
        net.push(Conv::new(67, 1).act(Relu));
        net.push(Dense::new(70).act(Relu));
        net.push(Dense::new(5));
        let values = (0..40 * X.len()).map(|i| ((i * 7) % 23) as f32 / 11.0 - 1.0).collect();
        let data = Samples::new(X, values)?.with_classes((0..40).map(|i| i % 5).collect(), 5)?;
        let t = Trainer::builder(net, SoftmaxCrossEntropy, rule).batch(10).accumulate(accumulate).seed(1).spare_biases();
        let t = t.freeze("conv1").scale_learning_rate("dense1", 0.5).clip(Clip::Norm(5.0));
        t.device(gpu.clone()).precision(precision).data(data, None::<Samples>).build()
    }

    /// Whether a step would find the copies up to date, and all they hold with the masters.
    fn state(t: &Trainer) -> Result<(bool, Vec<f32>, Vec<f32>)> {
        let store = &t.model().store;
        let (copies, all) = (&store.copies, store.weights.regions.len() - 1);
        let mut held = Vec::new();
        copies.arena.download(store.weights.cuda().expect("a GPU"), all, 0, &mut held)?;
        let masters = store.weights.host_read::<f32, _>(all, 0, <[f32]>::to_vec)?;
        Ok((copies.equal_at.get() == Some(store.weights.changes()), held, masters))
    }

    /// Every rule writes the copies of what it updates, in launched and in recorded steps.
    #[test]
    fn an_update_leaves_copies_that_are_the_rounded_masters() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let rules: [Arc<dyn Optimizer>; 6] = [
            Arc::new(Sgd::new(0.05)),
            Arc::new(Sgd::new(0.02).momentum(0.9).nesterov()),
            Arc::new(Adam::new(0.01).amsgrad()),
            Arc::new(AdamW::new(0.01)),
            Arc::new(RmsProp::new(0.01).momentum(0.5)),
            Arc::new(Adadelta::new(1.0)),
        ];
        for (i, rule) in rules.into_iter().enumerate() {
            let precision = [Precision::BF16, Precision::FP16][i % 2];
            let round = |w: f32| match precision {
                Precision::BF16 => bf16::from_f32(w).to_f32(),
                _ => f16::from_f32(w).to_f32(),
            };
            let mut t = trainer(&gpu, precision, rule, 1 + i % 3)?;
            let before = t.model().array("dense2.weight")?;
            t.fit(3, &mut Silent)?;
            assert_ne!(t.model().array("dense2.weight")?, before, "rule {i} did nothing");
            let (fresh, held, masters) = state(&t)?;
            assert!(fresh, "rule {i}: copies are to be made anew");
            let other = masters.iter().zip(&held).enumerate().find(|(_, (w, c))| round(**w) != **c);
            assert!(other.is_none(), "rule {i} in {precision:?}: {other:?}");
        }
        Ok(())
    }

    /// A rule of a user's own, which knows of no copies.
    #[derive(Debug)]
    struct Own(Sgd);

    impl Optimizer for Own {
        fn kind(&self) -> &'static str {
            "own"
        }
        fn save(&self) -> Fields {
            self.0.save()
        }
        fn check(&self) -> Result<()> {
            self.0.check()
        }
        fn learning_rate(&self) -> f64 {
            self.0.learning_rate()
        }
        fn words(&self) -> usize {
            self.0.words()
        }
        fn update(&self, s: &Step<'_>, run: &Run<'_>) -> Result<()> {
            // As many elements as there are, but not all of them.
            let (from, to) = (run.range.start, run.range.end);
            let middle = (from + to) / 2;
            [from..middle, from..to - (middle - from)]
                .into_iter()
                .try_for_each(|range| self.0.update(s, &Run { range, ..run.clone() }))
        }
    }

    /// What changes masters alone is noticed, and the next step makes the copies anew.
    #[test]
    fn other_changes_make_the_next_step_copy() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let mut t = trainer(&gpu, Precision::BF16, Arc::new(Own(Sgd::new(0.1))), 1)?;
        t.fit(3, &mut Silent)?;
        assert!(!state(&t)?.0, "the rule left out a half of all parameters");
        let mut t = trainer(&gpu, Precision::BF16, Arc::new(Sgd::new(0.1)), 1)?;
        t.fit(2, &mut Silent)?;
        let weights = vec![0.125; t.model().array("dense1.weight")?.len()];
        t.model_mut().set_array("dense1.weight", &weights)?;
        assert!(!state(&t)?.0, "a parameter was set");
        t.model_mut().forward(Mode::Infer, View::new(X, &vec![0.5; X.len()])?)?;
        let (fresh, held, masters) = state(&t)?;
        assert!(fresh && masters.iter().zip(&held).all(|(w, c)| bf16::from_f32(*w).to_f32() == *c));
        Ok(())
    }
}
