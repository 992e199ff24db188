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

say "every example in miniature"
for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  printf -- '-- %s\n' "$name"
  cargo run --quiet --all-features --example "$name" -- --smoke
done
