//! The checks that follow from a case. Each returns what is wrong; [`layer_suite!`] makes one test of each.

use crate::case::{Batch, Case, Outcome, Rig};
use kamacite::device::Isa;
use kamacite::{Cpu, Device, Extent, Grads, Mode, Network, NodeId, Precision, Registry};

pub type Verdict<T = ()> = Result<T, String>;

/// One test per check for the cases of `cases()`.
macro_rules! layer_suite {
    () => {
        #[test]
        fn descriptions_survive_saving() {
            crate::check::all(&cases(), crate::check::saved);
        }
        #[test]
        fn forward_is_the_loop_nest() {
            crate::check::all(&cases(), crate::check::forward);
        }
        #[test]
        fn gradients_are_the_differences() {
            crate::check::all(&cases(), crate::gradient::gradients);
        }
        #[test]
        fn wrong_gradients_are_noticed() {
            crate::check::all(&cases(), crate::gradient::corrupted);
        }
        #[test]
        fn every_instruction_set_is_accurate() {
            crate::check::all(&cases(), crate::check::precision);
        }
        #[test]
        fn cuda_is_accurate_in_every_precision() {
            crate::check::all(&cases(), crate::cuda::cuda);
        }
        #[test]
        fn bits_do_not_depend_on_threads() {
            crate::check::all(&cases(), crate::check::threads);
        }
        #[test]
        fn gradients_add_at_fan_outs_and_over_batches() {
            crate::check::all(&cases(), crate::check::adding);
        }
        #[test]
        fn rows_stand_alone() {
            crate::check::all(&cases(), crate::check::rows);
        }
        #[test]
        fn frozen_parameters_stay() {
            crate::check::all(&cases(), crate::check::frozen);
        }
    };
}
pub(crate) use layer_suite;

