//! Checkpoints: one `.safetensors` file that holds a network, its weights and everything a run needs to go on.
//!
//! The arrays are the tensors `conv1.weight`, `norm1.running_mean`, `ema/conv1.weight` and `optimizer.0/conv1.weight`; one metadata entry,
//! `kamacite`, is JSON in a fixed order, so that equal states give equal bytes. Any reader of the format sees the arrays.
//!
//! # Source
//! The safetensors format: 8 bytes of header length, a JSON header, the data.

use crate::layer::Fields;
use crate::memory::Arena;
use crate::network::{Network, Registry};
use crate::{DType, Device, Error, Mode, Model, Precision, Real, Result, real};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The format this version writes.
const FORMAT: u32 = 1;
/// The metadata entry that makes a safetensors file a checkpoint.
const KEY: &str = "kamacite";

/// A checkpoint on the host: arrays by name, and what the JSON says. No device.
///
/// # Examples
/// ```
/// use kamacite::*;
/// let mut net = Network::new(Extent::flat(4));
/// net.push(Dense::new(3));
/// let model = Model::builder(net).seed(1).build()?;
/// let path = std::env::temp_dir().join(format!("kamacite-doc-{}.safetensors", std::process::id()));
/// model.checkpoint()?.save(&path)?;
/// let again = Checkpoint::load(&path)?.model(&Registry::standard(), Device::cpu())?;
/// assert_eq!(again.array("dense1.weight")?, model.array("dense1.weight")?);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    arrays: BTreeMap<String, Array>,
    pub(crate) meta: Meta,
}

#[derive(Clone, Debug, PartialEq)]
struct Array {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// The JSON part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    format: u32,
    version: String,
    precision: Precision,
    seed: u64,
    forwards: u64,
    updates: u64,
    network: Fields,
    losses: Vec<SavedLoss>,
    spare_biases: bool,
    /// Names of frozen parameters.
    frozen: Vec<String>,
    /// Factors on the learning rate that are not 1.
    scales: BTreeMap<String, f64>,
    /// Number of optimizer words.
    words: usize,
    /// Kind and hyper-parameters of the optimizer, where there is one.
    optimizer: Option<(String, Fields)>,
    /// What the trainer adds.
    pub trainer: Option<Fields>,
    /// What the user adds: a normalisation, class names.
    notes: BTreeMap<String, Fields>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedLoss {
    output: String,
    kind: String,
    data: Fields,
    factor: f64,
}

impl Checkpoint {
    /// Reads and checks a file completely before anything is built from it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), [`ErrorKind::Format`](crate::ErrorKind::Format) for anything that
    /// [`Checkpoint::save`] would not have written, [`ErrorKind::Value`](crate::ErrorKind::Value) for weights that are NaN or infinite.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        let free = Device::Cpu(crate::Cpu::new(1)?).free_memory().unwrap_or(usize::MAX);
        if length > free as u64 / 2 {
            let e = Error::out_of_memory(path.display(), "the file is larger than half of the free memory");
            return Err(e.expected(format!("at most {} bytes", free / 2)).got(length));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes(&bytes).map_err(|e| e.at(path.display()))
    }

