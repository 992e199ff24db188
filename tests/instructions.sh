#!/bin/sh
# Instructions of five small training steps (callgrind, AVX2 kernels, one thread) against those in tests/instructions.txt.
#
#   sh tests/instructions.sh          fails where one differs by more than 3 %, in either direction, and says by how much
#   sh tests/instructions.sh update   writes tests/instructions.txt (`make instructions`): in the change that alters the numbers, on purpose
#
# Counts depend on the compiler. With another rustc than the file's the differences are printed, loudly, and nothing fails.
set -eu
cd "$(dirname "$0")/.."
table=tests/instructions.txt
compiler=$(rustc --version)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null 2>&1 || { echo "SKIPPED instruction counts: valgrind is not installed"; exit 0; }
[ "$(uname -m)" = x86_64 ] && grep -q avx2 /proc/cpuinfo || { echo "SKIPPED instruction counts: no AVX2 here"; exit 0; }

cargo build --quiet --release -p kamacite-instructions
program=${CARGO_TARGET_DIR:-target}/release/instructions

# One line for each network: its name and the instructions of a step.
count() {
  KAMACITE_ISA=avx2 valgrind --tool=callgrind --toggle-collect='*counted_steps*' --callgrind-out-file="$work/$1.out" \
    "$program" "$1" "$2" >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; return 1; }
  awk -v name="$1" -v steps="$2" '/^(summary|totals):/ { n = $2 } END { if (n + 0 == 0) exit 1; printf "%s %d\n", name, n / steps }' \
    "$work/$1.out" >"$work/$1.count" || { echo "callgrind counted nothing for $1" >&2; return 1; }
}
# Two at a time: CI has two cores.
"$program" >"$work/nets"
while read -r name steps; do
  count "$name" "$steps" &
  first=$!
  second=
  if read -r name steps; then
    count "$name" "$steps" &
    second=$!
  fi
  wait $first
  [ -z "$second" ] || wait $second
done <"$work/nets"
while read -r name _; do cat "$work/$name.count"; done <"$work/nets" >"$work/counts"

# Old, new and ratio of each network; fails beyond 3 %, and for a network that only one side has.
compare() {
  awk -v limit=0.03 '
    /^#/ || NF != 2 { next }
    FNR == NR { old[$1] = $2; next }
    { new[$1] = $2; order[++n] = $1 }
    END {
      printf "%-16s %14s %14s  %s\n", "step", "committed", "now", "ratio"
      for (i = 1; i <= n; i++) {
        k = order[i]
        if (!(k in old)) { printf "%-16s %14s %14d  NOT IN THE TABLE\n", k, "-", new[k]; bad = 1; continue }
        ratio = new[k] / old[k]
        off = ratio > 1 + limit || ratio < 1 - limit
        printf "%-16s %14d %14d  %.4f%s\n", k, old[k], new[k], ratio, off ? (ratio > 1 ? "  MORE" : "  FEWER: commit the better value") : ""
        bad = bad || off
      }
      for (k in old) if (!(k in new)) { printf "%-16s %14d %14s  NOT COUNTED\n", k, old[k], "-"; bad = 1 }
      exit bad
    }' "$1" "$2"
}

if [ "${1-}" = update ]; then
  { echo "# Instructions of one training step: tests/instructions.sh. Written by \`make instructions\`."
    echo "# $compiler"
    cat "$work/counts"; } >"$table"
  cat "$table"
  exit 0
fi

# What this test is for: a count that is off by more than 3 % either way, missing, or too many, must fail, and one within must pass.
changed() { awk -v name="$1" -v factor="$2" '{ printf "%s %d\n", $1, $1 == name ? $2 * factor : $2 }' "$work/counts" >"$work/changed"; }
must() {
  if compare "$work/counts" "$work/changed" >/dev/null; then found=pass; else found=fail; fi
  [ $found = "$1" ] || { echo "instruction counts: the comparison is wrong, $2 must $1" >&2; exit 1; }
}
while read -r name _; do
  for factor in 1.032 0.968; do changed "$name" $factor; must fail "$factor of $name"; done
  for factor in 1.028 0.972 1; do changed "$name" $factor; must pass "$factor of $name"; done
  grep -v "^$name " "$work/counts" >"$work/changed"; must fail "a lost $name"
  { cat "$work/counts"; echo "another 5"; } >"$work/changed"; must fail "a network without a committed count"
done <"$work/nets"

if compare "$table" "$work/counts"; then exit 0; fi
recorded=$(sed -n '2s/^# //p' "$table")
if [ "$recorded" != "$compiler" ]; then
  echo "NOT COMPARED: the committed counts are of \"$recorded\", this is \"$compiler\""
  exit 0
fi
echo "A step's instructions changed by more than 3 %. If that is meant: make instructions, and commit tests/instructions.txt." >&2
exit 1
