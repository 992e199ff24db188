//! A generative adversarial network on eight Gaussian spots in a ring: two networks, two optimizers, and the discriminator's
//! gradient wrt its input flowing into the generator.
//!
//! cargo run --release --example gan
//!
//! Expected: all 8 spots are found, and at least 85 % of the points lie within three widths of one (points spread evenly
//! over the square hold 14 %). Without the noise, which fades as the networks learn, two to five spots are lost.

mod options;
use kamacite::data::synth;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use options::Options;

const BATCH: usize = 256;
const LATENT: usize = 8;
const WIDTH: f32 = 0.1;

fn main() -> Result<()> {
    let o = Options::parse((60, 1))?;
    let spots = synth::ring(25_600, f64::from(WIDTH), o.seed)?;
    let (mut random, mut noise) = (Stream::new(o.seed, Purpose::User, 0), Stream::new(o.seed, Purpose::User, 1));

    let mut net = Network::new(Extent::flat(LATENT));
    net.push(Dense::new(64).act(Relu).init(Init::Orthogonal(1.0)));
    net.push(Dense::new(64).act(Relu).init(Init::Orthogonal(1.0)));
    net.push(Dense::new(2).init(Init::Orthogonal(1.0)));
    let mut generator = Model::builder(net).seed(o.seed).device(o.device.clone()).precision(o.precision).build()?;

    let leaky = LeakyRelu { slope: 0.2, saturation: None };
    let mut net = Network::new(Extent::flat(2));
    net.push(Dense::new(64).act(leaky));
    net.push(Dense::new(64).act(leaky));
    net.push(Dense::new(1));
    let mut critic = Model::builder(net)
        .seed(o.seed + 1)
        .device(o.device.clone())
        .precision(o.precision)
        .loss("output", LogisticBce, 1.0)
        .build()?;

    let adam = Adam::new(1e-3).betas(0.5, 0.99);
    o.show_profile(|| generator.profile(BATCH, &adam))?;
    o.show_profile(|| critic.profile(BATCH, &adam))?;
    let (ones, zeros) = ([1.0_f32; BATCH], [0.0_f32; BATCH]);
    let (real, fake) = (View::new(Extent::flat(1), &ones)?, View::new(Extent::flat(1), &zeros)?);
    let mut z = vec![0.0_f32; BATCH * LATENT];
    for epoch in 0..o.epochs {
        let (mut critic_loss, mut generator_loss, mut batches) = (0.0, 0.0, 0.0);
        let sigma = 0.5 * (1.0 - epoch as f64 / (0.8 * o.epochs as f64)).max(0.0);
        let mut noisy = |x: &[f32]| -> Vec<f32> { x.iter().map(|x| x + (sigma * noise.normal()) as f32).collect() };
        for x in spots.x(0).chunks_exact(BATCH * 2) {
            // The discriminator sees real points, then invented ones; the gradients add up.
            critic.forward(Mode::Train, View::new(Extent::flat(2), &noisy(x))?)?;
            critic_loss += critic.loss(&[real.into()])?;
            critic.backward(Seed::Loss, Grads::Write)?;
            z.iter_mut().for_each(|z| *z = random.normal() as f32);
            let points = generator.forward(Mode::Train, View::new(Extent::flat(LATENT), &z)?)?;
            let points = noisy(points.as_f32()?);
            critic.forward(Mode::Train, View::new(Extent::flat(2), &points)?)?;
            critic_loss += critic.loss(&[fake.into()])?;
            critic.backward(Seed::Loss, Grads::Add)?;
            critic.step(&adam)?;
            // The generator is told how to look real; the discriminator's parameters are left alone.
            critic.forward(Mode::Eval, View::new(Extent::flat(2), &points)?)?;
            generator_loss += critic.loss(&[real.into()])?;
            let dx = critic.backward(Seed::Loss, Grads::Skip)?;
            generator.backward(dx, Grads::Write)?;
            generator.step(&adam)?;
            batches += 1.0;
        }
        println!("epoch {epoch:3}  discriminator {:.3}  generator {:.3}", critic_loss / batches, generator_loss / batches);
    }

    let mut z = vec![0.0_f32; 4096 * LATENT];
    z.iter_mut().for_each(|z| *z = random.normal() as f32);
    let points = generator.forward(Mode::Infer, View::new(Extent::flat(LATENT), &z)?)?.to_vec();
    let mut found = [0_usize; 8];
    for p in points.chunks_exact(2) {
        for (k, found) in found.iter_mut().enumerate() {
            let angle = k as f32 * std::f32::consts::FRAC_PI_4;
            let distance = (p[0] - 2.0 * angle.cos()).hypot(p[1] - 2.0 * angle.sin());
            *found += usize::from(distance < 3.0 * WIDTH);
        }
    }
    let spots_found = found.iter().filter(|&&n| n >= 41).count();
    println!("points near each spot: {found:?}");
    println!("RESULT spots={spots_found} near={:.3}", found.iter().sum::<usize>() as f64 / 4096.0);
    Ok(())
}
