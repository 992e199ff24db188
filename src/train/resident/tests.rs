use super::super::feed::Feed;
use super::super::plan_of;
use super::*;
use crate::data::{Augment, Augmented, Balanced, Kind, Normalizer, Rule, Samples, Scope, Subset, raw};
use crate::device::control::StepParams;
use crate::device::testing::gpu;
use crate::{Dense, Device, Extent, Loss, Mode, Model, Mse, Network, Precision, SoftmaxCrossEntropy};
use std::sync::Arc;

const SAMPLES: usize = 23;

thread_local! {
    static NARROW_FROM: std::cell::Cell<usize> = const { std::cell::Cell::new(NARROW) };
}

pub fn narrow_from() -> usize {
    NARROW_FROM.get()
}

/// Looks for narrower types in columns of any size.
fn narrowing<R>(f: impl FnOnce() -> R) -> R {
    NARROW_FROM.set(0);
    let result = f();
    NARROW_FROM.set(NARROW);
    result
}

pub fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let draw = |i: usize| crate::rng::hash(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat()) >> 40;
    (0..len).map(|i| draw(i) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn samples(x: Extent) -> Samples {
    let s = Samples::new(x, numbers(SAMPLES * x.len(), 1)).expect("samples");
    s.with_weights(numbers(SAMPLES, 2).into_iter().map(f32::abs).collect()).expect("weights")
}

/// Everything that a step finds in the slots of its plan.
pub fn staged(model: &Model) -> Result<Vec<Vec<u32>>> {
    let (plan, s) = model.staging()?;
    let bits = |slot| s.host_read::<f32, _>(slot, |x| x.iter().map(|x| x.to_bits()).collect());
    let mut all: Vec<Vec<u32>> = plan.inputs.iter().map(|p| bits(p.y)).collect::<Result<_>>()?;
    for port in plan.losses.iter().map(LossPort::used) {
        all.push(match port.kind {
            Target::Values(_) => bits(port.target)?,
            Target::Index { .. } | Target::None => s.host_read::<u32, _>(port.target, <[u32]>::to_vec)?,
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
        let along: Arc<dyn Dataset> = Augmented::new(with, all().quarter_turns().shift(2).border(border).with_target(0))?.into();
        same(&gpu, square, 100, Mse, &along)?;
    }
    Ok(())
}

/// Bytes, words and halves lie on the device as such, normalised there, moved there: all bits as the host stages them.
#[test]
fn narrow_columns_become_what_the_host_sends() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let Device::Cuda(cuda) = &gpu else { return Ok(()) };
    let x = Extent::image(4, 5, 3);
    let draw = |low: i32, high: i32| -> Vec<f32> {
        let n = numbers(SAMPLES * x.len(), 9);
        let mut v: Vec<f32> = n.iter().map(|v| ((v + 1.0) / 2.0 * (high - low) as f32) as i32 as f32 + low as f32).collect();
        (v[0], v[1]) = (low as f32, high as f32);
        v
    };
    let halves: Vec<f32> = numbers(SAMPLES * x.len(), 9).iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    let kinds = [
        (draw(0, 255), Stored::U8),
        (draw(-300, 255), Stored::I16),
        (draw(-32768, 32767), Stored::I16),
        (draw(0, 65535), Stored::U16),
        (halves, Stored::F16),
        (draw(-1, 65535), Stored::Same),
        (draw(0, 255).iter().map(|v| if *v == 7.0 { -0.0 } else { *v }).collect(), Stored::F16),
        (draw(0, 255).iter().map(|v| v / 255.0).collect(), Stored::Same),
    ];
    narrowing(|| {
        for (values, expected) in &kinds {
            let set = || Samples::new(x, values.clone())?.with_values(Extent::flat(2), numbers(SAMPLES * 2, 4));
            let stored = |data: &dyn Dataset| -> Result<Stored> {
                let wanted = [Target::Values(Extent::flat(2))];
                Ok(Resident::upload(data, cuda, DType::F32, &wanted)?.expect("the data").inputs[0].stored)
            };
            assert_eq!(stored(&set()?)?, *expected);
            same(&gpu, x, 2, Mse, &set()?.into())?;
            for rule in [Rule::Standard(Scope::Channel), Rule::MinMax(Scope::Feature), Rule::MeanMaxAbs(Scope::Global)] {
                let norm = Normalizer::fit(x, set()?.x(0), &[rule])?;
                let normal = crate::data::Normalized::new(set()?, 0, norm)?;
                assert_eq!(stored(&normal)?, *expected, "{rule:?}");
                same(&gpu, x, 2, Mse, &normal.into())?;
            }
            let norm = Normalizer::fit(x, set()?.x(0), &[Rule::Standard(Scope::Channel)])?;
            let normal = crate::data::Normalized::new(set()?, 0, norm)?;
            for border in [Border::Reflect, Border::Value(0.3)] {
                let motions = Augment::new().flip_h(0.5).flip_v(0.3).shift(2).border(border);
                same(&gpu, x, 2, Mse, &Augmented::new(normal.clone(), motions)?.into())?;
            }
        }
        Ok(())
    })
}

/// Arrays of files lie on the device as they were read, in every precision, scaled, normalised and moved there by the kernel for their type:
/// all bits as the host stages them.
#[test]
fn stored_columns_become_what_the_host_sends() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let Device::Cuda(cuda) = &gpu else { return Ok(()) };
    let x = Extent::image(4, 5, 3);
    let words = |f: &dyn Fn(f32) -> u16| numbers(SAMPLES * x.len(), 9).iter().flat_map(|v| f(*v).to_le_bytes()).collect();
    let bytes: Vec<u8> = numbers(SAMPLES * x.len(), 9).iter().map(|v| ((v + 1.0) * 127.0) as u8).collect();
    let kinds: [(Kind, Vec<u8>, Stored); 4] = [
        (Kind::U8, bytes, Stored::U8),
        (Kind::I16, words(&|v| (v * 32767.0) as i16 as u16), Stored::I16),
        (Kind::U16, words(&|v| ((v + 1.0) * 32767.0) as u16), Stored::U16),
        (Kind::F16, words(&|v| f16::from_f32(v * 9.0).to_bits()), Stored::F16),
    ];
    narrowing(|| {
        for (kind, bytes, expected) in &kinds {
            let plain = || {
                raw::from_bytes(bytes, *kind, &[SAMPLES, 4, 5, 3])?
                    .samples()?
                    .with_values(Extent::flat(2), numbers(SAMPLES * 2, 4))
            };
            let norm = || Normalizer::fit(x, plain()?.scaled(0.37).x(0), &[Rule::Standard(Scope::Channel)]);
            let set = || crate::data::Normalized::new(plain()?.scaled(0.37), 0, norm()?);
            let motions = |border| Augment::new().flip_h(0.5).flip_v(0.3).shift(2).border(border);
            let mut sets: Vec<Arc<dyn Dataset>> = vec![plain()?.into(), plain()?.scaled(-0.1).into(), set()?.into()];
            for border in [Border::Edge, Border::Reflect, Border::Value(0.3)] {
                sets.push(Augmented::new(set()?, motions(border))?.into());
            }
            for data in &sets {
                for dtype in [DType::F32, DType::Bf16, DType::F16] {
                    let resident = Resident::upload(&**data, cuda, dtype, data.targets())?.expect("the data");
                    let column = &resident.inputs[0];
                    assert!(column.stored == *expected && column.raw.is_some(), "{kind:?} {dtype:?}: {:?}", column.stored);
                    assert_eq!(resident.moves(), data.varies());
                }
                same(&gpu, x, 2, Mse, data)?;
            }
        }
        Ok(())
    })
}

/// Images of a FITS file that lie one behind the other, each number scaled in double precision, and blanks.
#[cfg(feature = "fits")]
#[test]
fn stacks_of_stamps_stay_as_they_are_in_the_file() -> Result<()> {
    use crate::data::Missing;
    use crate::data::fits::{Cards, Fits, Writer};
    let Some(gpu) = gpu() else { return Ok(()) };
    let Device::Cuda(cuda) = &gpu else { return Ok(()) };
    let x = Extent::image(4, 5, 1);
    let pixels: Vec<i16> = numbers(SAMPLES * x.len(), 6).iter().map(|v| (v * 32767.0) as i16).collect();
    let cards = Cards::new().with("XSCALE", 0.013)?.with("XZERO", 32768.0)?.with("XLANK", i64::from(pixels[27]))?;
    let file = Writer::to_bytes(|w| w.image(&[SAMPLES, 4, 5], &pixels, &cards))?;
    // The writer itself scales nothing.
    let named = |at: &[u8]| [b"XSCALE  ", b"XZERO   ", b"XLANK   "].iter().any(|name| at.starts_with(&name[..]));
    let file: Vec<u8> = (0..file.len()).map(|i| if i % 80 == 0 && named(&file[i..]) { b'B' } else { file[i] }).collect();
    let image = Fits::from_bytes("stamps.fits", file)?.first_image()?;
    let set = |missing| image.samples(missing)?.with_values(Extent::flat(2), numbers(SAMPLES * 2, 4));
    assert!(set(Missing::Error).is_err_and(|e| e.to_string().contains("sample 1, feature 7")));
    narrowing(|| {
        let stored = |data: &dyn Dataset| -> Result<bool> {
            Ok(Resident::upload(data, cuda, DType::F32, data.targets())?.expect("the data").inputs[0].raw.is_some())
        };
        for missing in [Missing::Zero, Missing::Value(-3.0), Missing::Median] {
            let data = set(missing)?;
            assert_eq!(stored(&data)?, missing != Missing::Median, "{missing:?}");
            if missing != Missing::Median {
                assert_eq!(data.x(0), image.read(missing)?);
            }
            same(&gpu, x, 2, Mse, &data.clone().into())?;
            // Rows with scalings are moved by nobody but the host's numbers.
            let moved = Augmented::new(data, Augment::new().flip_h(0.5))?;
            assert!(!stored(&moved)?);
            same(&gpu, x, 2, Mse, &moved.into())?;
        }
        Ok(())
    })
}

/// A batch is one launch, whatever it consists of; more inputs than a launch takes are two.
#[test]
fn many_inputs_are_gathered_in_turn() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (x, mut net) = (Extent::flat(3), Network::new(Extent::flat(3)));
    let mut set = samples(x).with_values(Extent::flat(2), numbers(SAMPLES * 2, 4))?;
    let mut ends = vec![net.push(Dense::new(2))];
    for k in 1..11 {
        set.add_input(Extent::flat(k), numbers(SAMPLES * k, k as u64))?;
        let input = net.input(&format!("more{k}"), Extent::flat(k));
        ends.push(net.add(Dense::new(2), &[input]));
    }
    let sum = net.add(crate::Merge::add(), &ends);
    net.output("output", sum);
    let data: Arc<dyn Dataset> = set.into();
    let mut model = Model::builder(net.clone()).device(gpu.clone()).loss("output", Mse, 1.0).build()?;
    let feed = || Feed::new(Arc::clone(&data), &net, 1, true, "data");
    let (mut host, mut device) = (feed()?, feed()?);
    let plan = plan_of(&mut model, &host, Mode::Train, 8)?;
    device.reside(&gpu, DType::F32, &[Target::Values(Extent::flat(2))])?;
    model.begin(plan, 8)?;
    let stage = |feed: &mut Feed| {
        feed.arrange(0, 7)?;
        let (planned, s) = model.staging()?;
        feed.stage(planned, &s, 8..16, (0, 7))?;
        staged(&model)
    };
    let expected = stage(&mut host)?;
    assert!(device.resident().is_some() && expected.len() == 13);
    device.resident().expect("the data").gather(&model.staging()?.1, model.staging()?.0, 0)?;
    assert!(staged(&model)? != expected);
    assert_eq!(stage(&mut device)?, expected);
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
    let args = MoveArgs { control: control.ptr(), order: order_at, draws: resident.order.ptr(), from, to: out.ptr(), ..moves };
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
