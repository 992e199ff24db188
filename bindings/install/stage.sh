#!/bin/sh
# Lays out what is installed: sh stage.sh FOLDER. Nothing in it depends on where it will lie.
# KAMACITE_LIBS names a folder with libkamacite_capi.so and .a that are built already.
set -eu
stage=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
cd "$root"

if [ -z "${KAMACITE_LIBS-}" ]; then
  cargo build --release -p kamacite-capi ${KAMACITE_FEATURES:+--features "$KAMACITE_FEATURES"}
  KAMACITE_LIBS=${CARGO_TARGET_DIR:-target}/release
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' bindings/c/Cargo.toml | head -n 1)
abi=$(sed -n 's/^#define KMC_ABI_VERSION \([0-9]*\)$/\1/p' bindings/c/include/kamacite.h)
# What a static Rust library needs besides itself. Nothing that kamacite depends on links to more.
native=$(rustc --print native-static-libs --crate-type staticlib -o "${TMPDIR:-/tmp}/kamacite-empty-$$.a" - </dev/null 2>&1 |
  sed -n 's/^note: native-static-libs: *//p')
rm -f "${TMPDIR:-/tmp}/kamacite-empty-$$.a"
[ -n "$version" ] && [ -n "$abi" ] && [ -n "$native" ] || { echo "stage.sh: no version, ABI version or native libraries" >&2; exit 1; }

rm -rf "$stage"
mkdir -p "$stage/include" "$stage/lib/pkgconfig" "$stage/lib/cmake/kamacite" "$stage/share/kamacite/fortran"
cp "$KAMACITE_LIBS/libkamacite_capi.so" "$stage/lib/libkamacite.so.$abi"
ln -s "libkamacite.so.$abi" "$stage/lib/libkamacite.so"
cp "$KAMACITE_LIBS/libkamacite_capi.a" "$stage/lib/libkamacite.a"
# Without line numbers, and the shared library without names that nobody links to: a sixth less.
{ strip --strip-debug "$stage/lib/libkamacite.a" && strip --strip-unneeded "$stage/lib/libkamacite.so.$abi"; } 2>/dev/null ||
  echo "strip is missing: the libraries are larger than they need be"
cp bindings/c/include/kamacite.h "$stage/include"
cp bindings/fortran/kamacite.f90 bindings/fortran/fpm.toml "$stage/share/kamacite/fortran"
echo "$version" > "$stage/share/kamacite/VERSION"
for file in kamacite.pc kamaciteConfig.cmake kamaciteConfigVersion.cmake; do
  case $file in *.pc) to=lib/pkgconfig ;; *) to=lib/cmake/kamacite ;; esac
  sed "s|@VERSION@|$version|; s|@ABI@|$abi|; s|@NATIVE@|$native|; s|@NATIVE_LIST@|$(echo "$native" | tr ' ' ';')|" "$here/$file.in" > "$stage/$to/$file"
done
