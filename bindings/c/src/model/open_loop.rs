//! Forward, losses, backward, update: one call each, or one for all.

use super::kmc_model;
use crate::entry::{Answer, Fault, classes, count, entry, extent, output, slice, slice_mut};
use crate::handle::with;
use crate::network::{kmc_node, node};
use crate::status::kmc_status;
use kamacite::{Extent, Grads, Mode, Model, Seed, Targets, View};

/// What a forward pass is for.
pub type kmc_mode = i32;
/// `kmc_mode`: To train: dropout drops, batch statistics are used and kept.
pub const KMC_MODE_TRAIN: i32 = 0;
/// `kmc_mode`: To look at gradients: as `KMC_MODE_INFER`, but a backward pass may follow.
pub const KMC_MODE_EVAL: i32 = 1;
/// `kmc_mode`: To predict.
pub const KMC_MODE_INFER: i32 = 2;
/// `kmc_mode`: To predict with dropout: each call draws other masks.
pub const KMC_MODE_MONTE_CARLO: i32 = 3;

/// What a backward pass does with the gradients of weights.
pub type kmc_grads = i32;
/// `kmc_grads`: Overwrites them.
pub const KMC_GRADS_WRITE: i32 = 0;
/// `kmc_grads`: Adds to them.
pub const KMC_GRADS_ADD: i32 = 1;
/// `kmc_grads`: Leaves them alone: only gradients wrt inputs are wanted.
pub const KMC_GRADS_SKIP: i32 = 2;

pub(crate) fn mode(value: kmc_mode) -> Answer<Mode> {
    Ok(match value {
        KMC_MODE_TRAIN => Mode::Train,
        KMC_MODE_EVAL => Mode::Eval,
        KMC_MODE_INFER => Mode::Infer,
        KMC_MODE_MONTE_CARLO => Mode::MonteCarlo,
        _ => return Err(Fault::value("mode", "KMC_MODE_TRAIN, _EVAL, _INFER or _MONTE_CARLO", value)),
    })
}

fn grads(value: kmc_grads) -> Answer<Grads> {
    Ok(match value {
        KMC_GRADS_WRITE => Grads::Write,
        KMC_GRADS_ADD => Grads::Add,
        KMC_GRADS_SKIP => Grads::Skip,
        _ => return Err(Fault::value("grads", "KMC_GRADS_WRITE, _ADD or _SKIP", value)),
    })
}

/// A batch for one input of a network: (rows, d, h, w, c).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_view {
    /// The values.
    pub x: *const f32,
    /// Samples.
    pub rows: i64,
    /// Sizes of one sample.
    pub d: i64,
    /// See `d`.
    pub h: i64,
    /// See `d`.
    pub w: i64,
    /// See `d`.
    pub c: i64,
}

/// The target of one loss: labels (from 0), or values where `labels` is NULL; neither, and a `len` of 0, for a loss that takes none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_target {
    /// Class indices.
    pub labels: *const i32,
    /// Numbers.
    pub values: *const f32,
    /// How many of either.
    pub len: i64,
}

/// Elements of either width.
pub(super) trait Element: Copy + 'static {
    fn view(extent: Extent, x: &[Self]) -> kamacite::Result<View<'_>>;
    /// Copies a view of whatever width.
    fn copy(to: &mut [Self], from: &View<'_>, what: &str) -> Answer;
}

macro_rules! element {
    ($t:ty, $new:ident, $same:ident, $other:ident) => {
        impl Element for $t {
            fn view(extent: Extent, x: &[Self]) -> kamacite::Result<View<'_>> {
                View::$new(extent, x)
            }

            fn copy(to: &mut [Self], from: &View<'_>, what: &str) -> Answer {
                let expected = from.rows() * from.extent().len();
                if to.len() != expected {
                    let expected = format!("room for {expected} values ({} rows of {})", from.rows(), from.extent());
                    return Err(Fault::shape(what, expected, to.len()));
                }
                if let Ok(same) = from.$same() {
                    to.copy_from_slice(same);
                } else {
                    to.iter_mut().zip(from.$other()?).for_each(|(to, &x)| *to = x as $t);
                }
                Ok(())
            }
        }
    };
}
element!(f32, new, as_f32, as_f64);
element!(f64, f64, as_f64, as_f32);

