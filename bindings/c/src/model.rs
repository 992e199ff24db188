//! Models: weights on a device.

pub mod arrays;
pub mod evaluate;
pub mod look;
pub mod open_loop;
pub mod update;

pub(crate) use evaluate::{fill_confusion, fill_scores, kmc_scores};

use crate::device::device;
use crate::entry::{Answer, Fault, count, entry, flag, give_text, lookup, optional, optional_text, output, sized32, slice, text};
use crate::handle::{Object, destroy, insert, with};
use crate::network::{kmc_network, kmc_node, node};
use crate::rules::{self, kmc_loss_options, kmc_precision};
use crate::status::kmc_status;
use kamacite::{Checkpoint, Device, Model, Registry};
use std::ffi::c_char;

/// A network with weights on a device. Made by `kmc_model_create`, `kmc_model_load`, or lent by a trainer; destroyed by `kmc_model_destroy`.
pub struct kmc_model {
    _opaque: [u8; 0],
}

/// How a model is made; see `KMC_MODEL_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_model_options {
    /// sizeof(kmc_model_options)
    pub size: u32,
    /// What it computes in.
    pub precision: kmc_precision,
    /// The seed of weights and dropout.
    pub seed: u64,
    /// "auto", "cpu", "cuda:0"; NULL: "auto".
    pub device: *const c_char,
    /// Threads of a CPU; 0: the default. Results do not depend on it.
    pub threads: i32,
    /// 1: no gradients wrt inputs, which spares the first layer some work.
    pub no_input_gradients: i32,
    /// 1: no weight decay on biases and normalisations.
    pub spare_biases: i32,
    /// 0
    pub reserved: i32,
    /// The losses, one for each output; NULL: none.
    pub losses: *const kmc_loss_options,
    /// Their number.
    pub n_losses: i64,
    /// Training samples, over which variational layers spread their divergence from the prior; a trainer knows its own.
    pub samples: i64,
}

sized32!(kmc_model_options);

/// A new handle for a model.
fn give(out: &mut *mut kmc_model, model: Model) -> Answer {
    *out = insert(Object::Model(Box::new(model)))?;
    Ok(())
}

/// A model of this network with new weights. `options` may be NULL: f32, seed 0, the best device, no loss.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_create(
    out: *mut *mut kmc_model,
    net: *mut kmc_network,
    options: *const kmc_model_options,
) -> kmc_status {
    entry("kmc_model_create", || {
        // SAFETY: the crate's contract.
        let (out, o) = unsafe { (output(out, "out")?, optional(options, "options")?) };
        let net = with(net, "net", |net| Ok(net.clone()))?;
        let first = net.outputs().first().map(|(name, _)| name.clone());
        let mut builder = Model::builder(net);
        if let Some(o) = o {
            builder = builder.precision(rules::precision(o.precision)?).seed(o.seed);
            builder = builder.input_gradients(!flag(o.no_input_gradients, "no_input_gradients")?);
            builder = builder.samples(count(o.samples, "samples")?);
            if flag(o.spare_biases, "spare_biases")? {
                builder = builder.spare_biases();
            }
            // SAFETY: as above.
            let (name, losses) = unsafe { (optional_text(o.device, "device")?, slice(o.losses, o.n_losses, "losses")?) };
            if let Some(device) = device(name, o.threads)? {
                builder = builder.device(device);
            }
            for loss in losses {
                // SAFETY: as above.
                let (output, loss, factor) = unsafe { rules::loss(loss) }?;
                let output = output.or_else(|| first.clone()).unwrap_or_default();
                builder = builder.loss(&output, loss, factor);
            }
        }
        give(out, builder.build()?)
    })
}

/// The model of a checkpoint, its network and losses included. `device` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_load(out: *mut *mut kmc_model, path: *const c_char, device: *const c_char) -> kmc_status {
    entry("kmc_model_load", || {
        // SAFETY: the crate's contract.
        let (out, path, name) = unsafe { (output(out, "out")?, text(path, "path")?, optional_text(device, "device")?) };
        let device = self::device(name, 0)?.unwrap_or_else(Device::auto);
        give(out, Checkpoint::load(path)?.model(&Registry::standard(), device)?)
    })
}

/// Destroys a model. NULL is allowed, and nothing. The model of a trainer goes with its trainer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_destroy(model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_destroy", || destroy(model, "model"))
}

