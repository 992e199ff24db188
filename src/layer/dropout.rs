//! Dropout: y = m ∘ x, dx = m ∘ dy. In training m = 0 with probability p and 1/(1−p) otherwise, so that the mean of y is
//! x and evaluation is the identity. Not inverted: m is 0 or 1 in training, and evaluation multiplies by 1−p.
//!
//! The mask is drawn anew in the backward pass from the same counter, so nothing is saved. Element e of the batch (row
//! times the length of a sample plus the place in it; or row·c plus the channel) is dropped if word e mod 4 of block ⌊e/4⌋
//! is below p: the mask depends on neither device nor threads nor capacity.
//!
//! # Source
//! Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, JMLR 15; for whole channels Tompson et al. 2015,
//! "Efficient object localization using convolutional networks"; as an error estimate Gal & Ghahramani 2016.

use super::reshape::ViewPass;
use super::{Fields, Layer, Pass, Place, Planned, fields, one};
use crate::device::{Cpu, Cuda, Device, Grid, Kernel, Layout, Ptr, Source, per_isa};
use crate::memory::{GradMode, Io, Planner, Slot, Step};
use crate::op::elementwise::copy_or_add;
use crate::op::packs;
use crate::rng::{Draws, Purpose};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// Sets random elements, or whole channels, to zero in training.
///
/// Active in [`Mode::Train`](crate::Mode::Train) and [`Mode::MonteCarlo`](crate::Mode::MonteCarlo).
///
/// # Shapes
/// The output has the extent of the input.
///
/// # Errors
/// A rate outside of [0, 1) is refused at planning.
///
/// # Examples
/// ```
/// use kamacite::layer::Dropout;
/// let dense = Dropout::new(0.5);
/// let maps = Dropout::channels(0.1);
/// # let _ = (dense, maps);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    rate: f64,
    #[serde(default)]
    channels: bool,
    #[serde(default)]
    not_inverted: bool,
}

impl Dropout {
    /// Drops each element with this probability.
    pub const fn new(rate: f64) -> Self {
        Self { rate, channels: false, not_inverted: false }
    }

    /// Drops each channel of each sample, at all positions together, with this probability.
    pub const fn channels(rate: f64) -> Self {
        Self { channels: true, ..Self::new(rate) }
    }

    /// Kept elements are not enlarged in training; in evaluation all are multiplied by 1−p instead, and Monte-Carlo
    /// inference does neither. This is what CIANNA does.
    #[must_use]
    pub const fn not_inverted(mut self) -> Self {
        self.not_inverted = true;
        self
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn plan(&self, x: &[Extent], p: &mut Planner<'_>) -> Result<Planned> {
        let x = one(x)?;
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::value("rate", "not a probability below 1").expected("0 ≤ rate < 1").got(self.rate));
        }
        let drops = p.mode().drops();
        if self.rate == 0.0 || !(drops || self.not_inverted) {
            return Ok(Planned::new(x, ViewPass).place(Place::View));
        }
        let keep = if self.not_inverted { 1.0 } else { 1.0 / (1.0 - self.rate) };
        let coin = Coin { threshold: threshold(self.rate), keep };
        let what = match (drops, self.channels) {
            (false, _) => What::Scale(1.0 - self.rate, p.typed_kernel(&DROPOUT, "scale")?),
            (true, false) => What::Elements(coin, p.typed_kernel(&DROPOUT, "drop_elements")?),
            (true, true) => What::Channels(coin, p.scratch_rows(p.master(), x.c), ChannelKernels::new(p, x)?),
        };
        Ok(Planned::new(x, DropoutPass { what, key: p.key(), len: x.len(), c: x.c }).place(Place::InPlace))
    }
}

/// The least 24-bit integer that is kept: u < p for u = integer/2²⁴ exactly when the integer is below it.
fn threshold(rate: f64) -> u32 {
    (rate * 16_777_216.0).ceil() as u32
}

