//! Normalised temperature-scaled cross entropy: for two views of each sample, embedded, the other view is to be told from all other
//! embeddings of the batch.
//!
//! With z = y/|y|, S_ik = z_i·z_k/τ and j the other view of the sample of i: ℓ_i = −S_ij + ln Σ_{k≠i} e^{S_ik}, and the value of a
//! sample is the mean of its two. With a_i = w_i/2 the weight of anchor i and p_ik the softmax over k ≠ i: G_ik = a_i·(p_ik − 1[k = j]),
//! dz = (G + Gᵀ)·z/τ, dy = (dz − (dz·z)·z)/|y|. An embedding of length 0 has no direction: its z and its gradient are 0.
//!
//! # Source
//! Chen, Kornblith, Norouzi & Hinton 2020, "A simple framework for contrastive learning of visual representations", ICML, equation 1.

use super::{Fields, Loss, LossIo, LossPass, Target};
use crate::device::{Cpu, Cuda, Device, Grid, Kernel, Ptr, Rows, Source, per_isa};
use crate::layer::fields;
use crate::memory::{Element, Planner, Slot, Step};
use crate::op::gemm::{Mat, Product, gemm, workspace};
use crate::{Error, Extent, Real, Result, real};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// The contrastive loss of two views of each sample, NT-Xent. It takes no target.
///
/// Samples of weight 0 take no part, neither as anchors nor among those that others are told from. The rows of a batch see each
/// other: the loss depends on how the data are batched, and larger batches make a harder task.
///
/// # Shapes
/// Two positions of c channels: the embeddings of the two views, as a network makes them whose windows reach one view only. What
/// [`TwoViews`](crate::data::TwoViews) yields goes through convolutions with windows of 1 along the axis of the views, whose weights
/// thus are the same for both.
///
/// # Errors
/// Planning refuses temperatures that are not positive, outputs of other than two positions, and any target.
///
/// # Examples
/// ```
/// use kamacite::loss::{Loss, NtXent, Target};
/// use kamacite::Extent;
/// assert_eq!(NtXent::new(0.5).target(Extent::line(2, 64)), Target::None);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NtXent {
    temperature: f64,
}

impl NtXent {
    /// With this temperature τ; 0.1 to 0.5 are usual.
    pub const fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for NtXent {
    fn kind(&self) -> &'static str {
        "nt_xent"
    }

    fn save(&self) -> Fields {
        fields(self)
    }

    fn target(&self, _: Extent) -> Target {
        Target::None
    }

    fn plan(&self, y: Extent, target: Target, p: &mut Planner<'_>) -> Result<Box<dyn LossPass>> {
        let place = self.kind();
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::value(place, "temperature").expected("a positive number").got(self.temperature));
        }
        if target != Target::None {
            return Err(Error::shape(place, "takes no target").got(format!("{target:?}")));
        }
        if y.area() != 2 {
            let e = Error::shape(place, "embeddings of two views").expected("2 positions").got(y);
            return Err(e.hint("give the network both views, as data::TwoViews does, and let no window reach both"));
        }
        let (c, n, dtype) = (y.c, 2 * p.capacity(), p.master());
        let work = match p.device() {
            Device::Cpu(cpu) => real!(dtype, T => workspace::<T>(cpu, [n, n, c]).max(workspace::<T>(cpu, [n, c, n]))),
            Device::Cuda(_) => n * c,
        };
        Ok(Box::new(NtXentPass {
            c,
            inverse: 1.0 / self.temperature,
            z: p.scratch(dtype, n * c),
            length: p.scratch(dtype, n),
            s: p.scratch(dtype, n * n),
            anchors: p.scratch(dtype, n),
            work: p.scratch(dtype, work.max(1)),
            normalize: p.typed_kernel(&NT_XENT, "nt_normalize")?,
            compare: p.kernel(&NT_XENT, "nt_compare")?,
            gradient: p.typed_kernel(&NT_XENT, "nt_gradient")?,
        }))
    }
}

