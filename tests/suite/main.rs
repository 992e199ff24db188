//! The suite: one declaration per case, from which the checks follow; above the cases networks, properties and goldens.

mod case;
mod check;
mod checkpoint;
mod corrupt;
mod data;
mod determinism;
mod golden_cianna;
mod golden_torch;
mod gradient;
mod kill;
mod layers;
mod loss_case;
mod losses;
mod network;
mod open_loop;
mod property;
mod train;
mod user;
mod worked_examples;
