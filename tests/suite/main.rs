//! The suite: one declaration per case, from which the checks follow; above the cases networks, properties and goldens.

mod case;
mod check;
mod checkpoint;
mod corrupt;
mod data;
mod kill;
mod layers;
mod train;
