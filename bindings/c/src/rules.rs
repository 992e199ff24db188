//! Rules of training, as C writes them: activations, initialisation, losses, optimizers, schedules.

use crate::entry::{Answer, Fault, count, flag, optional_text, sized, sized32, slice};
use kamacite::optim::{Clip, Ema, Schedule};
use kamacite::{
    Activation, Adadelta, Adam, AdamW, CrossEntropy, GaussianNll, Huber, Init, LogisticBce, Loss, Mae, Mse, NtXent, Optimizer,
    Precision, RmsProp, Sgd, SoftmaxCrossEntropy,
};
use std::ffi::c_char;
use std::sync::Arc;

/// An activation function y = f(x), applied value by value.
pub type kmc_activation = i32;
/// `kmc_activation`: y = x
pub const KMC_LINEAR: i32 = 0;
/// `kmc_activation`: y = max(x, 0)
pub const KMC_RELU: i32 = 1;
/// `kmc_activation`: y = a x below 0, x above, and with b > 0 again of slope a above b. a = 0 stands for 0.01.
pub const KMC_LEAKY_RELU: i32 = 2;
/// `kmc_activation`: y = x above 0, a (exp(x) - 1) below. a = 0 stands for 1.
pub const KMC_ELU: i32 = 3;
/// `kmc_activation`: The scaled ELU of self-normalising networks.
pub const KMC_SELU: i32 = 4;
/// `kmc_activation`: y = x Phi(x), Phi the normal distribution.
pub const KMC_GELU: i32 = 5;
/// `kmc_activation`: y = x / (1 + exp(-x))
pub const KMC_SILU: i32 = 6;
/// `kmc_activation`: y = tanh(x)
pub const KMC_TANH: i32 = 7;
/// `kmc_activation`: y = 1 / (1 + exp(-x))
pub const KMC_LOGISTIC: i32 = 8;
/// `kmc_activation`: y = 1 / (1 + exp(min(-a x, b))). a = 0 stands for 1, b = 0 for no bound.
pub const KMC_SCALED_LOGISTIC: i32 = 9;
/// `kmc_activation`: y = ln(1 + exp(x))
pub const KMC_SOFTPLUS: i32 = 10;
/// `kmc_activation`: y_i = exp(x_i) / sum_j exp(x_j) over the channels of each position.
pub const KMC_SOFTMAX: i32 = 11;

pub(crate) fn activation(kind: kmc_activation, a: f64, b: f64) -> Answer<Activation> {
    let or = |value: f64, default: f64| if value == 0.0 { default } else { value };
    let bound = |value: f64| (value != 0.0).then_some(value);
    let act = match kind {
        KMC_LINEAR => Activation::Linear,
        KMC_RELU => Activation::Relu,
        KMC_LEAKY_RELU => Activation::LeakyRelu { slope: or(a, 0.01), saturation: bound(b) },
        KMC_ELU => Activation::Elu { alpha: or(a, 1.0) },
        KMC_SELU => Activation::Selu,
        KMC_GELU => Activation::Gelu,
        KMC_SILU => Activation::Silu,
        KMC_TANH => Activation::Tanh,
        KMC_LOGISTIC => Activation::Logistic,
        KMC_SCALED_LOGISTIC => Activation::ScaledLogistic { slope: or(a, 1.0), saturation: bound(b) },
        KMC_SOFTPLUS => Activation::Softplus,
        KMC_SOFTMAX => Activation::Softmax,
        _ => return Err(Fault::value("activation", "one of KMC_LINEAR to KMC_SOFTMAX", kind)),
    };
    act.check()?;
    Ok(act)
}

