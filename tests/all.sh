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
  command -v "$1" >/dev/null 2>&1 && return
  case ",${KAMACITE_REQUIRE-}," in *,"$2",*) echo "KAMACITE_REQUIRE asks for $2, which is missing" >&2; exit 1 ;; esac
  echo "missing: $1 ($3). Install $2 to run what needs it." >&2
}
install c++ g++ "the emulated GPU, the header as C++"
install valgrind valgrind "the C tests under valgrind"
install flang-new-19 flang-19 "the Fortran module with a second compiler"
# Without these there is no test of the C and Fortran interfaces worth the name.
for needed in "gfortran gfortran" "cmake cmake" "pkg-config pkg-config" "make make"; do
  # shellcheck disable=SC2086
  install $needed "the C and Fortran interfaces"
  command -v "${needed% *}" >/dev/null 2>&1 || exit 1
done

# Tests choose their devices; what they leave open is the CPU, also on a machine with a GPU.
export KAMACITE_DEVICE=cpu

# Kernels that ran on the emulator, for docs/gpu-status.md.
mkdir -p "${CARGO_TARGET_DIR:-target}"
KAMACITE_RECORD=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/emulated
rm -f "$KAMACITE_RECORD"
export KAMACITE_RECORD

say() { printf '\n== %s\n' "$1"; }

target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)

# astropy reads what the FITS writer wrote: from PyPI, kept in target/python.
if [ -z "${KAMACITE_PYTHON-}" ] && command -v python3 >/dev/null 2>&1 && ! python3 -c 'import astropy' 2>/dev/null; then
  if [ ! -e "$target/python/fetched" ]; then
    { python3 -m venv "$target/python" && "$target/python/bin/python" -m pip install --quiet --disable-pip-version-check \
      --retries 1 --timeout 20 astropy && touch "$target/python/fetched"; } >"$target/python.log" 2>&1 || tail -n 2 "$target/python.log"
  fi
  if [ -e "$target/python/fetched" ]; then KAMACITE_PYTHON=$target/python/bin/python; export KAMACITE_PYTHON; fi
fi

say "unit tests, the suite, doctests, examples (optimised, with debug assertions and overflow checks)"
KAMACITE_SCENARIO=$target/scenario.rust cargo test --workspace --all-features

# The numbers on every other instruction set: cases, threads, goldens. What this machine lacks is said, and fails where it is required.
cpu() { cargo run --quiet --all-features --example doctor | sed -n 's/^CPU: cpu (.*, \(.*\))$/\1/p'; }
ran=$(cpu)
for isa in portable avx2 avx512; do
  if [ "$isa" = "$ran" ]; then
    continue
  elif [ "$(KAMACITE_ISA=$isa cpu)" = "$isa" ]; then
    say "the suite once more, forced to $isa"
    KAMACITE_ISA=$isa cargo test --workspace --all-features --test suite -- --skip cuda --skip on_a_gpu --skip statistics:: --skip stored:: --skip launches::
  else
    case ",${KAMACITE_REQUIRE-}," in *,"$isa",*) echo "KAMACITE_REQUIRE asks for $isa, which this machine lacks" >&2; exit 1 ;; esac
    echo "SKIPPED $isa: this machine lacks it"
  fi
done

if command -v c++ >/dev/null 2>&1; then
  say "every case on the emulated GPU in two more orders of threads, once with a device that is late with everything"
  in_order() { cargo test --workspace --all-features --test suite -- --quiet cuda on_a_gpu statistics:: && cargo test --workspace --all-features --lib -- --quiet sm_90a mlp maxima; }
  (export KAMACITE_EMULATED_ORDER=reverse KAMACITE_EMULATED_LATE=1 && in_order) &
  first=$!
  (export KAMACITE_EMULATED_ORDER=random && in_order)
  wait $first

  say "a layer of one's own, with its kernel, on the emulated GPU"
  (eval "$(cargo run --quiet -p kamacite-emulator)" &&
    cargo run --quiet --all-features --example own_layer -- --smoke --device cuda:0)
