//! Normalisation: statistics of the training data, applied to any data, saved with the network.

use super::{Dataset, Missing, Pick, Raw, Scaling, missing};
use crate::loss::Target;
use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::sync::Arc;

/// Which values share their statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Each feature of a sample on its own, over the samples: columns of a table, pixels of a spectrum.
    Feature,
    /// Each channel, over samples and positions: bands of images.
    Channel,
    /// All values.
    Global,
    /// All values of one sample, computed anew for each sample; nothing is learned from the training data.
    Row,
}

/// One step of a normalisation. x are the values that share statistics, as [`Scope`] says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rule {
    /// Treats NaN and infinities; without this rule they are an error. The median is that of the scope.
    Missing(Missing, Scope),
    /// y = (x − mean) / max|x − mean|: the convention of the course.
    MeanMaxAbs(Scope),
    /// y = (x − mean) / σ, σ² = Σ(x − mean)²/n.
    Standard(Scope),
    /// y = (x − min) / (max − min).
    MinMax(Scope),
    /// y = min(max(x, p_low), p_high) with the values at these fractions (0 to 1) of the sorted x, interpolated linearly.
    Clip(f64, f64, Scope),
    /// y = ln(1 + max(x − min, 0)).
    Log(Scope),
    /// y = x / √Σx² over each sample.
    L2,
    /// y = tanh(gain · min(max(x, low), high)), as the course does for its spectra with (40, 0, 1).
    Tanh {
        /// Factor before the tanh.
        gain: f32,
        /// Lower limit of x.
        low: f32,
        /// Upper limit of x.
        high: f32,
    },
}

/// Rules with the numbers they learned. A feature that never changes is only shifted (its divisor is 1).
///
/// # Shapes
/// Any number of samples of the extent it was fitted for.
///
/// # Errors
/// Values that are NaN or infinite, before or after, unless a [`Rule::Missing`] says otherwise.
///
/// # Examples
/// ```
/// use kamacite::data::{Normalizer, Rule, Samples, Scope};
/// use kamacite::Extent;
/// let mut train = Samples::new(Extent::flat(2), vec![1., 5., 3., 5., 5., 5.])?;
/// let norm = Normalizer::fit(Extent::flat(2), train.x(0), &[Rule::MeanMaxAbs(Scope::Feature)])?;
/// norm.apply(train.x_mut(0))?;
/// assert_eq!(train.x(0), [-1., 0., 0., 0., 1., 0.]);
/// let saved = serde_json::to_string(&norm).expect("plain numbers");
/// assert_eq!(serde_json::from_str::<Normalizer>(&saved).expect("what was saved"), norm);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Normalizer {
    extent: Extent,
    steps: Vec<Step>,
}

/// What a file claims to be a normaliser.
#[derive(Deserialize)]
struct Saved {
    extent: Extent,
    steps: Vec<Step>,
}

