//! What is said of a layer beyond the arguments of its function.

use super::kmc_node;
use crate::entry::{Answer, Fault, count, sized32};
use crate::rules::kmc_init;
use kamacite::Sizes;
use std::ffi::c_char;

/// Sizes along the axes. All 0: not given. 0 along one axis: 1 for sizes, strides and dilations, 0 for padding and gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kmc_sizes {
    /// Depth.
    pub d: i64,
    /// Height.
    pub h: i64,
    /// Width; the only axis of spectra.
    pub w: i64,
}

/// Where a layer goes: see `KMC_NODE_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_node_options {
    /// sizeof(kmc_node_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
}

/// Options of a dense layer; see `KMC_DENSE_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_dense_options {
    /// sizeof(kmc_dense_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
    /// 1: no bias.
    pub no_bias: i32,
    /// How the weights begin.
    pub init: kmc_init,
    /// The number of that.
    pub init_value: f64,
    /// The value at which biases begin.
    pub bias_init: f64,
    /// The numbers of the activation.
    pub a: f64,
    /// See `a`.
    pub b: f64,
}

/// Options of a variational dense layer; see `KMC_BAYES_DENSE_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_bayes_dense_options {
    /// sizeof(kmc_bayes_dense_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
    /// 1: no bias.
    pub no_bias: i32,
    /// How the means of the weights begin.
    pub init: kmc_init,
    /// The number of that.
    pub init_value: f64,
    /// The numbers of the activation.
    pub a: f64,
    /// See `a`.
    pub b: f64,
    /// The standard deviation of the prior of each weight; 0: 1.
    pub prior: f64,
    /// The standard deviation at which all weights begin; 0: 0.03.
    pub deviation: f64,
    /// The number that the divergence from the prior is divided by; 0: the training samples.
    pub samples: i64,
}

/// Options of a convolution; see `KMC_CONV_OPTIONS_INIT`. Sizes that are given take the place of the function's arguments.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_conv_options {
    /// sizeof(kmc_conv_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
    /// 1: no bias.
    pub no_bias: i32,
    /// How the weights begin.
    pub init: kmc_init,
    /// The number of that.
    pub init_value: f64,
    /// The value at which biases begin.
    pub bias_init: f64,
    /// The numbers of the activation.
    pub a: f64,
    /// See `a`.
    pub b: f64,
    /// 1: as much padding as gives outputs of the input's size over the stride (Keras' "same"); not for transposed ones.
    pub same: i32,
    /// 1: each channel on its own, with `filters` outputs each; not for transposed ones.
    pub depthwise: i32,
    /// Groups of channels that do not mix; 0: 1.
    pub groups: i64,
    /// The window.
    pub kernel: kmc_sizes,
    /// Its steps.
    pub stride: kmc_sizes,
    /// Zeros before the first input.
    pub pad_before: kmc_sizes,
    /// Zeros after the last input.
    pub pad_after: kmc_sizes,
    /// Distance between taps.
    pub dilation: kmc_sizes,
    /// Zeros between inputs; not for transposed ones.
    pub gap: kmc_sizes,
    /// Further outputs of a transposed convolution.
    pub output_pad: kmc_sizes,
}

/// Options of a pooling layer; see `KMC_POOL_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_pool_options {
    /// sizeof(kmc_pool_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
    /// 1: as much padding as gives outputs of the input's size over the stride.
    pub same: i32,
    /// 1: averages count the padding.
    pub count_padding: i32,
    /// The window, in place of the function's argument.
    pub kernel: kmc_sizes,
    /// Its steps; not given: the window.
    pub stride: kmc_sizes,
    /// Padding before the first input.
    pub pad_before: kmc_sizes,
    /// Padding after the last input.
    pub pad_after: kmc_sizes,
}

/// Options of a normalisation; see `KMC_NORM_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_norm_options {
    /// sizeof(kmc_norm_options)
    pub size: u32,
    /// The node it comes after; `KMC_LAST` in the macro.
    pub input: kmc_node,
    /// Its name; NULL: its kind and number.
    pub name: *const c_char,
    /// What is added to the variance; 0: 1e-5, of `KMC_NORM_CIANNA` 1e-3.
    pub eps: f64,
    /// The share of a batch in the running statistics; 0: 0.1.
    pub momentum: f64,
    /// 1: no scale and shift.
    pub no_affine: i32,
    /// 0
    pub reserved: i32,
    /// Groups of `KMC_NORM_GROUP`; size of a group of `KMC_NORM_CIANNA`.
    pub groups: i64,
    /// The last groups, which `KMC_NORM_CIANNA` leaves alone.
    pub set_off: i64,
}

sized32!(kmc_node_options, kmc_dense_options, kmc_bayes_dense_options, kmc_conv_options, kmc_pool_options, kmc_norm_options);

impl kmc_sizes {
    pub(super) fn given(self) -> bool {
        self.d != 0 || self.h != 0 || self.w != 0
    }

    /// Axis by axis, `zero` standing for 0.
    pub(super) fn each(self, zero: Option<usize>, what: &str) -> Answer<Sizes> {
        let one = |n: i64| Ok::<_, Fault>(if n == 0 { zero } else { Some(count(n, what)?) });
        Ok(Sizes::Each([one(self.d)?, one(self.h)?, one(self.w)?]))
    }

    /// These sizes or, where they are not given, `all` on every axis of the network.
    pub(super) fn or(self, all: i64, what: &str) -> Answer<Sizes> {
        if self.given() { self.each(None, what) } else { Ok(Sizes::All(count(all, what)?)) }
    }

    /// Numbers of zeros; none where they are not given.
    pub(super) fn zeros(self, what: &str) -> Answer<Sizes> {
        if self.given() { self.each(Some(0), what) } else { Ok(Sizes::All(0)) }
    }
}
