//! Layers of several inputs.
//!
//! * add: y = Σᵢ xᵢ, dxᵢ = dy;
//! * concat: y(p, ·) = [x₁(p, ·), x₂(p, ·), …] at every position p, dxᵢ = the channels of dy that came from xᵢ.

use super::{Fields, Layer, Pass, Place, Planned, fields};
use crate::device::{Cpu, Cuda, Device, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::op::elementwise::{add, copy_or_add};
use crate::op::packs;
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Brings branches together.
///
/// # Shapes
/// Two inputs or more: of one extent for [`Merge::add`], of the same d, h and w for [`Merge::concat`].
///
/// # Errors
/// Other inputs are refused at planning.
///
/// # Examples
/// ```
/// use kamacite::layer::Merge;
/// let residual = Merge::add();
/// let skip = Merge::concat();
/// # let _ = (residual, skip);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    Add,
    Concat,
}

impl Merge {
    /// The sum of the inputs.
    pub const fn add() -> Self {
        Self { how: How::Add }
    }

    /// The channels of the inputs side by side.
    pub const fn concat() -> Self {
        Self { how: How::Concat }
    }
}

impl Layer for Merge {
    fn kind(&self) -> &'static str {
        "merge"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let [first, _, ..] = *x else {
            return Err(Error::plan("", "the layer merges branches").expected("two inputs or more").got(x.len()));
        };
        let agrees = |x: &Extent| match self.how {
            How::Add => *x == first,
            How::Concat => x.space() == first.space(),
        };
        if let Some(i) = x.iter().position(|x| !agrees(x)) {
            let what = match self.how {
                How::Add => format!("input {i} has another extent than input 0"),
                How::Concat => format!("input {i} has other spatial sizes than input 0"),
            };
            return Err(Error::shape("", what).expected(first).got(x[i]).hint("bring the branches to one size first"));
        }
        Ok(match self.how {
            How::Add => Planned::new(first, AddPass).place(Place::InPlace),
            How::Concat => {
                let c = x.iter().try_fold(0_usize, |sum, x| sum.checked_add(x.c));
                let c = c.ok_or_else(|| Error::shape("", "too many channels"))?;
                let (y, channels): (_, Vec<usize>) = (first.with_channels(c).check()?, x.iter().map(|x| x.c).collect());
                let (width, most) = (packs::width(p, &channels), crate::device::MAX_SIZE);
                if c > most && matches!(p.device(), Device::Cuda(_)) {
                    return Err(Error::shape("", "too many channels for a GPU").expected(format!("at most {most}")).got(c));
                }
                let kernel = packs::kernel(p, &MERGE, "copy_channels", width)?;
                Planned::new(y, ConcatPass { channels, c, area: y.area(), width, kernel })
            }
        })
    }
}

#[derive(Debug)]
struct AddPass;

impl Pass for AddPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        copy_or_add(s, io.x[0], (io.y, GradMode::Write))?;
        io.x[1..].iter().try_for_each(|&x| copy_or_add(s, x, (io.y, GradMode::Add)))
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        io.dx.iter().flatten().try_for_each(|&dx| copy_or_add(s, io.dy, dx))
    }
}

#[derive(Debug)]
struct ConcatPass {
    /// Channels of each input.
    channels: Vec<usize>,
    /// Their sum.
    c: usize,
    /// Positions of a sample.
    area: usize,
    /// Channels that a thread of the kernel moves.
    width: usize,
    kernel: Kernel<CopyChannelsArgs>,
}

impl Pass for ConcatPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let mut y = s.write::<T>(io.y)?;
                let mut at = 0;
                for (&x, &c) in io.x.iter().zip(&self.channels) {
                    insert(cpu, &s.read::<T>(x)?, c, &mut y, self.c, at);
                    at += c;
                }
            }),
            Device::Cuda(cuda) => {
                let mut at = 0;
                for (&x, &c) in io.x.iter().zip(&self.channels) {
                    self.copy(cuda, s, (x, c, 0), (io.y, self.c, at), c, GradMode::Write)?;
                    at += c;
                }
            }
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let dy = s.read::<T>(io.dy)?;
                let mut at = 0;
                for (dx, &c) in io.dx.iter().zip(&self.channels) {
                    if let Some((dx, mode)) = *dx {
                        select(cpu, &dy, self.c, at, mode, &mut s.write::<T>(dx)?, c);
                    }
                    at += c;
                }
            }),
            Device::Cuda(cuda) => {
                let mut at = 0;
                for (dx, &c) in io.dx.iter().zip(&self.channels) {
                    if let Some((dx, mode)) = *dx {
                        self.copy(cuda, s, (io.dy, self.c, at), (dx, c, 0), c, mode)?;
                    }
                    at += c;
                }
            }
        }
        Ok(())
    }
}

const MERGE: Source = Source::new("merge", include_str!("../../kernels/merge.cu"));

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct CopyChannelsArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
    c: Divisor,
    x_c: u32,
    x_at: u32,
    y_c: u32,
    y_at: u32,
    add: u32,
}

impl ConcatPass {
    /// `c` channels of a slot, of so many channels, from one on, to those of another slot.
    fn copy(
        &self,
        cuda: &Cuda,
        s: &Step<'_>,
        (x, x_c, x_at): (Slot, usize, usize),
        (y, y_c, y_at): (Slot, usize, usize),
        c: usize,
        mode: GradMode,
    ) -> Result<()> {
        let packs = |channels: usize| (channels / self.width) as u32;
        let n = s.rows() * self.area * (c / self.width);
        let args = CopyChannelsArgs {
            x: s.ptr(x)?,
            y: s.ptr(y)?,
            n: n as u64,
            c: Divisor::new(c / self.width),
            x_c: packs(x_c),
            x_at: packs(x_at),
            y_c: packs(y_c),
            y_at: packs(y_at),
            add: u32::from(mode == GradMode::Add),
        };
        self.kernel.launch(cuda, Grid::cover(n), &args)
    }
}

