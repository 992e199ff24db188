#!/bin/sh
# The checker finds nothing in the solutions, and in every wrong program of wrong.txt what is wrong with it.
#   test_checkers.sh BUILD c|f90|rs      one language; without it all of them, side by side
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$1
if [ $# = 1 ]; then
  bad=0 running=
  for kind in c f90 ${RUST_LIBRARY:+rs}; do
    sh "$0" "$build" $kind &
    running="$running $!"
  done
  for one in $running; do wait "$one" || bad=1; done
  exit $bad
fi
kind=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CHECK="$work/check"
bad=0 n=0
for file in "$here"/../c/exercises/*."$kind" "$here"/../fortran/exercises/*."$kind" "$here"/../../examples/exercises/*."$kind"; do
  [ -f "$file" ] || continue
  case "$file" in */exercise.* | */spectra.* | */all.rs) continue ;; esac
  n=$((n + 1))
  # Their final numbers are those of `make exercises`.
  STEPS_ONLY=1 sh "$here/check.sh" "$file" "$build" > "$work/answer" 2>&1 || { echo "the solution $file is refused:"; cat "$work/answer"; bad=1; }
done
while IFS= read -r line; do
  case "$line" in ''|\#*) continue ;; esac
  file=${line%% ;; *}
  rest=${line#* ;; }
  change=${rest%% ;; *}
  expected=${rest#* ;; }
  [ "${file##*.}" = "$kind" ] || continue
  n=$((n + 1))
  wrong=$work/$(basename "$file")
  sed "$change" "$here/../$file" > "$wrong"
  if cmp -s "$wrong" "$here/../$file"; then
    echo "$change changes nothing in $file"; bad=1
  elif sh "$here/check.sh" "$wrong" "$build" > "$work/answer" 2>&1; then
    echo "$file with $change: not refused, expected '$expected'"; bad=1
  elif ! tr '\n' ' ' < "$work/answer" | grep -q -e "$expected"; then
    echo "$file with $change: expected '$expected', got:"; tail -n 4 "$work/answer"; bad=1
  fi
done < "$here/wrong.txt"
[ "$n" -gt 0 ] || bad=1
[ $bad = 0 ] && echo "$n .$kind programs, right and wrong, are told apart"
exit $bad
