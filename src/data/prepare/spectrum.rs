//! Spectra on a common grid.

use crate::{Error, Extent, Result};
use serde::{Deserialize, Serialize};

/// What the channel of positions holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// The positions themselves: wavelengths, times.
    #[default]
    Plain,
    /// Their logarithm to base 10, as `loglam` of SDSS.
    Log10,
}

impl Positions {
    fn of(self, x: f32) -> f64 {
        match self {
            Self::Plain => f64::from(x),
            Self::Log10 => libm::exp10(f64::from(x)),
        }
    }
}

/// Positions in rising order.
///
/// # Examples
/// ```
/// use kamacite::data::prepare::Grid;
/// assert_eq!(Grid::linear(4000.0, 5000.0, 3)?.positions(), [4000.0, 4500.0, 5000.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Grid(Vec<f64>);

impl Grid {
    /// These positions.
    ///
    /// # Errors
    /// Fewer than two, and positions that do not rise or are not finite.
    pub fn new(positions: Vec<f64>) -> Result<Self> {
        rising("grid", &positions)?;
        Ok(Self(positions))
    }

    /// `n` positions from `first` to `last`, equally far apart.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn linear(first: f64, last: f64, n: usize) -> Result<Self> {
        Self::spaced(first, last, n, |x| x)
    }

    /// `n` positions from `first` to `last`, each in the same ratio to the one before.
    ///
    /// # Errors
    /// As [`Grid::new`], and for `first` not above 0.
    pub fn logarithmic(first: f64, last: f64, n: usize) -> Result<Self> {
        if first.is_nan() || first <= 0.0 {
            return Err(Error::value("grid", "first position").expected("above 0").got(first));
        }
        Self::spaced(libm::log(first), libm::log(last), n, libm::exp)
    }

    fn spaced(first: f64, last: f64, n: usize, f: impl Fn(f64) -> f64) -> Result<Self> {
        let mut positions = super::super::file::reserve("grid", n)?;
        let step = (last - first) / n.saturating_sub(1).max(1) as f64;
        positions.extend((0..n).map(|i| f(first + step * i as f64)));
        Self::new(positions)
    }

    /// The positions.
    pub fn positions(&self) -> &[f64] {
        &self.0
    }
}

impl TryFrom<Vec<f64>> for Grid {
    type Error = Error;

    fn try_from(positions: Vec<f64>) -> Result<Self> {
        Self::new(positions)
    }
}

impl From<Grid> for Vec<f64> {
    fn from(grid: Grid) -> Self {
        grid.0
    }
}

fn rising(place: &str, x: &[f64]) -> Result<()> {
    if x.len() < 2 {
        return Err(Error::value(place, "too few positions").expected("at least 2").got(x.len()));
    }
    let broken = |i: &usize| !(x[*i].is_finite() && (*i == 0 || x[*i] > x[*i - 1]));
    match (0..x.len()).find(broken) {
        Some(i) => Err(Error::value(place, format!("position {i} is {}", x[i]))
            .expected("finite positions in rising order")
            .hint("leave out the first rows, or sort the spectrum")),
        None => Ok(()),
    }
}

/// A spectrum: one line with the positions in the last channel.
fn with_positions(from: Extent) -> Result<()> {
    if from.d * from.h == 1 && from.c > 1 {
        return Ok(());
    }
    Err(Error::shape("spectrum", "no channel of positions")
        .expected("a line of at least 2 channels, the last of them the positions")
        .got(from)
        .hint("read the columns flux and wavelength, in this order"))
}

/// A part of a spectrum with a known number of bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    pub positions: Positions,
    pub above: f64,
    pub to: f64,
    pub bins: usize,
}

impl Window {
    pub fn extent(&self, from: Extent) -> Result<Extent> {
        with_positions(from)?;
        if self.above.is_nan() || self.to.is_nan() || self.above >= self.to {
            return Err(Error::value("", "limits").expected("above < to").got(format!("{} and {}", self.above, self.to)));
        }
        Ok(Extent::line(self.bins, from.c - 1))
    }

    pub fn keep(&self, x: &[f32], from: Extent, y: &mut [f32]) -> Result<()> {
        let c = from.c;
        let inside = |row: &&[f32]| {
            let position = self.positions.of(row[c - 1]);
            position > self.above && position <= self.to
        };
        let found = x.chunks_exact(c).filter(inside).count();
        if found != self.bins {
            let what = format!("bins above {} and up to {}", self.above, self.to);
            return Err(Error::value("", what).expected(self.bins).got(found));
        }
        let kept = x.chunks_exact(c).filter(inside);
        y.chunks_exact_mut(c - 1).zip(kept).for_each(|(y, x)| y.copy_from_slice(&x[..c - 1]));
        Ok(())
    }
}

