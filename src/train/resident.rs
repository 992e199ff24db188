//! Data sets that lie on a GPU as a whole: sent once, from then on batches are gathered there.
//!
//! Only sets whose rows are the same in every epoch ([`Dataset::varies`]), or augmented by motions of whole pixels alone, and that
//! take no more than [`SHARE`] of the free memory; `KAMACITE_RESIDENT=0` keeps all on the host.

use crate::data::augment::Moves;
use crate::data::{Border, Dataset, Pick};
use crate::device::{Buffer, Cuda, Divisor, Grid, Ptr, Source};
use crate::loss::{Target, find_label};
use crate::memory::{Slot, Step};
use crate::network::{LossPort, Plan};
use crate::rng::{Draws, Purpose};
use crate::{DType, Error, ErrorKind, Result};
use bytemuck::{Pod, Zeroable};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;

const DATA: Source = Source::new("data", include_str!("../../kernels/data.cu"));

/// The part of the free device memory that data may take: plans for validation are still to come.
const SHARE: f64 = 0.6;

/// Bytes that go to the device at once, through buffers of that size; a single row may be larger.
const PIECE: usize = 1 << 20;

/// A data set on the device.
#[derive(Debug)]
pub(super) struct Resident {
    cuda: Cuda,
    inputs: Vec<Column>,
    targets: Vec<Column>,
    weights: Column,
    /// The epoch and the seed, HEADER bytes, then the sample at each place of the epoch.
    order: Buffer,
    samples: usize,
}

/// What precedes the order: what augmentation is keyed by.
const HEADER: usize = 16;

/// One value of every sample, sample after sample.
#[derive(Debug)]
struct Column {
    memory: Buffer,
    dtype: DType,
    /// Elements of a sample.
    len: usize,
    /// How the samples move, where they do: all of the kernel's argument but the addresses.
    moves: Option<MoveArgs>,
}

/// As GatherArgs in `kernels/data.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct GatherArgs {
    control: Ptr,
    order: Ptr,
    from: Ptr,
    to: Ptr,
    n: u64,
    offset: u64,
    per_row: Divisor,
    positions: u32,
}

/// As MoveArgs there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MoveArgs {
    control: Ptr,
    order: Ptr,
    draws: Ptr,
    from: Ptr,
    to: Ptr,
    offset: u64,
    purpose: u64,
    flips: [f64; 3],
    len: u32,
    d: u32,
    h: Divisor,
    w: Divisor,
    c: Divisor,
    quarter_turns: u32,
    shift: u32,
    border: u32,
    outside: u32,
    unused: u32,
}

impl Resident {
    /// Sends a data set whose inputs are stored as `dtype` and whose targets are `wanted` as these; `None` where it varies, is too
    /// large, or shall stay on the host.
    ///
    /// # Errors
    /// What reading the samples may meet; labels out of range.
    pub fn upload(data: &dyn Dataset, cuda: &Cuda, dtype: DType, wanted: &[Target]) -> Result<Option<Self>> {
        let allowed = std::env::var("KAMACITE_RESIDENT").map_or(true, |v| v != "0");
        let room = cuda.free_memory().unwrap_or(0) as f64 * SHARE;
        if !allowed || bytes(data, dtype) as f64 > room {
            return Ok(None);
        }
        let moves = data.as_augmented().and_then(|a| a.whole_motions()).filter(|moves| {
            // There is no kernel that moves labels and makes them one-hot.
            let one_hot = |k: &usize| {
                matches!((data.targets().get(*k), wanted.get(*k)), (Some(Target::Index { .. }), Some(Target::Values(_))))
            };
            !moves.targets.iter().any(one_hot)
        });
        let (data, moves) = match &moves {
            Some(moves) => (moves.data, Some(moves)),
            None if data.varies() => return Ok(None),
            None => (data, None),
        };
        match Self::send(data, moves, cuda, dtype) {
            // Somebody else has taken the memory in between.
            Err(e) if e.kind() == ErrorKind::OutOfMemory => Ok(None),
            sent => sent.map(Some),
        }
    }

