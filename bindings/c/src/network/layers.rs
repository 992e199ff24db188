//! One function for each layer.

use super::options::{
    kmc_bayes_dense_options, kmc_conv_options, kmc_dense_options, kmc_node_options, kmc_norm_options, kmc_pool_options, kmc_sizes,
};
use super::{KMC_LAST, kmc_network, kmc_node, node};
use crate::entry::{Answer, Fault, Sized32, count, entry, extent, flag, input, optional, optional_text, slice};
use crate::handle::with;
use crate::rules::{self, kmc_activation};
use crate::status::kmc_status;
use kamacite::layer::Layer;
use kamacite::{
    Activate, BayesDense, Conv, ConvTranspose, Crop, Dense, Dropout, Flatten, Lrn, Merge, Network, NodeId, Norm, PRelu, Pool,
    Reshape, Upsample, ZeroPad,
};
use std::ffi::c_char;
use std::ptr::null;

/// What is pooled.
pub type kmc_pool = i32;
/// `kmc_pool`: The largest value of each window.
pub const KMC_POOL_MAX: i32 = 0;
/// `kmc_pool`: The mean of each window.
pub const KMC_POOL_AVERAGE: i32 = 1;

/// What shares a mean and a variance.
pub type kmc_norm = i32;
/// `kmc_norm`: Each channel over the batch.
pub const KMC_NORM_BATCH: i32 = 0;
/// `kmc_norm`: All values of a sample.
pub const KMC_NORM_LAYER: i32 = 1;
/// `kmc_norm`: Each channel of a sample.
pub const KMC_NORM_INSTANCE: i32 = 2;
/// `kmc_norm`: Each group of channels of a sample.
pub const KMC_NORM_GROUP: i32 = 3;
/// `kmc_norm`: Groups as CIANNA has them.
pub const KMC_NORM_CIANNA: i32 = 4;

/// Where a layer goes.
#[derive(Clone, Copy)]
struct Where {
    input: kmc_node,
    name: *const c_char,
}

const AT_THE_END: Where = Where { input: KMC_LAST, name: null() };

/// Adds a layer, and names it.
///
/// # Safety
/// The crate's contract.
unsafe fn add(net: *mut kmc_network, at: Where, layer: impl Layer + 'static) -> Answer {
    // SAFETY: the caller's promise.
    let name = unsafe { optional_text(at.name, "name") }?;
    with(net, "net", |net| {
        let from = node(net, at.input, "input")?;
        let id = net.add(layer, &[from]);
        named(net, id, name);
        Ok(())
    })
}

fn named(net: &mut Network, id: NodeId, name: Option<&str>) {
    if let Some(name) = name {
        net.name(id, name);
    }
}

/// Where plain options put a layer.
///
/// # Safety
/// The crate's contract.
unsafe fn place(o: *const kmc_node_options) -> Answer<Where> {
    // SAFETY: the caller's promise.
    let o = unsafe { optional(o, kmc_node_options::NAME) }?;
    Ok(o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name }))
}

