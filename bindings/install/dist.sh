#!/bin/sh
# A tarball for people without Rust: dist.sh [FOLDER], default target/dist. Libraries, header, Fortran source, exercises, an installer.
# With target/prebuilt/kernels.image (make prebuilt) the libraries hold the GPU kernels of every architecture.
# KAMACITE_LIBS names a folder with libkamacite_capi.so and .a that are built already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/dist}
image=${KAMACITE_PREBUILT:-$target/prebuilt/kernels.image}

if [ -n "${KAMACITE_LIBS-}" ]; then
  gpu="compiled when first used (NVRTC), unless the libraries were built with the feature prebuilt"
elif [ -f "$image" ]; then
  KAMACITE_PREBUILT=$(cd "$(dirname "$image")" && pwd)/$(basename "$image")
  KAMACITE_FEATURES=prebuilt
  export KAMACITE_PREBUILT KAMACITE_FEATURES
  gpu="prebuilt in the libraries: an NVIDIA driver is enough"
else
  gpu="compiled when first used, which needs NVRTC beside the driver"
  echo "without prebuilt GPU kernels: $image is not there; make prebuilt makes it"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' bindings/c/Cargo.toml | head -n 1)
name=kamacite-$version-$(uname -m)-linux-gnu
mkdir -p "$out"
out=$(cd "$out" && pwd)
folder=$out/$name
sh "$here/stage.sh" "$folder"

# What the dynamic linker of an older system would refuse. The exercises keep their places, which their Makefile knows.
objdump -T "$folder/lib/"libkamacite.so.* | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1 > "$folder/share/kamacite/GLIBC"
glibc=$(cat "$folder/share/kamacite/GLIBC")
cp "$here/install.sh" LICENSE-* "$folder"
mkdir -p "$folder/bindings/c" "$folder/bindings/fortran" "$folder/examples"
cp -r bindings/exercises "$folder/bindings"
cp -r bindings/c/exercises "$folder/bindings/c"
[ ! -d bindings/fortran/exercises ] || cp -r bindings/fortran/exercises "$folder/bindings/fortran"
cp bindings/fortran/kamacite.f90 "$folder/bindings/fortran"
cp -r examples/data "$folder/examples"
sed "s|@VERSION@|$version|; s|@GLIBC@|$glibc|; s|@GPU@|$gpu|" "$here/README.tarball" > "$folder/README"
printf '# The exercises, against the libraries beside this file.\nexercises:\n\t$(MAKE) -C bindings/exercises run PREFIX="$(CURDIR)" TARGET="$(CURDIR)/build"\n\ncheck-exercise:\n\t@$(MAKE) -s -C bindings/exercises check FILE="$(abspath $(FILE))" PREFIX="$(CURDIR)" TARGET="$(CURDIR)/build"\n' > "$folder/Makefile"
tar -C "$out" -czf "$out/$name.tar.gz" "$name"
rm -rf "$folder"
echo "$out/$name.tar.gz: $(du -h "$out/$name.tar.gz" | cut -f 1), for $(uname -m) with glibc $glibc or newer; GPU kernels: $gpu"
