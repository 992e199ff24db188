use super::*;
use crate::data::{Augment, Augmented, Balanced, Normalized, Normalizer, Rule, Samples, Scope, Subset, synth};
use crate::device::testing::gpu;
use crate::{Conv, Dense, Device, Dropout, Extent, Mse, Network, Precision, Relu, SoftmaxCrossEntropy, View};
use std::cell::Cell;

thread_local! {
    static FLYING: Cell<usize> = const { Cell::new(IN_FLIGHT) };
}

pub fn in_flight() -> usize {
    FLYING.get()
}

/// With so many batches under way at most.
fn flying<R>(most: usize, f: impl FnOnce() -> R) -> R {
    FLYING.set(most);
    let result = f();
    FLYING.set(IN_FLIGHT);
    result
}

#[test]
fn the_confusion_takes_the_names_of_the_data_through_every_view() -> Result<()> {
    let names = ["round", "flat", "far", "near"];
    let plain: Samples = synth::clusters(12, 2, 1)?;
    let samples = plain.clone().with_class_names(names);
    let fitted = Normalizer::fit(Extent::flat(2), samples.x(0), &[Rule::Standard(Scope::Feature)])?;
    let sets: [Arc<dyn Dataset>; 5] = [
        samples.clone().into(),
        Subset::new(samples.clone(), vec![3, 1])?.into(),
        Balanced::new(samples.clone(), 0)?.into(),
        Normalized::new(samples.clone(), 0, fitted)?.into(),
        Augmented::new(samples.clone(), Augment::new())?.into(),
    ];
    let mut net = Network::new(Extent::flat(2));
    net.push(Dense::new(4));
    let mut model = Model::builder(net).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    let mut name = |data: Arc<dyn Dataset>| Ok(model.evaluate(data, 4)?.confusion.map(|c| c.name(2).to_string()));
    for data in sets {
        assert_eq!(name(data)?.as_deref(), Some("far"));
    }
    // None, or another number of them: the classes go by number.
    for data in [plain.clone(), plain.with_class_names(["one"])] {
        assert_eq!(name(data.into())?.as_deref(), Some("2"));
    }
    Ok::<(), crate::Error>(())
}

const X: Extent = Extent::image(9, 9, 2);
const SAMPLES: usize = 37;

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7 + seed * 13) % 23) as f32 / 11.0 - 1.0).collect()
}

/// A map of classes with a penalty-free head and one of numbers: outputs of 324 and 2 values.
fn model(device: &Device, precision: Precision) -> Result<Model> {
    let mut net = Network::new(X);
    let body = net.push(Conv::new(8, 3).pad(1).act(Relu));
    let dropped = net.add(Dropout::new(0.3), &[body]);
    let map = net.add(Conv::new(4, 1), &[dropped]);
    let both = net.add(Dense::new(2), &[dropped]);
    net.output("map", map);
    net.output("numbers", both);
    let model = Model::builder(net).device(device.clone()).precision(precision).seed(3);
    model.loss("map", SoftmaxCrossEntropy, 0.7).loss("numbers", Mse, 0.2).build()
}

fn data() -> Result<Samples> {
    let labels = (0..SAMPLES * 81).map(|i| (i * 5 % 4) as u32).collect();
    let weights = (0..SAMPLES).map(|i| (i % 3) as f32).collect();
    Samples::new(X, numbers(SAMPLES * X.len(), 1))?
        .with_classes(labels, 4)?
        .with_values(Extent::flat(2), numbers(SAMPLES * 2, 2))?
        .with_weights(weights)
}

/// With batches under way, twice so that passes are replayed: the bits of one after another.
#[test]
fn batches_in_flight_give_what_single_ones_do() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for precision in [Precision::FP32, Precision::BF16, Precision::FP16] {
        let all = |most: usize| {
            flying(most, || -> Result<_> {
                let mut model = model(&gpu, precision)?;
                let mut found = Vec::new();
                for batch in [4, 4, 16, 37, 100] {
                    let e = model.evaluate(data()?, batch)?;
                    let infer = model.predict_data(data()?, batch, Mode::Infer)?;
                    let drawn = model.predict_data(data()?, batch, Mode::MonteCarlo)?;
                    assert_eq!((e.samples, infer.len()), (SAMPLES, SAMPLES * 324));
                    assert!(e.confusion.is_some() && e.rmse.is_some() && infer != drawn);
                    let draws = model.predict_monte_carlo(data()?, batch, 5, &[0.1, 0.9])?;
                    assert_eq!(draws.mean.len(), SAMPLES * 324);
                    let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                    found.push((e, bits(infer), bits(drawn), draws));
                }
                Ok(found)
            })
        };
        let (together, single) = (all(IN_FLIGHT)?, all(0)?);
        assert_eq!(together, single, "{precision:?}");
        // And what a call for a batch alone gives, which is read in another way.
        let mut model = model(&gpu, precision)?;
        for (i, x) in numbers(SAMPLES * X.len(), 1).chunks(4 * X.len()).enumerate() {
            model.forward(Mode::Infer, View::new(X, x)?)?;
            let y: Vec<u32> = model.predict()?.to_vec().into_iter().map(f32::to_bits).collect();
            assert_eq!(together[0].1[i * 4 * 324..][..y.len()], y, "{precision:?}, batch {i}");
        }
    }
    Ok(())
}

/// On a GPU three batches are computed before the results of the first are looked at, on the CPU none; results come in order, an error names its
/// batch, and nothing is computed behind it.
#[test]
fn results_come_in_order_and_errors_name_their_batch() -> Result<()> {
    let mut devices = vec![(Device::cpu(), 0)];
    devices.extend(gpu().map(|gpu| (gpu, IN_FLIGHT)));
    for (device, most) in devices {
        let mut model = model(&device, Precision::FP32)?;
        let mut feed = Feed::new(data()?.into(), model.network(), 2, false, "data")?;
        let plan = plan_of(&mut model, &feed, Mode::Infer, 4)?;
        let mut go = |fails: usize| {
            let told = std::cell::RefCell::new(Vec::new());
            let mut run = |_: &mut Model, _: &Feed, from: usize, rows: usize| {
                told.borrow_mut().push(format!("run {from}"));
                Ok((from, rows))
            };
            let mut take = |(from, rows): (usize, usize)| {
                told.borrow_mut().push(format!("take {from}"));
                assert_eq!(rows, 4.min(SAMPLES - from));
                if from == fails { Err(Error::value("class", "planted")) } else { Ok(()) }
            };
            let done = for_batches(&mut model, &mut feed, plan, (4, 1), &mut run, &mut take);
            (done, told.into_inner())
        };
        let order = |last: usize| {
            let batches: Vec<usize> = (0..SAMPLES).step_by(4).collect();
            let mut order = Vec::new();
            for (i, from) in batches.iter().enumerate() {
                order.push(format!("run {from}"));
                order.extend((i >= most).then(|| format!("take {}", batches[i - most])));
            }
            order.extend(batches[batches.len() - most..].iter().map(|from| format!("take {from}")));
            let end = order.iter().position(|what| *what == format!("take {last}")).map_or(order.len(), |i| i + 1);
            order[..end].to_vec()
        };
        let (done, told) = go(usize::MAX);
        assert!(done.is_ok());
        assert_eq!(told, order(usize::MAX));
        let (done, told) = go(12);
        assert_eq!(told, order(12));
        let e = done.expect_err("the fourth batch").to_string();
        assert_eq!(e, "samples 12 to 15: class: planted");
        // And nothing of that is left.
        assert!(go(usize::MAX).0.is_ok());
    }
    Ok(())
}
