#!/bin/sh
# Every program of a folder in miniature, with the arguments of its first line in expected.txt: smoke.sh FOLDER [COMMAND IN FRONT OF IT]
#   smoke.sh arguments NAME    prints these arguments
set -u
here=$(cd "$(dirname "$0")" && pwd)
arguments() {
  awk -F'|' -v name="$1" '{ split($1, w, " ") } w[1] == name && $1 !~ /@course/ { sub(/^[^ ]* */, "", $1); print $1; exit }' "$here/expected.txt" |
    sed "s|--seeds [0-9]*||; s|@data|${KMC_EXERCISE_DATA:-$here/../../examples/data}|g; s|\$| --smoke|"
}
if [ "$1" = arguments ]; then arguments "$2"; exit; fi
folder=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0 n=0
for exe in "$folder"/*; do
  n=$((n + 1))
  # shellcheck disable=SC2046
  "$@" "$exe" $(arguments "$(basename "$exe")") > output 2> errors
  status=$?
  case "$status $(tail -n 1 output)" in "0 RESULT "*) ;; *) echo "$exe: status $status"; cat errors; bad=1 ;; esac
done
[ "$n" -gt 0 ] || bad=1
[ $bad = 0 ] && echo "$n programs in miniature"
exit $bad
