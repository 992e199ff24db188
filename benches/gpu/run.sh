#!/bin/sh
# Everything on a machine with a GPU, in under ten minutes: correctness first, then speed beside PyTorch and JAX, then counters of the
# main kernels and compute-sanitizer. Each part is a process with a limit of its own: one that fails or hangs costs its own numbers only.
#
#   run.sh [OUT]      OUT (a folder) gets the logs, table.txt and results.json; the last lines are the table
#   SMOKE=--smoke run.sh [OUT]   the same in small, for an emulated GPU
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-${OUT:-$here/out}}
mkdir -p "$out"
export KAMACITE_REQUIRE=gpu KAMACITE_DEVICE=cpu KAMACITE_CACHE="$out/../kernel-cache-$$" RUST_BACKTRACE=1
[ -x "$here/kamacite" ] || chmod +x "$here/kamacite" "$here/suite" "$here/gpu"

# NVRTC as Python packages carry it, where no toolkit is installed.
if [ -z "${KAMACITE_NVRTC:-}" ]; then
  KAMACITE_NVRTC=$(python3 - <<'P' 2>/dev/null
import glob, site, sys
for folder in site.getsitepackages() + [site.getusersitepackages()] + sys.path:
    for path in sorted(glob.glob(folder + "/nvidia/cu1*/lib/libnvrtc.so.1?") + glob.glob(folder + "/nvidia/cuda_nvrtc/lib/libnvrtc.so.1?"), reverse=True):
        print(path)
        raise SystemExit
P
)
  [ -n "$KAMACITE_NVRTC" ] && export KAMACITE_NVRTC || unset KAMACITE_NVRTC
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader >"$out/card.txt" 2>&1

# No part begins later than this, nor lasts beyond it.
end=$(($(date +%s) + ${LIMIT:-580}))
# limited SECONDS COMMAND ..: at most so long, and not beyond the end; 124 where the time was up.
limited() {
  most=$1
  shift
  left=$((end - $(date +%s) - 6))
  [ "$left" -gt 2 ] || { echo "no time left for $*" >&2; return 124; }
  [ "$most" -lt "$left" ] || most=$left
  timeout --kill-after=5 "$most" "$@"
}

echo "== correctness: every case on the GPU"
rm -f "$out/kernels.txt"
limited 170 env KAMACITE_RECORD="$out/kernels.txt" "$here/suite" --test-threads=4 cuda own_layer >"$out/suite.log" 2>&1
suite=$?
grep -E "^test .*FAILED|^test result" "$out/suite.log"
limited 60 "$here/kamacite" --test-threads="$(nproc)" >"$out/unit.log" 2>&1
unit=$?
grep -E "^test .*FAILED|^test result" "$out/unit.log"

echo "== speed"
rm -f "$out"/kamacite-*.jsonl "$out"/peer-*.jsonl "$out"/*.err
exits=
ours() {
  limited "$2" "$here/gpu" --seconds 0.2 --only "$1" ${SMOKE:-} >"$out/kamacite-$1.jsonl" 2>"$out/kamacite-$1.err"
  exits="$exits $1=$?"
  tail -n 2 "$out/kamacite-$1.err"
}
# peer NAME SECONDS SCRIPT ..
peer() {
  name=$1 most=$2
  shift 2
  limited "$most" "${PYTHON:-python3}" "$@" ${SMOKE:-} >"$out/peer-$name.jsonl" 2>"$out/peer-$name.err"
  exits="$exits $name=$?"
  tail -n 2 "$out/peer-$name.err"
}
device=${PEER_DEVICE:-cuda}
ours copy 20
ours gemm 60
peer gemm 45 "$here/gpu.py" --device "$device" --seconds 0.2 --only copy,gemm
ours conv 60
peer conv 45 "$here/gpu.py" --device "$device" --seconds 0.2 --only conv,few
ours step 50
peer step 75 "$here/gpu.py" --device "$device" --seconds 0.2 --only step
ours network 30
peer network 75 "$here/gpu.py" --device "$device" --seconds 0.2 --only network
ours few 25
ours memory 40
ours optim 20
peer memory 30 "$here/gpu.py" --device "$device" --seconds 0.2 --only memory,optim
peer jax 60 "$here/gpu_jax.py"

if command -v ncu >/dev/null 2>&1; then
  echo "== counters of the main kernels"
  counters() {
    limited 25 ncu --clock-control none --launch-count 1 --section SpeedOfLight --section Occupancy --kernel-name "regex:$2" \
      "$here/gpu" --seconds 0.01 --only "$1" >"$out/ncu-$3.log" 2>&1
    exits="$exits ncu-$3=$?"
  }
  counters gemm 'gemm_sm90_nn_128x256_bf16' gemm
  counters conv 'conv_sm90_bf16' conv
  counters few 'conv_few' few
  counters memory 'apply_' norm
fi

if command -v compute-sanitizer >/dev/null 2>&1; then
  echo "== compute-sanitizer"
  limited 40 compute-sanitizer --tool memcheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda layers::pool::cuda >"$out/memcheck.log" 2>&1
  exits="$exits memcheck=$?"
  limited 40 compute-sanitizer --tool racecheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda >"$out/racecheck.log" 2>&1
  exits="$exits racecheck=$?"
  tail -n 3 "$out/memcheck.log" "$out/racecheck.log"
fi

python3 "$here/table.py" "$out" "$(cat "$here/commit")" "suite=$suite unit=$unit$exits"
