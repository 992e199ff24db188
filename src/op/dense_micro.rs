//! Small dense layers in one call each way: product, bias and activation; or all gradients.
//!
//! A product of a few dozen elements takes less time than choosing tiles for it, and tiny networks are made of such. Every element
//! is the sum that [`gemm`](super::gemm) and [`columns`](super::reduce::columns) compute, in the same order: the same bits.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::activation::{self, Activation, Reads};
use super::simd::{Lanes, per_lanes};
use super::{gemm_cpu, reduce};
use crate::Real;
use crate::device::Cpu;
use crate::memory::{GradMode, Param, Slot};

/// The most elements of W times rows squared. Measured: from here on tiles are as fast, and with more rows sooner.
const MOST: usize = 1 << 10;
/// Elements of the widest register.
const WIDEST: usize = 16;

/// Whether the kernels take a layer of k inputs and n units for batches of up to m rows: small, and gemm would not cut its sums.
pub(crate) fn fits([m, n, k]: [usize; 3]) -> bool {
    let small = m.max(n).max(k) <= gemm_cpu::KC && m * m * n * k <= MOST;
    #[cfg(test)]
    let small = small && !switch::is_general();
    small
}

/// A dense layer of k inputs and n units that the kernels take, as it was planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmallDense {
    pub n: usize,
    pub k: usize,
    pub act: Activation,
    /// Where the sum before the activation is kept, if the backward pass reads that.
    pub z: Option<Slot>,
    pub w: Param,
    pub b: Option<Param>,
}

/// Where such a layer finds its operands: elements from the start of the plan's memory, or of all parameters. Gradients lie as
/// parameters do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub n: usize,
    pub k: usize,
    pub act: Activation,
    pub x: usize,
    pub y: usize,
    pub z: Option<usize>,
    /// `None` where no backward pass follows.
    pub dy: Option<usize>,
    pub dx: Option<(usize, GradMode)>,
    pub w: usize,
    pub b: Option<usize>,
    /// Whether the weights are trained, and the biases.
    pub trained: (bool, bool),
}

/// A small layer bound to its memory: everything that can be checked has been, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    at: Places,
    /// The most rows.
    capacity: usize,
    /// Elements of the plan's memory and of all parameters.
    lens: (usize, usize),
}

impl Small {
    /// Binds a layer, unless operands of one call overlap or lie outside: then it is none for these kernels.
    pub fn new(at: Places, capacity: usize, lens: (usize, usize)) -> Option<Self> {
        let Places { n, k, x, y, .. } = at;
        let apart = |ranges: &[(usize, usize)], len: usize| {
            let inside = ranges.iter().all(|&(start, n)| start.checked_add(n).is_some_and(|end| end <= len));
            let free = |(i, a): (usize, &(usize, usize))| ranges[..i].iter().all(|b| a.0 >= b.0 + b.1 || b.0 >= a.0 + a.1);
            inside && ranges.iter().enumerate().all(free)
        };
        let (inputs, outputs) = (capacity.checked_mul(k)?, capacity.checked_mul(n)?);
        let maybe = |at: Option<usize>, len: usize| at.map_or((0, 0), |at| (at, len));
        let back = [(x, inputs), maybe(at.dy, outputs), maybe(at.saved(), outputs), maybe(at.dx.map(|(dx, _)| dx), inputs)];
        let forth = [(x, inputs), (y, outputs), maybe(at.z, outputs)];
        let parameters = [(at.w, k * n), maybe(at.b, n)];
        let good = apart(&forth, lens.0) && apart(&back, lens.0) && apart(&parameters, lens.1);
        good.then_some(Self { at, capacity, lens })
    }

    /// Where its operands lie.
    pub fn places(&self) -> &Places {
        &self.at
    }

