#!/usr/bin/env bash
# Installs what is missing, builds and passes every test.
#   bash tests/run.sh                     preset release
#   bash tests/run.sh asan                another preset of CMakePresets.json: debug, asan, tsan, single
#   bash tests/run.sh asan -L 'unit|mpi'  what follows the preset goes to ctest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-release}
[ $# = 0 ] || shift

bash setup.sh
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$(nproc)"
# More than there are processors: tests that start ranks or a Slurm wait a good part of their time.
ctest --preset "$preset" --parallel "$(($(nproc) + 4))" --output-on-failure "$@"
