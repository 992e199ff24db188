//! Check 5: CUDA against f64, on a GPU where there is one and on the emulator (tests/emulator) elsewhere.
//!
//! `KAMACITE_REQUIRE=cuda` makes it a failure if there is neither, `KAMACITE_REQUIRE=gpu` if there is no GPU.

use crate::case::{Batch, Case, Rig, batch};
use crate::check::{Verdict, text};
use kamacite::{Device, Extent, Grads, Mode, Model, Network, Precision, Result, Seed, View};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Every precision that a GPU computes in.
pub const PRECISIONS: [Precision; 5] = [Precision::FP32, Precision::TF32, Precision::FP32x3, Precision::BF16, Precision::FP16];

/// The relative error of one number or one product, where the bound of a sum of n products is a few times that and √n.
pub fn unit(precision: Precision) -> f64 {
    match precision {
        Precision::BF16 => 2.0_f64.powi(-8),
        Precision::FP16 | Precision::TF32 => 2.0_f64.powi(-11),
        _ => f64::from(f32::EPSILON),
    }
}

/// The nearest number that activations of this precision can hold.
pub fn rounded(precision: Precision, v: f64) -> f64 {
    let bits = match precision {
        Precision::BF16 => 8,
        Precision::FP16 => 11,
        _ => 24,
    };
    // One unit in the last place of the significand; of the least normal number below it.
    let exponent = v.abs().log2().floor().max(if precision == Precision::FP16 { -14.0 } else { -126.0 });
    let ulp = 2.0_f64.powi(exponent as i32 + 1 - bits);
    (v / ulp).round_ties_even() * ulp
}

/// The device of these tests, for one test at a time: all models of a GPU share its stream.
pub struct Gpu {
    pub device: Device,
    _turn: MutexGuard<'static, ()>,
}

/// The GPU or the emulated one; `None` after a line that says why not.
pub fn gpu() -> Option<Gpu> {
    static FOUND: LazyLock<std::result::Result<Device, String>> = LazyLock::new(find);
    static TURN: Mutex<()> = Mutex::new(());
    match &*FOUND {
        Ok(device) => Some(Gpu { device: device.clone(), _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }),
        Err(why) => {
            assert!(!required("cuda") && !required("gpu"), "KAMACITE_REQUIRE asks for CUDA: {why}");
            println!("SKIPPED cuda: {why}");
            None
        }
    }
}

fn required(what: &str) -> bool {
    std::env::var("KAMACITE_REQUIRE").unwrap_or_default().split(',').any(|r| r == what)
}

fn find() -> std::result::Result<Device, String> {
    let chosen = std::env::var_os("KAMACITE_CUDA_DRIVER").is_some();
    let present = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|file| Path::new(file).exists());
    if !chosen && !present {
        assert!(!required("gpu"), "KAMACITE_REQUIRE asks for a GPU, which this machine lacks");
        let environment = kamacite_emulator::environment().map_err(|why| format!("no GPU, and no emulator: {why}"))?;
        println!("SKIPPED gpu: this machine has none; kernels run on the emulator");
        set(&[("KAMACITE_DEVICE", Path::new("cpu"))]);
        set(&environment);
    }
    Device::cuda(0).map_err(text)
}

/// What tests leave to `Device::auto` stays where it would be without the emulator, so `KAMACITE_DEVICE` comes first.
#[allow(unsafe_code)]
fn set(environment: &[(&str, &Path)]) {
    for (name, value) in environment.iter().filter(|(name, _)| std::env::var_os(name).is_none()) {
        // SAFETY: the standard library's own readers are locked out; nothing else in this process reads its environment
        // until the driver is loaded, which happens after this in the same thread.
        unsafe { std::env::set_var(name, value) }
    }
}

/// Named arrays, each with the number of terms in the longest sum behind it.
type Arrays = Vec<(String, f64, Vec<f64>)>;

/// (5) y, dx and dw on CUDA in every precision against f64: written and added to, at a fan-out, in every mode, in a plan for
/// more rows than there are; and equal bits in two runs.
pub fn cuda(case: &Case) -> Verdict {
    let Some(gpu) = gpu() else { return Ok(()) };
    for precision in PRECISIONS {
        let place = |e: String| format!("{precision:?}: {e}");
        let data = Data::new(case, precision).map_err(text).map_err(place)?;
        let exact = data.arrays(case, Precision::FP64, &Device::cpu()).map_err(text).map_err(place)?;
        let got = data.arrays(case, precision, &gpu.device).map_err(text).map_err(place)?;
        let free = data.kinks(case, precision, &exact).map_err(text)?;
        for (((name, terms, e), (_, _, g)), free) in exact.iter().zip(&got).zip(&free) {
            near(name, g, e, free, K * unit(precision) * terms.sqrt()).map_err(place)?;
        }
        if data.arrays(case, precision, &gpu.device).map_err(text)? != got {
            return Err(place("other bits in a second run".into()));
        }
    }
    Ok(())
}