#[derive(Clone, Copy, Debug)]
struct Coin {
    threshold: u32,
    /// The factor of what is not dropped.
    keep: f64,
}

#[derive(Debug)]
enum What {
    Elements(Coin, Kernel<DropElementsArgs>),
    /// With room for one factor per channel.
    Channels(Coin, Slot, ChannelKernels),
    Scale(f64, Kernel<ScaleArgs>),
}

#[derive(Debug)]
struct DropoutPass {
    what: What,
    key: u64,
    len: usize,
    c: usize,
}

impl Pass for DropoutPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        if let Device::Cuda(cuda) = s.device() {
            return self.launch(cuda, s, io.x[0], (io.y, GradMode::Write));
        }
        copy_or_add(s, io.x[0], (io.y, GradMode::Write))?;
        self.multiply(s, io.y)
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let Some(dx) = io.dx[0] else { return Ok(()) };
        if let Device::Cuda(cuda) = s.device() {
            return self.launch(cuda, s, io.dy, dx);
        }
        self.multiply(s, io.dy)?;
        copy_or_add(s, io.dy, dx)
    }
}

impl DropoutPass {
    /// y = m ∘ y
    fn multiply(&self, s: &Step<'_>, y: Slot) -> Result<()> {
        let draws = s.draws(Purpose::Dropout, self.key);
        if let Device::Cpu(cpu) = s.device() {
            real!(s.dtype(), T => {
                           let mut y = s.write::<T>(y)?;
                           match &self.what {
                               What::Elements(coin, _) => drop_elements(cpu, draws, *coin, &mut y),
                               What::Channels(coin, m, _) => {
            drop_channels(cpu, draws, *coin, &mut s.write::<T>(*m)?, self.c, &mut y, self.len);
            }
                               What::Scale(factor, _) => cpu.split(GRAIN, &mut y[..], |_, y| scale(cpu, T::of(*factor), y)),
                           }
                       });
        }
        Ok(())
    }
}

const DROPOUT: Source = Source::new("dropout", include_str!("../../kernels/dropout.cu"));

