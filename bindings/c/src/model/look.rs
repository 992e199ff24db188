//! What a model looks at, and predictions over images larger than itself.

use super::kmc_model;
use super::open_loop::only_input;
use crate::dataset::files::prepare;
use crate::entry::{Answer, Fault, copy_out, count, entry, extent, optional, sized32, slice, slice_mut, text};
use crate::fits::{KMC_FIRST_HDU, KMC_MISSING_ERROR, image, kmc_missing, missing, which};
use crate::handle::with;
use crate::network::{kmc_node, node};
use crate::status::kmc_status;
use kamacite::data::Missing;
use kamacite::data::fits::Cards;
use kamacite::data::mosaic::Mosaic;
use kamacite::introspect::{Gradient, Maps, Score, Smooth, grad_cam, saliency, smooth_grad};
use kamacite::{Model, NodeId, View};
use std::ffi::c_char;
use std::ptr::null;

/// What is made of the gradient of a score wrt the input.
pub type kmc_gradient = i32;
/// `kmc_gradient`: The gradient: how the score would change.
pub const KMC_GRADIENT_PLAIN: i32 = 0;
/// `kmc_gradient`: Its absolute value.
pub const KMC_GRADIENT_ABSOLUTE: i32 = 1;
/// `kmc_gradient`: Times the input: to first order, what a value contributes.
pub const KMC_GRADIENT_TIMES_INPUT: i32 = 2;

fn gradient(kind: kmc_gradient) -> Answer<Gradient> {
    Ok(match kind {
        KMC_GRADIENT_PLAIN => Gradient::Plain,
        KMC_GRADIENT_ABSOLUTE => Gradient::Absolute,
        KMC_GRADIENT_TIMES_INPUT => Gradient::TimesInput,
        _ => return Err(Fault::value("kind", "one of KMC_GRADIENT_PLAIN to KMC_GRADIENT_TIMES_INPUT", kind)),
    })
}

/// A channel for each sample of the only input, and what is found of that.
fn explain(
    model: *mut kmc_model,
    x: &[f32],
    channels: &[i32],
    f: impl FnOnce(&mut Model, View<'_>, &Score) -> Answer<Maps>,
) -> Answer<Maps> {
    let score = Score::each(crate::entry::classes(channels, "channels")?);
    with(model, "model", |model| {
        let view = View::new(only_input(model)?, x)?;
        if view.rows() != channels.len() {
            return Err(Fault::shape("channels", format!("one for each of {} samples", view.rows()), channels.len()));
        }
        f(model, view, &score)
    })
}

/// The gradients wrt the input of one channel of the first output for each sample (its class, say), without the activation of that output:
/// a map of the size of the input for each. `len` is the number of values of all `n` samples. `draws` above 0 gives SmoothGrad: the mean
/// over so many copies with noise of the standard deviation `noise`, a share of the sample's range (0.15 is usual).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_saliency(
    maps: *mut f32,
    len: i64,
    model: *mut kmc_model,
    x: *const f32,
    channels: *const i32,
    n: i64,
    kind: kmc_gradient,
    draws: i64,
    noise: f64,
    seed: u64,
) -> kmc_status {
    entry("kmc_model_saliency", || {
        let (kind, draws) = (gradient(kind)?, count(draws, "draws")?);
        // SAFETY: the crate's contract.
        let (maps, x, channels) =
            unsafe { (slice_mut(maps, len, "maps")?, slice(x, len, "x")?, slice(channels, n, "channels")?) };
        let found = explain(model, x, channels, |model, x, score| {
            let found = match draws {
                0 => saliency(model, x, score, kind)?,
                _ => smooth_grad(model, x, score, kind, &Smooth { draws, noise, seed })?,
            };
            found.into_iter().next().ok_or_else(|| Fault::shape("model", "one input", "none"))
        })?;
        copy_out(maps, found.values(), "maps")
    })
}