/// How weights begin; i and o are the inputs and outputs of one unit.
pub type kmc_init = i32;
/// `kmc_init`: As fits the activation: He's for ReLU and its kin, LeCun's for SELU, Xavier's for all others.
pub const KMC_INIT_DEFAULT: i32 = 0;
/// `kmc_init`: N(0, 2 / (i + o))
pub const KMC_INIT_XAVIER_NORMAL: i32 = 1;
/// `kmc_init`: U(-u, u), u = sqrt(6 / (i + o))
pub const KMC_INIT_XAVIER_UNIFORM: i32 = 2;
/// `kmc_init`: N(0, 2 / i)
pub const KMC_INIT_HE_NORMAL: i32 = 3;
/// `kmc_init`: U(-u, u), u = sqrt(6 / i)
pub const KMC_INIT_HE_UNIFORM: i32 = 4;
/// `kmc_init`: N(0, 1 / i)
pub const KMC_INIT_LECUN_NORMAL: i32 = 5;
/// `kmc_init`: U(-u, u), u = sqrt(3 / i)
pub const KMC_INIT_LECUN_UNIFORM: i32 = 6;
/// `kmc_init`: N(0, value^2)
pub const KMC_INIT_NORMAL: i32 = 7;
/// `kmc_init`: U(-value, value)
pub const KMC_INIT_UNIFORM: i32 = 8;
/// `kmc_init`: value
pub const KMC_INIT_CONSTANT: i32 = 9;
/// `kmc_init`: Orthonormal rows or columns times value.
pub const KMC_INIT_ORTHOGONAL: i32 = 10;

pub(crate) fn init(kind: kmc_init, value: f64) -> Answer<Option<Init>> {
    if !value.is_finite() {
        return Err(Fault::value("init_value", "a finite number", value));
    }
    Ok(Some(match kind {
        KMC_INIT_DEFAULT => return Ok(None),
        KMC_INIT_XAVIER_NORMAL => Init::XavierNormal,
        KMC_INIT_XAVIER_UNIFORM => Init::XavierUniform,
        KMC_INIT_HE_NORMAL => Init::HeNormal,
        KMC_INIT_HE_UNIFORM => Init::HeUniform,
        KMC_INIT_LECUN_NORMAL => Init::LecunNormal,
        KMC_INIT_LECUN_UNIFORM => Init::LecunUniform,
        KMC_INIT_NORMAL => Init::Normal(value),
        KMC_INIT_UNIFORM => Init::Uniform(value),
        KMC_INIT_CONSTANT => Init::Constant(value),
        KMC_INIT_ORTHOGONAL => Init::Orthogonal(value),
        _ => return Err(Fault::value("init", "one of KMC_INIT_DEFAULT to KMC_INIT_ORTHOGONAL", kind)),
    }))
}

/// What a network computes in. All but the first two need a GPU.
pub type kmc_precision = i32;
/// `kmc_precision`: Single precision.
pub const KMC_FP32: i32 = 0;
/// `kmc_precision`: Double precision, on the CPU.
pub const KMC_FP64: i32 = 1;
/// `kmc_precision`: Single precision with TF32 products.
pub const KMC_TF32: i32 = 2;
/// `kmc_precision`: Single precision with three TF32 products, nearly as accurate.
pub const KMC_FP32X3: i32 = 3;
/// `kmc_precision`: bf16 storage and products.
pub const KMC_BF16: i32 = 4;
/// `kmc_precision`: f16 storage and products, with a loss scale.
pub const KMC_FP16: i32 = 5;

pub(crate) fn precision(value: kmc_precision) -> Answer<Precision> {
    Ok(match value {
        KMC_FP32 => Precision::FP32,
        KMC_FP64 => Precision::FP64,
        KMC_TF32 => Precision::TF32,
        KMC_FP32X3 => Precision::FP32x3,
        KMC_BF16 => Precision::BF16,
        KMC_FP16 => Precision::FP16,
        _ => return Err(Fault::value("precision", "one of KMC_FP32 to KMC_FP16", value)),
    })
}