/// A rule, and the two numbers of each of its groups: element i of a sample belongs to group i mod a.len(), which covers
/// all scopes (one group each for a feature, a channel, everything). Without groups they are computed sample by sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    rule: Rule,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Rule {
    fn scope(self) -> Scope {
        match self {
            Self::Missing(_, s)
            | Self::MeanMaxAbs(s)
            | Self::Standard(s)
            | Self::MinMax(s)
            | Self::Clip(_, _, s)
            | Self::Log(s) => s,
            Self::L2 | Self::Tanh { .. } => Scope::Row,
        }
    }

    fn check(self) -> Result<()> {
        let ok = match self {
            Self::Clip(low, high, _) => 0.0 <= low && low < high && high <= 1.0,
            Self::Tanh { gain, low, high } => gain.is_finite() && low < high,
            Self::Missing(Missing::Value(v), _) => v.is_finite(),
            _ => true,
        };
        if ok {
            Ok(())
        } else {
            Err(Error::value("normalizer", "limits of a rule").expected("low < high, finite").got(format!("{self:?}")))
        }
    }

    /// The number of groups of samples of this extent.
    fn groups(self, extent: Extent) -> usize {
        match self.scope() {
            Scope::Feature => extent.len(),
            Scope::Channel => extent.c,
            Scope::Global => 1,
            Scope::Row => 0,
        }
    }

    /// The statistics (a, b) of each group of x; values that are not finite do not count. `sum` and `n` are working space.
    fn learn(self, x: &[f32], a: &mut [f32], b: &mut [f32], sum: &mut [f64], n: &mut [f64]) -> Result<()> {
        match self {
            Self::MeanMaxAbs(_) => {
                mean(x, a, sum, n);
                fold(x, sum, 0.0, |m, x, g| m.max((f64::from(x) - f64::from(a[g])).abs()));
                b.iter_mut().zip(&*sum).for_each(|(b, m)| *b = divisor(*m));
            }
            Self::Standard(_) => {
                mean(x, a, sum, n);
                fold(x, sum, 0.0, |s, x, g| s + (f64::from(x) - f64::from(a[g])).powi(2));
                b.iter_mut().zip(&*sum).zip(&*n).for_each(|((b, s), n)| *b = divisor((s / n.max(1.0)).sqrt()));
            }
            Self::MinMax(_) => {
                extreme(x, a, sum, f64::INFINITY, f64::min);
                extreme(x, b, sum, f64::NEG_INFINITY, f64::max);
                b.iter_mut().zip(&*a).for_each(|(b, a)| *b = divisor(f64::from(*b) - f64::from(*a)));
            }
            Self::Log(_) => extreme(x, a, sum, f64::INFINITY, f64::min),
            Self::Clip(low, high, _) => sorted(x, a.len(), |g, known| {
                a[g] = missing::quantile(known, low).unwrap_or(0.0);
                b[g] = missing::quantile(known, high).unwrap_or(0.0);
            }),
            Self::Missing(Missing::Median, _) => sorted(x, a.len(), |g, known| a[g] = missing::median(known).unwrap_or(0.0)),
            Self::Missing(Missing::Value(v), _) => a.fill(v),
            Self::Missing(..) | Self::L2 | Self::Tanh { .. } => {}
        }
        if a.iter().chain(&*b).all(|x| x.is_finite()) {
            return Ok(());
        }
        Err(Error::value("normalizer", format!("{self:?} meets values too far apart for single precision")))
    }

    fn apply(self, x: &mut [f32], a: &[f32], b: &[f32]) {
        match self {
            Self::MeanMaxAbs(_) | Self::Standard(_) | Self::MinMax(_) => each(x, a, b, |x, a, b| (x - a) / b),
            Self::Clip(..) => each(x, a, b, |x, a, b| {
                if x < a {
                    a
                } else if x > b {
                    b
                } else {
                    x
                }
            }),
            Self::Log(_) => each(x, a, b, |x, a, _| if x.is_nan() { x } else { libm::log1pf((x - a).max(0.0)) }),
            Self::Missing(Missing::Zero | Missing::Median | Missing::Value(_), _) => {
                each(x, a, b, |x, a, _| if x.is_finite() { x } else { a });
            }
            Self::Missing(..) => {}
            Self::Tanh { gain, low, high } => {
                x.iter_mut().filter(|x| !x.is_nan()).for_each(|x| *x = libm::tanhf(gain * x.clamp(low, high)));
            }
            Self::L2 => {
                let square: f64 = x.iter().filter(|x| x.is_finite()).map(|&x| f64::from(x) * f64::from(x)).sum();
                let norm = if square > 0.0 { square.sqrt() } else { 1.0 };
                x.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
            }
        }
    }

    fn undo(self, y: &mut [f32], a: &[f32], b: &[f32]) -> Result<()> {
        match self {
            _ if a.is_empty() => return Err(Error::unsupported("normalizer", format!("{self:?} cannot be undone"))),
            Self::MeanMaxAbs(_) | Self::Standard(_) | Self::MinMax(_) => each(y, a, b, |y, a, b| y * b + a),
            Self::Log(_) => each(y, a, b, |y, a, _| libm::expm1f(y) + a),
            Self::Missing(..) => {}
            _ => return Err(Error::unsupported("normalizer", format!("{self:?} cannot be undone"))),
        }
        Ok(())
    }
}

/// A spread to divide by: 1 where nothing varies.
fn divisor(spread: f64) -> f32 {
    let spread = spread as f32;
    if spread > 0.0 { spread } else { 1.0 }
}

fn each(x: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    for x in x.chunks_exact_mut(a.len().max(1)) {
        x.iter_mut().zip(a).zip(b).for_each(|((x, &a), &b)| *x = f(*x, a, b));
    }
}

/// Folds the finite values of every group, row after row, so that memory is read in order.
fn fold(x: &[f32], acc: &mut [f64], start: f64, f: impl Fn(f64, f32, usize) -> f64) {
    acc.fill(start);
    for x in x.chunks_exact(acc.len().max(1)) {
        for (g, (acc, &x)) in acc.iter_mut().zip(x).enumerate() {
            if x.is_finite() {
                *acc = f(*acc, x, g);
            }
        }
    }
}

fn mean(x: &[f32], a: &mut [f32], sum: &mut [f64], n: &mut [f64]) {
    fold(x, sum, 0.0, |s, x, _| s + f64::from(x));
    fold(x, n, 0.0, |n, _, _| n + 1.0);
    a.iter_mut().zip(sum).zip(n).for_each(|((a, s), n)| *a = (*s / n.max(1.0)) as f32);
}

