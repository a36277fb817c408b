#!/usr/bin/env bash
# The demo: installs what is missing, builds, runs Best-of-N and Speculative Rejection on 2 ranks with the same seed, and
# shows what came out.
#   bash jobs/demo.sh                   results in build/demo/
#   bash jobs/demo.sh --set seed=1      what follows goes to the job: jobs/demo/demo.yaml
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash setup.sh
cmake --preset release
cmake --build --preset release --target specrej --parallel "$(nproc)"

# mpirun refuses root unless told that it is meant; containers and fresh machines often have no other user.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
out=build/demo
rm -rf "$out"
job() { mpirun --oversubscribe -np 2 build/specrej sweep jobs/demo/demo.yaml --run --set "output=$out/%p.h5" "$@"; }
job "$@"
# Smaller Best-of-N runs: the curve of reward over cost that "speedup at equal reward" is read from.
job --set "sweep={n: [30, 60]}" --set method=best_of_n "$@"
echo
build/specrej report "$out"/*.h5 -o "$out/report"
echo
echo "Open $out/report/report.html in a browser: the table, its figures and how the files were made."