/// A loss: what training makes small.
pub type kmc_loss = i32;
/// `kmc_loss`: -ln softmax(y)_t of logits y and the class t. The network ends without an activation.
pub const KMC_LOSS_SOFTMAX_CROSS_ENTROPY: i32 = 0;
/// `kmc_loss`: -sum_j t_j ln y_j of probabilities y.
pub const KMC_LOSS_CROSS_ENTROPY: i32 = 1;
/// `kmc_loss`: the mean over j of (y_j - t_j)^2.
pub const KMC_LOSS_MSE: i32 = 2;
/// `kmc_loss`: sum_j (y_j - t_j)^2 / 2, the convention of the course.
pub const KMC_LOSS_MSE_HALF: i32 = 3;
/// `kmc_loss`: the mean over j of |y_j - t_j|.
pub const KMC_LOSS_MAE: i32 = 4;
/// `kmc_loss`: Quadratic up to `delta`, linear beyond.
pub const KMC_LOSS_HUBER: i32 = 5;
/// `kmc_loss`: Cross-entropy of independent yes-no outputs, from logits.
pub const KMC_LOSS_LOGISTIC_BCE: i32 = 6;
/// `kmc_loss`: Negative log likelihood of a normal distribution: outputs are means and log variances.
pub const KMC_LOSS_GAUSSIAN_NLL: i32 = 7;
/// `kmc_loss`: Contrast of two views of each sample, the two positions of the output (NT-Xent). It takes no target.
pub const KMC_LOSS_NT_XENT: i32 = 8;

/// A loss and its numbers. Zero is the default of every field; see `KMC_LOSS_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_loss_options {
    /// sizeof(kmc_loss_options)
    pub size: u32,
    /// Which loss.
    pub kind: kmc_loss,
    /// The output it belongs to; NULL: the first.
    pub output: *const c_char,
    /// Its share in the sum of several losses; 0: 1.
    pub factor: f64,
    /// Label smoothing of the softmax cross-entropy.
    pub smoothing: f64,
    /// The bound of Huber's loss; 0: 1.
    pub delta: f64,
    /// The weight of the positive class in the logistic cross-entropy; 0: 1.
    pub positive: f64,
    /// The least variance of the Gaussian likelihood; 0: 1e-6.
    pub lowest: f64,
    /// The largest variance; 0: 1e6.
    pub highest: f64,
    /// The temperature of NT-Xent; 0: 0.5.
    pub temperature: f64,
    /// A weight for each class (softmax and logistic cross-entropy); NULL: 1 for all.
    pub class_weights: *const f64,
    /// Their number.
    pub n_class_weights: i64,
}

/// What a loss became, with its output (none: the first) and factor.
pub(crate) type Attached = (Option<String>, Arc<dyn Loss>, f64);

/// # Safety
/// The crate's contract.
pub(crate) unsafe fn loss(o: &kmc_loss_options) -> Answer<Attached> {
    sized::<kmc_loss_options>(o.size)?;
    // SAFETY: the caller's promise.
    let (output, weights) =
        unsafe { (optional_text(o.output, "output")?, slice(o.class_weights, o.n_class_weights, "class_weights")?) };
    let or = |value: f64, default: f64| if value == 0.0 { default } else { value };
    let loss: Arc<dyn Loss> = match o.kind {
        KMC_LOSS_SOFTMAX_CROSS_ENTROPY => Arc::new(SoftmaxCrossEntropy.label_smoothing(o.smoothing).class_weights(weights)),
        KMC_LOSS_CROSS_ENTROPY => Arc::new(CrossEntropy),
        KMC_LOSS_MSE => Arc::new(Mse),
        KMC_LOSS_MSE_HALF => Arc::new(Mse::half()),
        KMC_LOSS_MAE => Arc::new(Mae),
        KMC_LOSS_HUBER => Arc::new(Huber::new(or(o.delta, 1.0))),
        KMC_LOSS_LOGISTIC_BCE => Arc::new(LogisticBce.pos_weight(or(o.positive, 1.0)).class_weights(weights)),
        KMC_LOSS_GAUSSIAN_NLL => Arc::new(GaussianNll.variance_within(or(o.lowest, 1e-6), or(o.highest, 1e6))),
        KMC_LOSS_NT_XENT => Arc::new(NtXent::new(or(o.temperature, 0.5))),
        other => return Err(Fault::value("loss.kind", "one of KMC_LOSS_SOFTMAX_CROSS_ENTROPY to _NT_XENT", other)),
    };
    let weighted = [KMC_LOSS_SOFTMAX_CROSS_ENTROPY, KMC_LOSS_LOGISTIC_BCE].contains(&o.kind);
    if !weighted && !weights.is_empty() {
        return Err(Fault::value("loss.class_weights", "none for this kind of loss", weights.len()));
    }
    Ok((output.map(String::from), loss, or(o.factor, 1.0)))
}

