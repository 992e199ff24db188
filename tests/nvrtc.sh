#!/bin/sh
# Compiles every kernel for every architecture without a GPU, and fails on spills and on machine code that lacks what
# tests/nvrtc/mix.txt asks for. NVIDIA's run-time compilers and disassembler come from PyPI and are kept in target/nvrtc, with what
# they made. Without network or Python: SKIPPED, unless KAMACITE_REQUIRE=nvrtc.
# `sh tests/nvrtc.sh status` writes docs/gpu-status.md; `sh tests/nvrtc.sh image FILE` makes the prebuilt image.
set -eu
cd "$(dirname "$0")/.."

folder=${KAMACITE_NVRTC_FOLDER:-${CARGO_TARGET_DIR:-target}/nvrtc}
packages="nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-nvdisasm==13.2.86"
# A folder with compilers that this script has not fetched is left as it is.
if [ ! -e "$folder/lib" ] || { [ -e "$folder/fetched" ] && [ "$(cat "$folder/fetched")" != "$packages" ]; }; then
  fetch() {
    python3 -m venv "$folder" &&
      "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 20 \
        $packages
  }
  mkdir -p "$folder"
  # What is missing is said by the program below.
  if fetch >"$folder.log" 2>&1; then echo "$packages" >"$folder/fetched"; else tail -n 2 "$folder.log"; [ -e "$folder/fetched" ] || rm -rf "$folder/lib"; fi
fi
[ $# -gt 0 ] || set -- check
# With the features of the tests, whose library is there: naming one of them chooses these.
cargo build --quiet --workspace --all-features --bin kamacite-nvrtc --test suite
exec "${CARGO_TARGET_DIR:-target}/debug/kamacite-nvrtc" "$@"
