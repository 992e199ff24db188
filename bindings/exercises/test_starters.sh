#!/bin/sh
# Every starter compiles without a warning, and without its blanks filled it ends with status 2 and says what is missing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0 n=0
for file in "$here"/../c/exercises/starter/*.c "$here"/../fortran/exercises/starter/*.f90 "$here"/../../examples/exercises/starter/*.rs; do
  name=$(basename "${file%.*}")
  case "$file" in
    *.c) $COMPILE -Werror "$file" -o "$work/$name" $LIBS ;;
    # What the blanks will set is not set yet, what they will use is not used.
    *.f90) (cd "$work" && $COMPILE_F -Werror $UNSET_F "$file" $F_OBJECTS -o "$work/$name" $LIBS) ;;
    # Cargo has compiled them.
    */all.rs) continue ;;
    *.rs) [ -n "$RUST_STARTERS" ] && printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$RUST_STARTERS" "$name" > "$work/$name" && chmod +x "$work/$name" || continue ;;
  esac || { bad=1; continue; }
  n=$((n + 1))
  # shellcheck disable=SC2046
  (cd "$work" && "./$name" $(sh "$here/smoke.sh" arguments "$name") > "$name.out" 2> "$name.err")
  status=$?
  if [ "$status" != 2 ] || ! grep -q 'is still to be written' "$work/$name.err"; then
    echo "$file: status $status, expected 2 and what is still to be written:"; cat "$work/$name.err"; bad=1
  fi
done
[ "$n" -gt 0 ] || bad=1
[ $bad = 0 ] && echo "$n starters compile and say what is missing"
exit $bad
