#!/bin/sh
# What the programs of the gallery promise to a shell: test.sh GALLERY. Signals, a home that nobody can write to, the exit status of `quality`.
set -eu
gallery=$(realpath "$1")
dir=$(mktemp -d)
trap 'kill "${child:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
fail() { echo "gallery: $1" >&2; exit 1; }

# Neither HOME nor the cache can be written to, not even by root; the working folder and the one for temporary files stay empty.
mkdir "$dir/work" "$dir/tmp"
cd "$dir/work"
outside() { env -u XDG_CACHE_HOME -u KAMACITE_CACHE HOME=/dev/null/home TMPDIR="$dir/tmp" "$gallery" "$@"; }
outside random_labels --smoke --out "$dir/labels" >"$dir/labels.txt" 2>&1 || fail "no home: $(cat "$dir/labels.txt")"
grep -q '^RESULT ' "$dir/labels.txt" || fail "no RESULT without a home"
[ -z "$(ls -A "$dir/work" "$dir/tmp" | grep -v : || true)" ] || fail "files outside of --out: $(ls -A "$dir/work" "$dir/tmp")"

# SIGUSR1 finishes the batch and saves; the next run goes on from there.
"$gallery" astronomy_cnn --smoke --epochs 100000 --threads 1 --out "$dir/stars" </dev/null >"$dir/stars.txt" 2>&1 &
child=$!
while [ ! -e "$dir/stars/last.safetensors" ]; do kill -0 "$child" || fail "ended early: $(cat "$dir/stars.txt")"; done
kill -USR1 "$child"
wait "$child" || fail "SIGUSR1: $(tail -n 2 "$dir/stars.txt")"
child=
stopped=$(sed -n 's/^stopped in epoch \([0-9]*\).*/\1/p' "$dir/stars.txt")
[ -n "$stopped" ] || fail "SIGUSR1 was not told: $(tail -n 2 "$dir/stars.txt")"
grep -q '^RESULT ' "$dir/stars.txt" && fail "a RESULT of a run that was stopped"
"$gallery" astronomy_cnn --smoke --epochs $((stopped + 1)) --threads 1 --resume auto --out "$dir/stars" </dev/null >"$dir/more.txt" 2>&1
grep -q '^RESULT ' "$dir/more.txt" || fail "resumed: $(tail -n 2 "$dir/more.txt")"

# One line for each file, and the exit status of the worst.
"$gallery" quality train --smoke --threads 1 --out "$dir/out" </dev/null >/dev/null 2>&1
check() { status=0; "$gallery" quality check --threads 1 --model "$dir/out/quality.safetensors" "$@" >"$dir/lines.txt" 2>"$dir/errors.txt" || status=$?; }
frames=$dir/out/training_data
check "$frames"/good/*.fits "$frames"/bad/*.fits
[ "$(wc -l <"$dir/lines.txt")" = "$(ls "$frames"/good/*.fits "$frames"/bad/*.fits | wc -l)" ] || fail "lines: $(cat "$dir/lines.txt" "$dir/errors.txt")"
others=$(awk -F'\t' '$2 != "good"' "$dir/lines.txt" | wc -l)
[ "$status" = "$([ "$others" -gt 0 ] && echo 1 || echo 0)" ] || fail "exit status $status with $others others"
good=$(awk -F'\t' '$2 == "good" { print $1; exit }' "$dir/lines.txt")
[ -z "$good" ] || { check "$good"; [ "$status" = 0 ] || fail "exit status $status for a good frame"; }
check "$frames/good" "$frames"/good/0000.fits
[ "$status" = 2 ] && [ "$(wc -l <"$dir/lines.txt")" = 1 ] || fail "exit status $status for a folder, $(wc -l <"$dir/lines.txt") lines"
check
[ "$status" = 2 ] || fail "exit status $status without files"

# The folder: every file once, a broken one told, the command run for each bad one, with names that hold blanks.
mkdir "$dir/night"
i=0
for frame in "$frames"/good/*.fits "$frames"/bad/*.fits; do i=$((i + 1)); cp "$frame" "$dir/night/frame $i.fits"; done
printf 'SIMPLE' >"$dir/night/broken.fits"
status=0
"$gallery" quality watch --once --interval 0.02 --threads 1 --model "$dir/out/quality.safetensors" --on-bad "printf '%s\n' >>'$dir/bad.txt'" "$dir/night" \
  >"$dir/lines.txt" 2>"$dir/errors.txt" || status=$?
[ "$status" = 2 ] && grep -q broken.fits "$dir/errors.txt" || fail "a broken file: $status $(cat "$dir/errors.txt")"
[ "$(wc -l <"$dir/lines.txt")" = "$i" ] || fail "watch: $(cat "$dir/lines.txt")"
touch "$dir/bad.txt"
awk -F'\t' '$2 == "bad" { print $1 }' "$dir/lines.txt" | sort >"$dir/expected.txt"
sort "$dir/bad.txt" | diff - "$dir/expected.txt" || fail "the command was not run for the bad ones"

"$gallery" quality watch --interval 60 --threads 1 --model "$dir/out/quality.safetensors" "$dir/night" >/dev/null 2>"$dir/watch.txt" &
child=$!
while ! grep -q "^watching " "$dir/watch.txt"; do kill -0 "$child" || fail "watch: $(cat "$dir/watch.txt")"; done
kill -TERM "$child"
wait "$child" || fail "watch: ended by a signal with $?"
child=
echo "gallery: signals, a read-only home, quality check and watch: as documented"