/// The extent of the only input.
pub(super) fn only_input(model: &Model) -> Answer<Extent> {
    let mut inputs = model.network().inputs();
    match (inputs.next(), inputs.next()) {
        (Some((_, extent)), None) => Ok(extent),
        _ => Err(Fault::shape("network", "one input", "several; call kmc_model_forward_views")),
    }
}

/// # Safety
/// The crate's contract.
unsafe fn forward<T: Element>(model: *mut kmc_model, mode: kmc_mode, x: *const T, len: i64) -> Answer {
    let mode = self::mode(mode)?;
    // SAFETY: the caller's promise.
    let x = unsafe { slice(x, len, "x") }?;
    with(model, "model", |model| {
        let extent = only_input(model)?;
        model.forward(mode, T::view(extent, x)?)?;
        Ok(())
    })
}

/// Runs a batch through a network with one input. `len` is rows x d x h x w x c, and tells the number of rows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_forward_f32(model: *mut kmc_model, mode: kmc_mode, x: *const f32, len: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_forward_f32", || unsafe { forward(model, mode, x, len) })
}

/// As `kmc_model_forward_f32`, for models in `KMC_FP64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_forward_f64(model: *mut kmc_model, mode: kmc_mode, x: *const f64, len: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_forward_f64", || unsafe { forward(model, mode, x, len) })
}

/// Runs a batch through a network: one view for each input, of the declared sizes or, where all layers allow it, of others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_forward_views(
    model: *mut kmc_model,
    mode: kmc_mode,
    x: *const kmc_view,
    n: i64,
) -> kmc_status {
    entry("kmc_model_forward_views", || {
        let mode = self::mode(mode)?;
        // SAFETY: the crate's contract.
        let views = unsafe { slice(x, n, "x") }?;
        let view = |v: &kmc_view| {
            let e = extent(v.d, v.h, v.w, v.c)?;
            let len = count(v.rows, "rows")?.checked_mul(e.len()).ok_or_else(|| Fault::value("rows", "fewer", v.rows))?;
            // SAFETY: as above.
            Ok(View::new(e, unsafe { slice(v.x, len as i64, "x") }?)?)
        };
        let views = views.iter().map(view).collect::<Answer<Vec<_>>>()?;
        with(model, "model", |model| {
            model.forward(mode, &views[..])?;
            Ok(())
        })
    })
}

/// The sizes d, h, w, c of an output (the first is 0) after a forward pass. `out_dhwc` has room for 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_output_extent(out_dhwc: *mut i64, model: *mut kmc_model, output: i64) -> kmc_status {
    entry("kmc_model_output_extent", || {
        // SAFETY: the crate's contract.
        let out = unsafe { slice_mut(out_dhwc, 4, "out_dhwc") }?;
        let index = count(output, "output")?;
        with(model, "model", |model| {
            let e = model.output(index)?.extent();
            out.copy_from_slice(&[e.d, e.h, e.w, e.c].map(|n| n as i64));
            Ok(())
        })
    })
}

/// Copies what `read` finds.
///
/// # Safety
/// The crate's contract.
unsafe fn read<T: Element>(
    y: *mut T,
    len: i64,
    what: &str,
    model: *mut kmc_model,
    read: impl FnOnce(&mut Model) -> Answer<View<'_>>,
) -> Answer {
    // SAFETY: the caller's promise.
    let y = unsafe { slice_mut(y, len, what) }?;
    with(model, "model", |model| T::copy(y, &read(model)?, what))
}

