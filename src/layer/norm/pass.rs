//! The machine of [`Norm`](super::Norm): moments of chunks, their sums for each unit, a table of two numbers per channel, one sweep.

use super::Sets;
use super::cuda::Gpu;
use super::end::{NormEnd, Taken};
use crate::device::{Cpu, Device};
use crate::layer::Pass;
use crate::memory::{Element, GradMode, Io, Param, Read, Slot, Step, Write};
use crate::op::bands::Statistics;
use crate::op::epilogue::{Affine, Constants};
use crate::op::moments::{self, Slope, combine};
use crate::{Extent, Mode, Real, Result, real};
use std::sync::Arc;

/// How the values are cut into chunks for threads, by shape alone: the positions of one sample, or of the whole batch,
/// make a unit of `chunks` chunks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Values in a chunk: whole positions.
    pub chunk: usize,
    /// Chunks in a unit; in the last unit of a batch that is not full, fewer.
    pub chunks: usize,
}

/// Values in a chunk: some 20 µs of work.
const GRAIN: usize = 1 << 15;

/// More chunks than threads will ever share, few enough to fold in no time.
const MAX_CHUNKS: usize = 256;

/// Positions that stay together, so that pooling finds its windows whole: four rows of an image, or two, or one.
fn band(x: Extent) -> usize {
    let (rows, row) = if x.h > 1 { (x.h, x.w) } else { (x.w, 1) };
    let band = row << rows.trailing_zeros().min(2);
    // Rows that are long themselves are cut anywhere.
    if band.saturating_mul(x.c) <= 4 * GRAIN { band } else { 1 }
}

impl Cut {
    pub fn new(x: Extent, rows: usize, batch: bool) -> Self {
        let positions = x.area().saturating_mul(rows);
        let wanted = positions.saturating_mul(x.c).div_ceil(GRAIN).clamp(1, MAX_CHUNKS);
        let band = band(x);
        // The chunks of samples must end with the sample; the whole batch may have a short last chunk.
        let fits = |k: &usize| positions.is_multiple_of(*k * band);
        let chunks = if batch { wanted } else { (1..=wanted).rev().find(fits).unwrap_or(1) };
        let each = positions.div_ceil(chunks).next_multiple_of(band);
        Self { chunk: each.saturating_mul(x.c), chunks: positions.div_ceil(each) }
    }

    /// Calls `f(i, piece)` for pieces of `width` elements of `out`, which holds one for each chunk or for each unit.
    fn each<T: Send>(&self, cpu: &Cpu, out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        // Several small ones in one task.
        let many = (GRAIN / self.chunk).max(1);
        cpu.split(many * width, out, |i, out| {
            out.chunks_mut(width).enumerate().for_each(|(k, out)| f(i * many + k, out));
        });
    }
}

#[derive(Debug)]
pub(super) struct NormPass {
    pub x: Extent,
    pub sets: Sets,
    pub cut: Cut,
    /// What else it does.
    pub end: Arc<NormEnd>,
    pub eps: f64,
    pub momentum: f64,
    pub scale: Option<Param>,
    pub shift: Option<Param>,
    /// Mean and variance.
    pub running: Option<[Slot; 2]>,
    /// Two sums per channel for each chunk; on a GPU per set.
    pub partial: Slot,
    /// On a GPU two sums per channel for each chunk of all rows, where `partial` has something else.
    pub columns: Option<Slot>,
    /// q and r per channel for each unit, see [`Slope`].
    pub slopes: Slot,
    /// μ and ρ per channel for each unit; on a GPU pairs per set, as are the slopes.
    pub table: Slot,
    /// Of a batch in training on a GPU: what the layer before may find.
    pub statistics: Option<Arc<Statistics>>,
    pub gpu: Gpu,
}