/// Values in one task: some 10 µs of copying.
const GRAIN: usize = 1 << 15;

/// y(p, at..at+c) = x(p, ·) at every position; y has `wide` channels.
fn insert<T: Real>(cpu: &Cpu, x: &[T], c: usize, y: &mut [T], wide: usize, at: usize) {
    let positions = (GRAIN / wide).max(1);
    cpu.split(positions * wide, y, |i, y| {
        let x = x[i * positions * c..].chunks_exact(c);
        y.chunks_exact_mut(wide).zip(x).for_each(|(y, x)| y[at..at + c].copy_from_slice(x));
    });
}

/// x(p, ·) = or += y(p, at..at+c) at every position.
fn select<T: Real>(cpu: &Cpu, y: &[T], wide: usize, at: usize, mode: GradMode, x: &mut [T], c: usize) {
    let positions = (GRAIN / wide).max(1);
    cpu.split(positions * c, x, |i, x| {
        let y = y[i * positions * wide..].chunks_exact(wide).map(|y| &y[at..at + c]);
        for (x, y) in x.chunks_exact_mut(c).zip(y) {
            match mode {
                GradMode::Write => x.copy_from_slice(y),
                GradMode::Add => add(cpu, y, x),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::{Crop, Flatten, Grads, Lrn, Mode, Model, Network, Norm, Pool, Precision, Reshape, Upsample, View, ZeroPad};

    #[test]
    fn channels_lie_side_by_side_and_come_back() -> Result<()> {
        let cpu = Cpu::new(2)?;
        for (channels, positions) in [(vec![2, 3], 5), (vec![1, 1, 4], 20_000), (vec![33, 7], 1)] {
            let c: usize = channels.iter().sum();
            let mut y = vec![f64::NAN; positions * c];
            let mut at = 0;
            for (k, &n) in channels.iter().enumerate() {
                let x: Vec<f64> = (0..positions * n).map(|i| (i * channels.len() + k) as f64).collect();
                insert(&cpu, &x, n, &mut y, c, at);
                let mut back = vec![f64::NAN; x.len()];
                select(&cpu, &y, c, at, GradMode::Write, &mut back, n);
                assert_eq!(back, x);
                select(&cpu, &y, c, at, GradMode::Add, &mut back, n);
                assert!(back.iter().zip(&x).all(|(b, x)| *b == 2.0 * x));
                at += n;
            }
            for (i, v) in y.iter().enumerate() {
                let (p, mut j, mut k) = (i / c, i % c, 0);
                while j >= channels[k] {
                    j -= channels[k];
                    k += 1;
                }
                assert_eq!(*v, ((p * channels[k] + j) * channels.len() + k) as f64);
            }
        }
        Ok(())
    }

    /// A network of the layers without weights, in which values are shared, overwritten, viewed and added to: its gradient
    /// against differences in f64.
    #[test]
    fn branches_of_all_kinds_have_the_right_gradient() -> Result<()> {
        let e = Extent::image(4, 6, 2);
        let mut net = Network::default();
        let x = net.input("x", e);
        let lrn = net.add(Lrn::new(3).alpha(0.5), &[x]);
        let half = net.add(Pool::average(2), &[lrn]);
        let back = net.add(Upsample::linear(2), &[half]);
        let sum = net.add(Merge::add(), &[back, lrn]);
        let twice = net.add(Merge::add(), &[sum, sum, x]);
        let wide = net.add(ZeroPad::new([0, 1], [1, 0]), &[twice]);
        let cut = net.add(Crop::new([1, 0], [0, 1]), &[wide]);
        let most = net.add(Pool::max(3).stride(1).pad(1), &[cut]);
        let all = net.add(Merge::concat(), &[most, lrn, twice]);
        let flat = net.add(Flatten::new(), &[all]);
        let shaped = net.add(Reshape::to(Extent::cube(2, 3, 4, 6)), &[flat]);
        let norm = net.add(Norm::groups(2).no_affine(), &[shaped]);
        net.add(Merge::add(), &[norm, shaped]);
        let mut model = Model::builder(net).precision(Precision::FP64).build()?;
        let mut r = Stream::new(6, Purpose::User, 0);
        let mut random = |n: usize| (0..n).map(|_| r.between(-2.0, 2.0)).collect::<Vec<f64>>();
        let (values, dy) = (random(2 * e.len()), random(2 * 144));
        let out = Extent::cube(2, 3, 4, 6);
        let loss = |x: &[f64], model: &mut Model| -> Result<f64> {
            let y = model.forward(Mode::Train, View::f64(e, x)?)?;
            Ok(y.as_f64()?.iter().zip(&dy).map(|(y, dy)| y * dy).sum())
        };
        loss(&values, &mut model)?;
        let dx = model.backward(View::f64(out, &dy)?, Grads::Write)?.as_f64()?.to_vec();
        for i in 0..dx.len() {
            let h = 1e-6;
            let mut at = |delta: f64| {
                let mut x = values.clone();
                x[i] += delta;
                loss(&x, &mut model)
            };
            let slope = (at(h)? - at(-h)?) / (2.0 * h);
            // Cancellation: a sum of some 300 terms below 10, over h; h² times third derivatives is far less.
            assert!((dx[i] - slope).abs() < 300.0 * 10.0 * f64::EPSILON / h, "dx[{i}] = {}, expected {slope}", dx[i]);
        }
        Ok(())
    }
}