/// Copies an output of the last forward pass, the first of which is 0: (rows, d, h, w, c).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_output_f32(y: *mut f32, len: i64, model: *mut kmc_model, output: i64) -> kmc_status {
    entry("kmc_model_output_f32", || {
        let index = count(output, "output")?;
        // SAFETY: the crate's contract.
        unsafe { read(y, len, "y", model, |model| Ok(model.output(index)?)) }
    })
}

/// As `kmc_model_output_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_output_f64(y: *mut f64, len: i64, model: *mut kmc_model, output: i64) -> kmc_status {
    entry("kmc_model_output_f64", || {
        let index = count(output, "output")?;
        // SAFETY: the crate's contract.
        unsafe { read(y, len, "y", model, |model| Ok(model.output(index)?)) }
    })
}

/// Turns the outputs of the last forward pass into predictions, in place: logits into probabilities, as the losses say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_make_prediction(model: *mut kmc_model) -> kmc_status {
    entry("kmc_model_make_prediction", || {
        with(model, "model", |model| {
            model.predict()?;
            Ok(())
        })
    })
}

/// Values for `rows` rows.
pub(super) fn values<T: Element>(t: &[T], rows: usize) -> Answer<View<'_>> {
    if t.is_empty() || rows == 0 || !t.len().is_multiple_of(rows) {
        return Err(Fault::shape("t", format!("the same number of values for each of {rows} rows"), t.len()));
    }
    Ok(T::view(Extent::flat(t.len() / rows), t)?)
}

fn rows(model: &mut Model) -> Answer<usize> {
    Ok(model.output(0)?.rows())
}

/// The attached loss of the last forward pass, for class labels from 0: the mean over the rows. `kmc_model_backward` may follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_loss_classes(out: *mut f64, model: *mut kmc_model, labels: *const i32, n: i64) -> kmc_status {
    entry("kmc_model_loss_classes", || {
        // SAFETY: the crate's contract.
        let (out, labels) = unsafe { (output(out, "out")?, slice(labels, n, "labels")?) };
        let labels = classes(labels, "labels")?;
        with(model, "model", |model| {
            *out = model.loss(&[Targets::Classes(labels)])?;
            Ok(())
        })
    })
}

/// # Safety
/// The crate's contract.
unsafe fn loss_values<T: Element>(out: *mut f64, model: *mut kmc_model, t: *const T, len: i64) -> Answer {
    // SAFETY: the caller's promise.
    let (out, t) = unsafe { (output(out, "out")?, slice(t, len, "t")?) };
    with(model, "model", |model| {
        let t = values(t, rows(model)?)?;
        *out = model.loss(&[Targets::Values(t)])?;
        Ok(())
    })
}

/// As `kmc_model_loss_classes`, for targets that are numbers: as many for each row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_loss_values_f32(out: *mut f64, model: *mut kmc_model, t: *const f32, len: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_loss_values_f32", || unsafe { loss_values(out, model, t, len) })
}

/// As `kmc_model_loss_values_f32`, for models in `KMC_FP64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_loss_values_f64(out: *mut f64, model: *mut kmc_model, t: *const f64, len: i64) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_loss_values_f64", || unsafe { loss_values(out, model, t, len) })
}

/// The sum of all attached losses, each with its factor, for one target each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_loss_targets(
    out: *mut f64,
    model: *mut kmc_model,
    targets: *const kmc_target,
    n: i64,
) -> kmc_status {
    entry("kmc_model_loss_targets", || {
        // SAFETY: the crate's contract.
        let (out, targets) = unsafe { (output(out, "out")?, slice(targets, n, "targets")?) };
        with(model, "model", |model| {
            let rows = rows(model)?;
            let target = |t: &kmc_target| {
                // SAFETY: as above.
                Ok(match (t.labels.is_null(), t.values.is_null()) {
                    (false, true) => Targets::Classes(classes(unsafe { slice(t.labels, t.len, "labels") }?, "labels")?),
                    // SAFETY: as above.
                    (true, false) => Targets::Values(values(unsafe { slice(t.values, t.len, "values") }?, rows)?),
                    (true, true) if t.len == 0 => Targets::None,
                    _ => return Err(Fault::value("target", "labels or values", "both or none")),
                })
            };
            let targets = targets.iter().map(target).collect::<Answer<Vec<_>>>()?;
            *out = model.loss(&targets)?;
            Ok(())
        })
    })
}