impl Pass for NormPass {
    fn forward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, mut table) = (s.read::<T>(io.x[0])?, s.write::<T>(self.table)?);
                match self.running {
                    Some([mean, var]) if s.mode() != Mode::Train => {
                        self.recall(&mut table, &s.read::<T>(mean)?, &s.read::<T>(var)?);
                    }
                    _ => self.measure(cpu, s, &x, &mut table)?,
                }
                let (scale, shift) = (read::<T>(s, self.scale)?, read::<T>(s, self.shift)?);
                let (parameters, mut y) = ([scale.as_deref(), shift.as_deref()], s.write::<T>(io.y)?);
                match self.end.taken() {
                    Some(end) => self.apply_all(cpu, end, &x, &table, self.maps(&table, parameters, &mut s.write::<T>(end.maps)?), &mut y),
                    None => self.apply(cpu, &x, &table, parameters, &mut y),
                }
            }),
            Device::Cuda(cuda) => self.gpu.forward(cuda, s, io, self)?,
        }
        Ok(())
    }

    fn backward(&self, s: &Step<'_>, io: &Io<'_>) -> Result<()> {
        let constant = self.sets.batch && s.mode() != Mode::Train;
        let dw = [self.scale, self.shift].map(|p| s.grad(p.and_then(|p| p.dw)));
        match s.device() {
            Device::Cpu(cpu) => real!(s.dtype(), T => {
                let (x, dy, table) = (s.read::<T>(io.x[0])?, s.read::<T>(io.dy)?, s.read::<T>(self.table)?);
                let mut partial = s.write::<f64>(self.partial)?;
                let partial = &mut partial[..self.used(x.len())];
                let scale = read::<T>(s, self.scale)?;
                let shift = read::<T>(s, self.shift)?;
                let parameters = [scale.as_deref(), shift.as_deref()];
                let mut held = self.end.taken().map(|end| self.hold::<T>(s, end, &table, parameters)).transpose()?;
                let mut behind = held.as_mut().map(|(end, maps, work)| Behind { end, maps, work });
                if dw != [None, None] || !constant {
                    self.sums(cpu, [&dy, &x, &table], behind.as_mut(), partial);
                }
                self.parameters::<T>(s, partial, &table, dw)?;
                if let Some((dx, mode)) = io.dx[0] {
                    let mut slopes = s.write::<T>(self.slopes)?;
                    match constant {
                        true => slopes.fill(T::ZERO),
                        false => self.slopes(cpu, partial, &table, scale.as_deref(), s.rows(), &mut slopes),
                    }
                    let dx = &mut s.write::<T>(dx)?;
                    self.gradient(cpu, [&dy, &x, &table], &slopes, scale.as_deref(), behind.as_mut(), (dx, mode));
                }
            }),
            Device::Cuda(cuda) => self.gpu.backward(cuda, s, io, self)?,
        }
        Ok(())
    }
}

fn read<'a, T: Element>(s: &'a Step<'_>, p: Option<Param>) -> Result<Option<Read<'a, T>>> {
    p.map(|p| s.read::<T>(p.w)).transpose()
}

/// What follows the normalisation in its own pass, on the way back.
struct Behind<'a, T> {
    end: &'a Taken,
    maps: &'a [T],
    /// A chunk for each thread.
    work: &'a mut [T],
}

