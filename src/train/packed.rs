//! Batches of which a GPU takes inputs as their source holds them: everything in one copy, and one launch that makes the numbers of the plan.

use super::feed::Rows;
use super::gather::{ColumnArgs, ColumnKind, Gather, Norm};
use crate::data::{Dataset, Raw, Scaling};
use crate::device::{Cuda, Ptr};
use crate::loss::{Target, find_label};
use crate::memory::Step;
use crate::network::{LossPort, Plan};
use crate::{DType, Error, Result};
use rayon::prelude::*;
use std::sync::Arc;

/// How each input of a set is sent.
pub(super) struct Packed {
    cuda: Cuda,
    inputs: Vec<Option<Input>>,
    parts: Vec<Part>,
}

/// An input that lies in its source as a GPU can take it.
struct Input {
    raw: Arc<Raw>,
    norm: Option<Norm>,
}

/// A column of a batch on its way: where it lies in the copy, and what the launch makes of it.
#[derive(Clone, Copy)]
struct Part {
    what: What,
    at: usize,
    bytes: usize,
    /// Where the scalings of stored rows lie.
    scalings: Option<usize>,
    column: ColumnArgs,
}

#[derive(Clone, Copy)]
enum What {
    Stored(usize),
    Input(usize),
    Values(usize),
    Labels { target: usize, classes: usize, positions: usize },
    Weight,
}

/// Columns begin at multiples of this.
const ALIGNMENT: usize = 16;

