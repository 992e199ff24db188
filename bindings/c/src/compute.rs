//! Low-level compute on plain arrays, for those who write the network themselves.
//!
//! All functions run on the threads of this process's default (see `kmc_default_threads`), and give the same bits for any number of them.

pub mod activation;
pub mod blas;
pub mod conv;
pub mod gradcheck;
pub mod kmeans;
pub mod loss;
pub mod plot;
pub mod pool;
pub mod random;
pub mod window;

use crate::entry::{Answer, Fault};
use kamacite::Cpu;
use std::sync::LazyLock;

/// The threads that all of these functions share; one call at a time has them, others meanwhile run on their own thread.
pub(crate) fn cpu() -> &'static Cpu {
    static CPU: LazyLock<Cpu> = LazyLock::new(Cpu::default);
    &CPU
}

/// An array of the caller's, by its addresses.
pub(crate) struct Span {
    name: &'static str,
    from: usize,
    to: usize,
}

pub(crate) fn span<T>(name: &'static str, p: *const T, len: i64) -> Span {
    let bytes = usize::try_from(len).unwrap_or(0).saturating_mul(size_of::<T>());
    Span { name, from: p.addr(), to: p.addr().saturating_add(bytes) }
}

/// Refuses arrays that are written and overlap another one.
pub(crate) fn apart(written: &[Span], read: &[Span]) -> Answer {
    for (i, to) in written.iter().enumerate() {
        for other in written[i + 1..].iter().chain(read) {
            if overlap(to, other) {
                return Err(Fault::value(to.name, format!("an array apart from {}", other.name), "one that overlaps it"));
            }
        }
    }
    Ok(())
}

pub(crate) fn overlap(a: &Span, b: &Span) -> bool {
    a.from < b.to && b.from < a.to && a.from < a.to && b.from < b.to
}

/// rows times so many values.
pub(crate) fn area(rows: i64, row: i64, what: &str) -> Answer<i64> {
    rows.checked_mul(row)
        .filter(|_| rows >= 0 && row >= 0)
        .ok_or_else(|| Fault::value(what, "0 or more", format!("{rows} x {row}")))
}