/// The Grad-CAM maps of a node, most often the last convolution: where the evidence for a channel of the first output lies. There is a map
/// (d, h, w) of the size of the input for each of `n` samples, `maps_len` values in all; `x_len` is that of the samples.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_grad_cam(
    maps: *mut f32,
    maps_len: i64,
    model: *mut kmc_model,
    x: *const f32,
    x_len: i64,
    channels: *const i32,
    n: i64,
    node: kmc_node,
) -> kmc_status {
    entry("kmc_model_grad_cam", || {
        // SAFETY: the crate's contract.
        let (maps, x, channels) =
            unsafe { (slice_mut(maps, maps_len, "maps")?, slice(x, x_len, "x")?, slice(channels, n, "channels")?) };
        let found = explain(model, x, channels, |model, x, score| {
            let at: NodeId = self::node(model.network(), node, "node")?;
            Ok(grad_cam(model, x, score, at)?)
        })?;
        copy_out(maps, found.values(), "maps")
    })
}

/// How an image is predicted in tiles. Zero is the default of every field but `hdu`; see `KMC_MOSAIC_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_mosaic_options {
    /// sizeof(kmc_mosaic_options)
    pub size: u32,
    /// Which HDU of the image, the primary one being 0; `KMC_FIRST_HDU` in the macro.
    pub hdu: i32,
    /// Its name, in place of the number; NULL: none.
    pub hdu_name: *const c_char,
    /// Pixels that a tile shares with its neighbours; predictions are blended there.
    pub overlap: i64,
    /// Pixels at the inner edges of tiles that are left out, at most half of the overlap: as many as the network reaches to one side.
    pub margin: i64,
    /// Tiles at once; 0: 1.
    pub batch: i64,
    /// What becomes of missing values, tile by tile, before `prepare`.
    pub missing: kmc_missing,
    /// 0
    pub reserved: i32,
    /// The number of `KMC_MISSING_VALUE`.
    pub fill: f64,
    /// What is done to each tile, as `kmc_dataset_load` has it; steps that change the size are refused. NULL: nothing.
    pub prepare: *const c_char,
}

sized32!(kmc_mosaic_options);

const DEFAULT: kmc_mosaic_options = kmc_mosaic_options {
    size: size_of::<kmc_mosaic_options>() as u32,
    hdu: KMC_FIRST_HDU,
    hdu_name: null(),
    overlap: 0,
    margin: 0,
    batch: 0,
    missing: KMC_MISSING_ERROR,
    reserved: 0,
    fill: 0.0,
    prepare: null(),
};

/// Predicts an image or cube of any size, from FITS file to FITS file, in tiles of d x h x w, one row of them in memory at a time. The
/// result has the world coordinates of the image, scaled where the network changes its size; several channels become planes. `options`
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_model_predict_fits(
    model: *mut kmc_model,
    from: *const c_char,
    to: *const c_char,
    d: i64,
    h: i64,
    w: i64,
    options: *const kmc_mosaic_options,
) -> kmc_status {
    entry("kmc_model_predict_fits", || {
        // SAFETY: the crate's contract.
        let (from, to, o) =
            unsafe { (text(from, "from")?, text(to, "to")?, optional(options, "options")?.copied().unwrap_or(DEFAULT)) };
        // SAFETY: as above.
        let (which, steps) = unsafe { (which(o.hdu, o.hdu_name)?, prepare(o.prepare)?) };
        let tile = extent(d, h, w, 1)?;
        let mosaic = Mosaic::new(tile, count(o.overlap, "overlap")?).margin(count(o.margin, "margin")?);
        let mosaic = mosaic.batch(count(o.batch, "batch")?.max(1));
        // Steps have a policy of their own, and refuse what it does not treat.
        let policy = match missing(o.missing, o.fill)? {
            Missing::Error if steps.is_some() => Missing::Keep,
            policy => policy,
        };
        let image = image(from, which)?;
        let each = |x: &mut [f32]| steps.as_ref().map_or(Ok(()), |s| s.apply_in_place(x, tile));
        with(model, "model", |model| Ok(mosaic.predict_fits(model, (&image, policy), each, to, Cards::new())?))
    })
}
