#!/bin/sh
# Every test of the project, on a machine with Rust and a C compiler. `make test` and CI call this.
set -eu
cd "$(dirname "$0")/.."

missing() { echo "missing: $1. Install $2, then run this again." >&2; exit 1; }
command -v cargo >/dev/null 2>&1 || missing cargo "Rust 1.89 or newer (rustup)"
command -v cc >/dev/null 2>&1 || missing "a C compiler (cc)" "gcc or clang"

say() { printf '\n== %s\n' "$1"; }

say "unit tests, the suite, doctests, examples (optimised, with debug assertions and overflow checks)"
cargo test --workspace --all-features

if [ "$(uname -m)" = x86_64 ]; then
  say "the suite once more, on the instruction set that every machine has"
  KAMACITE_ISA=portable cargo test --workspace --all-features --test suite
fi

say "every example in miniature"
for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  last=$(cargo run --quiet --all-features --example "$name" -- --smoke | tail -n 1)
  printf '%-12s %s\n' "$name" "$last"
  case "$last" in RESULT\ *) ;; *) echo "example $name did not end with a RESULT line" >&2; exit 1 ;; esac
done
