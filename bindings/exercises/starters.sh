#!/bin/sh
# Makes the starters of all exercises from their solutions: each part between ">>> what is missing" and "<<<" becomes a blank.
#   sh starters.sh            writes DIRECTORY/starter/ of the three languages
#   sh starters.sh --check    fails if a committed starter is not what would be written
set -eu
cd "$(dirname "$0")/../.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

starter() { # solution
  awk -v file="$(basename "$1")" '
    function fail(why) { printf "%s:%d: %s\n", FILENAME, FNR, why > "/dev/stderr"; bad = 1; exit 1 }
    function blank(indent, text,    rest, cut) {
      if (text ~ /["\\]/) fail("no quotes or backslashes in a blank")
      if (kind == "c") return indent "BLANK(\"" text "\");"
      if (kind == "rs") return indent "blank!(\"" text "\");"
      # Fortran: lines of at most 132 characters.
      rest = text; text = ""
      while (length(rest) > 80) {
        cut = 80
        while (cut > 1 && substr(rest, cut, 1) != " ") cut--
        text = text substr(rest, 1, cut) "&\n" indent "  &"
        rest = substr(rest, cut + 1)
      }
      return indent "call blank(\"" text rest "\")"
    }
    BEGIN {
      kind = file; sub(/.*\./, "", kind)
      open = kind == "c" ? "/[*] >>> " : kind == "rs" ? "// >>> " : "! >>> "
      shut = kind == "c" ? "/[*] <<< [*]/" : kind == "rs" ? "// <<<" : "! <<<"
      if (kind == "c") print "/* Starter: write what the BLANKs say, in their order; then delete the next four lines. */"
      if (kind == "c") { split("parameter variable but-set-variable const-variable", unused, " "); for (i = 1; i <= 4; i++) print "#pragma GCC diagnostic ignored \"-Wunused-" unused[i] "\"" }
      if (kind == "rs") print "// Starter: write what the blanks say, in their order; then delete the next line.\n#![allow(unused, unreachable_code)]"
      if (kind == "f90") print "! Starter: write what the blanks say, in their order."
    }
    $0 ~ "^ *" open {
      if (inside) fail("a blank inside a blank")
      inside = 1; count++
      indent = $0; sub(/[^ ].*/, "", indent)
      text = $0; sub("^ *" open, "", text)
      if (kind == "c" && !sub(/ *[*]\/$/, "", text)) fail("the comment does not end on its line")
      print blank(indent, text)
      next
    }
    $0 ~ "^ *" shut " *$" { if (!inside) fail("<<< without >>>"); inside = 0; next }
    /(>>>|<<<)/ && !/<<<.*>>>/ { fail("not a mark of a blank, but looks like one") }
    !inside { sub(/^(#include|#\[path =) "/, "&../"); print }
    END { if (!bad && inside) fail(">>> without <<<"); if (!bad && !count) fail("no blank") }
  ' "$1"
}

status=0
for dir in bindings/c/exercises bindings/fortran/exercises examples/exercises; do
  for solution in "$dir"/*.c "$dir"/*.f90 "$dir"/*.rs; do
    [ -e "$solution" ] || continue
    name=$(basename "$solution")
    if grep -q '>>>' "$solution"; then
      starter "$solution" > "$made/$name"
    elif [ "$name" = all.rs ]; then
      cp "$solution" "$made/$name" # the program of all starters
    else
      continue
    fi
    if [ "${1-}" != --check ]; then
      mkdir -p "$dir/starter"
      cp "$made/$name" "$dir/starter/$name"
    elif ! diff -u "$dir/starter/$name" "$made/$name"; then
      echo "$dir/starter/$name is not made from $solution: run sh bindings/exercises/starters.sh" >&2
      status=1
    fi
  done
  # A starter whose solution is gone.
  for old in "$dir"/starter/*; do
    [ -e "$old" ] && [ ! -e "$dir/$(basename "$old")" ] || continue
    echo "$old has no solution beside it" >&2
    status=1
  done
done
exit $status
