#!/bin/sh
# Runs the exercises and compares their RESULT lines with expected.txt.
#   run.sh BUILD                 all of them, in every language that is built: BUILD/c/NAME, BUILD/fortran/NAME, BUILD/rust/NAME
#   run.sh BUILD NAME PROGRAM    one program in the place of exercise NAME
# A line of expected.txt: name, arguments, |, key=value or key=low..high. @data is examples/data, @course the course's own files
# ($KAMACITE_COURSE_DATA); without them a line that needs them is skipped, and says so. Keys that end in `bits` must be equal
# in all languages.
set -u
here=$(cd "$(dirname "$0")" && pwd)
data=${KMC_EXERCISE_DATA:-$here/../../examples/data}
build=$(cd "$1" && pwd) only=${2-} program=${3-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# Compares a RESULT line with what is expected; prints what is outside and fails.
judge() { # result line, expected keys
  awk -v result="$1" -v expected="$2" 'BEGIN {
    n = split(result, words, " ")
    for (i = 2; i <= n; i++) { split(words[i], pair, "="); got[pair[1]] = pair[2] }
    n = split(expected, words, " ")
    for (i = 1; i <= n; i++) {
      split(words[i], pair, "=")
      key = pair[1]
      if (split(pair[2], range, /\.\./) == 1) range[2] = range[1]
      if (!(key in got)) { print "  " key " is missing from the RESULT line"; bad = 1 }
      else if (got[key] !~ /^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$/ || got[key] + 0 < range[1] + 0 || got[key] + 0 > range[2] + 0) {
        print "  " key " = " got[key] ", expected " pair[2]; bad = 1
      }
    }
    exit bad
  }'
}

bad=0 ran=0 lines=0
while IFS='|' read -r call expected; do
  # shellcheck disable=SC2086
  set -- $call
  case "${1-}" in ''|\#*) continue ;; esac
  name=$1
  shift
  [ -z "$only" ] || [ "$name" = "$only" ] || continue
  case "$*" in *@course*) [ -n "${KAMACITE_COURSE_DATA-}" ] || { echo "SKIPPED $name $*: KAMACITE_COURSE_DATA is not set"; continue; } ;; esac
  arguments=$(echo "$*" | sed "s|@data|$data|g; s|@course|${KAMACITE_COURSE_DATA-}|g")
  lines=$((lines + 1)) all_bits='' found=0
  for language in c fortran rust; do
    exe=${program:-$build/$language/$name}
    [ -n "$program" ] && [ "$language" != c ] && continue
    [ -x "$exe" ] || continue
    found=1 ran=$((ran + 1))
    # shellcheck disable=SC2086
    "$exe" $arguments > output 2> errors
    status=$?
    line=$(tail -n 1 output)
    echo "${program:+your program: }$([ -n "$program" ] || echo "$language: ")$name $*"
    case "$status $line" in
      "0 RESULT "*) ;;
      *) tail -n 5 output; cat errors; echo "  ended with status $status and without a RESULT line"; bad=1; continue ;;
    esac
    echo "  $line"
    judge "$line" "$expected" || bad=1
    for word in $line; do
      case "$word" in *bits=*) all_bits="$all_bits
$word" ;; esac
    done
  done
  [ "$found" = 1 ] || { echo "$name: no program built"; bad=1; }
  # One value for each key, however many languages.
  differ=$(echo "$all_bits" | sort -u | sed '/^$/d; s/=.*//' | uniq -d)
  [ -z "$differ" ] || { echo "  the languages differ in $differ:$all_bits"; bad=1; }
done < "$here/expected.txt"
[ "$lines" -gt 0 ] || { echo "no line of expected.txt for '$only'"; bad=1; }
[ -n "$program" ] || echo "$ran runs of $lines lines"
exit $bad