/// A dense layer, y = f(x W + b), of `units` units. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_dense(
    net: *mut kmc_network,
    units: i64,
    activation: kmc_activation,
    options: *const kmc_dense_options,
) -> kmc_status {
    entry("kmc_network_dense", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let (a, b) = o.map_or((0.0, 0.0), |o| (o.a, o.b));
        let mut layer = Dense::new(count(units, "units")?).act(rules::activation(activation, a, b)?);
        if let Some(o) = o {
            layer = layer.bias_init(o.bias_init);
            if flag(o.no_bias, "no_bias")? {
                layer = layer.no_bias();
            }
            if let Some(init) = rules::init(o.init, o.init_value)? {
                layer = layer.init(init);
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// A dense layer whose weights have distributions (Bayes by backprop): each pass in training and in Monte-Carlo prediction draws them,
/// all others take their means. The divergence from the prior, over the number of training samples, is part of the loss. `options` may
/// be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_bayes_dense(
    net: *mut kmc_network,
    units: i64,
    activation: kmc_activation,
    options: *const kmc_bayes_dense_options,
) -> kmc_status {
    entry("kmc_network_bayes_dense", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let (a, b) = o.map_or((0.0, 0.0), |o| (o.a, o.b));
        let mut layer = BayesDense::new(count(units, "units")?).act(rules::activation(activation, a, b)?);
        if let Some(o) = o {
            if flag(o.no_bias, "no_bias")? {
                layer = layer.no_bias();
            }
            if let Some(init) = rules::init(o.init, o.init_value)? {
                layer = layer.init(init);
            }
            if o.prior != 0.0 {
                layer = layer.prior(o.prior);
            }
            if o.deviation != 0.0 {
                layer = layer.deviation(o.deviation);
            }
            if o.samples != 0 {
                layer = layer.samples(count(o.samples, "samples")? as u64);
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// The methods that Conv and ConvTranspose share.
macro_rules! window {
    ($layer:expr, $o:expr, $stride:expr, $pad:expr) => {{
        let mut layer = $layer;
        if let Some(o) = $o {
            layer = layer.stride(o.stride.or($stride, "stride")?).bias_init(o.bias_init);
            if o.groups != 0 {
                layer = layer.groups(count(o.groups, "groups")?);
            }
            layer = if o.pad_before.given() || o.pad_after.given() {
                layer.pad_sides(o.pad_before.zeros("pad_before")?, o.pad_after.zeros("pad_after")?)
            } else {
                layer.pad(count($pad, "pad")?)
            };
            if o.dilation.given() {
                layer = layer.dilation(o.dilation.each(None, "dilation")?);
            }
            if flag(o.no_bias, "no_bias")? {
                layer = layer.no_bias();
            }
            if let Some(init) = rules::init(o.init, o.init_value)? {
                layer = layer.init(init);
            }
        } else {
            layer = layer.stride(count($stride, "stride")?).pad(count($pad, "pad")?);
        }
        layer
    }};
}

/// A convolution of `filters` filters: the same `kernel`, `stride` and `pad` (zeros on both sides) along each axis that the network has,
/// 1-D, 2-D or 3-D. `options` may be NULL, and has sizes for each axis.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_conv(
    net: *mut kmc_network,
    filters: i64,
    kernel: i64,
    stride: i64,
    pad: i64,
    activation: kmc_activation,
    options: *const kmc_conv_options,
) -> kmc_status {
    entry("kmc_network_conv", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let (a, b) = o.map_or((0.0, 0.0), |o| (o.a, o.b));
        let (filters, size) = (count(filters, "filters")?, o.map_or_else(kmc_sizes::default, |o| o.kernel).or(kernel, "kernel")?);
        let depthwise = o.map_or(Ok(false), |o| flag(o.depthwise, "depthwise"))?;
        let conv = if depthwise { Conv::depthwise(size).multiplier(filters) } else { Conv::new(filters, size) };
        if depthwise && o.is_some_and(|o| o.groups != 0) {
            return Err(Fault::value("groups", "0 for a depthwise convolution", o.map_or(0, |o| o.groups)));
        }
        let mut layer = window!(conv.act(rules::activation(activation, a, b)?), o, stride, pad);
        if let Some(o) = o {
            if o.gap.given() {
                layer = layer.gap(o.gap.zeros("gap")?);
            }
            if o.output_pad.given() {
                return Err(Fault::value("output_pad", "zeros", "sizes; it belongs to transposed convolutions"));
            }
            if flag(o.same, "same")? {
                layer = layer.same();
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// A transposed convolution, which enlarges: `pad` is cut off on both sides. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_conv_transpose(
    net: *mut kmc_network,
    filters: i64,
    kernel: i64,
    stride: i64,
    pad: i64,
    activation: kmc_activation,
    options: *const kmc_conv_options,
) -> kmc_status {
    entry("kmc_network_conv_transpose", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let (a, b) = o.map_or((0.0, 0.0), |o| (o.a, o.b));
        let size = o.map_or_else(kmc_sizes::default, |o| o.kernel).or(kernel, "kernel")?;
        let layer = ConvTranspose::new(count(filters, "filters")?, size).act(rules::activation(activation, a, b)?);
        let mut layer = window!(layer, o, stride, pad);
        if let Some(o) = o {
            if o.same != 0 || o.depthwise != 0 || o.gap.given() {
                return Err(Fault::value("same, depthwise and gap", "0 for a transposed convolution", "something else"));
            }
            if o.output_pad.given() {
                layer = layer.output_pad(o.output_pad.zeros("output_pad")?);
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// Pooling over windows of `kernel` along each axis, in steps of as much; `kernel` 0 pools the whole input. `options` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_pool(
    net: *mut kmc_network,
    kind: kmc_pool,
    kernel: i64,
    options: *const kmc_pool_options,
) -> kmc_status {
    entry("kmc_network_pool", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let size = o.map_or_else(kmc_sizes::default, |o| o.kernel);
        let whole = kernel == 0 && !size.given();
        let size = size.or(kernel, "kernel")?;
        let mut layer = match (kind, whole) {
            (KMC_POOL_MAX, false) => Pool::max(size),
            (KMC_POOL_MAX, true) => Pool::global_max(),
            (KMC_POOL_AVERAGE, false) => Pool::average(size),
            (KMC_POOL_AVERAGE, true) => Pool::global_average(),
            _ => return Err(Fault::value("kind", "KMC_POOL_MAX or KMC_POOL_AVERAGE", kind)),
        };
        if let Some(o) = o {
            if o.stride.given() {
                layer = layer.stride(o.stride.each(None, "stride")?);
            }
            if o.pad_before.given() || o.pad_after.given() {
                layer = layer.pad_sides(o.pad_before.zeros("pad_before")?, o.pad_after.zeros("pad_after")?);
            }
            if flag(o.same, "same")? {
                layer = layer.same();
            }
            if flag(o.count_padding, "count_padding")? {
                layer = layer.count_padding();
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// A normalisation: (x - mean) / sqrt(variance + eps), then a trained scale and shift. `options` may be NULL, but for groups.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_norm(net: *mut kmc_network, kind: kmc_norm, options: *const kmc_norm_options) -> kmc_status {
    entry("kmc_network_norm", || {
        // SAFETY: the crate's contract.
        let o = unsafe { optional(options, "options") }?;
        let (groups, set_off) = o.map_or((0, 0), |o| (o.groups, o.set_off));
        let (groups, set_off) = (count(groups, "groups")?, count(set_off, "set_off")?);
        let mut layer = match kind {
            KMC_NORM_BATCH => Norm::batch(),
            KMC_NORM_LAYER => Norm::layer(),
            KMC_NORM_INSTANCE => Norm::instance(),
            KMC_NORM_GROUP => Norm::groups(groups),
            KMC_NORM_CIANNA => Norm::cianna(groups, set_off),
            _ => return Err(Fault::value("kind", "one of KMC_NORM_BATCH to KMC_NORM_CIANNA", kind)),
        };
        if let Some(o) = o {
            if o.eps != 0.0 {
                layer = layer.eps(o.eps);
            }
            if o.momentum != 0.0 {
                layer = layer.momentum(o.momentum);
            }
            if flag(o.no_affine, "no_affine")? {
                layer = layer.no_affine();
            }
        }
        let at = o.map_or(AT_THE_END, |o| Where { input: o.input, name: o.name });
        // SAFETY: as above.
        unsafe { add(net, at, layer) }
    })
}

/// Local response normalisation over `range` neighbouring channels: y = x / (k + alpha/range sum x^2)^beta.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_lrn(
    net: *mut kmc_network,
    range: i64,
    k: f64,
    alpha: f64,
    beta: f64,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_lrn", || {
        let layer = Lrn::new(count(range, "range")?).k(k).alpha(alpha).beta(beta);
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// Drops values with probability `rate` in training and Monte-Carlo prediction, and enlarges the others by 1/(1 - rate); `channels` (0 or 1)
/// drops whole channels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_dropout(
    net: *mut kmc_network,
    rate: f64,
    channels: i32,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_dropout", || {
        let layer = if flag(channels, "channels")? { Dropout::channels(rate) } else { Dropout::new(rate) };
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// An activation with its numbers, as a layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_activation(
    net: *mut kmc_network,
    activation: kmc_activation,
    a: f64,
    b: f64,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_activation", || {
        let layer = Activate::new(rules::activation(activation, a, b)?);
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// A leaky ReLU whose slope, for each channel or (`shared` 1) for all, is trained from `slope`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_prelu(
    net: *mut kmc_network,
    slope: f64,
    shared: i32,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_prelu", || {
        let layer = PRelu::new().slope(slope);
        let layer = if flag(shared, "shared")? { layer.shared() } else { layer };
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// All values of a sample as one vector. Dense layers do so by themselves.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_flatten(net: *mut kmc_network, options: *const kmc_node_options) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_network_flatten", || unsafe { add(net, place(options)?, Flatten::new()) })
}

/// The same values as d x h x w x c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_reshape(
    net: *mut kmc_network,
    d: i64,
    h: i64,
    w: i64,
    c: i64,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_reshape", || {
        let layer = Reshape::to(extent(d, h, w, c)?);
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// Enlarges by `factor` along each axis: repeats values, or (`linear` 1) interpolates, between the corners if `align_corners` is 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_upsample(
    net: *mut kmc_network,
    factor: i64,
    linear: i32,
    align_corners: i32,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_upsample", || {
        let factor = count(factor, "factor")?;
        let layer = if flag(linear, "linear")? { Upsample::linear(factor) } else { Upsample::nearest(factor) };
        let layer = if flag(align_corners, "align_corners")? { layer.align_corners() } else { layer };
        // SAFETY: the crate's contract.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// Puts zeros around the input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_zero_pad(
    net: *mut kmc_network,
    before: *const kmc_sizes,
    after: *const kmc_sizes,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_zero_pad", || {
        // SAFETY: the crate's contract.
        let (before, after) = unsafe { (input(before, "before")?, input(after, "after")?) };
        let layer = ZeroPad::new(before.zeros("before")?, after.zeros("after")?);
        // SAFETY: as above.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// Cuts off the borders of the input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_crop(
    net: *mut kmc_network,
    before: *const kmc_sizes,
    after: *const kmc_sizes,
    options: *const kmc_node_options,
) -> kmc_status {
    entry("kmc_network_crop", || {
        // SAFETY: the crate's contract.
        let (before, after) = unsafe { (input(before, "before")?, input(after, "after")?) };
        let layer = Crop::new(before.zeros("before")?, after.zeros("after")?);
        // SAFETY: as above.
        unsafe { add(net, place(options)?, layer) }
    })
}

/// # Safety
/// The crate's contract.
unsafe fn merge(net: *mut kmc_network, nodes: *const kmc_node, n: i64, name: *const c_char, layer: Merge) -> Answer {
    // SAFETY: the caller's promise.
    let (nodes, name) = unsafe { (slice(nodes, n, "nodes")?, optional_text(name, "name")?) };
    with(net, "net", |net| {
        let from = nodes.iter().map(|&id| node(net, id, "nodes")).collect::<Answer<Vec<_>>>()?;
        let id = net.add(layer, &from);
        named(net, id, name);
        Ok(())
    })
}

/// The sum of the outputs of `n` nodes of the same sizes. `name` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_add(
    net: *mut kmc_network,
    nodes: *const kmc_node,
    n: i64,
    name: *const c_char,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_network_add", || unsafe { merge(net, nodes, n, name, Merge::add()) })
}

/// The channels of the outputs of `n` nodes side by side. `name` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_network_concat(
    net: *mut kmc_network,
    nodes: *const kmc_node,
    n: i64,
    name: *const c_char,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_network_concat", || unsafe { merge(net, nodes, n, name, Merge::concat()) })
}
