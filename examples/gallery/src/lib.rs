//! Complete astronomical systems, each a short program on kamacite's public API: `cargo run --release -p kamacite-gallery -- NAME`.
//!
//! [`system`] has the programs, one file each, with what they reach in their first lines; [`sky`] makes the data they learn from where the user
//! has none. `docs/gallery.md` shows what comes out.

#[path = "../../options/mod.rs"]
pub mod options;
pub mod pack;
pub mod sky;
pub mod system;