/// The smallest or largest value of each group; 0 where none is finite.
fn extreme(x: &[f32], a: &mut [f32], acc: &mut [f64], start: f64, f: impl Fn(f64, f64) -> f64) {
    fold(x, acc, start, |m, x, _| f(m, f64::from(x)));
    a.iter_mut().zip(acc).for_each(|(a, m)| *a = if m.is_finite() { *m as f32 } else { 0.0 });
}

/// Hands the finite values of each group to `f`, in one buffer that each thread keeps.
fn sorted(x: &[f32], groups: usize, mut f: impl FnMut(usize, &mut [f32])) {
    thread_local!(static KNOWN: Cell<Vec<f32>> = const { Cell::new(Vec::new()) });
    let mut known = KNOWN.take();
    for g in 0..groups {
        known.clear();
        known.extend(x.iter().skip(g).step_by(groups).filter(|x| x.is_finite()));
        f(g, &mut known);
    }
    KNOWN.set(known);
}

impl Step {
    fn fit(rule: Rule, extent: Extent, x: &[f32]) -> Result<Self> {
        rule.check()?;
        let groups = rule.groups(extent);
        let (mut a, mut b) = (vec![0.0; groups], vec![0.0; groups]);
        if groups > 0 {
            rule.learn(x, &mut a, &mut b, &mut vec![0.0; groups], &mut vec![0.0; groups])?;
        }
        Ok(Self { rule, a, b })
    }

    fn apply(&self, extent: Extent, x: &mut [f32]) -> Result<()> {
        if !self.a.is_empty() {
            self.rule.apply(x, &self.a, &self.b);
            return Ok(());
        }
        for row in x.chunks_exact_mut(extent.len()) {
            let (mut a, mut b) = ([0.0], [0.0]);
            self.rule.learn(row, &mut a, &mut b, &mut [0.0], &mut [0.0])?;
            self.rule.apply(row, &a, &b);
        }
        Ok(())
    }

    /// Whether numbers from a file are ones that this rule can have learned.
    fn valid(&self, extent: Extent) -> bool {
        let affine = matches!(self.rule, Rule::MeanMaxAbs(_) | Rule::Standard(_) | Rule::MinMax(_));
        self.rule.check().is_ok()
            && self.a.len() == self.rule.groups(extent)
            && self.b.len() == self.a.len()
            && self.a.iter().chain(&self.b).all(|x| x.is_finite())
            && (!affine || self.b.iter().all(|b| *b > 0.0))
    }
}

impl TryFrom<Saved> for Normalizer {
    type Error = Error;

    fn try_from(Saved { extent, steps }: Saved) -> Result<Self> {
        extent.check()?;
        match steps.iter().position(|s| !s.valid(extent)) {
            Some(i) => {
                Err(Error::format(format!("normalizer step {i}"), "numbers that no fit can give")
                    .got(format!("{:?}", steps[i].rule)))
            }
            None => Ok(Self { extent, steps }),
        }
    }
}

impl Normalizer {
    /// Learns the rules, each from what the earlier ones make of `x`, samples of this extent one after another.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for no whole number of samples,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for missing values without [`Rule::Missing`] and for limits out of order.
    pub fn fit(extent: Extent, x: &[f32], rules: &[Rule]) -> Result<Self> {
        let mut norm = Self { extent: extent.check()?, steps: Vec::with_capacity(rules.len()) };
        norm.check(x.len())?;
        norm.refuse_missing(x, rules.first().copied())?;
        let mut changed: Option<Vec<f32>> = None;
        for (i, &rule) in rules.iter().enumerate() {
            let step = Step::fit(rule, extent, changed.as_deref().unwrap_or(x))?;
            if i + 1 < rules.len() {
                step.apply(extent, changed.get_or_insert_with(|| x.to_vec()))?;
            }
            norm.steps.push(step);
        }
        Ok(norm)
    }

    /// The extent it was fitted for.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// What is subtracted from element i of a sample and what it is divided by then, at i modulo their number, where that is all.
    pub(crate) fn affine(&self) -> Option<(&[f32], &[f32])> {
        let [Step { rule: Rule::MeanMaxAbs(_) | Rule::Standard(_) | Rule::MinMax(_), a, b }] = &self.steps[..] else {
            return None;
        };
        (!a.is_empty() && a.len() == b.len()).then_some((a, b))
    }

    /// Whether it says itself what becomes of values that are missing.
    pub(crate) fn treats_missing(&self) -> bool {
        matches!(self.steps.first().map(|s| s.rule), Some(Rule::Missing(policy, _)) if policy != Missing::Error)
    }

