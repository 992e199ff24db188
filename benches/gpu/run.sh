#!/bin/sh
# Everything on a machine with a GPU, in one call of under ten minutes, what matters most first. Each part is a process with a limit of
# its own: one that fails or hangs costs its own numbers only.
#
#   run.sh [OUT]      OUT, a folder, gets results.json, table.txt and all.tgz with all logs after every part; the last lines say what failed,
#                     those before them the exit and the seconds of each part
#   STAGES="correctness" run.sh [OUT]    of smoke speed correctness counters sanitizer, which is the order of all
#   SMOKE=--smoke LIMIT=7200 PEER_DEVICE=cpu run.sh [OUT]    the same in small, for an emulated GPU
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-${OUT:-$here/out}}
work=$here/work
python=${PYTHON:-python3}
rm -rf "$work"
mkdir -p "$work" "$out"
cp "$here/tests.txt" "$work"
end=$(($(date +%s) + ${LIMIT:-574}))
# The emulator takes its time.
slow=${SMOKE:+60}
slow=${slow:-1}
export KAMACITE_REQUIRE=gpu KAMACITE_DEVICE=cpu KAMACITE_CACHE="${KAMACITE_CACHE:-$here/kernel-cache}" RUST_BACKTRACE=1
export TEST_SECONDS=$((60 * slow))
chmod +x "$here/kamacite" "$here/suite" "$here/gpu" 2>/dev/null

# Toolkits carry a libcuda without a driver behind it, to link with.
if [ -n "${LD_LIBRARY_PATH:-}" ]; then
  LD_LIBRARY_PATH=$(echo "$LD_LIBRARY_PATH" | tr ':' '\n' | grep -v '/stubs/*$' | paste -sd ':')
fi

# NVRTC as Python packages carry it: the newest that the driver takes.
if [ -z "${KAMACITE_NVRTC:-}" ]; then
  for file in $("$python" - <<'P'
import glob, site, sys
for folder in dict.fromkeys([*site.getsitepackages(), site.getusersitepackages(), *sys.path]):
    print(*sorted(glob.glob(f"{folder}/nvidia/c*/lib/libnvrtc.so.1?"), reverse=True), sep="\n")
P
  ); do
    KAMACITE_NVRTC=$file timeout 20 "$here/gpu" --only nothing >/dev/null 2>&1 && export KAMACITE_NVRTC="$file" && break
  done
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1 >"$work/card.txt"

# What there is goes to $out, each file at once: this may be killed at any time.
save() {
  "$python" "$here/table.py" "$work" "$(cat "$here/commit")" >"$work/summary.txt" 2>"$work/table.err"
  tar -czf "$out/new" -C "$work" . && mv "$out/new" "$out/all.tgz"
  for file in results.json table.txt; do
    [ -f "$work/$file" ] && cp "$work/$file" "$out/new" && mv "$out/new" "$out/$file"
  done
}
# part NAME SECONDS COMMAND ..: at most so long, and not beyond the end.
part() {
  name=$1 most=$(($2 * slow)) now=$(date +%s)
  shift 2
  code=125
  [ "$most" -lt $((end - now)) ] || most=$((end - now - 5))
  if [ "$most" -gt 2 ]; then
    timeout --kill-after=3 "$most" "$@" >"$work/$name.out" 2>"$work/$name.err"
    code=$?
  fi
  echo "$name $code $(($(date +%s) - now))" | tee -a "$work/exits.txt"
  save
}
ours() { part "ours-$1" "$2" "$here/gpu" --seconds 0.2 --only "$1" ${SMOKE:-}; }
peer() {
  name=peer-$1 most=$2 script=$3
  shift 3
  part "$name" "$most" "$python" "$here/$script" "$@" ${SMOKE:-}
}
torch() {
  name=$1 most=$2
  shift 2
  peer "$name" "$most" gpu.py --device "${PEER_DEVICE:-cuda}" --seconds 0.2 "$@"
}
# tests NAME SECONDS [PATTERN]: those that were not run yet. They end a little before their part does.
tests() {
  left=$((end - $(date +%s) - 8)) most=$(($2 * slow))
  [ "$most" -lt "$left" ] || most=$left
  part "$1" $(($2 + 8)) "$python" "$here/check.py" "$here" "$work" "$most" "${3:-}"
}

smoke() {
  tests smoke 45 'own_layer|layers::(dense|conv|norm|pool)::cuda|softmax_cross_entropy::cuda|the_losses_of_the_examples|op::(gemm|conv)_cuda'
}
speed() {
  for group in "copy 15" "gemm 50" "conv 40" "step 40" "network 30" "few 25" "memory 25" "optim 15"; do
    # shellcheck disable=SC2086
    ours $group
  done
  torch products 70 --only copy,gemm,conv,few
  torch steps 70 --only step,network,memory,optim
  peer jax 40 gpu_jax.py
  torch compiled 120 --only network,step --compile
}
correctness() { tests correctness 400; }
counters() {
  command -v ncu >/dev/null 2>&1 || return
  while read -r name group kernel; do
    # Without --kill the program would go on to its end, unseen.
    part "ncu-$name" 20 ncu --clock-control none --launch-count 1 --kill yes --section SpeedOfLight --section Occupancy --kernel-name "regex:$kernel" \
      "$here/gpu" --seconds 0.01 --only "$group" </dev/null
  done <<'K'
gemm gemm gemm_sm90_nn_128x256_bf16
conv conv conv_sm90_bf16
few few conv_few
norm memory apply_
K
}
sanitizer() {
  command -v compute-sanitizer >/dev/null 2>&1 || return
  part memcheck 40 compute-sanitizer --tool memcheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda layers::pool::cuda
  part racecheck 40 compute-sanitizer --tool racecheck --error-exitcode 9 "$here/suite" --test-threads=1 layers::dense::cuda
}

# Machine code of all sources first, by many processes: one alone compiles one source after another, for a minute and a half.
# shellcheck disable=SC2016
part compile 60 sh -c 'ls -S "$0"/sources/*.cu | xargs -P "$(nproc)" -n 1 "$0/gpu" --compile' "$here"
for stage in ${STAGES:-smoke speed correctness counters sanitizer}; do
  "$stage"
done
cat "$work/summary.txt"
