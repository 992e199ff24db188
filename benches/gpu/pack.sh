#!/bin/sh
# Builds everything that a GPU machine needs to run the tests and the benchmarks, stripped, into one folder: nothing is built there.
#
#   benches/gpu/pack.sh [FOLDER]        then carry FOLDER there and run FOLDER/run.sh
set -eu
cd "$(dirname "$0")/../.."
to=${1:-target/gpu}
rm -rf "$to"
mkdir -p "$to"

# Cargo names the programs that it makes in its messages.
export CARGO_PROFILE_RELEASE_DEBUG=0
cargo test --release --no-run --lib --test suite --message-format=json-render-diagnostics >"$to/built"
cargo bench --no-run --bench gpu --message-format=json-render-diagnostics >>"$to/built"
for program in $(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$to/built"); do
  name=$(basename "$program" | sed 's/-[0-9a-f]*$//')
  cp "$program" "$to/$name"
  strip "$to/$name"
done
rm "$to/built"
for name in kamacite suite gpu; do
  [ -x "$to/$name" ] || { echo "cargo made no program $name" >&2; exit 1; }
done

# Tests that use a GPU: of the suite by their names, of the units by the modules that ask for one.
names() { "$to/$1" --list | sed -n "s/\(.*\): test\$/$1 \1/p"; }
modules=$(grep -rl 'testing::gpu' src | sed 's:^src/::; s:\.rs$::; s:/tests$::; s:/testing$::; s:/:\:\::g' | paste -sd '|')
{
  names suite | grep -v golden | grep -E ' (cuda_training|fusion|launches|loading|own_layer|statistics|stored)::|cuda|gpu|data_without_targets|divergence'
  names kamacite | grep -E " ($modules)::"
} >"$to/tests.txt"

cargo run --release --quiet -p kamacite-nvrtc --all-features -- sources "$to/sources"
cp benches/baselines/gpu.py benches/baselines/gpu_jax.py benches/workloads.json benches/gpu/run.sh benches/gpu/check.py benches/gpu/table.py "$to"
git rev-parse HEAD >"$to/commit" 2>/dev/null || echo unknown >"$to/commit"
du -sh "$to"
