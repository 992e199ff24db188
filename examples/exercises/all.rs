//! The exercises of bindings/exercises/README.md in Rust, in one program that builds once.
//!
//! cargo run --release -p kamacite-exercises mlp_iris --data examples/data/iris.data --seeds 50
//!
//! Each file is a program of its own: it also runs as the `main.rs` of a package that depends on kamacite, beside `exercise.rs`.
// Each has its `exercise` and `spectra`, as it would have alone. Index loops are those of the equations, and of C and Fortran; those of
// starters end at their first blank.
#![allow(clippy::duplicate_mod, clippy::needless_range_loop, clippy::needless_late_init, clippy::never_loop)]

use kamacite::{Error, Result};

macro_rules! exercises {
    ($($name:ident)*) => {
        $(mod $name;)*

        fn main() -> Result<()> {
            match std::env::args().nth(1).unwrap_or_default().as_str() {
                $(stringify!($name) => $name::main(),)*
                other => {
                    let names = [$(stringify!($name)),*].join(", ");
                    Err(Error::value("command line", "name of an exercise").expected(names).got(other))
                }
            }
        }
    };
}

exercises! {
    kmeans kmeans_net
    perceptron_or perceptron_iris perceptron_pima
    mlp_iris mlp_iris_net mlp_pima mlp_pima_net
    mlp_spectra mlp_spectra_net cnn_spectra cnn_spectra_net cnn_galaxies_net
}