/// A coin as kernels toss it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Toss {
    control: Ptr,
    key: u64,
    threshold: u32,
    keep: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct DropElementsArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
    coin: Toss,
    add: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct TossChannelsArgs {
    m: Ptr,
    n: u64,
    coin: Toss,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MultiplyChannelsArgs {
    x: Ptr,
    y: Ptr,
    m: Ptr,
    n: u64,
    e: Layout,
    add: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ScaleArgs {
    x: Ptr,
    y: Ptr,
    n: u64,
    factor: f32,
    add: u32,
}

#[derive(Debug)]
struct ChannelKernels {
    toss: Kernel<TossChannelsArgs>,
    multiply: Kernel<MultiplyChannelsArgs>,
    width: usize,
    layout: Layout,
}

impl ChannelKernels {
    fn new(p: &Planner<'_>, x: Extent) -> Result<Self> {
        let width = packs::width(p, &[x.c]);
        Ok(Self {
            toss: p.kernel(&DROPOUT, "toss_channels")?,
            multiply: packs::kernel(p, &DROPOUT, "multiply_channels", width)?,
            width,
            layout: packs::layout(p, x, width)?,
        })
    }
}

impl DropoutPass {
    /// y = m ∘ x or y += m ∘ x.
    fn launch(&self, cuda: &Cuda, s: &Step<'_>, x: Slot, (y, mode): (Slot, GradMode)) -> Result<()> {
        // Where they are one slot, the result replaces its source.
        let add = u32::from(mode == GradMode::Add && x != y);
        let (n, x, y) = (s.len(y)?, s.ptr(x)?, s.ptr(y)?);
        let (control, key) = (s.control()?, s.draw_key(Purpose::Dropout, self.key));
        let toss = |coin: &Coin| Toss { control, key, threshold: coin.threshold, keep: coin.keep as f32 };
        match &self.what {
            What::Elements(coin, kernel) => {
                let args = DropElementsArgs { x, y, n: n as u64, coin: toss(coin), add, unused: 0 };
                kernel.launch(cuda, Grid::cover(n.div_ceil(4)), &args)
            }
            What::Channels(coin, m, kernels) => {
                let (factors, m) = (s.len(*m)?, s.ptr(*m)?);
                let args = TossChannelsArgs { m, n: factors as u64, coin: toss(coin) };
                kernels.toss.launch(cuda, Grid::cover(factors.div_ceil(4)), &args)?;
                let n = n / kernels.width;
                let args = MultiplyChannelsArgs { x, y, m, n: n as u64, e: kernels.layout, add, unused: 0 };
                kernels.multiply.launch(cuda, Grid::cover(n), &args)
            }
            What::Scale(factor, kernel) => {
                let args = ScaleArgs { x, y, n: n as u64, factor: *factor as f32, add };
                kernel.launch(cuda, Grid::cover(n.div_ceil(16 / s.dtype().bytes())), &args)
            }
        }
    }
}

/// Elements in one task: some 10 µs of drawing. A multiple of [`LANES`].
const GRAIN: usize = 1 << 13;

/// Elements whose factors are drawn at once.
const LANES: usize = 64;

fn drop_elements<T: Real>(cpu: &Cpu, draws: Draws, coin: Coin, y: &mut [T]) {
    cpu.split(GRAIN, y, |i, y| toss(cpu, draws, coin, i * GRAIN, y));
}

/// Factors of all channels to `m`, then y = m ∘ y at all positions.
fn drop_channels<T: Real>(cpu: &Cpu, draws: Draws, coin: Coin, m: &mut [T], c: usize, y: &mut [T], len: usize) {
    m.fill(T::ONE);
    drop_elements(cpu, draws, coin, m);
    let m = &*m;
    cpu.split(len, y, |row, y| multiply_positions(cpu, &m[row * c..(row + 1) * c], y));
}

per_isa! {
    /// y = m ∘ y for the elements from `first` on, a multiple of 4.
    fn toss<T: Real>(cpu: &Cpu, draws: Draws, coin: Coin, first: usize, y: &mut [T]) {
        let keep = T::of(coin.keep);
        let mut words = [[0_u32; 4]; LANES / 4];
        for (i, y) in y.chunks_mut(LANES).enumerate() {
            let block = ((first + i * LANES) / 4) as u64;
            words.iter_mut().zip(block..).for_each(|(words, block)| *words = draws.block(block));
            for (y, word) in y.iter_mut().zip(words.as_flattened()) {
                *y *= if word >> 8 < coin.threshold { T::ZERO } else { keep };
            }
        }
    }
}

per_isa! {
    /// y = m ∘ y at each position
    fn multiply_positions<T: Real>(cpu: &Cpu, m: &[T], y: &mut [T]) {
        for y in y.chunks_exact_mut(m.len()) {
            y.iter_mut().zip(m).for_each(|(y, m)| *y *= *m);
        }
    }
}

per_isa! {
    /// y = a·y
    fn scale<T: Real>(cpu: &Cpu, a: T, y: &mut [T]) {
        y.iter_mut().for_each(|y| *y *= a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::unit;
    use crate::{Grads, Mode, Model, Network, View};

    #[test]
    fn the_threshold_is_the_rate() {
        for rate in [1e-9, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0 - 1e-7] {
            let t = threshold(rate);
            for integer in [t.saturating_sub(2), t.saturating_sub(1), t, t + 1].into_iter().filter(|&i| i < 1 << 24) {
                assert_eq!(integer < t, f64::from(unit(integer << 8)) < rate, "{rate} {integer}");
            }
        }
    }

    #[test]
    fn each_element_follows_its_own_draw() -> Result<()> {
        let (draws, rate) = (Draws::new(7, Purpose::Dropout, 3), 0.3);
        let coin = Coin { threshold: threshold(rate), keep: 1.0 / (1.0 - rate) };
        for len in [1, 5, 63, 64, 65, 3 * GRAIN + 17] {
            let mut y = vec![2.0_f64; len];
            drop_elements(&Cpu::new(2)?, draws, coin, &mut y);
            for (e, y) in y.iter().enumerate() {
                let dropped = f64::from(unit(draws.block(e as u64 / 4)[e % 4])) < rate;
                assert_eq!(*y, if dropped { 0.0 } else { 2.0 * coin.keep }, "element {e} of {len}");
            }
        }
        Ok(())
    }

    #[test]
    fn channels_drop_together() -> Result<()> {
        let (draws, rate, c, area, rows) = (Draws::new(1, Purpose::Dropout, 0), 0.5, 5, 6, 3);
        let coin = Coin { threshold: threshold(rate), keep: 2.0 };
        let (mut y, mut m) = (vec![1.0_f32; rows * area * c], vec![9.0; rows * c]);
        drop_channels(&Cpu::new(2)?, draws, coin, &mut m, c, &mut y, area * c);
        for (i, y) in y.iter().enumerate() {
            let e = i / (area * c) * c + i % c;
            let dropped = f64::from(unit(draws.block(e as u64 / 4)[e % 4])) < rate;
            assert_eq!(*y, if dropped { 0.0 } else { 2.0 });
        }
        Ok(())
    }

    /// y(1) and dx for dy = 1: the same mask in both directions, and none or a constant outside of training.
    #[test]
    fn modes_and_both_directions_agree() -> Result<()> {
        let e = Extent::image(5, 4, 6);
        let ones = vec![1.0; 2 * e.len()];
        for (layer, keep, rest) in [
            (Dropout::new(0.4), 1.0 / (1.0 - 0.4), 1.0),
            (Dropout::channels(0.4), 1.0 / (1.0 - 0.4), 1.0),
            (Dropout::new(0.4).not_inverted(), 1.0, 1.0 - 0.4),
        ] {
            let mut net = Network::new(e);
            net.push(layer.clone());
            let mut model = Model::builder(net).seed(5).build()?;
            let mut pass = |mode: Mode| -> Result<(Vec<f32>, Vec<f32>)> {
                let y = model.forward(mode, View::new(e, &ones)?)?.to_vec();
                let dx = match mode.differentiable() {
                    true => model.backward(View::new(e, &ones)?, Grads::Write)?.to_vec(),
                    false => Vec::new(),
                };
                Ok((y, dx))
            };
            let (y, dx) = pass(Mode::Train)?;
            assert_eq!(y, dx, "{layer:?}");
            let kept = y.iter().filter(|&&y| y == keep as f32).count();
            assert_eq!(kept + y.iter().filter(|&&y| y == 0.0).count(), y.len());
            assert!(kept > 0 && kept < y.len(), "{layer:?}: {kept} of {}", y.len());
            let (again, _) = pass(Mode::Train)?;
            assert_ne!(y, again, "a new forward pass draws a new mask");
            let (y, _) = pass(Mode::MonteCarlo)?;
            assert!(y.iter().all(|&y| y == 0.0 || y == keep as f32) && y.contains(&0.0));
            let (y, dx) = pass(Mode::Eval)?;
            assert!(y.iter().chain(&dx).all(|&v| v == rest as f32), "{layer:?}");
            assert!(pass(Mode::Infer)?.0.iter().all(|&v| v == rest as f32), "{layer:?}");
        }
        Ok(())
    }

    #[test]
    fn rates_outside_of_the_unit_interval_are_refused() {
        for rate in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            let mut net = Network::new(Extent::flat(3));
            net.push(Dropout::new(rate));
            assert!(
                Model::builder(net)
                    .build()
                    .and_then(|mut m| m.forward(Mode::Infer, View::new(Extent::flat(3), &[0.0; 3])?).map(|_| ()))
                    .is_err()
            );
        }
    }
}
