//! Gradients against two-sided differences in f64, and the same check on backward passes that are wrong on purpose.

use crate::case::{Batch, Case, Rig};
use crate::check::{Verdict, cpu, text};
use crate::corrupt::{Corrupt, What};
use kamacite::layer::Layer;
use kamacite::rng::{Purpose, Stream};
use kamacite::{Grads, Mode, Precision};

/// (3) Every gradient against two-sided differences.
pub fn gradients(case: &Case) -> Verdict {
    case.modes.iter().try_for_each(|&mode| differences(case, &case.layer, mode, None).map_err(|e| format!("{mode:?}: {e}")))
}

/// A wrong backward pass must fail the same check, for every input and parameter of the layer.
pub fn corrupted(case: &Case) -> Verdict {
    if let Some(graph) = &case.graph {
        let layers = graph(None).report(Mode::Infer, 1).map_err(text)?.nodes.len() - case.x.len();
        return (0..layers).try_for_each(|k| {
            let graph = graph.clone();
            let wrong = Case { graph: Some(std::sync::Arc::new(move |_| graph(Some(k)))), ..case.clone() };
            match differences(&wrong, &case.layer, case.modes[0], None) {
                Err(_) => Ok(()),
                Ok(()) => Err(format!("a wrong gradient of layer {k} passed the check")),
            }
        });
    }
    let rig = case.rig(Precision::FP64, &cpu(1)).map_err(text)?;
    let short = |name: &String| name.strip_prefix(&rig.prefix).unwrap_or(name).to_string();
    let shape = |name: &String| rig.model.arrays().find(|(n, _)| n == name).map(|(_, s)| s.to_vec()).unwrap_or_default();
    let inputs = (0..case.x.len()).map(What::Input);
    let params = rig.params.iter().map(|n| What::Param(short(n), shape(n)));
    for (a, what) in inputs.chain(params).enumerate() {
        // A sign, a missing term, and 1 part in 10⁵.
        for factor in [-1.0, 0.0, 1.000_01] {
            let wrong = Corrupt { inner: case.layer.clone(), what: what.clone(), factor };
            if case.modes.iter().all(|&mode| differences(case, &wrong, mode, Some(a)).is_ok()) {
                return Err(format!("the gradient of {what:?} times {factor} passed the check"));
            }
        }
    }
    Ok(())
}

/// How far an element is moved for a difference: truncation h²·f‴/6 and rounding ε·f/h are both near 1e-11.
fn step(x: f64) -> f64 {
    1e-5 * x.abs().max(1.0)
}

/// What the differences are taken of.
struct Probe<'a, L> {
    case: &'a Case,
    layer: &'a L,
    mode: Mode,
    rig: Rig,
    x: Vec<Batch>,
    /// The random functional Σ r·y.
    r: Batch,
    /// Element tables: inputs first, then parameters.
    arrays: Vec<Vec<f64>>,
}

/// Compares every gradient, or that of array `only`.
fn differences<L: Layer + Clone + 'static>(case: &Case, layer: &L, mode: Mode, only: Option<usize>) -> Verdict {
    let mut rig = case.rig_of(layer.clone(), Precision::FP64, &cpu(1)).map_err(text)?;
    let x = case.inputs();
    let y = rig.forward(mode, &x).map_err(text)?;
    let r = case.weighting(y.rows, y.extent);
    let mut arrays: Vec<Vec<f64>> = x.iter().map(|b| b.v.clone()).collect();
    for name in &rig.params {
        arrays.push(rig.model.array(name).map_err(text)?);
    }
    let which = only.map_or(0..arrays.len(), |a| a..a + 1);
    Probe { case, layer, mode, rig, x, r, arrays }.check(which)
}

impl<L: Layer + Clone + 'static> Probe<'_, L> {
    fn check(&mut self, which: std::ops::Range<usize>) -> Verdict {
        let (mut compared, mut left) = (0_usize, 0_usize);
        let mut analytic = self.analytic()?;
        for a in which {
            let mut picks = Stream::new(self.case.seed, Purpose::User, 2000 + a as u64);
            let len = self.arrays[a].len();
            let (picked, directions): (Vec<usize>, usize) =
                if len < 2000 { ((0..len).collect(), 0) } else { ((0..200).map(|_| picks.below(len)).collect(), 3) };
            for i in picked {
                let mut tries = 0;
                while let Err(e) = self.compare(a, &analytic, Along::Element(i)) {
                    // A kink between the two points of the difference. The forward pass alone decides whether there is
                    // one, so a wrong gradient finds no excuse here; the point is moved off it.
                    if !self.kinked(a, i)? {
                        return Err(e);
                    }
                    tries += 1;
                    if tries > 5 {
                        left += 1;
                        break;
                    }
                    self.arrays[a][i] += 37.0 * step(self.arrays[a][i]);
                    analytic = self.analytic()?;
                }
                compared += 1;
            }
            for k in 0..directions {
                let d: Vec<f64> = (0..len).map(|_| picks.normal() / (len as f64).sqrt()).collect();
                self.compare(a, &analytic, Along::Direction(&d)).map_err(|e| format!("direction {k}: {e}"))?;
            }
        }
        compared -= left;
        if compared == 0 || left * 10 > compared + left {
            return Err(format!("only {compared} of {} entries could be compared", compared + left));
        }
        Ok(())
    }

    fn name(&self, a: usize) -> String {
        match a.checked_sub(self.x.len()) {
            None => format!("dx{a}"),
            Some(p) => format!("d{}", self.rig.params[p]),
        }
    }

