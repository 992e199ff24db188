//! The suite: one declaration per case, from which the checks follow; above the cases networks, properties and goldens.
//!
//! A new layer gets a file in `layers/` with its loop nest and its cases, a new loss one in `losses/`; the layer also joins
//! the network of every layer in `network.rs`, which fails without it.
//!
//! `KAMACITE_ISA=portable` (`avx2`, `avx512`) runs everything on that instruction set, which `forced.rs` makes sure of; the
//! precision checks run all that are present anyway, say which are not, and fail for those that `KAMACITE_REQUIRE=avx2,avx512`
//! lists. CUDA: see `cuda.rs`.

mod case;
mod check;
mod checkpoint;
mod corrupt;
mod cuda;
mod cuda_training;
mod data;
mod determinism;
#[cfg(feature = "fits")]
mod fits;
mod forced;
mod fusion;
mod golden_cianna;
mod golden_scipy;
mod golden_torch;
mod gradient;
mod introspect;
mod kill;
mod kmeans;
mod launches;
mod layers;
mod learn;
mod loading;
mod loss_case;
mod losses;
mod mosaic;
mod network;
mod open_loop;
mod own_layer;
mod profile;
mod property;
mod scenario;
mod statistics;
mod stored;
mod train;
mod user;
mod worked_examples;
