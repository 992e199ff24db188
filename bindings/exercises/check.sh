#!/bin/sh
# Compares a student's program with the reference, step by step: its functions, then its final numbers.
#   make check-exercise FILE=path/of/mlp_iris.c      the file keeps its exercise's name, or that name with something behind a dash
set -eu
here=$(cd "$(dirname "$0")" && pwd)
file=$1 build=$2
say() { printf '\n== %s\n' "$1"; }
[ -f "$file" ] || { echo "no such file: '$file'. Call: make check-exercise FILE=bindings/c/exercises/starter/mlp_iris.c" >&2; exit 1; }
kind=${file##*.}
name=$(basename "$file" ".$kind")
name=${name%%-*}
# Several may be checked at once, each in a folder of its own.
check=${CHECK:-$build/check}
mkdir -p "$check"
exe=$check/$name

case "$kind" in
  c)
    exercises=$here/../c/exercises
    [ -f "$exercises/$name.c" ] || { echo "no exercise '$name'; there are: $(cd "$exercises" && ls ./*.c | sed 's|./||; s|\.c$||' | tr '\n' ' ')" >&2; exit 1; }
    say "compiling $file"
    # Its own folder comes first, so that both "exercise.h" and "../exercise.h" are found wherever the file lies.
    $COMPILE -I"$exercises" -I"$exercises/starter" "$file" -o "$exe" $LIBS
    if [ -f "$exercises/check/$name.c" ]; then
      say "step by step"
      # GCC compares what both sides say of a function when it optimises them together.
      together='-O1 -flto -Werror=lto-type-mismatch'
      # shellcheck disable=SC2086
      echo 'int main(void) { return 0; }' | $COMPILE -Werror $together -x c - -o "$exe.check" 2> /dev/null || together=
      # shellcheck disable=SC2086
      $COMPILE $together -I"$exercises" -I"$exercises/starter" -Dmain=student_main -c "$file" -o "$exe.o"
      # shellcheck disable=SC2086
      $COMPILE $together "$exercises/check/$name.c" "$exe.o" -o "$exe.check" $LIBS || {
        echo "the functions that the checker calls are missing or have another form: keep the starter's names and arguments" >&2
        exit 1
      }
      (cd "$check" && "$exe.check" "${KMC_EXERCISE_DATA:-$here/../../examples/data}")
    fi
    ;;
  f90)
    exercises=$here/../fortran/exercises
    [ -f "$exercises/$name.f90" ] || { echo "no exercise '$name'; there are: $(cd "$exercises" && ls ./*.f90 | sed 's|./||; s|\.f90$||' | grep -v -x -e exercise -e spectra | tr '\n' ' ')" >&2; exit 1; }
    say "compiling $file"
    file=$(cd "$(dirname "$file")" && pwd)/$(basename "$file")
    mkdir -p "$exe.f90"
    cd "$exe.f90" # compilers write .mod files where they run
    $COMPILE_F "$file" $F_OBJECTS -o "$exe" $LIBS
    say "step by step"
    # The program is left out: its place is the checker's.
    steps() { awk '{ low = tolower($0) } low ~ /^ *program +[a-z]/ { out = 1 } !out; low ~ /^ *end *program/ { out = 0 }' "$1"; }
    steps "$file" > steps.f90
    $COMPILE_F -c steps.f90 -o steps.o
    changed() { echo "the procedures that the checker calls are missing or have another form: keep the starter's names and arguments" >&2; exit 1; }
    if [ "${name%_net}" = "$name" ]; then
      # From scratch: the checker of C calls the student's procedures through a bridge.
      $COMPILE -DFORTRAN -c "$exercises/../../c/exercises/check/$name.c" -o check.o
      $COMPILE_F -c "$exercises/check/$name.f90" -o bridge.o || changed
      set -- bridge.o check.o
    else
      # With the network API: beside the solution, whose module gets another name.
      steps "$exercises/$name.f90" | sed "s/${name}_steps/${name}_reference/" > reference.f90
      $COMPILE_F -c "$exercises/check/net.f90" -o net.o
      $COMPILE_F -c reference.f90 -o reference.o
      $COMPILE_F -c "$exercises/check/$name.f90" -o check.o || changed
      set -- net.o reference.o check.o
    fi
    $COMPILE_F "$@" steps.o $F_OBJECTS -o "$exe.check" $LIBS || changed
    (cd "$check" && "$exe.check" "${KMC_EXERCISE_DATA:-$here/../../examples/data}")
    ;;
  rs)
    exercises=$here/../../examples/exercises
    case "$name" in exercise | spectra | all) kind= ;; esac
    [ -n "$kind" ] && [ -f "$exercises/$name.rs" ] || { echo "no exercise '$name'; there are: $(cd "$exercises" && ls ./*.rs | sed 's|./||; s|\.rs$||' | grep -v -x -e exercise -e spectra -e all | tr '\n' ' ')" >&2; exit 1; }
    [ -n "${RUST_LIBRARY-}" ] || { echo "the Rust library is not built: call make check-exercise from the root, without PREFIX" >&2; exit 1; }
    say "compiling $file"
    # "exercise.rs" and "../exercise.rs" are found.
    mkdir -p "$exe.rs/src"
    cp "$exercises/exercise.rs" "$exercises/spectra.rs" "$exe.rs"
    cp "$exercises/exercise.rs" "$exercises/spectra.rs" "$exe.rs/src"
    cp "$file" "$exe.rs/src/student.rs"
    cp "$exercises/$name.rs" "$exe.rs/src/solution.rs"
    cd "$exe.rs/src"
    rust() { rustc --edition 2024 -O -L dependency="$(dirname "$RUST_LIBRARY")" --extern kamacite="$RUST_LIBRARY" "$@"; }
    rust student.rs -o "$exe"
    say "step by step"
    changed() { echo "the functions that the checker calls are missing or have another form: keep the starter's names and arguments" >&2; exit 1; }
    if [ "${name%_net}" = "$name" ]; then
      # From scratch: the checker of C calls the student's functions through a bridge.
      cp "$here"/../c/exercises/check/rust/*.rs .
      rust --cap-lints allow --crate-type staticlib "$name.rs" -o libbridge.a || changed
      $COMPILE "$here/../c/exercises/check/$name.c" libbridge.a -o "$exe.check" $LIBS -lpthread -ldl -lgcc_s
    else
      cp "$exercises/check/"*.rs .
      rust --cap-lints allow "$name.rs" -o "$exe.check" || changed
    fi
    (cd "$check" && "$exe.check" "${KMC_EXERCISE_DATA:-$here/../../examples/data}")
    ;;
  *) echo "$file: no checker for '.$kind' files" >&2; exit 1 ;;
esac

[ -z "${STEPS_ONLY-}" ] || exit 0
say "final numbers"
sh "$here/run.sh" "$build" "$name" "$exe" && printf '\nAll right.\n'