/// As [`cuda`], once and without kinks: for cases whose kernels have more to do than threads, also on the two multiprocessors of
/// the emulator.
pub fn large(case: &Case) -> Verdict {
    let Some(gpu) = gpu() else { return Ok(()) };
    for precision in [Precision::FP32, Precision::BF16] {
        let data = Data::new(case, precision).map_err(text)?;
        let run = |precision, device: &Device| data.pass(&mut data.rig(case, precision, device)?, case.modes[0], Grads::Write);
        let exact = run(Precision::FP64, &Device::cpu()).map_err(text)?;
        let got = run(precision, &gpu.device).map_err(text)?;
        for ((name, terms, e), (_, _, g)) in exact.iter().zip(&got) {
            let bound = K * unit(precision) * terms.sqrt();
            near(name, g, e, &vec![true; e.len()], bound).map_err(|e| format!("{precision:?}: {e}"))?;
        }
    }
    Ok(())
}

/// As for instruction sets, see `check::precision`; a 16-bit result adds a rounding of its own.
const K: f64 = 8.0;

/// |got − expected| <= bound·max|expected| wherever `free` of kinks.
fn near(what: &str, got: &[f64], expected: &[f64], free: &[bool], bound: f64) -> Verdict {
    let count = free.iter().filter(|free| **free).count();
    if 2 * count < free.len() {
        return Err(format!("{what}: only {count} of {} elements are far from a kink; try another seed", free.len()));
    }
    if got.len() != expected.len() {
        return Err(format!("{what}: {} elements, expected {}", got.len(), expected.len()));
    }
    let scale = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (i, ((g, e), _)) in got.iter().zip(expected).zip(free).enumerate().filter(|(_, (_, free))| **free) {
        let off = (g - e).abs();
        if off.is_nan() || off > bound * scale {
            return Err(format!("{what}[{i}]: expected {e}, got {g}: error {off:.3e}, bound {:.3e}", bound * scale));
        }
    }
    Ok(())
}

/// Inputs and output gradients of a case in numbers that a precision can hold.
struct Data {
    x: Vec<Batch>,
    dy: Batch,
    other: Batch,
    terms: f64,
    reduced: f64,
    /// Relative noise on the parameters, and its seed.
    noise: (f64, u64),
}

impl Data {
    fn new(case: &Case, precision: Precision) -> Result<Self> {
        let hold = |b: Batch| b.map(|v| rounded(precision, v));
        let x: Vec<Batch> = case.inputs().into_iter().map(hold).collect();
        let mut rig = case.rig(Precision::FP64, &Device::cpu())?;
        let y = rig.forward(case.modes[0], &x)?;
        let dy = hold(case.weighting(y.rows, y.extent));
        let mut other = dy.clone();
        other.v.reverse();
        let weights = |e: Extent| rig.model.arrays().map(|(_, s)| s.iter().product::<usize>() / e.c).max().unwrap_or(1);
        let fan = case.x.iter().map(|e| weights(*e)).max().unwrap_or(1).max(weights(y.extent));
        let terms = case.terms.unwrap_or(fan).max(1) as f64;
        let reduced = terms.max((y.rows * y.extent.area()) as f64);
        Ok(Self { x, dy, other, terms, reduced, noise: (0.0, 0) })
    }

    /// Everything that is compared.
    fn arrays(&self, case: &Case, precision: Precision, device: &Device) -> Result<Arrays> {
        let mut list = Vec::new();
        for &mode in &case.modes {
            let mut rig = self.rig(case, precision, device)?;
            list.extend(self.pass(&mut rig, mode, Grads::Write)?);
            list.extend(self.pass(&mut rig, mode, Grads::Add)?);
            if case.graph.is_none() {
                list.extend(self.fan_out(case, &rig, mode, precision, device)?);
            }
        }
        for mode in [Mode::Infer, Mode::MonteCarlo] {
            let mut rig = self.rig(case, precision, device)?;
            list.push((format!("{mode:?} y"), self.terms, rig.forward(mode, &self.x)?.v));
        }
        Ok(list)
    }

    /// y, dx and dw, written or added to.
    fn pass(&self, rig: &mut Rig, mode: Mode, grads: Grads) -> Result<Arrays> {
        let out = rig.run(mode, &self.x, if grads == Grads::Add { &self.other } else { &self.dy }, grads)?;
        let named = |what: String| format!("{mode:?} {grads:?}: {what}");
        let mut list = vec![(named("y".into()), self.terms, out.y.v)];
        list.extend(out.dx.into_iter().enumerate().map(|(i, b)| (named(format!("dx{i}")), self.terms, b.v)));
        list.extend(out.dw.into_iter().map(|(name, v)| (named(format!("d{name}")), self.reduced, v)));
        Ok(list)
    }