impl NormPass {
    /// The two numbers per channel of the unit that chunk `i` belongs to.
    fn unit<'a, T>(&self, table: &'a [T], i: usize) -> &'a [T] {
        let unit = if self.sets.batch { 0 } else { i / self.cut.chunks };
        &table[unit * 2 * self.x.c..][..2 * self.x.c]
    }

    /// Element of γ or β for channel `c`.
    #[inline]
    fn of<T: Copy>(&self, p: Option<&[T]>, c: usize, neutral: T) -> T {
        match p {
            Some(p) if c < self.sets.active => p[c / self.sets.per_scale],
            _ => neutral,
        }
    }

    /// Elements of `partial` for a batch of `len` values.
    fn used(&self, len: usize) -> usize {
        len.div_ceil(self.cut.chunk) * 2 * self.x.c
    }

    /// The elements of `partial` that belong to one unit; the first 2c of them hold its sums in the end.
    fn width(&self, partial: &[f64]) -> usize {
        if self.sets.batch { partial.len() } else { self.cut.chunks * 2 * self.x.c }
    }

    /// y = (x − μ)·ρ·γ + β
    fn apply<T: Real>(&self, cpu: &Cpu, x: &[T], table: &[T], [scale, shift]: [Option<&[T]>; 2], y: &mut [T]) {
        self.cut.each(cpu, y, self.cut.chunk, |i, y| {
            let (mean, rho) = self.unit(table, i).split_at(self.x.c);
            let a = |c: usize| rho[c] * self.of(scale, c, T::ONE);
            let x = &x[i * self.cut.chunk..][..y.len()];
            moments::affine(cpu, x, mean, &a, &|c| self.of(shift, c, T::ZERO), y);
        });
    }

    /// The factor and the summand of y = (x − μ)·a + b, per channel for each unit.
    fn maps<'a, T: Real>(&self, table: &[T], [scale, shift]: [Option<&[T]>; 2], maps: &'a mut [T]) -> &'a [T] {
        for (table, maps) in table.chunks_exact(2 * self.x.c).zip(maps.chunks_exact_mut(2 * self.x.c)) {
            let (a, b) = maps.split_at_mut(self.x.c);
            let rho = &table[self.x.c..];
            a.iter_mut().enumerate().for_each(|(c, a)| *a = rho[c] * self.of(scale, c, T::ONE));
            b.iter_mut().enumerate().for_each(|(c, b)| *b = self.of(shift, c, T::ZERO));
        }
        maps
    }

    /// What the way back through that which follows needs.
    #[allow(clippy::type_complexity)]
    fn hold<'a, T: Real + Element>(
        &self,
        s: &'a Step<'_>,
        end: &'a Taken,
        table: &[T],
        parameters: [Option<&[T]>; 2],
    ) -> Result<(&'a Taken, Write<'a, T>, Write<'a, T>)> {
        let mut maps = s.write::<T>(end.maps)?;
        self.maps(table, parameters, &mut maps);
        Ok((end, maps, s.write::<T>(end.work)?))
    }

    /// The map of the unit that chunk `i` belongs to.
    fn map<'a, T>(&self, table: &'a [T], maps: &'a [T], i: usize) -> Affine<'a, T> {
        let (scale, shift) = self.unit(maps, i).split_at(self.x.c);
        Affine { centre: &self.unit(table, i)[..self.x.c], scale, shift }
    }

    /// As [`NormPass::apply`], and what follows.
    fn apply_all<T: Real>(&self, cpu: &Cpu, end: &Taken, x: &[T], table: &[T], maps: &[T], y: &mut [T]) {
        let share = end.epilogue.share();
        self.cut.each(cpu, y, self.cut.chunk / share, |i, y| {
            let x = &x[i * self.cut.chunk..][..y.len() * share];
            let (c, affine) = (self.x.c, self.map(table, maps, i));
            end.epilogue.forward(cpu, (c, Some(&affine)), 0..c, x, y);
        });
    }

    /// μ and ρ from the running statistics.
    fn recall<T: Real>(&self, table: &mut [T], mean: &[T], var: &[T]) {
        let (mu, rho) = table.split_at_mut(self.x.c);
        mu.copy_from_slice(mean);
        rho.iter_mut().zip(var).for_each(|(rho, v)| *rho = self.rho(v.to_f64()));
    }

    fn rho<T: Real>(&self, variance: f64) -> T {
        Constants::rho(variance, self.eps)
    }

    /// μ and ρ from the values, and the running statistics.
    fn measure<T: Real + Element>(&self, cpu: &Cpu, s: &Step<'_>, x: &[T], table: &mut [T]) -> Result<()> {
        let c = self.x.c;
        let mut partial = s.write::<f64>(self.partial)?;
        let partial = &mut partial[..self.used(x.len())];
        self.moments(cpu, x, partial);
        self.tabulate(cpu, partial, x.len(), table);
        let n = (x.len() / c) as f64;
        // The variance of a single value says nothing.
        let Some([mean, var]) = self.running.filter(|_| n > 1.0) else { return Ok(()) };
        let (mut mean, mut var) = (s.write::<T>(mean)?, s.write::<T>(var)?);
        let mix = |old: T, new: f64| T::of((1.0 - self.momentum) * old.to_f64() + self.momentum * new);
        for i in 0..c {
            (mean[i], var[i]) = (mix(mean[i], partial[i]), mix(var[i], partial[c + i] / (n - 1.0)));
        }
        Ok(())
    }

    /// Mean and Σ(x − mean)² of the channels of each unit.
    fn moments<T: Real>(&self, cpu: &Cpu, x: &[T], partial: &mut [f64]) {
        let (c, chunk) = (self.x.c, self.cut.chunk);
        self.cut.each(cpu, partial, 2 * c, |i, out| {
            let (mean, m2) = out.split_at_mut(c);
            moments::moments(cpu, &x[i * chunk..x.len().min((i + 1) * chunk)], mean, m2);
        });
        let (width, values) = (self.width(partial), if self.sets.batch { x.len() } else { self.x.len() });
        partial.chunks_exact_mut(width).for_each(|unit| moments::combine_chunks(unit, c, chunk / c, values / c));
    }

    /// μ and ρ of each set, for all its channels.
    fn tabulate<T: Real>(&self, cpu: &Cpu, partial: &[f64], len: usize, table: &mut [T]) {
        let (c, width, active) = (self.x.c, self.width(partial), self.sets.active);
        let n = if self.sets.batch { len / c } else { self.x.area() } as f64;
        self.cut.each(cpu, table, 2 * c, |u, table| {
            let (means, m2s) = partial[u * width..][..2 * c].split_at(c);
            let (mean, rho) = table.split_at_mut(c);
            mean[active..].fill(T::ZERO);
            rho[active..].fill(T::ONE);
            for first in (0..active).step_by(self.sets.channels) {
                let set = first..first + self.sets.channels;
                let (n, mu, m2) = set.clone().fold((0.0, 0.0, 0.0), |sum, i| combine(sum, (n, means[i], m2s[i])));
                mean[set.clone()].fill(T::of(mu));
                rho[set].fill(self.rho(m2 / n));
            }
        });
    }

    /// Calls `f(i, piece, dy, x)` for each chunk i and its `width` elements of `out`.
    fn each_chunk<T: Real, U: Send>(
        &self,
        cpu: &Cpu,
        [dy, x, table]: [&[T]; 3],
        behind: Option<&mut Behind<'_, T>>,
        (out, width): (&mut [U], usize),
        f: impl Fn(usize, &mut [U], &[T], &[T]) + Sync,
    ) {
        let chunk = |i: usize| i * self.cut.chunk..x.len().min((i + 1) * self.cut.chunk);
        let Some(Behind { end, maps, work }) = behind else {
            return self.cut.each(cpu, out, width, |i, out| f(i, out, &dy[chunk(i)], &x[chunk(i)]));
        };
        let share = end.epilogue.share();
        cpu.split_with(width, out, (work, self.cut.chunk), |i, out, work| {
            let (x, maps) = (&x[chunk(i)], self.map(table, maps, i));
            let (g, dy) = (&mut work[..x.len()], &dy[chunk(i).start / share..chunk(i).end / share]);
            end.epilogue.backward(cpu, &maps, x, dy, g);
            f(i, out, g, x);
        });
    }

    /// Σ dy and Σ dy·(x − μ) of the channels of each unit.
    fn sums<T: Real>(&self, cpu: &Cpu, operands: [&[T]; 3], behind: Option<&mut Behind<'_, T>>, partial: &mut [f64]) {
        let (c, [.., table]) = (self.x.c, operands);
        self.each_chunk(cpu, operands, behind, (partial, 2 * c), |i, out, dy, x| {
            let (first, second) = out.split_at_mut(c);
            moments::products(cpu, dy, x, &self.unit(table, i)[..c], first, second);
        });
        let width = self.width(partial);
        partial.chunks_exact_mut(width).for_each(|unit| moments::add_chunks(unit, 2 * c));
    }

    /// dγ = Σ ρ·Σ dy·(x − μ) and dβ = Σ Σ dy over the units, in f64 and in their order.
    fn parameters<T: Real + Element>(
        &self,
        s: &Step<'_>,
        partial: &[f64],
        table: &[T],
        dw: [Option<(Slot, GradMode)>; 2],
    ) -> Result<()> {
        let (c, per, width) = (self.x.c, self.sets.per_scale, self.width(partial));
        for (which, dw) in dw.into_iter().enumerate() {
            let Some((dw, mode)) = dw else { continue };
            let mut dw = s.write::<T>(dw)?;
            for (j, dw) in dw.iter_mut().enumerate() {
                let mut sum = 0.0;
                for (unit, table) in partial.chunks_exact(width).zip(table.chunks_exact(2 * c)) {
                    for i in j * per..(j + 1) * per {
                        sum += if which == 0 { unit[c + i] * table[c + i].to_f64() } else { unit[i] };
                    }
                }
                *dw = if mode == GradMode::Write { T::of(sum) } else { *dw + T::of(sum) };
            }
        }
        Ok(())
    }

    /// q = ρ·mean(g) and r = ρ²·mean(g·x̂) of each set, for all its channels.
    fn slopes<T: Real>(&self, cpu: &Cpu, partial: &[f64], table: &[T], scale: Option<&[T]>, rows: usize, slopes: &mut [T]) {
        let (c, width, active) = (self.x.c, self.width(partial), self.sets.active);
        let n = (self.x.area() * self.sets.channels * if self.sets.batch { rows } else { 1 }) as f64;
        self.cut.each(cpu, slopes, 2 * c, |u, slopes| {
            let (first, second) = partial[u * width..][..2 * c].split_at(c);
            let (q, r) = slopes.split_at_mut(c);
            q[active..].fill(T::ZERO);
            r[active..].fill(T::ZERO);
            for start in (0..active).step_by(self.sets.channels) {
                let set = start..start + self.sets.channels;
                let weighted = |sums: &[f64]| set.clone().map(|i| self.of(scale, i, T::ONE).to_f64() * sums[i]).sum::<f64>();
                let (g, gx, rho) = (weighted(first), weighted(second), table[u * 2 * c + c + start].to_f64());
                q[set.clone()].fill(T::of(rho * g / n));
                r[set.clone()].fill(T::of(rho * rho * rho * gx / n));
            }
        });
    }

    fn gradient<T: Real>(
        &self,
        cpu: &Cpu,
        operands: [&[T]; 3],
        slopes: &[T],
        scale: Option<&[T]>,
        behind: Option<&mut Behind<'_, T>>,
        (dx, mode): (&mut [T], GradMode),
    ) {
        let [.., table] = operands;
        self.each_chunk(cpu, operands, behind, (dx, self.cut.chunk), |i, dx, dy, x| {
            let (centre, rho) = self.unit(table, i).split_at(self.x.c);
            let (q, r) = self.unit(slopes, i).split_at(self.x.c);
            let p = |c: usize| rho[c] * self.of(scale, c, T::ONE);
            moments::gradient(cpu, dy, x, &Slope { centre, p: &p, q, r }, mode, dx);
        });
    }
}
