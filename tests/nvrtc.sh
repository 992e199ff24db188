#!/bin/sh
# Compiles every kernel for every architecture without a GPU, and fails on spills. NVIDIA's run-time compilers come from PyPI
# and are kept in target/nvrtc, with what they made. Without network or Python: SKIPPED, unless KAMACITE_REQUIRE=nvrtc.
# `sh tests/nvrtc.sh status` writes docs/gpu-status.md; `sh tests/nvrtc.sh image FILE` makes the prebuilt image.
set -eu
cd "$(dirname "$0")/.."

folder=${KAMACITE_NVRTC_FOLDER:-${CARGO_TARGET_DIR:-target}/nvrtc}
if [ ! -e "$folder/fetched" ] && [ ! -e "$folder/lib" ]; then
  fetch() {
    python3 -m venv "$folder" &&
      "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 20 \
        nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvrtc-cu12==12.9.86
  }
  mkdir -p "$folder"
  # What is missing is said by the program below.
  if fetch >"$folder.log" 2>&1; then touch "$folder/fetched"; else tail -n 2 "$folder.log"; rm -rf "$folder/lib"; fi
fi
[ $# -gt 0 ] || set -- check
exec cargo run --quiet -p kamacite-nvrtc --all-features -- "$@"