    /// y = act(x·W + b) for some rows, with the plan's memory and the parameters.
    pub fn forward<T: Real>(&self, cpu: &Cpu, rows: usize, local: &mut [T], parameters: &[T]) {
        assert!((1..=self.capacity).contains(&rows) && (local.len(), parameters.len()) == self.lens, "rows or lens");
        let Places { n, act, y, .. } = self.at;
        // SAFETY: the instruction set is present; the places lie within this memory (`new`).
        let kernel = if rows == 1 { outputs::<T, true>(cpu.isa()) } else { outputs::<T, false>(cpu.isa()) };
        unsafe { kernel(std::slice::from_ref(self), rows, local.as_mut_ptr(), parameters.as_ptr()) };
        if act == Activation::Softmax {
            // Not a matter of single elements.
            activation::forward_in_place(cpu, act, &mut local[y..y + rows * n], n);
        }
    }

    /// dy ← dz = dy·act′, dx = dz·Wᵀ, and with `grads` dW = xᵀ·dz, db_j = Σᵢ dz_ij.
    pub fn backward<T: Real>(
        &self,
        cpu: &Cpu,
        (rows, grads): (usize, Option<GradMode>),
        local: &mut [T],
        parameters: &[T],
        gradients: &mut [T],
    ) {
        let same = (local.len(), parameters.len()) == self.lens && gradients.len() == parameters.len();
        assert!((1..=self.capacity).contains(&rows) && same, "rows or lens");
        let Places { n, act, y, dy: Some(dy), .. } = self.at else { return };
        if act == Activation::Softmax
            && let Ok([y, dy]) = local.get_disjoint_mut([y..y + rows * n, dy..dy + rows * n])
        {
            activation::backward_in_place(cpu, act, y, dy, n);
        }
        let db = self.at.b.filter(|_| self.at.trained.1);
        let simple = reduce::in_order(rows * n);
        let kernel = if rows == 1 { slopes_and_sums::<T, true>(cpu.isa()) } else { slopes_and_sums::<T, false>(cpu.isa()) };
        let layers = std::slice::from_ref(self);
        // SAFETY: the instruction set is present; the places lie within this memory and do not overlap (`new`).
        unsafe { kernel(layers, rows, grads, simple, local.as_mut_ptr(), parameters.as_ptr(), gradients.as_mut_ptr()) };
        if let (Some(b), Some(mode), false) = (db, grads, simple) {
            reduce::columns(cpu, &local[dy..dy + rows * n], n, &mut gradients[b..b + n], mode);
        }
    }
}

/// Small layers one after the other, and the operands of the loss behind them.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    forward: Vec<Small>,
    /// Those with a backward pass, the last one first.
    backward: Vec<Small>,
    loss: [(usize, usize); 5],
    capacity: usize,
    lens: (usize, usize),
}

impl Chain {
    /// Binds layers in order, and outputs, targets, weights, values and gradients of a loss: first element and elements of a row.
    /// `None` where these overlap or lie outside, and for layers that take more than their kernels.
    pub fn new(layers: &[(Small, bool)], loss: [(usize, usize); 5]) -> Option<Self> {
        let &(Small { capacity, lens, .. }, _) = layers.first()?;
        let simple = |s: &Small| {
            let alike = s.capacity == capacity && s.lens == lens;
            alike && s.at.act != Activation::Softmax && reduce::in_order(capacity * s.at.n)
        };
        let range =
            |(at, row): (usize, usize)| Some((at, at.checked_add(row.checked_mul(capacity)?).filter(|&end| end <= lens.0)?));
        let ranges = loss.iter().map(|&place| range(place)).collect::<Option<Vec<_>>>()?;
        let free = |(i, a): (usize, &(usize, usize))| ranges[..i].iter().all(|b| a.0 >= b.1 || b.0 >= a.1);
        if !(layers.iter().all(|(s, _)| simple(s)) && ranges.iter().enumerate().all(free)) {
            return None;
        }
        let backward = layers.iter().rev().filter(|(s, back)| *back && s.at.dy.is_some()).map(|(s, _)| *s).collect();
        Some(Self { forward: layers.iter().map(|(s, _)| *s).collect(), backward, loss, capacity, lens })
    }