    fn send(data: &dyn Dataset, moves: Option<&Moves<'_>>, cuda: &Cuda, dtype: DType) -> Result<Self> {
        let n = data.len();
        let pick = |index| Pick { index, epoch: 0, seed: 0 };
        let weights: Vec<f32> = (0..n).map(|i| data.weight(i)).collect();
        let inputs = data.inputs().iter().enumerate().map(|(k, x)| {
            let mut column = Column::new(cuda, dtype, n, x.len())?;
            column.moves = moves.filter(|m| m.input == k).map(|m| args(m, dtype, x.len()));
            column.fill::<f32>(cuda, n, &|i, x| data.input(pick(i), k, x), &|_, _| Ok(()))?;
            Ok(column)
        });
        let inputs = inputs.collect::<Result<_>>()?;
        let targets = data.targets().iter().enumerate().map(|(k, t)| match *t {
            Target::Values(t) => {
                let mut column = Column::new(cuda, DType::F32, n, t.len())?;
                column.moves = moves.filter(|m| m.targets.contains(&k)).map(|m| args(m, DType::F32, t.len()));
                column.fill::<f32>(cuda, n, &|i, t| data.values(pick(i), k, t), &|_, _| Ok(()))?;
                Ok(column)
            }
            Target::Index { classes, positions } => {
                let mut column = Column::new(cuda, DType::U32, n, positions)?;
                column.moves = moves.filter(|m| m.targets.contains(&k)).map(|m| args(m, DType::U32, positions));
                let check = |first: usize, t: &[u32]| {
                    let found = find_label(t, &weights[first..], classes, positions);
                    found.map_err(|e| e.at(format!("target {k}, from sample {first}")))
                };
                column.fill::<u32>(cuda, n, &|i, t| data.classes(pick(i), k, t), &check)?;
                Ok(column)
            }
        });
        let targets = targets.collect::<Result<_>>()?;
        let column = Column::new(cuda, DType::F32, n, 1)?;
        let weight = |i: usize, w: &mut [f32]| {
            w.fill(weights[i]);
            Ok(())
        };
        column.fill::<f32>(cuda, n, &weight, &|_, _| Ok(()))?;
        let order = cuda.allocate(HEADER + n * size_of::<u32>())?;
        Ok(Self { cuda: cuda.clone(), inputs, targets, weights: column, order, samples: n })
    }

    /// Whether batches depend on the epoch and the seed, besides the order.
    pub fn moves(&self) -> bool {
        self.inputs.iter().chain(&self.targets).any(|column| column.moves.is_some())
    }

    /// The order of the next epoch.
    pub fn set_order(&self, order: &[u32], (epoch, seed): (u64, u64)) -> Result<()> {
        if order.len() != self.samples {
            return Err(Error::order("resident data", "an order of another length").expected(self.samples).got(order.len()));
        }
        self.cuda.upload(self.order.ptr(), HEADER + size_of_val(order), &mut |bytes| {
            let (header, samples) = bytes.split_at_mut(HEADER);
            header.copy_from_slice(bytemuck::cast_slice(&[epoch, seed]));
            samples.copy_from_slice(bytemuck::cast_slice(order));
            Ok(())
        })
    }

    /// Fills inputs, targets and weights of the plan with the samples from place cursor + `offset` of the order on, the cursor
    /// being that of the control block. Launches kernels, nothing else: a captured step may hold it.
    pub fn gather(&self, s: &Step<'_>, plan: &Plan, offset: usize) -> Result<()> {
        for (column, port) in self.inputs.iter().zip(&plan.inputs) {
            self.rows(s, column, port.y, offset)?;
        }
        for (column, port) in self.targets.iter().zip(plan.losses.iter().map(LossPort::used)) {
            match (column.dtype, port.kind) {
                (DType::U32, Target::Values(t)) => self.one_hot(s, column, port.target, t.c, offset)?,
                _ => self.rows(s, column, port.target, offset)?,
            }
        }
        plan.weight.map_or(Ok(()), |weight| self.rows(s, &self.weights, weight, offset))
    }

    fn rows(&self, s: &Step<'_>, column: &Column, to: Slot, offset: usize) -> Result<()> {
        let row = column.len * column.dtype.bytes();
        let (unit, kernel) = match row {
            _ if row.is_multiple_of(16) => (16, "gather_16"),
            _ if row.is_multiple_of(4) => (4, "gather_4"),
            _ => (2, "gather_2"),
        };
        self.check(s, to, column.len)?;
        if let Some(moves) = &column.moves {
            return self.moved(s, column, to, offset, moves);
        }
        self.launch(s, column, to, (row / unit, s.rows() * (row / unit)), offset, kernel)
    }