/// Gradients wrt inputs and weights, from the losses that were evaluated last. One backward pass for each forward pass.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_backward(model: *mut kmc_model, grads: kmc_grads) -> kmc_status {
    entry("kmc_model_backward", || {
        let grads = self::grads(grads)?;
        with(model, "model", |model| Ok(model.backward_parameters(Seed::Loss, grads)?))
    })
}

/// # Safety
/// The crate's contract.
unsafe fn backward_from<T: Element>(model: *mut kmc_model, dy: *const T, len: i64, grads: kmc_grads) -> Answer {
    let grads = self::grads(grads)?;
    // SAFETY: the caller's promise.
    let dy = unsafe { slice(dy, len, "dy") }?;
    with(model, "model", |model| {
        let extent = model.output(0)?.extent();
        Ok(model.backward_parameters(T::view(extent, dy)?, grads)?)
    })
}

/// Gradients wrt inputs and weights, from the gradient `dy` of something of the caller's wrt output 0: a physics loss, a class's score.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_backward_from_f32(
    model: *mut kmc_model,
    dy: *const f32,
    len: i64,
    grads: kmc_grads,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_backward_from_f32", || unsafe { backward_from(model, dy, len, grads) })
}

/// As `kmc_model_backward_from_f32`, for models in `KMC_FP64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_backward_from_f64(
    model: *mut kmc_model,
    dy: *const f64,
    len: i64,
    grads: kmc_grads,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_model_backward_from_f64", || unsafe { backward_from(model, dy, len, grads) })
}

/// Copies the gradient wrt an input, the first of which is 0, of the last backward pass.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_input_gradient_f32(dx: *mut f32, len: i64, model: *mut kmc_model, input: i64) -> kmc_status {
    entry("kmc_model_input_gradient_f32", || {
        let index = count(input, "input")?;
        // SAFETY: the crate's contract.
        unsafe { read(dx, len, "dx", model, |model| Ok(model.input_gradient(index)?)) }
    })
}

/// As `kmc_model_input_gradient_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_input_gradient_f64(dx: *mut f64, len: i64, model: *mut kmc_model, input: i64) -> kmc_status {
    entry("kmc_model_input_gradient_f64", || {
        let index = count(input, "input")?;
        // SAFETY: the crate's contract.
        unsafe { read(dx, len, "dx", model, |model| Ok(model.input_gradient(index)?)) }
    })
}

/// Copies the output of a node that `kmc_model_keep` keeps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_node_f32(y: *mut f32, len: i64, model: *mut kmc_model, node: kmc_node) -> kmc_status {
    entry("kmc_model_node_f32", || {
        // SAFETY: the crate's contract.
        unsafe {
            read(y, len, "y", model, |model| {
                let id = self::node(model.network(), node, "node")?;
                Ok(model.node(id)?)
            })
        }
    })
}

/// Copies the gradient wrt the output of such a node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_node_gradient_f32(
    dy: *mut f32,
    len: i64,
    model: *mut kmc_model,
    node: kmc_node,
) -> kmc_status {
    entry("kmc_model_node_gradient_f32", || {
        // SAFETY: the crate's contract.
        unsafe {
            read(dy, len, "dy", model, |model| {
                let id = self::node(model.network(), node, "node")?;
                Ok(model.node_gradient(id)?)
            })
        }
    })
}
