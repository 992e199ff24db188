#!/bin/sh
# Every test in C: run.sh FOLDER CHECKED. Compiled as C99 without a warning; run as they are, under the address and undefined-behaviour
# sanitizers with leaks counted, and under valgrind.
# FOLDER holds libkamacite.so and .a as installed. CHECKED is cargo's folder of the library with debug assertions and overflow checks,
# target/debug/deps, which random calls and valgrind are given.
#   KMC_FUZZ="FIRST LAST STEPS" runs the fuzzer alone, on these seeds.
set -eu
libs=$(cd "$1" && pwd)
built=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CC=${CC:-cc} CXX=${CXX:-c++}
warnings="-Wall -Wextra -Wpedantic -Werror"
abi=$(sed -n 's/^#define KMC_ABI_VERSION \([0-9]*\)$/\1/p' ../include/kamacite.h)
mkdir "$work/files" "$work/checked"
ln -s "$built/libkamacite_capi.so" "$work/checked/libkamacite.so.$abi"
ln -s "libkamacite.so.$abi" "$work/checked/libkamacite.so"
shared="-L$libs -lkamacite -Wl,-rpath,$libs -lm -pthread"
# What a static Rust library needs; see install/stage.sh.
native="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"
static="$libs/libkamacite.a $native"
sanitize="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
export KMC_TEST_FOLDER="$work/files"
# A size that nobody has is to be refused by the library, not by the sanitizer.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1

compile() { # flags, source, program, libraries
  # shellcheck disable=SC2086
  $CC -std=c99 $warnings -I../include $1 "$2" -o "$3" $4
}

run() { # what, program, arguments
  what=$1
  shift
  rm -rf "$work/files"
  mkdir "$work/files"
  # Some calls are about files of this folder.
  (cd "$work/files" && "$@") >"$work/output" 2>&1 || { cat "$work/output"; echo "$what failed: $*" >&2; exit 1; }
  printf '%-10s %s\n' "$what" "$(grep -E 'checks|calls|RESULT' "$work/output" | tail -n 1)"
}

compile "$sanitize" fuzz.c "$work/fuzz-sanitized" "$built/libkamacite_capi.a $native"
if [ -n "${KMC_FUZZ-}" ]; then
  # shellcheck disable=SC2086
  set -- $KMC_FUZZ
  seed=$1
  while [ "$seed" -le "$2" ]; do
    run "fuzz $seed" "$work/fuzz-sanitized" "$seed" "$3"
    seed=$((seed + 1))
  done
  exit
fi

# The exported functions, and nothing else.
nm -D --defined-only "$libs/libkamacite.so" | awk '{ print $3 }' | LC_ALL=C sort > "$work/abi.txt"
if [ -n "${KAMACITE_WRITE_ABI-}" ]; then cp "$work/abi.txt" ../abi.txt; fi
diff ../abi.txt "$work/abi.txt" || { echo "abi.txt is not what is exported; KAMACITE_WRITE_ABI=1 writes it" >&2; exit 1; }
soname=$(readelf -d "$libs/libkamacite.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = "libkamacite.so.$abi" ] || { echo "soname $soname, but KMC_ABI_VERSION is $abi" >&2; exit 1; }

# The header as C++, by each of its versions.
for version in 11 17 20; do
  # shellcheck disable=SC2086
  $CXX -std=c++$version -x c++ $warnings -I../include -fsyntax-only header.c
done
# Each function is called by a test of what it does, not only by those of misuse.
for test in header data fits lowlevel model trainer; do
  compile "-c" $test.c "$work/$test.o" ""
  nm -u "$work/$test.o"
done | grep -o 'kmc_[a-z0-9_]*' | LC_ALL=C sort -u > "$work/called"
missing=$(LC_ALL=C comm -23 ../abi.txt "$work/called")
[ -z "$missing" ] || { echo "no test calls $missing" >&2; exit 1; }

for test in header data fits lowlevel model trainer misuse behave; do
  compile "-O1 -g" $test.c "$work/$test" "$shared"
  compile "$sanitize" $test.c "$work/$test-sanitized" "$static"
  run "" "$work/$test"
  run sanitized "$work/$test-sanitized"
done
# The scenario, which Rust and Fortran print as well; SCENARIO=FILE keeps it.
compile "-O1 -g" scenario.c "$work/scenario" "$shared"
"$work/scenario" > "${SCENARIO:-/dev/null}"
for seed in 1 2 3 4 5 6 7 8; do
  run sanitized "$work/fuzz-sanitized" $seed 10000
done

compile "-O3" speed.c "$work/speed" "$shared"
run speed "$work/speed" 3

# Not behave.c: valgrind runs one thread at a time.
if command -v valgrind >/dev/null 2>&1; then
  shared="-L$work/checked -lkamacite -Wl,-rpath,$work/checked -lm -pthread"
  for test in data fits lowlevel model trainer misuse fuzz; do
    compile "-O1 -g" $test.c "$work/$test" "$shared"
    # shellcheck disable=SC2046
    run valgrind valgrind --quiet --suppressions="$here/valgrind.supp" --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
      --error-exitcode=9 "$work/$test" $([ $test != fuzz ] || echo 1 1500)
  done
else
  case ",${KAMACITE_REQUIRE-}," in *,valgrind,*) echo "KAMACITE_REQUIRE asks for valgrind, which is missing" >&2; exit 1 ;; esac
  echo "SKIPPED valgrind: not installed"
fi
