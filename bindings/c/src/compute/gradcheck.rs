//! The check of a gradient.

use super::{apart, span};
use crate::entry::{Answer, Fault, entry, results, sized32, slice};
use crate::status::kmc_status;
use kamacite::gradcheck::gradcheck_with;
use std::ffi::c_void;

/// A loss as a function of n parameters, for `kmc_gradcheck`: writes its value to `out` and answers 0, or another number to end the check.
pub type kmc_loss_fn = Option<unsafe extern "C" fn(out: *mut f64, w: *const f64, n: i64, user: *mut c_void) -> i32>;

/// The parameter at which gradient and differences deviate most; initialise it with `KMC_GRADCHECK_RESULT_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_gradcheck_result {
    /// sizeof(kmc_gradcheck_result)
    pub size: u32,
    /// 0
    pub reserved: i32,
    /// Its index.
    pub worst: i64,
    /// |analytic - numeric| over the largest of |analytic|, |numeric| and a thousandth of the largest |numeric| of all parameters. Wrong
    /// gradients give 0.1 to 2; right ones below 1e-6 for a loss in double precision, below about 1e-2 for one in single.
    pub deviation: f64,
    /// The gradient that was given.
    pub analytic: f64,
    /// The derivative by differences.
    pub numeric: f64,
}

sized32!(kmc_gradcheck_result);

/// Compares a gradient of n components with two-sided differences of the loss, parameter by parameter. `step` 0: for each parameter twelve
/// steps from 0.05 max(1, |w|) down are extrapolated to none (24 losses), which suits losses in single and in double precision; otherwise
/// the differences are those at w +- step. `user` is handed to `loss`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_gradcheck(
    out: *mut kmc_gradcheck_result,
    loss: kmc_loss_fn,
    user: *mut c_void,
    w: *const f64,
    gradient: *const f64,
    n: i64,
    step: f64,
) -> kmc_status {
    entry("kmc_gradcheck", || {
        apart(&[span("out", out.cast_const(), 1)], &[span("w", w, n), span("gradient", gradient, n)])?;
        // SAFETY: the crate's contract.
        let (out, w, gradient) = unsafe { (results(out, "out")?, slice(w, n, "w")?, slice(gradient, n, "gradient")?) };
        let loss = loss.ok_or_else(|| Fault::new(kmc_status::KMC_ERR_NULL, "loss is NULL"))?;
        let step = (step != 0.0).then_some(step);
        let mut answer = 0;
        let found = gradcheck_with(w, gradient, step, |w| {
            let mut value = f64::NAN;
            // SAFETY: a function of the caller's, with the arguments that its type names.
            answer = unsafe { loss(&raw mut value, w.as_ptr(), n, user) };
            if answer == 0 { Ok(value) } else { Err(kamacite::Error::order("loss", "stopped")) }
        });
        if answer != 0 {
            return stopped(answer);
        }
        let found = found?;
        (out.worst, out.deviation) = (found.index as i64, found.deviation);
        (out.analytic, out.numeric) = (found.analytic, found.numeric);
        Ok(())
    })
}

fn stopped(answer: i32) -> Answer {
    Err(Fault::new(kmc_status::KMC_ERR_CALLBACK, format!("the loss answered {answer} instead of 0")))
}