    /// A layer that draws random numbers starts from a new model each time, so that it draws the same ones.
    fn renew(&mut self) -> Verdict {
        if self.case.random {
            self.rig = self.case.rig_of(self.layer.clone(), Precision::FP64, &cpu(1)).map_err(text)?;
        }
        Ok(())
    }

    fn load(&mut self, arrays: &[Vec<f64>]) -> Verdict<Vec<Batch>> {
        let names = self.rig.params.clone();
        for (name, values) in names.iter().zip(&arrays[self.x.len()..]) {
            self.rig.model.set_array(name, values).map_err(text)?;
        }
        Ok(self.x.iter().zip(arrays).map(|(b, v)| Batch { v: v.clone(), ..*b }).collect())
    }

    fn analytic(&mut self) -> Verdict<Vec<Vec<f64>>> {
        self.renew()?;
        let arrays = self.arrays.clone();
        let x = self.load(&arrays)?;
        let r = self.r.clone();
        let out = self.rig.run(self.mode, &x, &r, Grads::Write).map_err(text)?;
        Ok(out.dx.into_iter().map(|b| b.v).chain(out.dw.into_iter().map(|(_, v)| v)).collect())
    }

    /// y with array `a` replaced.
    fn y(&mut self, a: usize, values: Vec<f64>) -> Verdict<Vec<f64>> {
        self.renew()?;
        let mut arrays = self.arrays.clone();
        arrays[a] = values;
        let x = self.load(&arrays)?;
        let y = self.rig.forward(self.mode, &x).map_err(text)?;
        if y.v.iter().any(|v| !v.is_finite()) {
            return Err("an output is not finite".into());
        }
        Ok(y.v)
    }

    /// (Σ r·(y₊ − y₋)/2h, bound on its rounding error).
    fn slope(&mut self, a: usize, along: &Along<'_>, factor: f64) -> Verdict<(f64, f64)> {
        let x = self.arrays[a].clone();
        let h = factor * along.step(&x);
        let (plus, minus) = (self.y(a, along.moved(&x, h))?, self.y(a, along.moved(&x, -h))?);
        let (mut sum, mut noise) = (0.0, 0.0);
        for ((p, m), r) in plus.iter().zip(&minus).zip(&self.r.v) {
            if p != m {
                sum += r * (p - m);
                // Each y is a sum of a few terms of its own size, rounded: ε·8 of it.
                noise += 8.0 * f64::EPSILON * (r * p).abs().max(r.abs() * 0.1);
            }
        }
        Ok((sum / (2.0 * h), noise / (2.0 * h)))
    }

    fn compare(&mut self, a: usize, analytic: &[Vec<f64>], along: Along<'_>) -> Verdict {
        let (numeric, noise) = self.slope(a, &along, 1.0)?;
        let expected = along.dot(&analytic[a]);
        let scale = analytic[a].iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        // The truncation h²·f‴/6 is below 1e-9 of the largest gradient for every smooth layer here.
        let bound = 1e-7 * numeric.abs().max(expected.abs()).max(0.01 * scale) + noise;
        if (numeric - expected).abs() <= bound {
            return Ok(());
        }
        Err(format!("{}[{along}]: differences give {numeric}, backward {expected}, bound {bound:.1e}", self.name(a)))
    }

    /// Whether the forward pass has a kink within 10·h of this point: one-sided slopes that do not come together as the
    /// distance shrinks, or two-sided ones that do not settle.
    fn kinked(&mut self, a: usize, i: usize) -> Verdict<bool> {
        let x = self.arrays[a].clone();
        let centre = self.y(a, x.clone())?;
        let one_sided = |probe: &mut Self, factor: f64| -> Verdict<Vec<f64>> {
            let h = factor * step(x[i]);
            let y = probe.y(a, Along::Element(i).moved(&x, h))?;
            Ok(y.iter().zip(&centre).map(|(y, c)| (y - c) / h).collect())
        };
        for factor in [10.0, 3.0, 1.0] {
            let (right, left) = (one_sided(self, factor)?, one_sided(self, -factor)?);
            // A smooth y has |right − left| = h·y″, here at most 1e-4·10·y″; a kink leaves a jump of the slope.
            let jump = right.iter().zip(&left).map(|(r, l)| (r - l).abs()).fold(0.0, f64::max);
            let slope = right.iter().chain(&left).map(|v| v.abs()).fold(1e-3, f64::max);
            if jump > 0.02 * slope {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is moved for a difference.
enum Along<'a> {
    Element(usize),
    Direction(&'a [f64]),
}

impl Along<'_> {
    fn step(&self, x: &[f64]) -> f64 {
        match self {
            Self::Element(i) => step(x[*i]),
            Self::Direction(_) => step(0.0),
        }
    }

    fn moved(&self, x: &[f64], h: f64) -> Vec<f64> {
        let mut x = x.to_vec();
        match self {
            Self::Element(i) => x[*i] += h,
            Self::Direction(d) => x.iter_mut().zip(*d).for_each(|(x, d)| *x += h * d),
        }
        x
    }

    fn dot(&self, g: &[f64]) -> f64 {
        match self {
            Self::Element(i) => g[*i],
            Self::Direction(d) => g.iter().zip(*d).map(|(g, d)| g * d).sum(),
        }
    }
}

impl std::fmt::Display for Along<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Element(i) => write!(f, "{i}"),
            Self::Direction(_) => f.write_str("direction"),
        }
    }
}
