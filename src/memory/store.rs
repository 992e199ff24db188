//! What outlives plans: parameters, their gradients, layer state, optimizer state. Shared by all plans of a model.

use super::copies::Copies;
use super::plan::{Param, ParamKind, ParamSpec};
use super::{ALIGN, Arena, Region, Slot, Space};
use crate::device::Device;
use crate::device::control::Control;
use crate::optim::NORM_WORDS;
use crate::rng::Init;
use crate::{DType, Error, Math, Result, real};
use std::cell::Cell;
use std::collections::HashMap;

/// One named array of the store.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `conv1.weight`.
    pub name: String,
    /// The node that declared it.
    pub node: u32,
    pub kind: ParamKind,
    pub shape: Vec<usize>,
    pub init: Init,
    pub fans: (usize, usize),
    /// First element in the flat arena.
    pub offset: usize,
    pub len: usize,
    pub frozen: bool,
    /// Factor on the learning rate.
    pub lr_scale: f64,
}

/// The values of a loss are to be added up, times this factor, in the launch that finds them; `first` begins the sum of the step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    pub factor: f64,
    pub first: bool,
}

/// Named arrays in flat arenas. Until [`Store::seal`] names can be added; afterwards only looked up.
#[derive(Debug)]
pub(crate) struct Store {
    pub dtype: DType,
    pub params: Vec<Entry>,
    pub states: Vec<Entry>,
    names: HashMap<String, usize>,
    pub weights: Arena,
    pub grads: Arena,
    pub state: Arena,
    /// Optimizer state: one region per word, each laid out like `weights`.
    pub words: Arena,
    /// A moving average of the weights: one region laid out like `weights`, or none.
    pub average: Arena,
    /// Parameters in the type of activations, where that is not theirs.
    pub copies: Copies,
    /// The control block of a GPU; without memory on the CPU.
    pub control: Arena,
    /// Where a GPU sums the squares of gradients; without memory on the CPU.
    pub norm: Arena,
    /// On a GPU: what the loss that is evaluated next adds, if it can, and then takes from here.
    pub total: Cell<Option<Total>>,
    /// Factor on loss gradients at the start; 1 but for f16.
    pub loss_scale: f32,
    /// How plans may rearrange sums.
    pub math: Math,
    /// Samples that the weights are learnt from; 0 where nobody has said.
    pub samples: usize,
    device: Device,
    sealed: bool,
}

impl Store {
    pub fn new(device: &Device, dtype: DType) -> Self {
        Self {
            device: device.clone(),
            dtype,
            params: Vec::new(),
            states: Vec::new(),
            names: HashMap::new(),
            weights: Arena::empty(),
            grads: Arena::empty(),
            state: Arena::empty(),
            words: Arena::empty(),
            average: Arena::empty(),
            copies: Copies::none(),
            control: Arena::empty(),
            norm: Arena::empty(),
            total: Cell::new(None),
            loss_scale: 1.0,
            math: Math::Exact,
            samples: 0,
            sealed: false,
        }
    }

    /// The slots of parameter `name`: new before sealing, looked up (and compared) afterwards.
    pub fn param(&mut self, name: String, node: u32, spec: &ParamSpec) -> Result<Param> {
        let index = declare(&mut self.names, &mut self.params, self.sealed, name, node, spec)?;
        let slot = |space| Slot { space, index: index as u32 };
        Ok(Param { w: slot(Space::Weight), dw: (!self.params[index].frozen).then(|| slot(Space::Grad)) })
    }

    /// The slot of a saved but not optimised array.
    pub fn state(&mut self, name: String, node: u32, spec: &ParamSpec) -> Result<Slot> {
        let index = declare(&mut self.names, &mut self.states, self.sealed, name, node, spec)?;
        Ok(Slot { space: Space::State, index: index as u32 })
    }

    /// Allocates everything declared so far and draws the initial values. Does nothing the second time.
    pub fn seal(&mut self, seed: u64) -> Result<()> {
        if std::mem::replace(&mut self.sealed, true) {
            return Ok(());
        }
        let (bytes, regions) = lay_out(&mut self.params, self.dtype)?;
        self.weights = Arena::new(&self.device, bytes, regions.clone())?;
        self.grads = Arena::new(&self.device, bytes, regions)?;
        let (bytes, regions) = lay_out(&mut self.states, self.dtype)?;
        self.state = Arena::new(&self.device, bytes, regions)?;
        self.control = control(&self.device, self.loss_scale)?;
        if self.device.is_cuda() {
            let region = Region { offset: 0, len: NORM_WORDS, row: None, dtype: DType::F64 };
            self.norm = Arena::new(&self.device, NORM_WORDS * 8, vec![region])?;
        }
        for (arena, entries) in [(&self.weights, &self.params), (&self.state, &self.states)] {
            for (i, e) in entries.iter().enumerate() {
                real!(self.dtype, T => {
                    let columns = e.shape.last().copied().unwrap_or(1);
                    arena.host_write::<T>(i, 0, |w| {
                        e.init.fill::<T>(w, columns, e.fans, seed, &e.name);
                        Ok(())
                    })?;
                });
            }
        }
        Ok(())
    }

    /// Elements of the flat arenas, padding between entries included.
    pub fn flat_len(&self) -> usize {
        self.weights.regions.last().map_or(0, |r| r.len)
    }

