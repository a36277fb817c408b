#!/usr/bin/env bash
# How long specrej report takes over 201 files of a made-up sweep (4 N, Best-of-N and four alphas, 10 seeds, 100 prompts,
# 2.3 million candidates), alone and with all that -o writes.
#   tests/bench/report.sh [BUILD]      BUILD: where make_sweep and specrej were built, `build` by default
set -euo pipefail
build=$(cd "${1:-build}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/files"
"$build/tests/make_sweep" "$work/files" 100 10 30 60 120 240
echo "$(find "$work/files" -name '*.h5' | wc -l) files, $(du -sh "$work/files" | cut -f 1)"
TIMEFORMAT="%R s, %U s of processor time"
echo -n "the table: "
time "$build/specrej" report "$work"/files/*.h5 >/dev/null
echo -n "page, figures and all: "
time "$build/specrej" report "$work"/files/*.h5 -o "$work/report" >/dev/null
