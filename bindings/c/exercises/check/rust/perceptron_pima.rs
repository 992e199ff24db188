//! perceptron_pima.rs for the checker perceptron_pima.c, which calls C functions.

mod student;
include!("bridge.rs");
include!("prepare.rs");
include!("normalise.rs");
include!("perceptron.rs");