/// A rule by which gradients change parameters.
pub type kmc_optimizer = i32;
/// `kmc_optimizer`: Gradient descent, plain or with momentum.
pub const KMC_SGD: i32 = 0;
/// `kmc_optimizer`: Adam.
pub const KMC_ADAM: i32 = 1;
/// `kmc_optimizer`: Adam with decoupled weight decay.
pub const KMC_ADAMW: i32 = 2;
/// `kmc_optimizer`: RMSprop.
pub const KMC_RMSPROP: i32 = 3;
/// `kmc_optimizer`: Adadelta.
pub const KMC_ADADELTA: i32 = 4;

/// An optimizer and its numbers; see `KMC_OPTIMIZER_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_optimizer_options {
    /// sizeof(kmc_optimizer_options)
    pub size: u32,
    /// Which rule.
    pub kind: kmc_optimizer,
    /// The learning rate, before any schedule.
    pub learning_rate: f64,
    /// The memory of the velocity (SGD, RMSprop).
    pub momentum: f64,
    /// lambda: adds lambda w to the gradient; AdamW takes it from w itself.
    pub weight_decay: f64,
    /// The memory of Adam's mean; 0.9 in the macro.
    pub beta1: f64,
    /// The memory of Adam's mean square; 0.999 in the macro.
    pub beta2: f64,
    /// What is added to denominators; 0: the rule's own.
    pub eps: f64,
    /// The memory of Adadelta (0: 0.9) and RMSprop (0: 0.99).
    pub rho: f64,
    /// 1: Nesterov's momentum (SGD).
    pub nesterov: i32,
    /// 1: the learning rate is part of the velocity, as in CIANNA (SGD).
    pub velocity_form: i32,
    /// 1: AMSGrad (Adam, AdamW).
    pub amsgrad: i32,
    /// 1: centred (RMSprop).
    pub centered: i32,
}

/// What a rule makes of its options. On the stack: one is made for each call of `kmc_model_step`.
pub(crate) enum Rule {
    Sgd(Sgd),
    Adam(Adam),
    AdamW(AdamW),
    RmsProp(RmsProp),
    Adadelta(Adadelta),
}

impl Rule {
    pub fn get(&self) -> &dyn Optimizer {
        match self {
            Self::Sgd(rule) => rule,
            Self::Adam(rule) => rule,
            Self::AdamW(rule) => rule,
            Self::RmsProp(rule) => rule,
            Self::Adadelta(rule) => rule,
        }
    }

    pub fn share(self) -> Arc<dyn Optimizer> {
        match self {
            Self::Sgd(rule) => Arc::new(rule),
            Self::Adam(rule) => Arc::new(rule),
            Self::AdamW(rule) => Arc::new(rule),
            Self::RmsProp(rule) => Arc::new(rule),
            Self::Adadelta(rule) => Arc::new(rule),
        }
    }
}

