#!/bin/sh
# Installs into a temporary folder what is built in FOLDER (libkamacite_capi.so and .a), and builds small programs out of it as a user
# would: test.sh FOLDER. Each trains a network.
# fpm comes from PyPI, into $KAMACITE_FPM or ~/.cache/kamacite/fpm; without it: SKIPPED, unless KAMACITE_REQUIRE=fpm.
set -eu
KAMACITE_LIBS=$(cd "$1" && pwd)
export KAMACITE_LIBS
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() { echo "FAILED: $1" >&2; exit 1; }

trains() { # what, program
  "$2" > said 2>&1 || { cat said; fail "$1"; }
  printf '%-24s %s\n' "$1" "$(grep RESULT said)"
}

quietly() { "$@" > said 2>&1 || { cat said; fail "$*"; }; }

# DESTDIR goes before the prefix, and is nowhere in what is installed. What is taken away is all that came.
DESTDIR=$work/image sh "$here/install.sh" /opt/kamacite > said
[ -f image/opt/kamacite/lib/libkamacite.a ] || fail DESTDIR
if grep -rl "$work" image/opt/kamacite/lib/pkgconfig image/opt/kamacite/lib/cmake; then fail "DESTDIR in an installed file"; fi
mkdir -p image/opt/kamacite/lib/cmake/other
DESTDIR=$work/image sh "$here/install.sh" --uninstall /opt/kamacite
[ -z "$(find image ! -type d)" ] || fail "files after make uninstall: $(find image ! -type d)"
[ -d image/opt/kamacite/lib/cmake/other ] || fail "make uninstall took another's folder away"
[ ! -d image/opt/kamacite/share/kamacite ] || fail "folders after make uninstall"

# Twice, as one who updates does; then moved, which nothing minds.
sh "$here/install.sh" "$work/first" > said
sh "$here/install.sh" "$work/first" > said
mv first prefix
prefix=$work/prefix
sed -n 's/^  //p' said | sed "s|$work/first|$prefix|g" > lines
cp -r "$here/consumer" consumer
cd consumer

# The very lines that make install printed.
sed -n 's/prog\.c/train.c/; s/-o prog\( .*\)\{0,1\}$/-o plain/; 1p' ../lines > line
quietly sh ./line
trains "gcc" ./plain
sed -n 's/prog\.f90/train.f90/; s/-o prog$/-o fortran/; 2p' ../lines > line
quietly sh ./line
trains "gfortran" ./fortran
sed -n 's/prog\.c/train.c/; s/-o prog .*$/-o static/; 3p' ../lines > line
quietly sh ./line
trains "gcc, static library" ./static
if ldd ./static | grep -q libkamacite; then fail "a static program needs libkamacite.so"; fi

export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
[ "$(pkg-config --modversion kamacite)" = "$(cat "$prefix/share/kamacite/VERSION")" ] || fail "the version of kamacite.pc"
# shellcheck disable=SC2046
quietly gcc -O3 train.c $(pkg-config --cflags --libs kamacite) -Wl,-rpath,"$prefix/lib" -o shared
trains "pkg-config" ./shared
# shellcheck disable=SC2046
quietly gcc -O3 train.c $(pkg-config --cflags kamacite) $(pkg-config --variable=static kamacite) -o static
trains "pkg-config, static" ./static
# --static where there is no shared library, as on some clusters.
mkdir -p ../only-static
cp -r "$prefix/include" "$prefix/lib" ../only-static
rm ../only-static/lib/libkamacite.so*
# shellcheck disable=SC2046
PKG_CONFIG_PATH=$work/only-static/lib/pkgconfig && quietly gcc -O3 train.c $(pkg-config --static --cflags --libs kamacite) -o static
trains "pkg-config --static" ./static
if ldd ./static | grep -q libkamacite; then fail "a static program needs libkamacite.so"; fi

quietly cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
quietly cmake --build build
trains "CMake kamacite" build/shared
trains "CMake static" build/static
trains "CMake fortran" build/fortran
if ldd build/static | grep -q libkamacite; then fail "kamacite::static needs libkamacite.so"; fi
sed 's/kamacite 0.1/kamacite 0.9/' CMakeLists.txt > other && mkdir newer && mv other newer/CMakeLists.txt
if cmake -S newer -B newer/build -DCMAKE_PREFIX_PATH="$prefix" > said 2>&1; then fail "CMake took version 0.1 for 0.9"; fi
grep -q "0.9" said || { cat said; fail "CMake on another version"; }

fpm=${KAMACITE_FPM:-${XDG_CACHE_HOME:-$HOME/.cache}/kamacite/fpm}
if [ ! -x "$fpm/bin/fpm" ]; then
  mkdir -p "$fpm"
  { python3 -m venv "$fpm" && "$fpm/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20 fpm==0.12.0; } > fpm.log 2>&1 ||
    { tail -n 2 fpm.log; rm -rf "$fpm"; }
fi
if [ -x "$fpm/bin/fpm" ]; then
  mkdir ../fpm
  cp fpm.toml train.f90 ../fpm
  cd ../fpm
  ln -s "$prefix/share/kamacite/fortran" kamacite
  quietly "$fpm/bin/fpm" install --prefix "$work/by-fpm" --profile release --link-flag "-L$prefix/lib -Wl,-rpath,$prefix/lib"
  trains "fpm" "$work/by-fpm/bin/train"
else
  case ",${KAMACITE_REQUIRE-}," in *,fpm,*) fail "KAMACITE_REQUIRE asks for fpm, which could not be had from PyPI" ;; esac
  echo "SKIPPED fpm: it could not be had from PyPI"
fi

# The tarball, on a machine without Rust.
sh "$here/dist.sh" "$work/dist" > said || { cat said; fail "dist.sh"; }
tail -n 1 said
cd "$work/dist"
tar xzf ./*.tar.gz
cd kamacite-*/
PATH=/usr/local/bin:/usr/bin:/bin
unset KAMACITE_LIBS PKG_CONFIG_PATH
if command -v cargo > /dev/null; then fail "cargo is in $PATH"; fi
quietly sh install.sh "$work/elsewhere"
cp "$here/consumer/train.c" "$here/consumer/train.f90" "$work"
cd "$work"
elsewhere="-I$work/elsewhere/include -L$work/elsewhere/lib -Wl,-rpath,$work/elsewhere/lib"
# shellcheck disable=SC2086
quietly gcc -O3 train.c $elsewhere -lkamacite -lm -o from-tarball
trains "tarball, C" ./from-tarball
# shellcheck disable=SC2086
quietly gfortran -O3 elsewhere/share/kamacite/fortran/kamacite.f90 train.f90 $elsewhere -lkamacite -o from-tarball
trains "tarball, Fortran" ./from-tarball
quietly sh dist/kamacite-*/install.sh --uninstall "$work/elsewhere"
[ -z "$(find elsewhere ! -type d)" ] || fail "files after install.sh --uninstall"
# An exercise out of the tarball, where it was unpacked.
cd dist/kamacite-*/
quietly make -C bindings/exercises build PREFIX="$PWD" TARGET="$PWD/build"
quietly sh bindings/exercises/run.sh build/exercises kmeans
echo "tarball, exercise        $(grep -m 1 RESULT said)"
# A system that is too old is told so.
echo 99.0 > share/kamacite/GLIBC
if sh install.sh "$work/elsewhere" > said 2>&1; then fail "glibc 99.0 is not here"; fi
grep -q "glibc 99.0" said || { cat said; fail "the sentence about glibc"; }