/// Runs a check over all cases and reports every failure.
pub fn all(cases: &[Case], check: impl Fn(&Case) -> Verdict) {
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|c| Some(format!("{}: {}", c.name, check(c).err()?))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

pub fn text(e: kamacite::Error) -> String {
    e.to_string()
}

pub fn cpu(threads: usize) -> Device {
    Device::cpu_threads(threads).expect("a CPU")
}

/// (1 and 2) Extent and values of the forward pass in f64 against the loop nest of the case, in every mode.
pub fn forward(case: &Case) -> Verdict {
    let Some(naive) = &case.naive else { return Ok(()) };
    let x = case.inputs();
    for mode in [Mode::Train, Mode::Eval, Mode::Infer, Mode::MonteCarlo] {
        if case.random && mode.drops() {
            continue;
        }
        let mut rig = case.rig(Precision::FP64, &cpu(2)).map_err(text)?;
        let expected = naive(&rig.given(&x, mode).map_err(text)?);
        let y = rig.forward(mode, &x).map_err(text)?;
        if y.extent != expected.extent {
            return Err(format!("{mode:?}: extent; expected {}, got {}", expected.extent, y.extent));
        }
        close("y", &y.v, &expected.v, 1e-12).map_err(|e| format!("{mode:?}: {e}"))?;
        not_degenerate(&y)?;
    }
    Ok(())
}

/// A constant output would agree with many a wrong one.
fn not_degenerate(y: &Batch) -> Verdict {
    let all_equal = y.v.iter().all(|v| *v == y.v[0]);
    if all_equal && y.v.len() > 1 { Err("all outputs are equal: the case shows nothing".into()) } else { Ok(()) }
}

/// |a − b| <= bound·max|b| everywhere.
pub fn close(what: &str, got: &[f64], expected: &[f64], bound: f64) -> Verdict {
    if got.len() != expected.len() {
        return Err(format!("{what}: {} elements, expected {}", got.len(), expected.len()));
    }
    let scale = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let worst = got.iter().zip(expected).enumerate().max_by(|a, b| error(a.1).total_cmp(&error(b.1)));
    match worst {
        Some((i, (g, e))) if error((g, e)) > bound * scale => {
            Err(format!("{what}[{i}]: expected {e}, got {g}: error {:.3e}, bound {:.3e}", error((g, e)), bound * scale))
        }
        _ => Ok(()),
    }
}

fn error((a, b): (&f64, &f64)) -> f64 {
    let e = (a - b).abs();
    if e.is_nan() { f64::INFINITY } else { e }
}

/// The instruction sets of this machine. What is missing is said, and is a failure where `KAMACITE_REQUIRE` lists it.
pub fn instruction_sets() -> Vec<Isa> {
    let required = std::env::var("KAMACITE_REQUIRE").unwrap_or_default();
    let (present, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL.into_iter().partition(|isa| isa.present());
    for isa in missing {
        assert!(!required.split(',').any(|r| r == isa.to_string()), "KAMACITE_REQUIRE asks for {isa}, which this machine lacks");
        println!("SKIPPED {isa}: this machine lacks it");
    }
    present
}

/// (4) y, dx and dw in f32 on every instruction set of this machine against f64.
///
/// A sum of n products rounds with k·ε·√n of the size of the result when errors are independent; k <= 8 covers the
/// activation behind it and the vectorised elementary functions (up to 6 units, see `op::math`).
pub fn precision(case: &Case) -> Verdict {
    const K: f64 = 8.0;
    for &mode in &case.modes {
        let mut rig = case.rig(Precision::FP64, &cpu(1)).map_err(text)?;
        let x = case.inputs();
        let y = rig.forward(mode, &x).map_err(text)?;
        let dy = case.weighting(y.rows, y.extent);
        let exact = case.rig(Precision::FP64, &cpu(1)).and_then(|mut r| r.run(mode, &x, &dy, Grads::Write)).map_err(text)?;
        let weights = |e: Extent| rig.model.arrays().map(|(_, s)| s.iter().product::<usize>() / e.c).max().unwrap_or(1);
        let fan = case.x.iter().map(|e| weights(*e)).max().unwrap_or(1).max(weights(y.extent));
        let terms = case.terms.unwrap_or(fan).max(1) as f64;
        let reduced = (terms).max((y.rows * y.extent.area()) as f64);
        for isa in instruction_sets() {
            let device = Device::Cpu(Cpu::with_isa(2, isa).map_err(text)?);
            assert!(device.to_string().contains(&isa.to_string()), "{device} is not what was asked for");
            let mut rig = case.rig(Precision::FP32, &device).map_err(text)?;
            let got = rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
            let bound = |terms: f64| K * f64::from(f32::EPSILON) * terms.sqrt();
            let place = |e| format!("{mode:?} on {isa}: {e}");
            close("y", &got.y.v, &exact.y.v, bound(terms)).map_err(place)?;
            for (i, (g, e)) in got.dx.iter().zip(&exact.dx).enumerate() {
                close(&format!("dx{i}"), &g.v, &e.v, bound(terms)).map_err(place)?;
            }
            for ((name, g), (_, e)) in got.dw.iter().zip(&exact.dw) {
                close(&format!("d{name}"), g, e, bound(reduced)).map_err(place)?;
            }
        }
    }
    Ok(())
}

/// (6) Equal bits for 1, 2 and 7 threads and for two runs, in f32 and f64.
pub fn threads(case: &Case) -> Verdict {
    for precision in [Precision::FP32, Precision::FP64] {
        let mut first: Option<Outcome> = None;
        for threads in [1, 2, 7, 7] {
            let mut rig = case.rig(precision, &cpu(threads)).map_err(text)?;
            let x = case.inputs();
            let y = rig.forward(case.modes[0], &x).map_err(text)?;
            let dy = case.weighting(y.rows, y.extent);
            rig.backward(&dy, Grads::Write).map_err(text)?;
            let out = rig.run(case.modes[0], &x, &dy, Grads::Write).map_err(text)?;
            let first = first.get_or_insert_with(|| out.clone());
            if *first != out {
                return Err(format!("{precision:?}: other bits with {threads} threads"));
            }
        }
    }
    Ok(())
}

/// (7) `Grads::Add` is what was there plus `Write`; the gradient of an input of two layers is the sum of both.
pub fn adding(case: &Case) -> Verdict {
    let (mode, x) = (*case.modes.last().unwrap_or(&Mode::Eval), case.inputs());
    let mut rig = case.rig(Precision::FP64, &cpu(2)).map_err(text)?;
    let y = rig.forward(mode, &x).map_err(text)?;
    let dy = case.weighting(y.rows, y.extent);
    let mut other = dy.clone();
    other.v.reverse();
    let fresh = || case.rig(Precision::FP64, &cpu(2)).map_err(text);
    // A backward pass from eval mode is legal, and random layers are quiet in it.
    let mode = if case.random { Mode::Eval } else { mode };
    let one = fresh()?.run(mode, &x, &dy, Grads::Write).map_err(text)?;
    let two = fresh()?.run(mode, &x, &other, Grads::Write).map_err(text)?;
    let mut rig = fresh()?;
    rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
    let both = rig.run(mode, &x, &other, Grads::Add).map_err(text)?;
    for (((name, a), (_, b)), (_, c)) in one.dw.iter().zip(&two.dw).zip(&both.dw) {
        let sum: Vec<f64> = a.iter().zip(b).map(|(a, b)| a + b).collect();
        close(&format!("d{name} added"), c, &sum, 1e-12)?;
    }
    for (a, b) in two.dx.iter().zip(&both.dx) {
        if a != b {
            return Err("dx depends on how parameter gradients are written".into());
        }
    }
    let mut rig = fresh()?;
    let skipped = rig.run(mode, &x, &dy, Grads::Skip).map_err(text)?;
    if skipped.dx != one.dx || skipped.dw.iter().any(|(_, g)| g.iter().any(|v| *v != 0.0)) {
        return Err("Grads::Skip writes a parameter gradient, or changes dx".into());
    }
    if case.graph.is_some() {
        return Ok(());
    }
    fan_out(case, mode, &x, (&dy, &other), (&one, &two))
}

/// Two copies of the layer on the same inputs, each an output.
fn fan_out(case: &Case, mode: Mode, x: &[Batch], (dy, other): (&Batch, &Batch), (one, two): (&Outcome, &Outcome)) -> Verdict {
    use kamacite::{Model, Seed, View};
    let mut net = Network::default();
    let inputs: Vec<_> = case.x.iter().enumerate().map(|(i, &e)| net.input(&format!("x{i}"), e)).collect();
    let (a, b) = (net.add(case.layer.clone(), &inputs), net.add(case.layer.clone(), &inputs));
    net.name(a, "a").name(b, "b").output("a", a).output("b", b);
    let source = case.rig(Precision::FP64, &cpu(1)).map_err(text)?;
    let mut model = Model::builder(net).precision(Precision::FP64).device(cpu(2)).build().map_err(text)?;
    for (name, values) in source.arrays().map_err(text)? {
        model.set_array(&format!("a.{name}"), &values).map_err(text)?;
        model.set_array(&format!("b.{name}"), &values).map_err(text)?;
    }
    let views: Vec<View<'_>> = x.iter().map(|b| View::f64(b.extent, &b.v)).collect::<Result<_, _>>().map_err(text)?;
    model.forward(mode, &views[..]).map_err(text)?;
    let dys = [View::f64(dy.extent, &dy.v).map_err(text)?, View::f64(other.extent, &other.v).map_err(text)?];
    model.backward(Seed::Outputs(&[Some(dys[0]), Some(dys[1])]), Grads::Write).map_err(text)?;
    for (i, (d1, d2)) in one.dx.iter().zip(&two.dx).enumerate() {
        let sum: Vec<f64> = d1.v.iter().zip(&d2.v).map(|(a, b)| a + b).collect();
        let got = crate::case::batch(model.input_gradient(i).map_err(text)?).map_err(text)?;
        close(&format!("dx{i} of a fan-out"), &got.v, &sum, 1e-12)?;
    }
    Ok(())
}

/// (7) The last rows of a batch alone, and the batch without its last row, give what they give in the batch.
pub fn rows(case: &Case) -> Verdict {
    if !case.per_sample {
        return Ok(());
    }
    let mode = if case.random { Mode::Eval } else { case.modes[0] };
    let x = case.inputs();
    let mut rig = case.rig(Precision::FP64, &cpu(2)).map_err(text)?;
    let y = rig.forward(mode, &x).map_err(text)?;
    let dy = case.weighting(y.rows, y.extent);
    let whole = case.rig(Precision::FP64, &cpu(2)).and_then(|mut r| r.run(mode, &x, &dy, Grads::Write)).map_err(text)?;
    let cut =
        |b: &Batch, n: usize| Batch { rows: 1, extent: b.extent, v: b.v[n * b.extent.len()..(n + 1) * b.extent.len()].to_vec() };
    let mut sums: Vec<Vec<f64>> = whole.dw.iter().map(|(_, g)| vec![0.0; g.len()]).collect();
    for n in 0..case.rows {
        let (x, dy): (Vec<Batch>, Batch) = (x.iter().map(|b| cut(b, n)).collect(), cut(&dy, n));
        let alone = rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
        close(&format!("y of row {n} alone"), &alone.y.v, &cut(&whole.y, n).v, 1e-12)?;
        for (a, w) in alone.dx.iter().zip(&whole.dx) {
            close(&format!("dx of row {n} alone"), &a.v, &cut(w, n).v, 1e-12)?;
        }
        for (sum, (_, g)) in sums.iter_mut().zip(&alone.dw) {
            sum.iter_mut().zip(g).for_each(|(s, g)| *s += g);
        }
    }
    for (sum, (name, g)) in sums.iter().zip(&whole.dw) {
        close(&format!("d{name}: sum over rows"), g, sum, 1e-12)?;
    }
    Ok(())
}

/// (7) A frozen layer gets no gradient and no update; its input gradient is the same.
pub fn frozen(case: &Case) -> Verdict {
    let mode = case.modes[0];
    let x = case.inputs();
    let mut rig = case.rig(Precision::FP64, &cpu(1)).map_err(text)?;
    let y = rig.forward(mode, &x).map_err(text)?;
    let dy = case.weighting(y.rows, y.extent);
    let free = case.rig(Precision::FP64, &cpu(1)).and_then(|mut r| r.run(mode, &x, &dy, Grads::Write)).map_err(text)?;
    let mut rig = case.rig(Precision::FP64, &cpu(1)).map_err(text)?;
    let before = rig.arrays().map_err(text)?;
    let nodes = nodes(&rig);
    nodes.iter().for_each(|&n| rig.model.freeze(n));
    let cold = rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
    rig.model.step(&Descent(1.0)).map_err(text)?;
    let after = rig.arrays().map_err(text)?;
    let states: Vec<&str> = rig.states.iter().map(|n| n.strip_prefix(&rig.prefix).unwrap_or(n)).collect();
    if before.iter().any(|(name, values)| !states.contains(&name.as_str()) && after[name] != *values) {
        return Err("a frozen parameter moved".into());
    }
    if cold.dw.iter().any(|(_, g)| g.iter().any(|v| *v != 0.0)) {
        return Err("a frozen parameter has a gradient".into());
    }
    if cold.dx != free.dx || cold.y != free.y {
        return Err("freezing changes y or dx".into());
    }
    if rig.params.is_empty() {
        return Ok(());
    }
    nodes.iter().for_each(|&n| rig.model.unfreeze(n));
    rig.run(mode, &x, &dy, Grads::Write).map_err(text)?;
    rig.model.step(&Descent(1.0)).map_err(text)?;
    let moved = rig.arrays().map_err(text)?;
    if before.iter().all(|(name, values)| moved[name] == *values) {
        return Err("nothing moved after thawing".into());
    }
    Ok(())
}

/// Every node of the model.
fn nodes(rig: &Rig) -> Vec<NodeId> {
    let names = rig.params.iter().filter_map(|p| p.split('.').next());
    names.filter_map(|n| rig.model.network().node(n)).chain([rig.node]).collect()
}

/// w ← w − η·dw, written here so that the suite does not lean on the crate's optimizers.
#[derive(Debug)]
pub struct Descent(pub f64);

impl kamacite::Optimizer for Descent {
    fn kind(&self) -> &'static str {
        "descent"
    }

    fn save(&self) -> kamacite::layer::Fields {
        kamacite::layer::fields(&self.0)
    }

    fn learning_rate(&self) -> f64 {
        self.0
    }

    fn check(&self) -> kamacite::Result<()> {
        Ok(())
    }

    fn words(&self) -> usize {
        0
    }

    fn update(&self, s: &kamacite::memory::Step<'_>, run: &kamacite::optim::Run<'_>) -> kamacite::Result<()> {
        use kamacite::Real;
        kamacite::real!(s.dtype(), T => {
            let (dw, mut w) = (s.read::<T>(run.dw)?, s.write::<T>(run.w)?);
            let factor = <T as Real>::of(-run.learning_rate * run.grad_scale);
            for (w, dw) in w[run.range.clone()].iter_mut().zip(&dw[run.range.clone()]) {
                *w += factor * *dw;
            }
        });
        Ok(())
    }
}

/// The saved description gives the same layer again.
pub fn saved(case: &Case) -> Verdict {
    let (net, _) = case.network(case.layer.clone());
    let description = net.save();
    let text_form = description.to_string();
    let parsed = serde_json::from_str(&text_form).map_err(|e| e.to_string())?;
    let again = Network::load(&parsed, &Registry::standard()).map_err(text)?;
    if again.save() != description {
        return Err(format!("read back as another network: {text_form}"));
    }
    let reports = (net.report(Mode::Train, 2).map_err(text)?, again.report(Mode::Train, 2).map_err(text)?);
    if reports.0.nodes != reports.1.nodes { Err("plans differently after reading back".into()) } else { Ok(()) }
}
