#!/bin/sh
# Every test of the project, on a machine with Rust and a C compiler. `make test` and CI call this.
set -eu
cd "$(dirname "$0")/.."

missing() { echo "missing: $1. Install $2, then run this again." >&2; exit 1; }
command -v cargo >/dev/null 2>&1 || missing cargo "Rust 1.89 or newer (rustup)"
command -v cc >/dev/null 2>&1 || missing "a C compiler (cc)" "gcc or clang"

# Where this may install what tests need, it does; a test that lacks something says so.
install() {
  command -v "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get install -y -q "$2" >/dev/null 2>&1 || { apt-get update -q && apt-get install -y -q "$2"; } >/dev/null 2>&1 || true
  fi
  command -v "$1" >/dev/null 2>&1 || echo "missing: $1 ($3). Install $2 to run what needs it." >&2
}
install c++ g++ "the emulated GPU"

# Tests choose their devices; what they leave open is the CPU, also on a machine with a GPU.
export KAMACITE_DEVICE=cpu

# Kernels that ran on the emulator, for docs/gpu-status.md.
mkdir -p "${CARGO_TARGET_DIR:-target}"
KAMACITE_RECORD=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/emulated
rm -f "$KAMACITE_RECORD"
export KAMACITE_RECORD

say() { printf '\n== %s\n' "$1"; }

say "unit tests, the suite, doctests, examples (optimised, with debug assertions and overflow checks)"
cargo test --workspace --all-features

if [ "$(uname -m)" = x86_64 ]; then
  say "the suite once more, on the instruction set that every machine has"
  KAMACITE_ISA=portable cargo test --workspace --all-features --test suite
fi

if command -v c++ >/dev/null 2>&1; then
  say "every case on the emulated GPU in two more orders of threads, once with a device that is late with everything"
  KAMACITE_EMULATED_ORDER=reverse KAMACITE_EMULATED_LATE=1 cargo test --workspace --all-features --test suite -- --quiet cuda &
  first=$!
  KAMACITE_EMULATED_ORDER=random cargo test --workspace --all-features --test suite -- --quiet cuda
  wait $first

  say "a layer of one's own, with its kernel, on the emulated GPU"
  (eval "$(cargo run --quiet -p kamacite-emulator)" &&
    cargo run --quiet --all-features --example own_layer -- --smoke --device cuda:0)
fi

say "every example in miniature"
for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  last=$(cargo run --quiet --all-features --example "$name" -- --smoke | tail -n 1)
  printf '%-12s %s\n' "$name" "$last"
  case "$last" in RESULT\ *) ;; *) echo "example $name did not end with a RESULT line" >&2; exit 1 ;; esac
done

say "the course's exercises: their results, starters, checkers, accesses to memory"
make exercises exercise-starters
make -C bindings/exercises sanitize

say "every kernel with NVIDIA's compiler, for every architecture"
sh tests/nvrtc.sh