/// Applies a builder's method where a flag or a number asks for it.
macro_rules! build {
    ($rule:expr $(, $given:expr => $method:ident($($value:expr),*))* $(,)?) => {{
        let mut rule = $rule;
        $(if $given {
            rule = rule.$method($($value),*);
        })*
        rule
    }};
}

pub(crate) fn optimizer(o: &kmc_optimizer_options) -> Answer<Rule> {
    sized::<kmc_optimizer_options>(o.size)?;
    let (amsgrad, centered) = (flag(o.amsgrad, "amsgrad")?, flag(o.centered, "centered")?);
    let (nesterov, velocity) = (flag(o.nesterov, "nesterov")?, flag(o.velocity_form, "velocity_form")?);
    let (rate, eps, rho) = (o.learning_rate, o.eps != 0.0, o.rho != 0.0);
    let rule = match o.kind {
        KMC_SGD => Rule::Sgd(build!(Sgd::new(rate).momentum(o.momentum).weight_decay(o.weight_decay),
            nesterov => nesterov(), velocity => velocity_form())),
        KMC_ADAM => Rule::Adam(build!(Adam::new(rate).betas(o.beta1, o.beta2).weight_decay(o.weight_decay),
            eps => eps(o.eps), amsgrad => amsgrad())),
        KMC_ADAMW => Rule::AdamW(build!(AdamW::new(rate).betas(o.beta1, o.beta2).weight_decay(o.weight_decay),
            eps => eps(o.eps), amsgrad => amsgrad())),
        KMC_RMSPROP => Rule::RmsProp(build!(RmsProp::new(rate).momentum(o.momentum).weight_decay(o.weight_decay),
            eps => eps(o.eps), rho => alpha(o.rho), centered => centered())),
        KMC_ADADELTA => Rule::Adadelta(build!(Adadelta::new(rate).weight_decay(o.weight_decay),
            eps => eps(o.eps), rho => rho(o.rho))),
        other => return Err(Fault::value("optimizer.kind", "one of KMC_SGD to KMC_ADADELTA", other)),
    };
    rule.get().check()?;
    Ok(rule)
}

/// The course of the learning rate: a factor on the optimizer's.
pub type kmc_schedule = i32;
/// `kmc_schedule`: Always 1.
pub const KMC_SCHEDULE_CONSTANT: i32 = 0;
/// `kmc_schedule`: Multiplied by `factor` every `period`.
pub const KMC_SCHEDULE_STEP: i32 = 1;
/// `kmc_schedule`: Multiplied by `factor` at each of `milestones`.
pub const KMC_SCHEDULE_MILESTONES: i32 = 2;
/// `kmc_schedule`: Multiplied by `factor` in each unit of time.
pub const KMC_SCHEDULE_EXPONENTIAL: i32 = 3;
/// `kmc_schedule`: From 1 towards `floor` as exp(-rate t).
pub const KMC_SCHEDULE_DECAY: i32 = 4;
/// `kmc_schedule`: From 1 to `floor` along half a cosine over `period`.
pub const KMC_SCHEDULE_COSINE: i32 = 5;
/// `kmc_schedule`: The same again and again, each period `growth` times as long as the one before.
pub const KMC_SCHEDULE_COSINE_RESTARTS: i32 = 6;
/// `kmc_schedule`: From 1 to `floor` along a power of the time left in `period`.
pub const KMC_SCHEDULE_POLYNOMIAL: i32 = 7;
/// `kmc_schedule`: Up and down again over `period`.
pub const KMC_SCHEDULE_ONE_CYCLE: i32 = 8;