#[derive(Debug)]
struct NtXentPass {
    /// Channels of an embedding.
    c: usize,
    /// 1/τ
    inverse: f64,
    /// The normalised embeddings.
    z: Slot,
    /// 1/|y|, 0 for what takes no part.
    length: Slot,
    /// S, then G.
    s: Slot,
    /// ℓ of each anchor.
    anchors: Slot,
    /// Of the products; on a GPU dz.
    work: Slot,
    normalize: Kernel<NtArgs>,
    compare: Kernel<NtArgs>,
    gradient: Kernel<NtArgs>,
}

impl LossPass for NtXentPass {
    fn value_and_grad(&self, s: &Step<'_>, io: &LossIo) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => self.run::<T>(cpu, s, io)),
            Device::Cuda(cuda) => self.launch(cuda, s, io),
        }
    }

    fn predict(&self, _: &Step<'_>, _: Slot) -> Result<()> {
        Ok(())
    }
}

/// Elements of one task, about.
const CHUNK: usize = 1 << 13;

impl NtXentPass {
    fn run<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let (c, n) = (self.c, 2 * s.rows());
        let (y, w, mut value) = (s.read::<T>(io.y)?, s.read::<T>(io.weight)?, s.write::<T>(io.value)?);
        let (mut z, mut length) = (s.write::<T>(self.z)?, s.write::<T>(self.length)?);
        let (mut similar, mut anchors, mut work) = (s.write::<T>(self.s)?, s.write::<T>(self.anchors)?, s.write::<T>(self.work)?);
        let (z, length, w, y) = (&mut z[..n * c], &mut length[..n], &w[..], &y[..]);
        for (i, length) in length.iter_mut().enumerate() {
            *length = if w[i / 2] == T::ZERO { T::ZERO } else { T::ONE };
        }
        let (per, wide) = ((CHUNK / c).max(1), (CHUNK / n).max(1));
        cpu.split(per, (Rows(y, c), Rows(&mut *z, c), &mut *length), |_, (y, z, length)| normalize(cpu, y, z, length));
        let alpha = T::of(self.inverse);
        let product = Product::new([n, n, c], Mat::rows(z, c), Mat::rows(z, c).t()).alpha(alpha);
        gemm(cpu, &product, &mut similar[..n * n], n, &mut work)?;
        let (similar, anchors) = (&mut similar[..n * n], &mut anchors[..n]);
        cpu.split(wide, (Rows(&mut *similar, n), &mut *anchors), |i, (s, l)| compare(cpu, i * wide, s, l, w, io.scale));
        for ((value, l), w) in value.iter_mut().zip(anchors.chunks_exact(2)).zip(w) {
            *value = if *w == T::ZERO { T::ZERO } else { T::of(0.5 * w.to_f64() * (l[0] + l[1]).to_f64()) };
        }
        let Some(dy) = io.dy else { return Ok(()) };
        let mut dy = s.write::<T>(dy)?;
        let (g, z) = (Mat::rows(similar, n), &*z);
        gemm(cpu, &Product::new([n, c, n], g, Mat::rows(z, c)).alpha(alpha), &mut dy, c, &mut work)?;
        gemm(cpu, &Product::new([n, c, n], g.t(), Mat::rows(z, c)).alpha(alpha).beta(T::ONE), &mut dy, c, &mut work)?;
        cpu.split(per, (Rows(z, c), Rows(&mut dy[..], c), &*length), |_, (z, dy, length)| project(cpu, z, dy, length));
        Ok(())
    }
}

per_isa! {
    /// z = y/|y| and 1/|y|, both 0 where the length says 0 already.
    fn normalize<T: Real>(cpu: &Cpu, y: &[T], z: &mut [T], length: &mut [T]) {
        let c = y.len() / length.len();
        for ((y, z), length) in y.chunks_exact(c).zip(z.chunks_exact_mut(c)).zip(length) {
            let square: f64 = if *length == T::ZERO { 0.0 } else { y.iter().map(|y| y.to_f64() * y.to_f64()).sum() };
            *length = if square == 0.0 { T::ZERO } else { T::of(1.0 / square.sqrt()) };
            match *length == T::ZERO {
                true => z.fill(T::ZERO),
                false => z.iter_mut().zip(y).for_each(|(z, y)| *z = *y * *length),
            }
        }
    }
}

