#!/bin/sh
# kamacite.f90 against kamacite.h: constants, functions with the order of their arguments, structures with the order of their fields.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
header=${1:-$here/../c/include/kamacite.h}
source=$here/kamacite.f90
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Constants that Fortran has no use for: orders and transpositions of BLAS, which are logical there; its last column is the absent one.
sed -n 's/^#define \(KMC_[A-Z0-9_]*\) \(-\{0,1\}[0-9][0-9]*\)$/\1 \2/p; s/^  \(KMC_[A-Z0-9_]*\) = \([0-9]*\),$/\1 \2/p' "$header" |
  grep -v 'KMC_ROW_MAJOR\|KMC_COLUMN_MAJOR\|KMC_NO_TRANS\|KMC_TRANS \|KMC_LAST_COLUMN' |
  sed 's/KMC_ABI_VERSION/KMC_ABI/' | tr 'A-Z' 'a-z' | sort >"$work/constants.h"
tr -d '&\n' <"$source" | sed 's/integer, parameter, public ::/\n&/g; s/!!/\n/g; s/contains/\n/g' |
  grep '^integer, parameter, public ::' | sed 's/^integer, parameter, public :://' | tr ',' '\n' |
  sed -n 's/^ *\(kmc_[a-z0-9_]*\) = \(-\{0,1\}[0-9]*\).*/\1 \2/p' | sort >"$work/constants.f90"

# Functions: name and argument names; procedure(c_x) takes the arguments of kmc_x. kmc_confusion_print is left to Fortran's own units.
grep -v '^ *//\|^#\|^typedef' "$header" | tr '\n' ' ' | sed 's/;/;\n/g' |
  awk 'match($0, /kmc_[a-z0-9_]*\([^()]*\);/) {
         call = substr($0, RSTART, RLENGTH); name = call; sub(/\(.*/, "", name); args = call
         sub(/^[^(]*\(/, "", args); sub(/\);/, "", args); n = split(args, part, ","); line = name
         for (i = 1; i <= n; i++) { k = split(part[i], word, /[ *]+/); if (word[k] != "void") line = line " " word[k] }
         print line }' | grep -v '^kmc_confusion_print ' | tr 'A-Z' 'a-z' | sort >"$work/functions.h"
tr '\n' ' ' <"$source" | sed 's/& */ /g; s/bind(C, name="/\n&/g' >"$work/flat"
awk 'BEGIN { RS = "bind\\(C, name=\"" } NR > 1 && match($0, /^kmc_[a-z0-9_]*/) { name = substr($0, RSTART, RLENGTH);
       n = split(before, part, "("); args = part[n]; sub(/\).*/, "", args); gsub(/,/, "", args)
       if (args in taken) args = taken[args]; taken["c_" substr(name, 5)] = args; print name, args }
     { before = $0 }' "$work/flat" | sed 's/  */ /g; s/ $//' | sort >"$work/functions.f90"

# Structures: name and field names. Progress, records and handles are read by their own names.
tr '\n' ' ' <"$header" >"$work/one"
awk '/^typedef struct \{/ { inside = 1; fields = ""; next }
     inside && /^\}/ { name = $2; sub(/;/, "", name); print name fields; inside = 0 }
     inside && !/^ *\/\// { line = $0; sub(/;.*/, "", line); sub(/\[[0-9]*\]/, "", line); n = split(line, w, /[ *]+/); fields = fields " " w[n] }' "$header" |
  tr 'A-Z' 'a-z' | sort >"$work/structures.h"
awk '/^  type, bind\(C\)(, public)? :: (c_[a-z_]*_t|kmc_(progress|record))$/ { inside = 1; name = $NF; sub(/^c_/, "kmc_", name); sub(/_t$/, "", name); fields = ""; next }
     inside && /^  end type/ { print name fields; inside = 0 }
     inside { line = $0; sub(/.*:: /, "", line); sub(/ *!.*/, "", line); gsub(/ = [^,]*/, "", line); gsub(/\([0-9]*\)/, "", line); gsub(/,/, "", line); fields = fields " " line }' "$source" | sort >"$work/structures.f90"

for what in constants functions structures; do
  [ -s "$work/$what.h" ] || { echo "FAILED: no $what found in $header" >&2; exit 1; }
  diff "$work/$what.h" "$work/$what.f90" >&2 || { echo "FAILED: $what of kamacite.h (<) and kamacite.f90 (>) differ" >&2; exit 1; }
  echo "header: $(wc -l <"$work/$what.h") $what agree"
done