fi

say "the benchmark's runner, and what its driver computes"
line=$(cargo test --quiet --all-features --bench step -- --workload W1 --batch 8 --threads 1 --seconds 0.05 --repeats 1)
case "$line" in {*'"samples_per_s":'*}) ;; *) echo "the runner printed: $line" >&2; exit 1 ;; esac
if command -v python3 >/dev/null 2>&1; then
  python3 benches/peers/test_driver.py "$line"
  python3 benches/gpu/test_kit.py
else
  echo "SKIPPED the drivers: no python3"
fi

say "every example in miniature"
for file in examples/*.rs; do
  name=$(basename "$file" .rs)
  last=$(cargo run --quiet --all-features --example "$name" -- --smoke | tail -n 1)
  printf '%-12s %s\n' "$name" "$last"
  case "$last" in RESULT\ *) ;; *) echo "example $name did not end with a RESULT line" >&2; exit 1 ;; esac
done

say "every system of the gallery in miniature, with one thread and with two"
# With the features of the tests, whose library is there: naming one of them chooses these.
cargo build --quiet --workspace --all-features --bin gallery --test suite
gallery=$target/debug/gallery
"$gallery" list >"$target/systems"
while read -r name _; do
  "$gallery" "$name" --smoke --threads 2 --out "$target/gallery/two" </dev/null | tail -n 1 >"$target/gallery.two" &
  other=$!
  one=$("$gallery" "$name" --smoke --threads 1 --out "$target/gallery/one" </dev/null | tail -n 1)
  wait $other
  printf '%-16s %s\n' "$name" "$one"
  case "$one" in RESULT\ *) ;; *) echo "$name did not end with a RESULT line" >&2; exit 1 ;; esac
  [ "$one" = "$(cat "$target/gallery.two")" ] || { echo "two threads: $(cat "$target/gallery.two")" >&2; exit 1; }
done <"$target/systems"
sh examples/gallery/test.sh "$gallery"

say "the C interface, installed: every function, misuse, random calls, sanitizers, valgrind"
sh bindings/install/install.sh "$target/installed" >/dev/null
# And what `cargo test` built: with debug assertions and overflow checks.
SCENARIO=$target/scenario.c sh bindings/c/tests/run.sh "$target/installed/lib" "$target/debug/deps"

say "the Fortran module, with gfortran and flang"
SCENARIO=$target/scenario.fortran sh bindings/fortran/test.sh "$target/installed/lib"
if command -v flang-new-19 >/dev/null 2>&1; then
  FC=flang-new-19 TIMING=0 sh bindings/fortran/test.sh "$target/installed/lib"
else
  echo "SKIPPED flang: not installed"
fi
for language in c fortran; do
  diff "$target/scenario.rust" "$target/scenario.$language" || { echo "$language does not give the bits that Rust gives" >&2; exit 1; }
done
echo "one scenario, the same bits in Rust, C and Fortran"

# NVIDIA's compiler works beside what follows, where nothing is timed and much is busy on one core. What it says is told at the end.
nice sh tests/nvrtc.sh >"$target/nvrtc.txt" 2>&1 &
nvrtc=$!
trap 'kill $nvrtc 2>/dev/null || true' EXIT

say "small programs out of an installation: gcc, pkg-config, CMake, gfortran, fpm; out of a tarball, without Rust"
sh bindings/install/test.sh "$target/release"

say "the course's exercises: their results, starters, checkers, accesses to memory"
make exercises exercise-starters
make -C bindings/exercises sanitize

say "instructions of five small training steps"
sh tests/instructions.sh

say "every kernel with NVIDIA's compiler, for every architecture"
trap - EXIT
wait $nvrtc && compiled=0 || compiled=$?
cat "$target/nvrtc.txt"
exit $compiled