    /// Normalises samples in place.
    ///
    /// # Errors
    /// As [`Normalizer::fit`], and for results that are not finite.
    pub fn apply(&self, x: &mut [f32]) -> Result<()> {
        self.check(x.len())?;
        let first = self.steps.first().map(|s| s.rule);
        self.refuse_missing(x, first)?;
        self.steps.iter().try_for_each(|step| step.apply(self.extent, x))?;
        match first {
            Some(Rule::Missing(Missing::Keep, _)) => Ok(()),
            _ => self.refuse_missing(x, None).map_err(|e| e.at("after")),
        }
    }

    /// The inverse of [`Normalizer::apply`], for predictions of normalised targets.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for rules that forget: clips, tanh, and those of one sample.
    pub fn undo(&self, y: &mut [f32]) -> Result<()> {
        self.check(y.len())?;
        self.steps.iter().rev().try_for_each(|s| s.rule.undo(y, &s.a, &s.b))
    }

    fn check(&self, len: usize) -> Result<()> {
        if len > 0 && len.is_multiple_of(self.extent.len()) {
            return Ok(());
        }
        let expected = format!("a multiple of {} ({})", self.extent.len(), self.extent);
        Err(Error::shape("normalizer", "no whole number of samples").expected(expected).got(len))
    }

    fn refuse_missing(&self, x: &[f32], first: Option<Rule>) -> Result<()> {
        match first {
            Some(Rule::Missing(policy, _)) if policy != Missing::Error => Ok(()),
            _ => match x.iter().position(|x| !x.is_finite()) {
                Some(i) => Err(missing::at("normalizer", x[i], i, self.extent.len()).hint("begin with Rule::Missing")),
                None => Ok(()),
            },
        }
    }
}

/// A view over a data set that normalises one input as it is read.
#[derive(Clone)]
pub struct Normalized {
    data: Arc<dyn Dataset>,
    input: usize,
    norm: Normalizer,
}

impl Normalized {
    /// Normalises input `input`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the extents differ.
    pub fn new(data: impl Into<Arc<dyn Dataset>>, input: usize, norm: Normalizer) -> Result<Self> {
        let data = data.into();
        match data.inputs().get(input) {
            Some(&x) if x == norm.extent => Ok(Self { data, input, norm }),
            x => {
                let got = x.map_or("no such input".to_string(), Extent::to_string);
                Err(Error::shape(format!("normalizer of input {input}"), "fitted for another extent")
                    .expected(norm.extent)
                    .got(got))
            }
        }
    }
}

impl Normalized {
    /// The set below, and what is subtracted from element i and what it is divided by then, at i modulo their number, where that is all
    /// that becomes of this input.
    pub(crate) fn affine(&self, input: usize) -> Option<(&dyn Dataset, &[f32], &[f32])> {
        let (a, b) = self.norm.affine().filter(|_| input == self.input)?;
        Some((&*self.data, a, b))
    }
}

impl Dataset for Normalized {
    fn len(&self) -> usize {
        self.data.len()
    }
    fn inputs(&self) -> &[Extent] {
        self.data.inputs()
    }
    fn targets(&self) -> &[Target] {
        self.data.targets()
    }
    fn input(&self, pick: Pick, input: usize, x: &mut [f32]) -> Result<()> {
        self.data.input(pick, input, x)?;
        if input == self.input {
            self.norm.apply(x).map_err(|e| e.at(format!("sample {}", pick.index)))?;
        }
        Ok(())
    }
    fn raw(&self, input: usize) -> Option<Raw> {
        let raw = self.data.raw(input)?;
        if input != self.input {
            return Some(raw);
        }
        let (a, b) = self.norm.affine()?;
        raw.normalized(a, b)
    }
    fn raw_row(&self, pick: Pick, input: usize, row: &mut [u8]) -> Option<Scaling> {
        self.data.raw_row(pick, input, row)
    }
    fn values(&self, pick: Pick, target: usize, t: &mut [f32]) -> Result<()> {
        self.data.values(pick, target, t)
    }
    fn classes(&self, pick: Pick, target: usize, t: &mut [u32]) -> Result<()> {
        self.data.classes(pick, target, t)
    }
    fn weight(&self, index: usize) -> f32 {
        self.data.weight(index)
    }
    fn varies(&self) -> bool {
        self.data.varies()
    }
    fn waits(&self) -> bool {
        self.data.waits()
    }
    fn is_skipped(&self, pick: Pick) -> bool {
        self.data.is_skipped(pick)
    }
    fn skipped(&self) -> Vec<String> {
        self.data.skipped()
    }
    fn class_names(&self) -> &[String] {
        self.data.class_names()
    }
    fn as_normalized(&self) -> Option<&Normalized> {
        Some(self)
    }
}

impl From<Normalized> for Arc<dyn Dataset> {
    fn from(view: Normalized) -> Self {
        Arc::new(view)
    }
}

#[cfg(test)]
mod tests;
