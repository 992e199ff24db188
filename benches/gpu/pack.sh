#!/bin/sh
# Builds everything that a GPU machine needs to run the tests and the benchmarks, stripped, into one folder: nothing is built there.
#
#   benches/gpu/pack.sh [FOLDER]        then carry FOLDER there and run FOLDER/run.sh
set -eu
cd "$(dirname "$0")/../.."
to=${1:-target/gpu}
rm -rf "$to"
mkdir -p "$to"

# The programs that cargo makes of these targets, from its own messages.
built() {
  cargo "$@" --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}
export CARGO_PROFILE_RELEASE_DEBUG=0
for program in $(built test --release --no-run --lib --test suite) $(built bench --no-run --bench gpu); do
  name=$(basename "$program" | sed 's/-[0-9a-f]*$//')
  cp "$program" "$to/$name"
  strip "$to/$name"
done
cp benches/baselines/gpu.py benches/baselines/gpu_jax.py benches/workloads.json benches/gpu/run.sh benches/gpu/table.py "$to"
git rev-parse HEAD >"$to/commit" 2>/dev/null || echo unknown >"$to/commit"
du -sh "$to"
