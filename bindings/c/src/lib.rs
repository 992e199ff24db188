//! The C ABI of kamacite: what `kamacite.h` declares.
//!
//! One file per noun. Every function has the same shape: check the arguments, look up the handles, call the Rust API, write the
//! results; `entry` around it turns errors and panics into a status and a sentence.
//!
//! # Safety
//! The contract with C, stated once and meant by every `SAFETY` comment in this crate: a pointer is NULL or points to as many
//! elements as the length beside it says (one, where there is none); strings end with NUL; what is written to is not read or
//! written by anybody else during the call. NULL where something is needed, lengths that do not fit, handles that are stale or
//! of another type, and sizes of structs are checked.
#![allow(non_camel_case_types)]
#![allow(clippy::missing_safety_doc, reason = "the contract above holds for all functions")]
#![allow(clippy::too_many_arguments, reason = "C has neither slices nor defaults")]

pub mod compute;
pub mod dataset;
pub mod device;
mod entry;
pub mod fits;
mod float_mode;
mod handle;
pub mod metrics;
pub mod model;
pub mod network;
pub mod rules;
pub mod status;
pub mod trainer;