impl Packed {
    /// `None` for sets of numbers.
    pub fn new(data: &dyn Dataset, cuda: &Cuda) -> Result<Option<Self>> {
        let input = |(k, x): (usize, &crate::Extent)| -> Result<Option<Input>> {
            let Some(raw) = data.raw(k).filter(|_| x.len() <= crate::device::MAX_SIZE) else { return Ok(None) };
            let norm = raw.norm().map(|norm| Norm::send(cuda, norm)).transpose()?;
            Ok(Some(Input { raw: Arc::new(raw), norm }))
        };
        let inputs = data.inputs().iter().enumerate().map(input).collect::<Result<Vec<_>>>()?;
        if inputs.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(Self { cuda: cuda.clone(), inputs, parts: Vec::new() }))
    }

    /// How each input lies in its source.
    pub fn raws(&self) -> Vec<Option<Arc<Raw>>> {
        self.inputs.iter().map(|input| input.as_ref().map(|input| Arc::clone(&input.raw))).collect()
    }

    /// Sends a batch, if there is something in it to be sent as it is stored; otherwise nothing has happened.
    pub fn stage(&mut self, s: &Step<'_>, plan: &Plan, from: &Rows<'_>, targets: &[Target]) -> Result<bool> {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        let (stored, end) = self.lay_out(s, plan, from, targets, &mut parts)?;
        let mut refused = None;
        let shared = std::cell::RefCell::new(&mut parts);
        let mut fill = |all: &mut [u8]| {
            for part in shared.borrow_mut().iter_mut() {
                if let Err(Refused(k)) = self.fill(part, s.rows(), from, all)? {
                    refused = Some(k);
                    return Err(Error::order("batch", "a row that the host must see"));
                }
            }
            Ok(())
        };
        let mut work = |at: Ptr| {
            let mut gather = Gather::new(s.control()?, Ptr::NULL, 0);
            for part in shared.borrow().iter() {
                let scalings = part.scalings.map_or(Ptr::NULL, |place| at.offset(place));
                gather.add(&self.cuda, ColumnArgs { from: at.offset(part.at), scalings, ..part.column })?;
            }
            gather.launch(&self.cuda)
        };
        let sent = if stored { self.cuda.upload_for(end, &mut fill, &mut work) } else { Ok(false) };
        self.parts = parts;
        match refused {
            // Rows are asked once: the next batches are numbers.
            Some(k) => {
                self.inputs[k] = None;
                Ok(false)
            }
            None => sent,
        }
    }

    /// The columns of a batch, one after another; whether there is a stored one among them, and where they end.
    fn lay_out(
        &self,
        s: &Step<'_>,
        plan: &Plan,
        from: &Rows<'_>,
        targets: &[Target],
        parts: &mut Vec<Part>,
    ) -> Result<(bool, usize)> {
        let (rows, mut end, mut stored) = (s.rows(), 0_usize, false);
        let mut place = |bytes: usize| {
            let at = end;
            end = (end + bytes).next_multiple_of(ALIGNMENT);
            at
        };
        let mut add = |what, (bytes, scalings): (usize, bool), column: ColumnArgs, slot| -> Result<()> {
            let (at, to) = (place(bytes), s.ptr(slot)?);
            let scalings = scalings.then(|| place(rows * size_of::<Scaling>()));
            parts.push(Part { what, at, bytes, scalings, column: ColumnArgs { to, ..column } });
            Ok(())
        };
        for (k, (port, input)) in plan.inputs.iter().zip(&self.inputs).enumerate() {
            let len = port.extent.len();
            match input.as_ref().filter(|_| from.is_stored(k)) {
                Some(Input { raw, norm }) => {
                    stored = true;
                    let column = ColumnArgs::new(ColumnKind::of(raw.kind()), s.dtype(), len, rows);
                    add(What::Stored(k), (rows * raw.bytes(len), true), column.decoded(raw, norm.as_ref(), false), port.y)?;
                }
                None => {
                    let column = ColumnArgs::new(ColumnKind::OfF32, s.dtype(), len, rows);
                    add(What::Input(k), (rows * len * 4, false), column, port.y)?;
                }
            }
        }
        for (k, (port, offered)) in plan.losses.iter().map(LossPort::used).zip(targets).enumerate() {
            let (what, len, column) = match (*offered, port.kind) {
                (Target::None, _) | (_, Target::None) => continue,
                (Target::Values(_), kind) => {
                    (What::Values(k), kind.len(), ColumnArgs::new(ColumnKind::Copy4, DType::F32, kind.len(), rows))
                }
                (Target::Index { classes, positions }, Target::Index { .. }) => {
                    let column = ColumnArgs::new(ColumnKind::Copy4, DType::F32, positions, rows);
                    (What::Labels { target: k, classes, positions }, positions, column)
                }
                (Target::Index { positions, .. }, Target::Values(x)) => {
                    let column = ColumnArgs::new(ColumnKind::OneHot, DType::F32, x.c, rows * positions);
                    let column = ColumnArgs { positions: positions as u32, ..column };
                    (What::Labels { target: k, classes: x.c, positions }, positions, column)
                }
            };
            add(what, (rows * len * 4, false), column, port.target)?;
        }
        if let Some(weight) = plan.weight {
            add(What::Weight, (rows * 4, false), ColumnArgs::new(ColumnKind::Copy4, DType::F32, 1, rows), weight)?;
        }
        Ok((stored, end))
    }

    /// Writes a column to its place.
    fn fill(&self, part: &mut Part, rows: usize, from: &Rows<'_>, all: &mut [u8]) -> Result<Result<(), Refused>> {
        let (before, behind) = all.split_at_mut(part.scalings.unwrap_or(part.at + part.bytes));
        let bytes = &mut before[part.at..part.at + part.bytes];
        match part.what {
            What::Stored(k) => {
                let Some(Input { raw, .. }) = &self.inputs[k] else { return Ok(Err(Refused(k))) };
                let scalings = bytemuck::cast_slice_mut::<u8, Scaling>(&mut behind[..rows * size_of::<Scaling>()]);
                let read = |(row, (bytes, scaling)): (usize, (&mut [u8], &mut Scaling))| {
                    from.stored(row, k, raw, bytes).map(|found| *scaling = found).is_some()
                };
                if !bytes.par_chunks_exact_mut(part.bytes / rows).zip(&mut *scalings).enumerate().all(read) {
                    return Ok(Err(Refused(k)));
                }
                if scalings.iter().all(Scaling::is_plain) {
                    part.scalings = None;
                }
            }
            What::Input(k) => each::<f32>(bytes, rows, |row, x| from.input(row, k, x))?,
            What::Values(k) => each::<f32>(bytes, rows, |row, t| from.values(row, k, t))?,
            What::Labels { target, classes, positions } => {
                each::<u32>(bytes, rows, |row, t| from.classes(row, target, t))?;
                // Losses on a GPU cannot say so any more.
                let weights: Vec<f32> = (0..rows).map(|row| from.weight(row)).collect();
                find_label(bytemuck::cast_slice(bytes), &weights, classes, positions)?;
            }
            What::Weight => {
                let weights = bytemuck::cast_slice_mut::<u8, f32>(bytes);
                weights.iter_mut().enumerate().for_each(|(row, w)| *w = from.weight(row));
            }
        }
        Ok(Ok(()))
    }
}

/// Input that has a row which is not as the set said, or that the host must see.
struct Refused(usize);

/// Reads row after row; the error of the first that fails.
fn each<T: bytemuck::Pod + Send>(
    bytes: &mut [u8],
    rows: usize,
    read: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let x = bytemuck::cast_slice_mut::<u8, T>(bytes);
    let len = x.len() / rows;
    let failed = x.par_chunks_exact_mut(len.max(1)).enumerate().filter_map(|(row, x)| Some((row, read(row, x).err()?)));
    failed.min_by_key(|(row, _)| *row).map_or(Ok(()), |(_, e)| Err(e))
}

#[cfg(test)]
mod tests;