/// A schedule and its numbers; see `KMC_SCHEDULE_OPTIONS_INIT`. Time counts steps, or epochs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_schedule_options {
    /// sizeof(kmc_schedule_options)
    pub size: u32,
    /// Which schedule.
    pub kind: kmc_schedule,
    /// A length of time.
    pub period: i64,
    /// The growth of periods.
    pub growth: i64,
    /// The factor of one change.
    pub factor: f64,
    /// The lowest factor.
    pub floor: f64,
    /// The speed of a decay.
    pub rate: f64,
    /// The power of a polynomial.
    pub power: f64,
    /// Times of change, in order.
    pub milestones: *const i64,
    /// Their number.
    pub n_milestones: i64,
    /// Units of time in which the rate rises from 0 before the schedule begins.
    pub warm_up: i64,
    /// 1: time counts epochs (all but the warm-up).
    pub per_epoch: i32,
    /// 0
    pub reserved: i32,
}

sized32!(kmc_loss_options, kmc_optimizer_options, kmc_schedule_options);

/// # Safety
/// The crate's contract.
pub(crate) unsafe fn schedule(o: &kmc_schedule_options) -> Answer<Schedule> {
    sized::<kmc_schedule_options>(o.size)?;
    let time = |value: i64, what: &str| count(value, what).map(|n| n as u64);
    let (period, growth) = (time(o.period, "schedule.period")?, time(o.growth, "schedule.growth")?);
    let schedule = match o.kind {
        KMC_SCHEDULE_CONSTANT => Schedule::Constant,
        KMC_SCHEDULE_STEP => Schedule::step(period, o.factor),
        KMC_SCHEDULE_MILESTONES => {
            // SAFETY: the caller's promise.
            let at = unsafe { slice(o.milestones, o.n_milestones, "schedule.milestones") }?;
            let at = at.iter().map(|&t| time(t, "schedule.milestones")).collect::<Answer<Vec<_>>>()?;
            Schedule::milestones(at, o.factor)
        }
        KMC_SCHEDULE_EXPONENTIAL => Schedule::exponential(o.factor),
        KMC_SCHEDULE_DECAY => Schedule::decay(o.floor, o.rate),
        KMC_SCHEDULE_COSINE => Schedule::cosine(period, o.floor),
        KMC_SCHEDULE_COSINE_RESTARTS => Schedule::cosine_restarts(period, growth, o.floor),
        KMC_SCHEDULE_POLYNOMIAL => Schedule::polynomial(period, o.power, o.floor),
        KMC_SCHEDULE_ONE_CYCLE => Schedule::one_cycle(period),
        other => return Err(Fault::value("schedule.kind", "one of KMC_SCHEDULE_CONSTANT to _ONE_CYCLE", other)),
    };
    let schedule = if flag(o.per_epoch, "schedule.per_epoch")? { schedule.per_epoch() } else { schedule };
    let warm_up = time(o.warm_up, "schedule.warm_up")?;
    let schedule = if warm_up > 0 { schedule.warm_up(warm_up) } else { schedule };
    schedule.check()?;
    Ok(schedule)
}

/// How gradients are bounded before an update.
pub type kmc_clip = i32;
/// `kmc_clip`: Not at all.
pub const KMC_CLIP_NONE: i32 = 0;
/// `kmc_clip`: The norm over all parameters together is at most the bound.
pub const KMC_CLIP_NORM: i32 = 1;
/// `kmc_clip`: Each gradient lies within plus and minus the bound.
pub const KMC_CLIP_VALUE: i32 = 2;

pub(crate) fn clip(kind: kmc_clip, bound: f64) -> Answer<Option<Clip>> {
    let clip = match kind {
        KMC_CLIP_NONE => return Ok(None),
        KMC_CLIP_NORM => Clip::Norm(bound),
        KMC_CLIP_VALUE => Clip::Value(bound),
        _ => return Err(Fault::value("clip", "KMC_CLIP_NONE, _NORM or _VALUE", kind)),
    };
    clip.check()?;
    Ok(Some(clip))
}

pub(crate) fn ema(decay: f64, warm_up: i32) -> Answer<Ema> {
    let ema = if flag(warm_up, "warm_up")? { Ema::new(decay).warm_up() } else { Ema::new(decay) };
    ema.check()?;
    Ok(ema)
}
