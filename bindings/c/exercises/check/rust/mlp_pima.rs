//! mlp_pima.rs for the checker mlp_pima.c, which calls C functions.

mod student;
include!("bridge.rs");
include!("prepare.rs");
include!("normalise.rs");
include!("mlp.rs");
include!("update.rs");