    /// As [`Checkpoint::load`], from memory.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| Error::format("checkpoint", "not a valid safetensors file").got(e);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(&e))?;
        let json = header.metadata().as_ref().and_then(|m| m.get(KEY));
        let json = json.ok_or_else(|| {
            Error::format("checkpoint", "no entry `kamacite` in the metadata").hint("was it written by another program?")
        })?;
        let version: Version =
            serde_json::from_str(json).map_err(|e| Error::format("checkpoint", "metadata not understood").got(e))?;
        if version.format != FORMAT {
            let e = Error::format("checkpoint", "unknown format").expected(FORMAT).got(version.format);
            return Err(e.hint("it was written by a newer version"));
        }
        let meta: Meta = serde_json::from_str(json).map_err(|e| Error::format("checkpoint", "metadata not understood").got(e))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| wrong(&e))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in tensors.iter() {
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
                Dtype::F64 => Values::F64(view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
                other => return Err(Error::format(name, "element type").expected("F32 or F64").got(format!("{other:?}"))),
            };
            let array = Array { shape: view.shape().to_vec(), values };
            array.check_finite(name)?;
            arrays.insert(name.to_string(), array);
        }
        Ok(Self { arrays, meta })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if the arrays do not make a valid file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let wrong = |e: &dyn std::fmt::Display| Error::format("checkpoint", "cannot be written").got(e);
        let json = serde_json::to_string(&self.meta).map_err(|e| wrong(&e))?;
        let bytes: Vec<(&str, &Array, Vec<u8>)> = self.arrays.iter().map(|(n, a)| (n.as_str(), a, a.bytes())).collect();
        let views = bytes.iter().map(|(name, a, b)| TensorView::new(a.dtype(), a.shape.clone(), b).map(|v| (*name, v)));
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_string(), json)]))).map_err(|e| wrong(&e))
    }

    /// Writes to a temporary file beside `path`, syncs, and renames it: at any moment `path` is whole.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// The description of the network.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for layers that the registry does not know.
    pub fn network(&self, registry: &Registry) -> Result<Network> {
        Network::load(&self.meta.network, registry)
    }

    /// The network with its weights.
    ///
    /// # Errors
    /// As [`Checkpoint::network`], and for arrays that do not fit the network.
    pub fn model(&self, registry: &Registry, device: Device) -> Result<Model> {
        let m = &self.meta;
        let network = self.network(registry)?;
        // A hostile description may ask for any amount of memory; an honest one for no more than the file holds. The report
        // counts parameters twice, with their gradients, and state once, in f32.
        let held = self.arrays.values().map(Array::len).sum::<usize>();
        let most = held.saturating_mul(2 * DType::F32.bytes());
        let asked = network.report(Mode::Infer, 1)?.store_bytes;
        if asked > most {
            let e = Error::format("checkpoint", "the network is larger than what the file holds");
            return Err(e.expected(format!("at most {most} bytes")).got(asked));
        }
        let mut builder = Model::builder(network).device(device).precision(m.precision).seed(m.seed);
        for l in &m.losses {
            builder = builder.loss_shared(&l.output, registry.loss(&l.kind, &l.data)?, l.factor);
        }
        if m.spare_biases {
            builder = builder.spare_biases();
        }
        let mut model = builder.build()?;
        model.restore(self)?;
        Ok(model)
    }

    /// Names of the arrays, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// An array and its shape, as f64.
    pub fn array(&self, name: &str) -> Option<(&[usize], Vec<f64>)> {
        self.arrays.get(name).map(|a| (a.shape.as_slice(), a.to_f64()))
    }

    /// Optimizer steps done when it was made.
    pub fn updates(&self) -> u64 {
        self.meta.updates
    }

    /// Adds a note of the user's: a normalisation, class names.
    pub fn note(&mut self, name: &str, value: Fields) {
        self.meta.notes.insert(name.to_string(), value);
    }

    pub(crate) fn set_optimizer(&mut self, kind: &str, data: Fields) {
        self.meta.optimizer = Some((kind.to_string(), data));
    }

    /// Refuses the state of another kind of optimizer: its words mean something else.
    pub(crate) fn check_optimizer(&self, kind: &str) -> Result<()> {
        match &self.meta.optimizer {
            Some((saved, _)) if saved != kind => {
                Err(Error::format("checkpoint", "written by another optimizer").expected(kind).got(saved))
            }
            _ => Ok(()),
        }
    }

    /// The optimizer that wrote it, if one did.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for an optimizer that the registry does not know.
    pub fn optimizer(&self, registry: &Registry) -> Result<Option<std::sync::Arc<dyn crate::Optimizer>>> {
        self.meta.optimizer.as_ref().map(|(kind, data)| registry.optimizer(kind, data)).transpose()
    }

    /// A note that the user added.
    pub fn notes(&self, name: &str) -> Option<&Fields> {
        self.meta.notes.get(name)
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Array {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::F32(x) => x.len(),
            Values::F64(x) => x.len(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match &self.values {
            Values::F32(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F64(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
            Values::F64(x) => x.clone(),
        }
    }

    fn check_finite(&self, name: &str) -> Result<()> {
        let bad = match &self.values {
            Values::F32(x) => x.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(x[i]))),
            Values::F64(x) => x.iter().position(|x| !x.is_finite()).map(|i| (i, x[i])),
        };
        bad.map_or(Ok(()), |(i, x)| Err(Error::value(name, format!("element {i} is not finite")).got(x)))
    }

    fn copy_to(&self, arena: &Arena, index: usize, offset: usize, len: usize) -> Result<()> {
        let dtype = arena.regions[index].dtype;
        real!(dtype, T => arena.host_update::<T>(index, |to| {
            let to = &mut to[offset..offset + len];
            match &self.values {
                Values::F32(x) => copy(x, to),
                Values::F64(x) => copy(x, to),
            }
            Ok(())
        }))
    }
}

fn copy<S: Real, D: Real>(from: &[S], to: &mut [D]) {
    to.iter_mut().zip(from).for_each(|(d, s)| *d = D::of(s.to_f64()));
}

impl Model {
    /// Everything needed to rebuild this model and go on training it.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if a weight is NaN or infinite: a broken state does not replace a good file.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut arrays = BTreeMap::new();
        let outputs = self.net.outputs();
        let store = &self.store;
        let words = store.words.regions.len();
        let mut sources: Vec<(String, &Arena, Option<usize>)> = vec![(String::new(), &store.weights, None)];
        sources.extend((0..words).map(|k| (format!("optimizer.{k}/"), &store.words, Some(k))));
        sources.extend(store.average.regions.iter().map(|_| ("ema/".to_string(), &store.average, Some(0))));
        for (prefix, arena, flat) in &sources {
            for (i, e) in store.params.iter().enumerate() {
                let (index, offset) = flat.map_or((i, 0), |k| (k, e.offset));
                take(&mut arrays, format!("{prefix}{}", e.name), &e.shape, arena, index, offset..offset + e.len)?;
            }
        }
        for (i, e) in store.states.iter().enumerate() {
            take(&mut arrays, e.name.clone(), &e.shape, &store.state, i, 0..e.len)?;
        }
        let loss = |l: &crate::network::LossSpec| SavedLoss {
            output: outputs[l.output].0.clone(),
            kind: l.loss.kind().to_string(),
            data: l.loss.save(),
            factor: l.factor,
        };
        let meta = Meta {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            precision: self.precision,
            seed: self.seed,
            forwards: self.forwards,
            updates: self.updates,
            network: self.net.save(),
            losses: self.losses.iter().map(loss).collect(),
            spare_biases: self.spare_biases,
            frozen: store.params.iter().filter(|p| p.frozen).map(|p| p.name.clone()).collect(),
            scales: store.params.iter().filter(|p| p.lr_scale != 1.0).map(|p| (p.name.clone(), p.lr_scale)).collect(),
            words,
            optimizer: None,
            trainer: None,
            notes: BTreeMap::new(),
        };
        Ok(Checkpoint { arrays, meta })
    }

    /// Takes weights, state, optimizer state and counters from a checkpoint of the same network.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) for a missing array, [`ErrorKind::Shape`](crate::ErrorKind::Shape)
    /// for one of another shape. Nothing is changed then.
    pub fn restore(&mut self, from: &Checkpoint) -> Result<()> {
        let m = &from.meta;
        if m.words > crate::network::MAX_WORDS {
            let e = Error::format("checkpoint", "words of optimizer state")
                .expected(format!("at most {}", crate::network::MAX_WORDS));
            return Err(e.got(m.words));
        }
        let averaged = from.arrays.keys().any(|k| k.starts_with("ema/"));
        let mut prefixes = vec![String::new()];
        prefixes.extend((0..m.words).map(|k| format!("optimizer.{k}/")));
        prefixes.extend(averaged.then(|| "ema/".to_string()));
        let expected = prefixes.iter().flat_map(|p| self.store.params.iter().map(move |e| (format!("{p}{}", e.name), &e.shape)));
        let expected = expected.chain(self.store.states.iter().map(|e| (e.name.clone(), &e.shape)));
        for (name, shape) in expected {
            let array = from.arrays.get(&name).ok_or_else(|| Error::format(&name, "not in the checkpoint"))?;
            if array.shape != *shape {
                return Err(Error::shape(name, "shape").expected(format!("{shape:?}")).got(format!("{:?}", array.shape)));
            }
        }
        self.store.reserve_words(m.words)?;
        if averaged {
            self.store.reserve_average()?;
        }
        let store = &self.store;
        for (i, e) in store.params.iter().enumerate() {
            from.arrays[&e.name].copy_to(&store.weights, i, 0, e.len)?;
            for k in 0..m.words {
                from.arrays[&format!("optimizer.{k}/{}", e.name)].copy_to(&store.words, k, e.offset, e.len)?;
            }
            if averaged {
                from.arrays[&format!("ema/{}", e.name)].copy_to(&store.average, 0, e.offset, e.len)?;
            }
        }
        for (i, e) in store.states.iter().enumerate() {
            from.arrays[&e.name].copy_to(&store.state, i, 0, e.len)?;
        }
        (self.seed, self.forwards, self.updates) = (m.seed, m.forwards, m.updates);
        for p in &mut self.store.params {
            p.frozen = m.frozen.contains(&p.name);
            p.lr_scale = m.scales.get(&p.name).copied().unwrap_or(1.0);
        }
        self.find_runs();
        self.forget_plans();
        Ok(())
    }

    /// Takes those arrays (weights and layer state) whose names `wanted` accepts: a pre-trained encoder under a new
    /// head. Returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if an accepted array has another shape here.
    pub fn restore_some(&mut self, from: &Checkpoint, wanted: impl Fn(&str) -> bool) -> Result<usize> {
        let mut count = 0;
        let store = &self.store;
        for (arena, entries) in [(&store.weights, &store.params), (&store.state, &store.states)] {
            for (i, e) in entries.iter().enumerate().filter(|(_, e)| wanted(&e.name)) {
                let Some(array) = from.arrays.get(&e.name) else { continue };
                if array.shape != e.shape {
                    return Err(Error::shape(&e.name, "shape")
                        .expected(format!("{:?}", e.shape))
                        .got(format!("{:?}", array.shape)));
                }
                array.copy_to(arena, i, 0, e.len)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

fn take(
    arrays: &mut BTreeMap<String, Array>,
    name: String,
    shape: &[usize],
    arena: &Arena,
    index: usize,
    range: std::ops::Range<usize>,
) -> Result<()> {
    let values = match arena.regions[index].dtype {
        DType::F64 => Values::F64(arena.host_read::<f64, _>(index, 0, |x| x[range].to_vec())?),
        _ => Values::F32(arena.host_read::<f32, _>(index, 0, |x| x[range].to_vec())?),
    };
    let array = Array { shape: shape.to_vec(), values };
    array.check_finite(&name)?;
    arrays.insert(name, array);
    Ok(())
}

/// Writes `bytes` so that `path` holds either its old contents or all of the new ones, also after a crash.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".tmp{}", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // The rename itself is durable once the folder is; where folders cannot be opened, it is merely atomic.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).or(Ok(()))
    };
    write().map_err(|e| {
        std::fs::remove_file(&temporary).ok();
        Error::io(path, e)
    })
}