    /// The most rows.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All layers' outputs.
    #[inline]
    pub fn forward<T: Real>(&self, cpu: &Cpu, rows: usize, local: &mut [T], parameters: &[T]) {
        assert!((1..=self.capacity).contains(&rows) && (local.len(), parameters.len()) == self.lens, "rows or lens");
        let kernel = if rows == 1 { outputs::<T, true>(cpu.isa()) } else { outputs::<T, false>(cpu.isa()) };
        // SAFETY: the instruction set is present; the places lie within this memory (`Small::new`, with these lens).
        unsafe { kernel(&self.forward, rows, local.as_mut_ptr(), parameters.as_ptr()) };
    }

    /// All gradients from that of the last output.
    #[inline]
    pub fn backward<T: Real>(&self, cpu: &Cpu, rows: usize, local: &mut [T], parameters: &[T], gradients: &mut [T]) {
        let same = (local.len(), parameters.len()) == self.lens && gradients.len() == parameters.len();
        assert!((1..=self.capacity).contains(&rows) && same, "rows or lens");
        let kernel = if rows == 1 { slopes_and_sums::<T, true>(cpu.isa()) } else { slopes_and_sums::<T, false>(cpu.isa()) };
        let grads = Some(GradMode::Write);
        // SAFETY: as in `forward`; operands of one layer do not overlap.
        unsafe { kernel(&self.backward, rows, grads, true, local.as_mut_ptr(), parameters.as_ptr(), gradients.as_mut_ptr()) };
    }

    /// Outputs, targets, weights, values and gradients of the loss.
    #[inline]
    pub fn sides<'a, T: Real>(&self, rows: usize, local: &'a mut [T]) -> [&'a mut [T]; 5] {
        assert!((1..=self.capacity).contains(&rows) && local.len() == self.lens.0, "rows or lens");
        let start = local.as_mut_ptr();
        // SAFETY: the five lie within this memory and do not overlap for any number of rows up to the capacity (`new`).
        self.loss.map(|(at, row)| unsafe { std::slice::from_raw_parts_mut(start.add(at), rows * row) })
    }
}

impl Places {
    /// What the slopes of the activation are computed from.
    #[inline(always)]
    fn saved(&self) -> Option<usize> {
        match self.act.reads() {
            _ if self.act == Activation::Linear => None,
            Reads::Y => Some(self.y),
            Reads::X => self.z,
        }
    }
}

/// Writes the lanes of the mask, or adds to them.
#[inline(always)]
unsafe fn put<L: Lanes>(to: *mut L::T, mode: GradMode, mask: L::M, sum: L::V) {
    let sum = if let GradMode::Add = mode { L::add(sum, L::load_masked(to, mask)) } else { sum };
    L::store_masked(to, mask, sum);
}

/// Σ_p a_p·b_p in the lanes of the mask, in order; elements of a lie `step` apart, rows of b `ldb`.
#[inline(always)]
unsafe fn chain<L: Lanes>(k: usize, a: *const L::T, step: usize, b: *const L::T, ldb: usize, mask: L::M) -> L::V {
    let mut sum = L::zero();
    let mut p = 0;
    while p < k {
        sum = L::fma(L::splat(*a.add(p * step)), L::load_masked(b.add(p * ldb), mask), sum);
        p += 1;
    }
    sum
}

/// act(v), or its slopes, in all lanes.
#[inline(always)]
unsafe fn curve<L: Lanes>(act: Activation, slopes: bool, v: L::V) -> L::V {
    let mut x = [L::T::ZERO; WIDEST];
    L::store(x.as_mut_ptr(), v);
    if slopes {
        activation::slopes(act, &mut x);
    } else {
        activation::values(act, &mut x);
    }
    L::load(x.as_ptr())
}

