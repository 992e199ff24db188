#!/bin/sh
# The tests of the Fortran module: sh bindings/fortran/test.sh FOLDER, where FOLDER holds libkamacite.so.
#   FC=flang-new-19    the compiler; gfortran where it is not set
#   VALGRIND=1         every program under valgrind as well: no invalid access, no leak
#   TIMING=0           without the timing, which means nothing on a busy machine
# The last output is the scenario's, which C and Rust print too; SCENARIO=FILE keeps it.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
lib=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
fc=${FC:-gfortran}
command -v "$fc" >/dev/null 2>&1 || { echo "missing: $fc. Install gfortran, or set FC." >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

case "$fc" in
  *flang*)
    # -pedantic warns of every array that a program hands over, since the module takes its address during the call.
    strict="-std=f2018 -pedantic"
    checks="-std=f2018 -O1 -g" ;;
  *)
    strict="-std=f2018 -Wall -Wextra"
    checks="-std=f2018 -Wall -Wno-unused-function -Wno-function-elimination -Wno-target-lifetime -O1 -g -fcheck=all,no-array-temps -finit-real=snan" ;;
esac
link="-L$lib -lkamacite -Wl,-rpath,$lib"

# The module says what the header says.
sh "$here/check_header.sh"

# The module compiles without a word, as students compile it and strictly.
for flags in -O3 "$strict"; do
  # shellcheck disable=SC2086
  "$fc" $flags -c "$here/kamacite.f90" -o kamacite.o >said 2>&1 || { cat said >&2; exit 1; }
  [ ! -s said ] || { cat said >&2; echo "FAILED: warnings from $fc $flags" >&2; exit 1; }
done
# shellcheck disable=SC2086
"$fc" $checks -c "$here/kamacite.f90" -o kamacite.o

build() {
  # shellcheck disable=SC2086
  "$fc" $1 -I "$here/tests" "$here/tests/$2.f90" kamacite.o -o "$2" $link >said 2>&1 ||
    { cat said >&2; exit 1; }
  if grep -i "warning" said | grep -v "executable stack\|deprecated" >&2; then cat said >&2; exit 1; fi
}

for test in data fits network model trainer compute metrics errors; do
  build "$checks" $test
  "./$test" >said 2>&1 || { cat said >&2; echo "FAILED: $test" >&2; exit 1; }
  tail -n 1 said
  if [ "${VALGRIND:-0}" = 1 ]; then
    valgrind -q --suppressions="$here/../c/tests/valgrind.supp" --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=9 "./$test" >said 2>&1 ||
      { cat said >&2; echo "FAILED: $test under valgrind" >&2; exit 1; }
  fi
done

# Failures without stat: the sentence on the error unit, status 1, and nothing after it.
build "$checks" stops
stops() {
  if ./stops "$1" >out 2>err; then echo "FAILED: stops $1 did not stop" >&2; exit 1; else status=$?; fi
  [ $status = 1 ] || { echo "FAILED: stops $1 ended with status $status" >&2; exit 1; }
  grep -q "^kamacite: $2" err || { cat err >&2; echo "FAILED: stops $1 did not say: $2" >&2; exit 1; }
  if grep -q "still here" out; then echo "FAILED: stops $1 went on" >&2; exit 1; fi
}
stops missing_file "KMC_ERR_IO: .*no such file"
stops errmsg_alone "KMC_ERR_IO: .*no such file"
stops shape "KMC_ERR_SHAPE: x: expected (2, n) with n = 3, got (2, 2)"
stops label "KMC_ERR_VALUE: class of sample 3: expected 1 to 2, got 3"
stops assign_dataset "KMC_ERR_ORDER: assignment of a kmc_dataset would give it two owners"
stops assign_array "KMC_ERR_ORDER: assignment of a kmc_dataset"
stops assign_network "KMC_ERR_ORDER: assignment of a kmc_network"
stops assign_model "KMC_ERR_ORDER: assignment of a kmc_model"
stops getter "KMC_ERR_"
./stops none | grep -q "still here" || { echo "FAILED: stops none" >&2; exit 1; }
echo "stops: 10 checks, 0 failed"

# The program of the README, on the irises.
awk '/^```fortran/ { inside = 1; next } /^```/ { inside = 0 } inside' "$here/README.md" >readme.f90
# shellcheck disable=SC2086
"$fc" -O2 readme.f90 kamacite.o -o readme $link
cp "$here/../../examples/data/iris.data" .
./readme | grep "^accuracy 98.00%"

if [ "${TIMING:-1}" = 1 ]; then
  build -O3 timing
  ./timing
fi

build -O2 scenario
./scenario | tee "${SCENARIO:-/dev/null}"
