//! A variational autoencoder of digits: two networks, a random layer between them written by hand, and its KL term.
//!
//! The encoder gives μ and ln σ² of a point in the plane, z = μ + σ·ε with ε ~ N(0, 1), the decoder draws z. The loss is the
//! cross-entropy of the 784 pixels plus KL = −½ Σ (1 + ln σ² − μ² − σ²).
//!
//! cargo run --release --example vae
//!
//! Expected: the loss falls to about 70 % of that of the first 100 steps, and neighbouring points of the plane draw similar digits
//! (the printed grid). `--data PATH` takes an IDX file of 28x28 images.

mod options;
use kamacite::data::{idx, synth};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use options::Options;

const BATCH: usize = 128;
const PIXELS: usize = 784;
const PLANE: usize = 2;

fn main() -> Result<()> {
    let o = Options::parse((15, 1))?;
    let images: Vec<f32> = match &o.data {
        Some(path) => idx::read(path)?.to_f32()?.iter().map(|x| x / 255.0).collect(),
        None => synth::digits(if o.smoke { 2000 } else { 20_000 }, o.seed)?.x(0).to_vec(),
    };
    let (mut encoder, mut decoder) = networks(&o)?;
    let optimizer = Adam::new(1e-3);
    o.show_profile(|| encoder.profile(BATCH, &optimizer))?;
    o.show_profile(|| decoder.profile(BATCH, &optimizer))?;
    let mut random = Stream::new(o.seed, Purpose::User, 0);
    let (mut eps, mut z) = (vec![0.0_f32; BATCH * PLANE], vec![0.0_f32; BATCH * PLANE]);
    let (mut early, mut late) = (Mean::default(), Mean::default());
    for epoch in 0..o.epochs {
        late = Mean::default();
        for x in images.chunks_exact(BATCH * PIXELS) {
            let x = View::new(Extent::flat(PIXELS), x)?;
            encoder.forward(Mode::Train, x)?;
            let (mean, log_var) = (encoder.output(0)?.to_vec(), encoder.output(1)?.to_vec());
            for i in 0..z.len() {
                eps[i] = random.normal() as f32;
                z[i] = mean[i] + (0.5 * log_var[i]).exp() * eps[i];
            }
            decoder.forward(Mode::Train, View::new(Extent::flat(PLANE), &z)?)?;
            let pixels = decoder.loss(&[x.into()])?;
            let dz = decoder.backward(Seed::Loss, Grads::Write)?.to_vec();
            // Through z = μ + exp(½ ln σ²)·ε, plus the gradient of the KL term.
            let share = 1.0 / BATCH as f32;
            let dmean: Vec<f32> = (0..z.len()).map(|i| dz[i] + share * mean[i]).collect();
            let dlog_var = |i: usize| 0.5 * (dz[i] * eps[i] * (0.5 * log_var[i]).exp() + share * (log_var[i].exp() - 1.0));
            let dlog_var: Vec<f32> = (0..z.len()).map(dlog_var).collect();
            let plane = Extent::flat(PLANE);
            let seeds = [Some(View::new(plane, &dmean)?), Some(View::new(plane, &dlog_var)?)];
            encoder.backward(Seed::Outputs(&seeds), Grads::Write)?;
            encoder.step(&optimizer)?;
            decoder.step(&optimizer)?;
            let kl = |i: usize| -0.5 * f64::from(1.0 + log_var[i] - mean[i] * mean[i] - log_var[i].exp());
            let loss = pixels + (0..z.len()).map(kl).sum::<f64>() / BATCH as f64;
            late.add(loss);
            if early.n < 100.0 {
                early.add(loss);
            }
        }
        println!("epoch {epoch:3}  loss {:.2} (pixels and KL, per image)", late.value());
    }
    draw_grid(&mut decoder)?;
    println!("RESULT first={:.2} last={:.2} ratio={:.3}", early.value(), late.value(), late.value() / early.value());
    Ok(())
}

fn networks(o: &Options) -> Result<(Model, Model)> {
    let mut net = Network::new(Extent::flat(PIXELS));
    let hidden = net.push(Dense::new(256).act(Relu));
    let mean = net.add(Dense::new(PLANE), &[hidden]);
    let log_var = net.add(Dense::new(PLANE), &[hidden]);
    net.output("mean", mean).output("log_var", log_var);
    let encoder = Model::builder(net).seed(o.seed).device(o.device.clone()).precision(o.precision).build()?;
    let mut net = Network::new(Extent::flat(PLANE));
    net.push(Dense::new(256).act(Relu));
    net.push(Dense::new(PIXELS));
    // The loss is a mean over pixels; the sum is wanted.
    let decoder = Model::builder(net).seed(o.seed + 1).device(o.device.clone()).precision(o.precision).loss(
        "output",
        LogisticBce,
        PIXELS as f64,
    );
    Ok((encoder, decoder.build()?))
}

/// What the decoder draws at 4 × 6 points of the plane.
fn draw_grid(decoder: &mut Model) -> Result<()> {
    for row in 0..4 {
        let z: Vec<f32> = (0..6).flat_map(|k| [k as f32 * 0.7 - 1.75, 1.5 - row as f32]).collect();
        decoder.forward(Mode::Infer, View::new(Extent::flat(PLANE), &z)?)?;
        let images = decoder.predict()?;
        for y in (0..28).step_by(2) {
            let pixel = |k: usize, x: usize| images.row(k).map(|i| i[y * 28 + x].max(i[(y + 1) * 28 + x]));
            let line: Result<String> =
                (0..6 * 28).map(|i| pixel(i / 28, i % 28).map(|p| [' ', '.', 'o', '#'][(p * 3.99) as usize])).collect();
            println!("{}", line?);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Mean {
    sum: f64,
    n: f64,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.sum += x;
        self.n += 1.0;
    }
    fn value(&self) -> f64 {
        self.sum / self.n
    }
}