/// Calls the body for each register of `len` elements, with `$at` the first and `$mask` those that are there.
macro_rules! registers {
    ($L:ident, $len:expr, |$at:ident, $mask:ident| $body:block) => {
        let mut $at = 0;
        while $at < $len {
            let $mask = $L::mask(if $len - $at < $L::N { $len - $at } else { $L::N });
            $body
            $at += $L::N;
        }
    };
}

per_lanes! {
    /// z = x·W + b and y = act(z), but for a softmax; layer after layer.
    unsafe fn outputs<T, L, const ONE: bool>(layers: &[Small], m: usize, local: *mut T, parameters: *const T) {
        for layer in layers {
            outputs_of::<L, ONE>(&layer.at, m, local, parameters);
        }
    }
}

#[inline(always)]
unsafe fn outputs_of<L: Lanes, const ONE: bool>(s: &Places, m: usize, local: *mut L::T, parameters: *const L::T) {
    let &Places { n, k, act, .. } = s;
    let m = if ONE { 1 } else { m };
    let (x, y, w) = (local.add(s.x).cast_const(), local.add(s.y), parameters.add(s.w));
    registers!(L, n, |j, mask| {
        let bias = if let Some(b) = s.b { L::load_masked(parameters.add(b + j), mask) } else { L::zero() };
        let mut i = 0;
        while i < m {
            let mut v = L::add(chain::<L>(k, x.add(i * k), 1, w.add(j), n, mask), bias);
            if let Some(z) = s.z {
                L::store_masked(local.add(z + i * n + j), mask, v);
            }
            if acts_alone(act) {
                v = curve::<L>(act, false, v);
            }
            L::store_masked(y.add(i * n + j), mask, v);
            i += 1;
        }
    });
}

per_lanes! {
    /// See [`Small::backward`], layer after layer; a softmax is done with already. With `sums` rows of db are added, in order.
    unsafe fn slopes_and_sums<T, L, const ONE: bool>(
        layers: &[Small], m: usize, grads: Option<GradMode>, sums: bool, local: *mut T, parameters: *const T, gradients: *mut T,
    ) {
        for layer in layers {
            sums_of::<L, ONE>(&layer.at, m, (grads, sums), local, parameters, gradients);
        }
    }
}

/// Elements of a register on a cache line of their own: a store across two is slow to read.
#[repr(align(64))]
struct Register<T>([T; WIDEST]);

#[inline(always)]
unsafe fn sums_of<L: Lanes, const ONE: bool>(
    s: &Places,
    m: usize,
    (grads, sums): (Option<GradMode>, bool),
    local: *mut L::T,
    parameters: *const L::T,
    gradients: *mut L::T,
) {
    let (Some(dz), &Places { n, k, act, .. }) = (s.dy, s) else { return };
    let m = if ONE { 1 } else { m };
    let (x, w, dz) = (local.add(s.x).cast_const(), parameters.add(s.w), local.add(dz));
    // A row that fits in a register stays at hand: what was just stored behind a mask is slow to read.
    let (mut held, mut is_held, mut spare) = (L::zero(), false, Register([L::T::ZERO; WIDEST]));
    if acts_alone(act)
        && let Some(saved) = s.saved()
    {
        registers!(L, m * n, |j, mask| {
            let slope = curve::<L>(act, true, L::load_masked(local.add(saved + j), mask));
            held = L::mul(L::load_masked(dz.add(j), mask), slope);
            is_held = ONE && n <= L::N;
            L::store_masked(dz.add(j), mask, held);
        });
    }
    L::store(spare.0.as_mut_ptr(), held);
    let dz = dz.cast_const();
    // First, since the layer before waits for it.
    if let Some((dx, mode)) = s.dx {
        let (mut to, mut row) = (local.add(dx), if is_held { spare.0.as_ptr() } else { dz });
        let (end, last) = (to.add(m * k), w.add(k * n));
        while to < end {
            // A row of W is not a register of dx: one by one.
            let mut w = w;
            while w < last {
                let (mut sum, mut j) = (L::T::ZERO, 0);
                while j < n {
                    sum = L::fma_one(*row.add(j), *w.add(j), sum);
                    j += 1;
                }
                sum += L::T::ZERO;
                *to = if let GradMode::Add = mode { *to + sum } else { sum };
                to = to.add(1);
                w = w.add(n);
            }
            row = row.add(n);
        }
    }
    let Some(mode) = grads else { return };
    registers!(L, n, |j, mask| {
        let dz = dz.add(j);
        let first = if is_held { held } else { L::load_masked(dz, mask) };
        if let Some(b) = s.b.filter(|_| sums && s.trained.1) {
            let (mut sum, mut i) = (L::add(L::zero(), first), 1);
            while i < m {
                sum = L::add(sum, L::load_masked(dz.add(i * n), mask));
                i += 1;
            }
            put::<L>(gradients.add(b + j), mode, mask, sum);
        }
        if s.trained.0 {
            let (mut x, mut to, mut p) = (x, gradients.add(s.w + j), 0);
            while p < k {
                let (mut sum, mut i) = (L::fma(L::splat(*x), first, L::zero()), 1);
                while i < m {
                    sum = L::fma(L::splat(*x.add(i * k)), L::load_masked(dz.add(i * n), mask), sum);
                    i += 1;
                }
                // As an epilogue without bias does it: a sum of −0 becomes 0.
                put::<L>(to, mode, mask, L::add(sum, L::zero()));
                (x, to, p) = (x.add(1), to.add(n), p + 1);
            }
        }
    });
}

