//! perceptron_iris.rs for the checker perceptron_iris.c, which calls C functions.

mod student;
include!("bridge.rs");
include!("normalise.rs");
include!("perceptron.rs");