    fn rig(&self, case: &Case, precision: Precision, device: &Device) -> Result<Rig> {
        let mut rig = case.rig(precision, device)?;
        for name in rig.params.clone() {
            let values = noisy(&rig.model.array(&name)?, self.noise);
            rig.model.set_array(&name, &values)?;
        }
        Ok(rig)
    }

    /// Two copies of the layer on the same inputs: the second one's dx is added to the first one's.
    fn fan_out(&self, case: &Case, source: &Rig, mode: Mode, precision: Precision, device: &Device) -> Result<Arrays> {
        let mut net = Network::default();
        let inputs: Vec<_> = case.x.iter().enumerate().map(|(i, &e)| net.input(&format!("x{i}"), e)).collect();
        let (a, b) = (net.add(case.layer.clone(), &inputs), net.add(case.layer.clone(), &inputs));
        net.name(a, "a").name(b, "b").output("a", a).output("b", b);
        let mut model = Model::builder(net).precision(precision).device(device.clone()).seed(case.seed).build()?;
        for (name, values) in source.arrays()? {
            model.set_array(&format!("a.{name}"), &values)?;
            model.set_array(&format!("b.{name}"), &values)?;
        }
        let x: Vec<Vec<f32>> = self.x.iter().map(narrow).collect();
        let dy = [narrow(&self.dy), narrow(&self.other)];
        let views: Vec<View<'_>> = self.x.iter().zip(&x).map(|(b, v)| View::new(b.extent, v)).collect::<Result<_>>()?;
        model.forward(mode, &views[..])?;
        let seeds = [Some(View::new(self.dy.extent, &dy[0])?), Some(View::new(self.dy.extent, &dy[1])?)];
        model.backward(Seed::Outputs(&seeds), Grads::Write)?;
        let mut dx = |i| Ok((format!("{mode:?} dx{i} of a fan-out"), 2.0 * self.terms, batch(model.input_gradient(i)?)?.v));
        (0..x.len()).map(&mut dx).collect()
    }

    /// Which elements do not depend on the side of a kink: those that f64 gives alike, within the bound, when inputs and
    /// parameters move by a few roundings. A rectifier or a maximum switches there, and rightly so.
    fn kinks(&self, case: &Case, precision: Precision, exact: &Arrays) -> Result<Vec<Vec<bool>>> {
        let mut free: Vec<Vec<bool>> = exact.iter().map(|(_, _, v)| vec![true; v.len()]).collect();
        for seed in 0..4 {
            let noise = (4.0 * unit(precision), seed);
            let x = self.x.iter().map(|b| Batch { v: noisy(&b.v, noise), ..b.clone() }).collect();
            let moved = Self { x, dy: self.dy.clone(), other: self.other.clone(), noise, ..*self };
            let moved = moved.arrays(case, Precision::FP64, &Device::cpu())?;
            for ((free, (_, terms, e)), (_, _, m)) in free.iter_mut().zip(exact).zip(&moved) {
                let bound = K * unit(precision) * terms.sqrt() * e.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                free.iter_mut().zip(e.iter().zip(m)).for_each(|(free, (e, m))| *free &= (e - m).abs() <= bound);
            }
        }
        Ok(free)
    }
}

fn narrow(b: &Batch) -> Vec<f32> {
    b.v.iter().map(|&v| v as f32).collect()
}

/// Each number times 1 ± up to `size`, still in f32.
fn noisy(v: &[f64], (size, seed): (f64, u64)) -> Vec<f64> {
    let mut r = kamacite::rng::Stream::new(seed, kamacite::rng::Purpose::User, 2000);
    v.iter().map(|v| f64::from((v * (1.0 + size * r.between(-1.0, 1.0))) as f32)).collect()
}

#[test]
fn numbers_round_to_the_nearest_of_their_format() {
    for (precision, v, expected) in [
        (Precision::BF16, 1.0 + 2.0_f64.powi(-8), 1.0),
        (Precision::BF16, 1.0 + 3.0 * 2.0_f64.powi(-8), 1.0 + 2.0_f64.powi(-6)),
        (Precision::BF16, -0.1, -0.10009765625),
        (Precision::FP16, 1.0 + 2.0_f64.powi(-11), 1.0),
        (Precision::FP16, 0.1, 0.0999755859375),
        (Precision::FP16, 2.0_f64.powi(-24) * 1.4, 2.0_f64.powi(-24)),
        (Precision::FP32, 0.1, f64::from(0.1_f32)),
        (Precision::TF32, 0.0, 0.0),
    ] {
        assert_eq!(rounded(precision, v), expected, "{v} in {precision:?}");
    }
}
