//! Convolution as a matrix product: the patches under a window as the rows of a matrix, and the way back.
//!
//! With the weights as a matrix w of taps·c rows and f columns, y = im2col(x)·w, dx = col2im(dy·wᵀ) and
//! dw = im2col(x)ᵀ·dy. The fast paths of [`conv`](super::conv) never build the matrix; this is their readable reference.
//!
//! Output p and tap t meet input q on an axis where p·stride + t·dilation = before + q·(gap + 1).

use super::conv::Geometry;
use super::conv_args::DeviceExtent;
use crate::device::{Cuda, Grid, Kernel, Ptr, Source};
use crate::{DType, Error, Real, Result, Window};
use bytemuck::{Pod, Zeroable};

impl Geometry {
    /// Calls `f(p, t, q)` for every output position p, tap t and input position q of one sample that meet, in the order
    /// of p, then t.
    pub fn meet(&self, mut f: impl FnMut(usize, usize, usize)) {
        let Self { x, y, window, .. } = *self;
        let size = window.size;
        let input = |axis: usize, p: usize, t: usize| {
            let reach = (p * window.stride[axis] + t * window.dilation[axis]).checked_sub(window.before[axis])?;
            let unit = window.gap[axis] + 1;
            (reach % unit == 0 && reach / unit < x.space()[axis]).then_some(reach / unit)
        };
        for p in 0..y.area() {
            let at = [p / (y.h * y.w), p / y.w % y.h, p % y.w];
            for td in 0..size[0] {
                let Some(qd) = input(0, at[0], td) else { continue };
                for th in 0..size[1] {
                    let Some(qh) = input(1, at[1], th) else { continue };
                    for tw in 0..size[2] {
                        if let Some(qw) = input(2, at[2], tw) {
                            f(p, (td * size[1] + th) * size[2] + tw, (qd * x.h + qh) * x.w + qw);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the patches of one sample: `columns[(p·taps + t)·c + i] = x[q·c + i]`, 0 where a tap meets no input.
///
/// # Shapes
/// `x` holds the input's d·h·w·c values, `columns` one row of taps·c values for each output position.
pub fn im2col<T: Real>(g: &Geometry, x: &[T], columns: &mut [T]) {
    let (c, taps) = (g.x.c, g.window.taps());
    columns.fill(T::ZERO);
    g.meet(|p, t, q| columns[(p * taps + t) * c..][..c].copy_from_slice(&x[q * c..][..c]));
}

/// Writes the sum of all patch elements that came from each input: the transpose of [`im2col`].
pub fn col2im<T: Real>(g: &Geometry, columns: &[T], x: &mut [T]) {
    let (c, taps) = (g.x.c, g.window.taps());
    x.fill(T::ZERO);
    g.meet(|p, t, q| {
        for (x, column) in x[q * c..][..c].iter_mut().zip(&columns[(p * taps + t) * c..][..c]) {
            *x += *column;
        }
    });
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct Args {
    x: Ptr,
    y: Ptr,
    input: DeviceExtent,
    output: DeviceExtent,
    size: [u32; 3],
    stride: [u32; 3],
    dilation: [u32; 3],
    gap: [u32; 3],
    before: [u32; 3],
    rows: u32,
}

/// [`im2col`] and [`col2im`] on a GPU, for layers that multiply the patches themselves: whole batches in device memory.
#[derive(Clone, Debug)]
pub struct Patches {
    args: Args,
    im2col: Kernel<Args>,
    col2im: Kernel<Args>,
    /// Elements of a sample, and of its patches.
    len: (usize, usize),
}

impl Patches {
    /// The kernels for one geometry and type.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes of 2³² and more, and what [`Cuda::kernel`] returns.
    pub fn new(g: &Geometry, dtype: DType, cuda: &Cuda) -> Result<Self> {
        let Window { size, stride, dilation, gap, before, .. } = g.window;
        let spaces = [size, stride, dilation, gap, before, g.x.space(), g.y.space(), [g.x.c, g.y.c, 1]];
        let patches = g.y.area().checked_mul(g.window.taps()).and_then(|n| n.checked_mul(g.x.c)).filter(|&n| n < 1 << 40);
        let Some(patches) = patches.filter(|_| spaces.iter().flatten().all(|&n| n < 1 << 32)) else {
            return Err(Error::shape("im2col", "too large for a GPU kernel").expected("sizes below 2^32, patches below 2^40"));
        };
        let words = |v: [usize; 3]| v.map(|n| n as u32);
        let args = Args {
            input: g.x.into(),
            output: g.y.into(),
            size: words(size),
            stride: words(stride),
            dilation: words(dilation),
            gap: words(gap),
            before: words(before),
            ..Args::zeroed()
        };
        let kernel = |name: &str| cuda.kernel(&IM2COL, &format!("{name}_{}", dtype.suffix()));
        Ok(Self { args, im2col: kernel("im2col")?, col2im: kernel("col2im")?, len: (g.x.len(), patches) })
    }

    /// Writes the patches of `rows` samples of x.
    ///
    /// # Errors
    /// As [`Kernel::launch`].
    pub fn im2col(&self, cuda: &Cuda, rows: usize, x: Ptr, columns: Ptr) -> Result<()> {
        let args = Args { x, y: columns, rows: rows as u32, ..self.args };
        self.im2col.launch(cuda, Grid::cover(rows * self.len.1), &args)
    }

    /// Writes the sums of all patch elements that came from each input of `rows` samples.
    ///
    /// # Errors
    /// As [`Kernel::launch`].
    pub fn col2im(&self, cuda: &Cuda, rows: usize, columns: Ptr, x: Ptr) -> Result<()> {
        let args = Args { x: columns, y: x, rows: rows as u32, ..self.args };
        self.col2im.launch(cuda, Grid::cover(rows * self.len.0), &args)
    }
}

const IM2COL: Source = Source::new("im2col", include_str!("../../kernels/im2col.cu"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, testing};
    use crate::op::conv::tests::geometries;
    use crate::op::conv_cuda::tests::Array;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn col2im_is_the_transpose_of_im2col() {
        for (i, g) in geometries().into_iter().enumerate() {
            let mut r = Stream::new(3, Purpose::User, i as u64);
            let mut draw = |n: usize| (0..n).map(|_| r.normal()).collect::<Vec<f64>>();
            let (x, columns) = (draw(g.x.len()), draw(g.y.area() * g.window.taps() * g.x.c));
            let (mut ax, mut aty) = (vec![7.0; columns.len()], vec![7.0; x.len()]);
            im2col(&g, &x, &mut ax);
            col2im(&g, &columns, &mut aty);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let size = dot(&ax, &ax).sqrt() * dot(&columns, &columns).sqrt() + 1.0;
            let (left, right) = (dot(&ax, &columns), dot(&x, &aty));
            assert!((left - right).abs() < 1e-12 * size, "{g:?}: {left} and {right}");
        }
    }

    #[test]
    fn a_gpu_writes_the_same_patches_and_sums() {
        let Some(Device::Cuda(cuda)) = testing::gpu() else { return };
        for (i, g) in geometries().into_iter().step_by(3).enumerate() {
            let (rows, dtype) = (1 + i % 3, [DType::F32, DType::Bf16, DType::F16][i % 3]);
            let mut r = Stream::new(4, Purpose::User, i as u64);
            // Integers: sums of a few taps are exact in 16 bits too.
            let mut draw = |n: usize| (0..n).map(|_| r.below(7) as f64 - 3.0).collect::<Vec<f64>>();
            let len = g.y.area() * g.window.taps() * g.x.c;
            let (x, columns) = (draw(rows * g.x.len()), draw(rows * len));
            let (mut ax, mut aty) = (vec![0.0; columns.len()], vec![0.0; x.len()]);
            for n in 0..rows {
                im2col(&g, &x[n * g.x.len()..][..g.x.len()], &mut ax[n * len..][..len]);
                col2im(&g, &columns[n * len..][..len], &mut aty[n * g.x.len()..][..g.x.len()]);
            }
            let patches = Patches::new(&g, dtype, &cuda).unwrap();
            let [on_x, on_columns] = [&x, &columns].map(|v| Array::new(&cuda, v, dtype));
            let [got_ax, got_aty] = [&ax, &aty].map(|v| Array::new(&cuda, &vec![f64::NAN; v.len()], dtype));
            patches.im2col(&cuda, rows, on_x.ptr(), got_ax.ptr()).unwrap();
            patches.col2im(&cuda, rows, on_columns.ptr(), got_aty.ptr()).unwrap();
            assert!(got_ax.read(&cuda) == ax && got_aty.read(&cuda) == aty, "{g:?} {dtype:?}");
        }
    }

    #[test]
    fn a_padded_line_by_hand() {
        let window = crate::Window { before: [0, 0, 1], after: [0, 0, 1], ..crate::Window::new([1, 1, 3]) };
        let g = Geometry::new(crate::Extent::line(3, 1), 1, window, 1).unwrap();
        let mut columns = [9.0_f32; 9];
        im2col(&g, &[1.0, 2.0, 3.0], &mut columns);
        assert_eq!(columns, [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 0.0]);
    }
}
