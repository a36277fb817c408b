#!/usr/bin/env bash
# Which lines of src/ the tests reach: builds with gcov in build-coverage, runs the tests and prints the share per module.
#   bash tests/coverage.sh                        the labels unit, backend, golden and mpi
#   bash tests/coverage.sh -L 'unit|e2e'          what is given goes to ctest
# The CUDA backend counts only where it ran: on the emulated GPU (label gpu).  src/run and main.c are what the end-to-end
# tests reach.  Exit status 1 below 85 %.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=$PWD/build-coverage
tests=("$@")
[ ${#tests[@]} != 0 ] || tests=(-L '^(unit|backend|golden|mpi)$')
cmake -S . -B "$build" -D CMAKE_BUILD_TYPE=Debug -D SPECREJ_CUDA=OFF -D CMAKE_C_FLAGS="-O1 --coverage -fprofile-update=atomic" \
    ${COVERAGE_CMAKE:-} >/dev/null
cmake --build "$build" --parallel "$(nproc)" >"$build/build.log" 2>&1 || {
    tail -n 40 "$build/build.log"
    exit 1
}
find "$build" -name '*.gcda' -delete
status=0
ctest --test-dir "$build" --parallel 2 --output-on-failure "${tests[@]}" >"$build/tests.log" || status=$?
tail -n 8 "$build/tests.log"
[ $status = 0 ] || echo "coverage.sh: some tests failed; the lines that they reached count all the same"

python3 - "$PWD/src" "$build" <<'PY'
import collections, json, os, subprocess, sys

src, build = sys.argv[1:]
lines = collections.defaultdict(dict)  # file -> line -> reached in any of the objects that it is in
for folder, _, names in os.walk(build):
    data = [os.path.join(folder, n) for n in names if n.endswith(".gcno") and "/src/" in folder + "/"]
    if not data:
        continue
    answer = subprocess.run(["gcov", "--json-format", "--stdout", *data], cwd=build, capture_output=True, text=True)
    for document in answer.stdout.splitlines():
        if not document.startswith("{"):
            continue
        parsed = json.loads(document)
        for f in parsed["files"]:
            path = os.path.realpath(os.path.join(parsed["current_working_directory"], f["file"]))
            if not path.startswith(src + "/"):
                continue
            for l in f["lines"]:
                n = l["line_number"]
                lines[path][n] = lines[path].get(n, False) or l["count"] > 0

modules = collections.Counter()
reached = collections.Counter()
for path, of in lines.items():
    parts = os.path.relpath(path, src).split("/")
    name = "/".join(parts[:2]) if parts[0] == "backend" and len(parts) > 2 else parts[0]
    modules[name] += len(of)
    reached[name] += sum(of.values())
for name in sorted(modules):
    print(f"{name:16} {reached[name]:6} of {modules[name]:6} lines  {100 * reached[name] / modules[name]:5.1f} %")
counted = [name for name in modules if name != "backend/cuda" or reached[name]]
n, of = sum(reached[name] for name in counted), sum(modules[name] for name in counted)
share = 100 * n / max(1, of)
print(f"{'src':16} {n:6} of {of:6} lines  {share:5.1f} %")
sys.exit(share < 85)
PY