    fn moved(&self, s: &Step<'_>, column: &Column, to: Slot, offset: usize, moves: &MoveArgs) -> Result<()> {
        let args = MoveArgs {
            control: s.control()?,
            order: self.order.ptr().offset(HEADER),
            draws: self.order.ptr(),
            from: column.memory.ptr(),
            to: s.ptr(to)?,
            offset: offset as u64,
            ..*moves
        };
        let kernel = if column.dtype.bytes() == 2 { "move_2" } else { "move_4" };
        // Sixteen elements for each of 256 threads.
        let grid = Grid::xyz(s.rows(), column.len.div_ceil(4096).min(65535), 1);
        self.cuda.kernel::<MoveArgs>(&DATA, kernel)?.launch(&self.cuda, grid, &args)
    }

    fn one_hot(&self, s: &Step<'_>, column: &Column, to: Slot, classes: usize, offset: usize) -> Result<()> {
        let len = column.len * classes;
        self.check(s, to, len)?;
        self.launch(s, column, to, (classes, s.rows() * len), offset, "gather_one_hot")
    }

    fn check(&self, s: &Step<'_>, to: Slot, len: usize) -> Result<()> {
        match s.len(to)? {
            room if room == s.rows() * len => Ok(()),
            room => Err(Error::order("resident data", "rows of another size").expected(room).got(s.rows() * len)),
        }
    }

    fn launch(
        &self,
        s: &Step<'_>,
        column: &Column,
        to: Slot,
        (per_row, n): (usize, usize),
        offset: usize,
        kernel: &str,
    ) -> Result<()> {
        let args = GatherArgs {
            control: s.control()?,
            order: self.order.ptr().offset(HEADER),
            from: column.memory.ptr(),
            to: s.ptr(to)?,
            n: n as u64,
            offset: offset as u64,
            per_row: Divisor::new(per_row),
            positions: column.len as u32,
        };
        self.cuda.kernel::<GatherArgs>(&DATA, kernel)?.launch(&self.cuda, Grid::cover(n), &args)
    }
}

/// How a column of `len` elements a sample moves; the addresses come with each launch.
fn args(moves: &Moves<'_>, dtype: DType, len: usize) -> MoveArgs {
    let e = moves.extent;
    let (border, value) = match moves.border {
        Border::Edge => (0, 0.0),
        Border::Reflect => (1, 0.0),
        Border::Value(v) => (2, v),
    };
    let outside = match dtype {
        DType::F16 => u32::from(f16::from_f32(value).to_bits()),
        DType::Bf16 => u32::from(bf16::from_f32(value).to_bits()),
        DType::U32 => 0,
        _ => value.to_bits(),
    };
    MoveArgs {
        purpose: Draws::key(0, Purpose::Augment),
        flips: moves.flips,
        len: len as u32,
        d: e.d as u32,
        h: Divisor::new(e.h),
        w: Divisor::new(e.w),
        c: Divisor::new(len / e.area()),
        quarter_turns: u32::from(moves.quarter_turns),
        shift: moves.shift as u32,
        border,
        outside,
        ..Zeroable::zeroed()
    }
}

/// What a data set takes on the device.
fn bytes(data: &dyn Dataset, dtype: DType) -> usize {
    let inputs: usize = data.inputs().iter().map(|x| x.len() * dtype.bytes()).sum();
    let targets: usize = data.targets().iter().map(|t| t.len() * 4).sum();
    // Weights and order.
    data.len().saturating_mul(inputs + targets + 8).saturating_add(HEADER)
}

impl Column {
    fn new(cuda: &Cuda, dtype: DType, samples: usize, len: usize) -> Result<Self> {
        Ok(Self { memory: cuda.allocate(samples * len * dtype.bytes())?, dtype, len, moves: None })
    }

