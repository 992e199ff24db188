#!/bin/sh
# Everything on a machine with a GPU, in under ten minutes: correctness first, then compute-sanitizer, then speed beside PyTorch.
#
#   run.sh [OUT]      OUT (a folder) gets the logs and results.json; the last lines are the table
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

limited() { timeout --kill-after=5 "$@"; }

echo "== correctness: every case on the GPU"
rm -f "$out/kernels.txt"
limited 180 env KAMACITE_RECORD="$out/kernels.txt" "$here/suite" --test-threads=4 cuda own_layer >"$out/suite.log" 2>&1
suite=$?
grep -E "^test .*FAILED|^test result" "$out/suite.log"
limited 60 "$here/kamacite" --test-threads=4 >"$out/unit.log" 2>&1
unit=$?
grep -E "^test .*FAILED|^test result" "$out/unit.log"

echo "== compute-sanitizer"
if command -v compute-sanitizer >/dev/null 2>&1; then
  limited 45 compute-sanitizer --tool memcheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda layers::pool::cuda >"$out/memcheck.log" 2>&1
  memcheck=$?
  limited 45 compute-sanitizer --tool racecheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda >"$out/racecheck.log" 2>&1
  racecheck=$?
  tail -n 3 "$out/memcheck.log" "$out/racecheck.log"
else
  memcheck=absent racecheck=absent
fi

echo "== speed"
limited 140 "$here/gpu" ${SMOKE:-} >"$out/kamacite.jsonl" 2>"$out/bench.err"
limited 90 python3 "$here/gpu.py" ${SMOKE:-} >"$out/torch.jsonl" 2>"$out/torch.err"
tail -n 3 "$out/bench.err" "$out/torch.err"
python3 "$here/table.py" "$out" "$(cat "$here/commit")" "suite=$suite unit=$unit memcheck=$memcheck racecheck=$racecheck"