/// Whether there is an activation that acts element by element.
#[inline(always)]
fn acts_alone(act: Activation) -> bool {
    !matches!(act, Activation::Linear | Activation::Softmax)
}

/// For tests alone: plans made within `general` have no small layers.
#[cfg(test)]
pub(crate) mod switch {
    use std::cell::Cell;

    thread_local! {
        static GENERAL: Cell<bool> = const { Cell::new(false) };
    }

    pub fn is_general() -> bool {
        GENERAL.get()
    }

    pub fn general<R>(f: impl FnOnce() -> R) -> R {
        GENERAL.set(true);
        let result = f();
        GENERAL.set(false);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Places = Places {
        n: 2,
        k: 3,
        act: Activation::Tanh,
        x: 0,
        y: 16,
        z: None,
        dy: Some(32),
        dx: Some((48, GradMode::Write)),
        w: 0,
        b: Some(16),
        trained: (true, true),
    };

    #[test]
    fn operands_that_overlap_or_lie_outside_are_refused() {
        let bound = |at: Places| Small::new(at, 4, (64, 18)).is_some();
        assert!(bound(FREE));
        assert!(bound(Places { dy: None, dx: None, ..FREE }));
        // y may be dead by then where the slope does not follow from it.
        assert!(bound(Places { act: Activation::Linear, dx: Some((16, GradMode::Write)), ..FREE }));
        let bad = [
            Places { y: 11, ..FREE },
            Places { dy: Some(11), ..FREE },
            Places { dx: Some((39, GradMode::Add)), ..FREE },
            Places { dx: Some((53, GradMode::Write)), ..FREE },
            Places { dx: Some((16, GradMode::Write)), ..FREE },
            Places { z: Some(23), ..FREE },
            Places { y: usize::MAX - 2, ..FREE },
            Places { w: 11, ..FREE },
            Places { b: Some(17), ..FREE },
            Places { n: 5, ..FREE },
        ];
        for at in bad {
            assert!(!bound(at), "{at:?}");
        }
        assert!(Small::new(FREE, 6, (64, 18)).is_none(), "more rows than there is room for");
    }

    #[test]
    #[should_panic(expected = "lens")]
    fn memory_of_another_size_is_a_bug() {
        let small = Small::new(FREE, 4, (64, 18)).unwrap();
        small.forward(&Cpu::new(1).unwrap(), 4, &mut [0.0_f32; 63], &[0.0; 18]);
    }
}