/// Brings spectra onto a common grid.
///
/// The input has the positions in its last channel; each spectrum may have its own, in rising order, and any number of them. The
/// output has the other channels at the positions of the grid.
///
/// Linear: y(p) on the straight line between the two neighbours. [`flux_conserving`](Self::flux_conserving): bins reach halfway to their
/// neighbours, and y is the mean of x over the new bin, so that ∫y dp = ∫x dp over any stretch that both cover with whole bins.
///
/// # Examples
/// ```
/// use kamacite::data::prepare::{Grid, Prepare, Resample};
/// use kamacite::Extent;
/// let prepare = Prepare::new().resample(Resample::new(Grid::linear(1.5, 2.5, 2)?));
/// let mut x = vec![10.0, 1.0, 20.0, 2.0, 60.0, 3.0]; // flux, position
/// assert_eq!(prepare.apply(&mut x, Extent::line(3, 2))?, Extent::line(2, 1));
/// assert_eq!(x, [15.0, 40.0]);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resample {
    grid: Grid,
    conserving: bool,
    positions: Positions,
    fill: Option<f32>,
}

impl Resample {
    /// Linear, onto this grid; a spectrum that does not cover all of it is an error.
    pub fn new(grid: Grid) -> Self {
        Self { grid, conserving: false, positions: Positions::Plain, fill: None }
    }

    /// Means over bins instead of straight lines.
    #[must_use]
    pub fn flux_conserving(mut self) -> Self {
        self.conserving = true;
        self
    }

    /// The positions are logarithms to base 10; the grid is not.
    #[must_use]
    pub fn log10(mut self) -> Self {
        self.positions = Positions::Log10;
        self
    }

    /// Puts this value where a spectrum does not reach.
    #[must_use]
    pub fn fill(mut self, value: f32) -> Self {
        self.fill = Some(value);
        self
    }

    pub(super) fn extent(&self, from: Extent) -> Result<Extent> {
        with_positions(from)?;
        match self.fill {
            Some(v) if !v.is_finite() => Err(Error::value("", "fill").expected("a finite number").got(v)),
            _ => Ok(Extent::line(self.grid.0.len(), from.c - 1)),
        }
    }

    /// `p` holds the positions of the sample, `edges` those of its bins.
    pub(super) fn run(&self, x: &[f32], from: Extent, y: &mut [f32], p: &mut Vec<f64>, edges: &mut Vec<f64>) -> Result<()> {
        let c = from.c;
        p.clear();
        p.extend(x.chunks_exact(c).map(|row| self.positions.of(row[c - 1])));
        rising("positions of the spectrum", p)?;
        if self.conserving {
            edges.clear();
            edges.extend((0..=p.len()).map(|i| edge(p, i)));
        }
        // Grid and spectrum rise: neither index ever goes back.
        let mut k = 0;
        for (j, y) in y.chunks_exact_mut(c - 1).enumerate() {
            let covered = match self.conserving {
                false => line(x, c, p, self.grid.0[j], y, &mut k),
                true => mean(x, c, edges, (edge(&self.grid.0, j), edge(&self.grid.0, j + 1)), y, &mut k),
            };
            match (covered, self.fill) {
                (true, _) => {}
                (false, Some(fill)) => y.fill(fill),
                (false, None) => {
                    let reach = format!("a spectrum from {} to {}", p[0], p[p.len() - 1]);
                    let what = format!("position {} of the grid is not covered", self.grid.0[j]);
                    return Err(Error::value("", what).got(reach).hint("make the grid shorter, or choose a fill"));
                }
            }
        }
        Ok(())
    }
}

/// Where bin i begins: halfway to its neighbour; the outermost bins reach as far to both sides.
fn edge(p: &[f64], i: usize) -> f64 {
    let n = p.len();
    match i {
        0 => p[0] - 0.5 * (p[1] - p[0]),
        i if i == n => p[n - 1] + 0.5 * (p[n - 1] - p[n - 2]),
        i => 0.5 * (p[i - 1] + p[i]),
    }
}

fn line(x: &[f32], c: usize, p: &[f64], at: f64, y: &mut [f32], k: &mut usize) -> bool {
    if at < p[0] || at > p[p.len() - 1] {
        return false;
    }
    while *k + 2 < p.len() && p[*k + 1] <= at {
        *k += 1;
    }
    let t = (at - p[*k]) / (p[*k + 1] - p[*k]);
    for (channel, y) in y.iter_mut().enumerate() {
        let (a, b) = (f64::from(x[*k * c + channel]), f64::from(x[(*k + 1) * c + channel]));
        // Exact at both ends, so that a value which is missing does not reach beyond its neighbours.
        *y = match t {
            0.0 => a,
            1.0 => b,
            t => a + t * (b - a),
        } as f32;
    }
    true
}

fn mean(x: &[f32], c: usize, edges: &[f64], (low, high): (f64, f64), y: &mut [f32], k: &mut usize) -> bool {
    // Edges of equal bins may differ by rounding.
    let slack = 1e-9 * (high - low);
    let last = edges.len() - 2;
    if low < edges[0] - slack || high > edges[last + 1] + slack {
        return false;
    }
    while *k < last && edges[*k + 1] <= low {
        *k += 1;
    }
    for (channel, y) in y.iter_mut().enumerate() {
        let (mut sum, mut width) = (0.0, 0.0);
        let mut i = *k;
        while i <= last && edges[i] < high {
            let overlap = high.min(edges[i + 1]) - low.max(edges[i]);
            if overlap > slack {
                sum += overlap * f64::from(x[i * c + channel]);
                width += overlap;
            }
            i += 1;
        }
        *y = (sum / width) as f32;
    }
    true
}
