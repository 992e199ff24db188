#!/bin/sh
# Installs kamacite, and takes it away again. No root is needed, and in an unpacked tarball no Rust.
#   sh install.sh [PREFIX]               default: $PREFIX, else ~/.local
#   sh install.sh --uninstall [PREFIX]
# DESTDIR goes before every path, for those who make packages.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
remove=
[ "${1-}" != --uninstall ] || { remove=1; shift; }
prefix=${1:-${PREFIX:-$HOME/.local}}
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
to=${DESTDIR-}$prefix
list=share/kamacite/installed

uninstall() {
  # Files first; then the folders that are ours alone, and empty.
  while read -r file; do rm -f "$to/$file"; done < "$to/$list"
  rm -f "$to/$list"
  find "$to/share/kamacite" "$to/lib/cmake/kamacite" -depth -type d -exec rmdir {} \; 2>/dev/null || true
}

if [ -n "$remove" ]; then
  [ -f "$to/$list" ] || { echo "no kamacite in $to ($list is not there)" >&2; exit 1; }
  uninstall
  echo "kamacite is gone from $to"
  exit
fi

if [ -f "$here/lib/libkamacite.a" ]; then
  from=$here
  needed=$(cat "$here/share/kamacite/GLIBC")
  have=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/[^0-9.]//g')
  if [ "$(printf '%s\n%s\n' "$needed" "${have:-0}" | sort -V | head -n 1)" != "$needed" ]; then
    echo "these libraries need glibc $needed or newer; this machine has ${have:-another C library}. Build from source: make install" >&2
    exit 1
  fi
else
  from=$(mktemp -d)
  trap 'rm -rf "$from"' EXIT
  sh "$here/stage.sh" "$from/stage"
  from=$from/stage
fi

# What an earlier version had and this one has not must not stay.
[ ! -f "$to/$list" ] || uninstall
files=$(cd "$from" && find include lib share ! -type d | sort)
for file in $files; do
  mkdir -p "$to/$(dirname "$file")"
  # Another file in its place, so that programs that run keep theirs.
  rm -f "$to/$file"
  cp -P "$from/$file" "$to/$file"
done
echo "$files" > "$to/$list"

version=$(cat "$from/share/kamacite/VERSION")
flags="-I$prefix/include -L$prefix/lib -Wl,-rpath,$prefix/lib"
native=$(sed -n 's/^Libs.private: *//p' "$from/lib/pkgconfig/kamacite.pc")
cat <<TEXT
kamacite $version is in $to. To compile a program with it:

  gcc -O3 prog.c $flags -lkamacite -lm -o prog
  gfortran -O3 $prefix/share/kamacite/fortran/kamacite.f90 prog.f90 $flags -lkamacite -o prog
  gcc -O3 prog.c -I$prefix/include $prefix/lib/libkamacite.a $native -o prog      (without the shared library)

pkg-config finds it with PKG_CONFIG_PATH=$prefix/lib/pkgconfig, CMake with -DCMAKE_PREFIX_PATH=$prefix.
TEXT