    /// Reads all samples, some at a time and by all threads, and sends them. `check` sees each piece and its first sample.
    fn fill<T: Pod + Send>(
        &self,
        cuda: &Cuda,
        samples: usize,
        read: &(dyn Fn(usize, &mut [T]) -> Result<()> + Sync),
        check: &dyn Fn(usize, &[T]) -> Result<()>,
    ) -> Result<()> {
        let row = self.len * self.dtype.bytes();
        let step = (PIECE / row.max(1)).max(1);
        let mut wide: Vec<T> = Vec::new();
        for first in (0..samples).step_by(step) {
            let rows = step.min(samples - first);
            wide.resize(rows * self.len, T::zeroed());
            let one = |(i, x): (usize, &mut [T])| read(first + i, x);
            wide.par_chunks_exact_mut(self.len.max(1)).enumerate().try_for_each(one)?;
            check(first, &wide)?;
            let to = self.memory.ptr().offset(first * row);
            cuda.upload(to, rows * row, &mut |bytes| {
                match self.dtype {
                    DType::F16 => {
                        half_words(bytes).reinterpret_cast_mut::<f16>().convert_from_f32_slice(bytemuck::cast_slice(&wide))
                    }
                    DType::Bf16 => {
                        half_words(bytes).reinterpret_cast_mut::<bf16>().convert_from_f32_slice(bytemuck::cast_slice(&wide))
                    }
                    _ => bytes.copy_from_slice(bytemuck::cast_slice(&wide)),
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn half_words(bytes: &mut [u8]) -> &mut [u16] {
    bytemuck::cast_slice_mut(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::feed::Feed;
    use super::super::plan_of;
    use super::*;
    use crate::data::{Augment, Augmented, Balanced, Normalizer, Rule, Samples, Scope, Subset};
    use crate::device::control::StepParams;
    use crate::device::testing::gpu;
    use crate::{Dense, Device, Extent, Loss, Mode, Model, Mse, Network, Precision, SoftmaxCrossEntropy};
    use std::sync::Arc;

    const SAMPLES: usize = 23;

    fn numbers(len: usize, seed: u64) -> Vec<f32> {
        let draw = |i: usize| crate::rng::hash(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat()) >> 40;
        (0..len).map(|i| draw(i) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn samples(x: Extent) -> Samples {
        let s = Samples::new(x, numbers(SAMPLES * x.len(), 1)).expect("samples");
        s.with_weights(numbers(SAMPLES, 2).into_iter().map(f32::abs).collect()).expect("weights")
    }

    /// Everything that a step finds in the slots of its plan.
    fn staged(model: &Model) -> Result<Vec<Vec<u32>>> {
        let (plan, s) = model.staging()?;
        let bits = |slot| s.host_read::<f32, _>(slot, |x| x.iter().map(|x| x.to_bits()).collect());
        let mut all: Vec<Vec<u32>> = plan.inputs.iter().map(|p| bits(p.y)).collect::<Result<_>>()?;
        for port in plan.losses.iter().map(LossPort::used) {
            all.push(match port.kind {
                Target::Values(_) => bits(port.target)?,
                Target::Index { .. } => s.host_read::<u32, _>(port.target, <[u32]>::to_vec)?,
            });
        }
        all.extend(plan.weight.map(bits).transpose()?);
        Ok(all)
    }

    fn same(gpu: &Device, x: Extent, outputs: usize, loss: impl Loss + 'static, data: &Arc<dyn Dataset>) -> Result<()> {
        let (mut net, losses) = (Network::new(x), 1);
        net.push(Dense::new(outputs));
        let loss: Arc<dyn Loss> = Arc::new(loss);
        for precision in [Precision::FP32, Precision::BF16, Precision::FP16] {
            let builder = Model::builder(net.clone()).device(gpu.clone()).precision(precision);
            let mut model = builder.loss_shared("output", Arc::clone(&loss), 1.0).build()?;
            let feed = || Feed::new(Arc::clone(data), &net, losses, true, "data");
            let (mut host, mut device) = (feed()?, feed()?);
            let plan = plan_of(&mut model, &host, Mode::Train, 8)?;
            let wanted: Vec<Target> = model.planned(plan).losses.iter().map(|l| l.used().kind).collect();
            device.reside(gpu, precision.storage(), &wanted)?;
            let Some(resident) = device.resident() else { panic!("{x} {precision:?}: not on the device") };
            assert_eq!(resident.samples, SAMPLES);
            for epoch in 0..2 {
                host.arrange(epoch, 7)?;
                device.arrange(epoch, 7)?;
                for range in [0..8, 8..16, 16..SAMPLES, 22..23] {
                    model.begin(plan, range.len())?;
                    let stage = |feed: &mut Feed| {
                        let (planned, s) = model.staging()?;
                        feed.stage(planned, &s, range.clone(), (epoch, 7))?;
                        staged(&model)
                    };
                    let expected = stage(&mut host)?;
                    // Other samples in between, so that what is not written shows.
                    let (planned, s) = model.staging()?;
                    let resident = device.resident().expect("the data");
                    resident.gather(&s, planned, SAMPLES - 1 - range.end.min(SAMPLES - 1))?;
                    assert!(range.end >= 22 || staged(&model)? != expected);
                    assert_eq!(stage(&mut device)?, expected, "{x} {precision:?} {range:?}");
                    // As a recorded step does it: the cursor comes from the control block.
                    model.set_step(StepParams { cursor: range.start as u64, ..StepParams::default() })?;
                    let (planned, s) = model.staging()?;
                    device.resident().expect("the data").gather(&s, planned, 0)?;
                    assert_eq!(staged(&model)?, expected, "{x} {precision:?} {range:?}, by the cursor");
                }
            }
        }
        Ok(())
    }

    /// Rows of 2, 4 and 16 bytes to a unit, numbers, labels, labels as one-hot numbers: all bits as the host stages them.
    #[test]
    fn batches_are_those_of_the_host() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        for x in [Extent::flat(1), Extent::flat(3), Extent::flat(4), Extent::image(4, 4, 2)] {
            let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i * 7 % 5).collect();
            let classes: Arc<dyn Dataset> = samples(x).with_classes(labels, 5)?.into();
            same(&gpu, x, 5, SoftmaxCrossEntropy, &classes)?;
            same(&gpu, x, 5, Mse, &classes)?;
            let values: Arc<dyn Dataset> = samples(x).with_values(Extent::flat(3), numbers(SAMPLES * 3, 3))?.into();
            same(&gpu, x, 3, Mse, &values)?;
        }
        Ok(())
    }

    #[test]
    fn views_reside_unless_they_vary() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let Device::Cuda(cuda) = &gpu else { return Ok(()) };
        let x = Extent::image(4, 4, 1);
        let set = || samples(x).with_classes(vec![0; SAMPLES], 2);
        let part: Arc<dyn Dataset> = Subset::new(set()?, (0..SAMPLES).rev().collect())?.into();
        same(&gpu, x, 2, SoftmaxCrossEntropy, &part)?;
        let norm = Normalizer::fit(x, set()?.x(0), &[Rule::Standard(Scope::Channel)])?;
        let normal: Arc<dyn Dataset> = crate::data::Normalized::new(set()?, 0, norm)?.into();
        same(&gpu, x, 2, SoftmaxCrossEntropy, &normal)?;
        let moved: Arc<dyn Dataset> = Augmented::new(set()?, Augment::new().rotation(5.0))?.into();
        let drawn: Arc<dyn Dataset> =
            Balanced::new(samples(x).with_weights(vec![1.0; SAMPLES])?.with_classes(vec![0; SAMPLES], 2)?, 0)?.into();
        for varying in [moved.clone(), drawn, Subset::new(moved, vec![1, 2])?.into()] {
            assert!(Resident::upload(&*varying, cuda, DType::F32, varying.targets())?.is_none());
        }
        Ok(())
    }

    /// Flips, quarter turns and shifts on the device give the same pixels as on the host, under every border; so do targets that
    /// move along.
    #[test]
    fn motions_are_those_of_the_host() -> Result<()> {
        let Some(gpu) = gpu() else { return Ok(()) };
        let all = || Augment::new().flip_h(0.5).flip_v(0.3).flip_d(0.5);
        let square = Extent::cube(2, 5, 5, 3);
        for border in [Border::Edge, Border::Reflect, Border::Value(0.3)] {
            for x in [square, Extent::image(4, 7, 1), Extent::line(9, 2), Extent::image(6, 1, 2)] {
                let turns = all().shift(11).border(border);
                let turns = if x == square { turns.quarter_turns() } else { turns };
                let set = || samples(x).with_values(Extent::flat(2), numbers(SAMPLES * 2, 4));
                let moved: Arc<dyn Dataset> = Augmented::new(set()?, turns)?.into();
                same(&gpu, x, 2, Mse, &moved)?;
            }
            let with = samples(square).with_values(square.with_channels(2), numbers(SAMPLES * 100, 5))?;
            let along: Arc<dyn Dataset> =
                Augmented::new(with, all().quarter_turns().shift(2).border(border).with_target(0))?.into();
            same(&gpu, square, 100, Mse, &along)?;
        }
        Ok(())
    }

    /// A map of classes that moves with the image: the only kind of label that can.
    #[test]
    fn labels_move_along() -> Result<()> {
        let Some(Device::Cuda(cuda)) = gpu() else { return Ok(()) };
        let x = Extent::image(4, 4, 1);
        let labels = (0..SAMPLES as u32 * 16).map(|i| i * 11 % 3).collect();
        let set = samples(x).with_classes(labels, 3)?;
        let augment = Augment::new().flip_h(0.5).quarter_turns().shift(2).border(Border::Value(1.0)).with_target(0);
        let data = Augmented::new(set, augment)?;
        let one_hot = [Target::Values(x.with_channels(3))];
        assert!(Resident::upload(&data, &cuda, DType::F32, &one_hot)?.is_none());
        let resident = Resident::upload(&data, &cuda, DType::F32, data.targets())?.expect("the data");
        let order: Vec<u32> = (0..SAMPLES as u32).rev().collect();
        resident.set_order(&order, (3, 7))?;
        let (column, moves) = (&resident.targets[0], resident.targets[0].moves.expect("a motion"));
        let (control, out) = (cuda.allocate(256)?, cuda.allocate(SAMPLES * 16 * 4)?);
        cuda.fill(control.ptr(), 0, 256)?;
        let (order_at, from) = (resident.order.ptr().offset(HEADER), column.memory.ptr());
        let args =
            MoveArgs { control: control.ptr(), order: order_at, draws: resident.order.ptr(), from, to: out.ptr(), ..moves };
        cuda.kernel::<MoveArgs>(&DATA, "move_4")?.launch(&cuda, Grid::blocks(SAMPLES), &args)?;
        let (mut got, mut expected) = (vec![9_u32; SAMPLES * 16], vec![7_u32; SAMPLES * 16]);
        cuda.download(out.ptr(), bytemuck::cast_slice_mut(&mut got))?;
        for (row, t) in expected.chunks_exact_mut(16).enumerate() {
            data.classes(Pick { index: order[row] as usize, epoch: 3, seed: 7 }, 0, t)?;
        }
        assert_eq!(got, expected);
        Ok(())
    }

    /// A user's set whose labels nobody has checked.
    struct Unchecked(Samples);

    impl Dataset for Unchecked {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn inputs(&self) -> &[Extent] {
            self.0.inputs()
        }
        fn targets(&self) -> &[Target] {
            &[Target::Index { classes: 2, positions: 1 }]
        }
        fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
            self.0.input(pick, input, x)
        }
        fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
            self.0.values(pick, target, t)
        }
        fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
            self.0.classes(pick, target, t)
        }
        fn weight(&self, index: usize) -> f32 {
            self.0.weight(index)
        }
        fn varies(&self) -> bool {
            false
        }
    }

    #[test]
    fn labels_are_checked_on_their_way() -> Result<()> {
        let Some(Device::Cuda(cuda)) = gpu() else { return Ok(()) };
        let mut labels = vec![1; SAMPLES];
        labels[17] = 3;
        let set = |weight: f32| {
            let weights = (0..SAMPLES).map(|i| if i == 17 { weight } else { 1.0 }).collect();
            Samples::new(Extent::flat(2), numbers(2 * SAMPLES, 1))?.with_weights(weights)?.with_classes(labels.clone(), 4)
        };
        let e = Resident::upload(&Unchecked(set(1.0)?), &cuda, DType::F32, &[]).expect_err("a label out of range");
        assert!(e.kind() == ErrorKind::Value && e.to_string().contains("row 17"), "{e}");
        assert!(
            Resident::upload(&Unchecked(set(0.0)?), &cuda, DType::F32, &[])?.is_some(),
            "a sample of weight 0 counts for nothing"
        );
        Ok(())
    }
}