/// Writes weights, layer state and network to a file, so that `path` holds either its old contents or all of the new ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_save(model: *mut kmc_model, path: *const c_char) -> kmc_status {
    entry("kmc_model_save", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        with(model, "model", |model| Ok(model.checkpoint()?.save(path)?))
    })
}

/// Takes weights and state from a checkpoint of the same network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_restore(model: *mut kmc_model, path: *const c_char) -> kmc_status {
    entry("kmc_model_restore", || {
        // SAFETY: the crate's contract.
        let path = unsafe { text(path, "path") }?;
        with(model, "model", |model| Ok(model.restore(&Checkpoint::load(path)?)?))
    })
}

/// Takes those arrays of a checkpoint whose names begin with `prefix`: a trained encoder under a new head. `out_arrays` is their number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_restore_some(
    out_arrays: *mut i64,
    model: *mut kmc_model,
    path: *const c_char,
    prefix: *const c_char,
) -> kmc_status {
    entry("kmc_model_restore_some", || {
        // SAFETY: the crate's contract.
        let (out, path, prefix) = unsafe { (output(out_arrays, "out_arrays")?, text(path, "path")?, text(prefix, "prefix")?) };
        with(model, "model", |model| {
            *out = model.restore_some(&Checkpoint::load(path)?, |name| name.starts_with(prefix))? as i64;
            Ok(())
        })
    })
}

/// What the model computes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_device(out: *mut *const c_char, model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_device", || {
        let device = with(model, "model", |model| Ok(model.device().to_string()))?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &device) }
    })
}

/// The number of updates since the weights were drawn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_updates(out: *mut u64, model: *mut kmc_model) -> kmc_status {
    lookup("kmc_model_updates", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        with(model, "model", |model| {
            *out = model.updates();
            Ok(())
        })
    })
}

/// The plans made so far: nodes, sizes, parameters, memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_summary(out: *mut *const c_char, model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_summary", || {
        let summary = with(model, "model", |model| {
            let plans: Vec<String> = model.plans().map(|plan| format!("{:?}\n{plan}", plan.mode)).collect();
            Ok(plans.join("\n\n"))
        })?;
        // SAFETY: the crate's contract.
        unsafe { give_text(out, &summary) }
    })
}

fn on_node(model: *mut kmc_model, node: kmc_node, f: impl FnOnce(&mut Model, kamacite::NodeId) -> Answer) -> Answer {
    with(model, "model", |model| {
        let id = self::node(model.network(), node, "node")?;
        f(model, id)
    })
}

/// Freezes a node: its weights get no gradient and no update.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_freeze(model: *mut kmc_model, node: kmc_node) -> kmc_status {
    entry("kmc_model_freeze", || {
        on_node(model, node, |model, id| {
            model.freeze(id);
            Ok(())
        })
    })
}

/// Undoes `kmc_model_freeze`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_unfreeze(model: *mut kmc_model, node: kmc_node) -> kmc_status {
    entry("kmc_model_unfreeze", || {
        on_node(model, node, |model, id| {
            model.unfreeze(id);
            Ok(())
        })
    })
}

/// Multiplies the learning rate of a node's weights.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_scale_learning_rate(model: *mut kmc_model, node: kmc_node, factor: f64) -> kmc_status {
    entry("kmc_model_scale_learning_rate", || on_node(model, node, |model, id| Ok(model.scale_learning_rate(id, factor)?)))
}

/// Keeps the output of a node, and in backward passes its gradient, for `kmc_model_node_f32` and `kmc_model_node_gradient_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_keep(model: *mut kmc_model, node: kmc_node) -> kmc_status {
    entry("kmc_model_keep", || {
        on_node(model, node, |model, id| {
            model.keep(id);
            Ok(())
        })
    })
}

/// The copy of a network that the model was made of, as a network of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_network(out: *mut *mut kmc_network, model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_network", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        let net = with(model, "model", |model| Ok(model.network().clone()))?;
        *out = insert(Object::Network(net))?;
        Ok(())
    })
}

/// An argument that must be there.
pub(crate) fn some<T>(value: Option<T>, what: &str, expected: &str) -> Answer<T> {
    value.ok_or_else(|| Fault::value(what, expected, "nothing"))
}
