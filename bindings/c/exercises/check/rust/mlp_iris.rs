//! mlp_iris.rs for the checker mlp_iris.c, which calls C functions.

mod student;
include!("bridge.rs");
include!("normalise.rs");
include!("mlp.rs");
include!("update.rs");