per_isa! {
    /// Rows of S from anchor `first` on become rows of G; ℓ of these anchors.
    fn compare<T: Real>(cpu: &Cpu, first: usize, s: &mut [T], l: &mut [T], w: &[T], scale: f64) {
        let n = s.len() / l.len();
        for (i, (s, l)) in s.chunks_exact_mut(n).zip(l).enumerate().map(|(i, row)| (first + i, row)) {
            let weight = w[i / 2];
            *l = T::ZERO;
            if weight == T::ZERO {
                s.fill(T::ZERO);
                continue;
            }
            let other = s[i ^ 1];
            for (pair, w) in s.chunks_exact_mut(2).zip(w) {
                if *w == T::ZERO {
                    pair.fill(T::LOWEST);
                }
            }
            s[i] = T::LOWEST;
            let top = s.iter().fold(T::LOWEST, |top, s| Real::max(top, *s));
            s.iter_mut().for_each(|s| *s = (*s - top).exp());
            let sum = T::of(s.iter().map(|s| s.to_f64()).sum());
            *l = top - other + sum.ln();
            let share = T::of(0.5 * scale * weight.to_f64());
            s.iter_mut().for_each(|s| *s *= share / sum);
            s[i ^ 1] += -share;
        }
    }
}

per_isa! {
    /// dy = (dz − (dz·z)·z)/|y|, in place.
    fn project<T: Real>(cpu: &Cpu, z: &[T], dy: &mut [T], length: &[T]) {
        let c = z.len() / length.len();
        for ((z, dy), length) in z.chunks_exact(c).zip(dy.chunks_exact_mut(c)).zip(length) {
            let along = T::of(z.iter().zip(&*dy).map(|(z, dz)| z.to_f64() * dz.to_f64()).sum());
            match *length == T::ZERO {
                true => dy.fill(T::ZERO),
                false => dy.iter_mut().zip(z).for_each(|(dy, z)| *dy = (*dy - along * *z) * *length),
            }
        }
    }
}

const NT_XENT: Source = Source::new("nt_xent", include_str!("../../kernels/nt_xent.cu"));

/// As `NtArgs` in `nt_xent.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct NtArgs {
    y: Ptr,
    dy: Ptr,
    w: Ptr,
    value: Ptr,
    z: Ptr,
    length: Ptr,
    g: Ptr,
    dz: Ptr,
    control: Ptr,
    scale: f64,
    inverse: f32,
    rows: u32,
    c: u32,
    unused: u32,
}

impl NtXentPass {
    fn launch(&self, cuda: &Cuda, s: &Step<'_>, io: &LossIo) -> Result<()> {
        let n = 2 * s.rows();
        let args = NtArgs {
            y: s.ptr(io.y)?,
            dy: io.dy.map_or(Ok(Ptr::NULL), |dy| s.ptr(dy))?,
            w: s.ptr(io.weight)?,
            value: s.ptr(io.value)?,
            z: s.ptr(self.z)?,
            length: s.ptr(self.length)?,
            g: s.ptr(self.s)?,
            dz: s.ptr(self.work)?,
            control: s.control()?,
            scale: io.scale,
            inverse: self.inverse as f32,
            rows: s.rows() as u32,
            c: self.c as u32,
            unused: 0,
        };
        self.normalize.launch(cuda, Grid::cover(32 * n), &args)?;
        self.compare.launch(cuda, Grid::blocks(s.rows()), &args)?;
        if io.dy.is_some() {
            self.gradient.launch(cuda, Grid::blocks(n), &args)?;
        }
        Ok(())
    }
}