    /// The whole of `weights` or `grads` as one slot.
    pub fn flat(&self, space: Space) -> Slot {
        Slot { space, index: self.params.len() as u32 }
    }

    /// Makes room for `count` optimizer words per parameter; keeps what is there when the count is right already.
    /// Whether memory was taken, so that addresses have changed.
    pub fn reserve_words(&mut self, count: usize) -> Result<bool> {
        let wanted = self.words.regions.len() != count;
        if wanted {
            self.words = self.copies(count)?;
        }
        Ok(wanted)
    }

    /// Makes room for the copies of parameters that plans have asked for. Whether memory was taken.
    pub fn reserve_copies(&mut self) -> Result<bool> {
        self.copies.reserve(&self.device, &self.weights.regions)
    }

    /// Begins a moving average, equal to the weights at first; keeps one that is there.
    pub fn reserve_average(&mut self) -> Result<()> {
        if self.average.regions.is_empty() {
            self.average = self.copies(1)?;
            let all = self.params.len();
            match self.weights.cuda() {
                Some(cuda) => cuda.copy(self.average.ptr(0)?, self.weights.ptr(all)?, self.flat_len() * self.dtype.bytes())?,
                None => real!(self.dtype, T => self.average.write::<T>(0, 0)?.copy_from_slice(&self.weights.read::<T>(all, 0)?)),
            }
        }
        Ok(())
    }

    /// Exchanges the weights and their moving average, which must have begun.
    pub fn swap_average(&mut self) -> Result<()> {
        let (all, bytes) = (self.params.len(), self.flat_len() * self.dtype.bytes());
        match self.weights.cuda() {
            Some(cuda) => {
                let (w, average, spare) = (self.weights.ptr(all)?, self.average.ptr(0)?, cuda.allocate(bytes)?);
                self.weights.changed();
                cuda.copy(spare.ptr(), w, bytes)?;
                cuda.copy(w, average, bytes)?;
                cuda.copy(average, spare.ptr(), bytes)
            }
            None => real!(self.dtype, T => {
                let mut w = self.weights.write::<T>(all, 0)?;
                self.average.write::<T>(0, 0)?.swap_with_slice(&mut w);
                Ok(())
            }),
        }
    }

    /// Zeroed memory for `count` arrays laid out like `weights`.
    fn copies(&self, count: usize) -> Result<Arena> {
        let (len, dtype) = (self.flat_len(), self.dtype);
        let stride = (len * dtype.bytes()).next_multiple_of(ALIGN);
        Arena::new(
            &self.device,
            stride * count,
            (0..count).map(|i| Region { offset: i * stride, len, row: None, dtype }).collect(),
        )
    }
}

/// The control block at its start, where the device is a GPU.
fn control(device: &Device, loss_scale: f32) -> Result<Arena> {
    match device {
        Device::Cpu(_) => Ok(Arena::empty()),
        Device::Cuda(_) => {
            let words = size_of::<Control>() / 4;
            let arena = Arena::new(device, words * 4, vec![Region { offset: 0, len: words, row: None, dtype: DType::U32 }])?;
            arena.host_write::<u32>(0, 0, |c| {
                c.copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(&Control::new(loss_scale))));
                Ok(())
            })?;
            Ok(arena)
        }
    }
}

fn declare(
    names: &mut HashMap<String, usize>,
    entries: &mut Vec<Entry>,
    sealed: bool,
    name: String,
    node: u32,
    spec: &ParamSpec,
) -> Result<usize> {
    let len = spec.shape.iter().try_fold(1_usize, |n, &s| n.checked_mul(s)).filter(|&n| n <= 1 << 40);
    let Some(len) = len else {
        return Err(Error::shape(name, "too many elements").expected("at most 2^40").got(format!("{:?}", spec.shape)));
    };
    if let Some(&i) = names.get(&name) {
        let known = &entries[i];
        if known.node != node {
            return Err(Error::plan(name, "two nodes declare this name").hint("give the nodes different names"));
        }
        if known.shape != spec.shape {
            return Err(Error::shape(name, "the parameter has another shape in this plan")
                .expected(format!("{:?}", known.shape))
                .got(format!("{:?}", spec.shape))
                .hint("a layer whose weights depend on the image size cannot be planned at another size"));
        }
        return Ok(i);
    }
    if sealed {
        return Err(Error::plan(name, "not among the parameters of the first plan"));
    }
    let i = entries.len();
    names.insert(name.clone(), i);
    entries.push(Entry {
        name,
        node,
        kind: spec.kind,
        shape: spec.shape.clone(),
        init: spec.init,
        fans: spec.fans,
        offset: 0,
        len,
        frozen: false,
        lr_scale: 1.0,
    });
    Ok(i)
}

/// Entries one after another, each on a cache line; the last region covers them all.
fn lay_out(entries: &mut [Entry], dtype: DType) -> Result<(usize, Vec<Region>)> {
    let per_line = ALIGN / dtype.bytes();
    let mut next = 0_usize;
    let mut regions = Vec::with_capacity(entries.len() + 1);
    for e in entries {
        e.offset = next;
        regions.push(Region { offset: next * dtype.bytes(), len: e.len, row: None, dtype });
        next = next.checked_add(e.len.next_multiple_of(per_line)).ok_or_else(|| Error::shape("store", "too many parameters"))?;
    }
    regions.push(Region { offset: 0, len: next, row: None, dtype });
    Ok((next * dtype.bytes(), regions))
}
