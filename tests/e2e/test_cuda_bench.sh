#!/bin/bash
# The benchmarks' scripts do not rot: tests/bench/gpu.sh on the emulated GPU, with tiny shapes.  Every part writes its
# CSV, every launcher of the kernels has its lines, all numbers are finite; what they are means nothing here.
# Needs the variable BUILD_FOLDER, as CTest sets it.
source "$(dirname "$0")/tiny.sh"
[[ ${SPECREJ_CUDA_BACKEND:-} == *emulated* ]] || { echo "skipped: for the emulated GPU"; exit 77; }
: "${BUILD_FOLDER:?the build}"
root=$(cd "$BUILD_FOLDER" && pwd)
source=$(cd "$golden/../../.." && pwd)
export BUILD=$root EMULATED=1 QUICK=1 OUT=$work/out
bench() { bash "$source/tests/bench/gpu.sh" "$@" >log 2>&1 || fail "status $? of: gpu.sh $*"; }

# rows PART LEAST: at least so many rows, a cell for every column, no number that is not one.
rows() {
    python3 - "$OUT/$1.csv" "$2" <<'PY' || fail "$1.csv"
import math, sys
TEXT = {"ranks", "reproducible", "name", "unit", "shape", "kernel", "matrix", "out", "what", "cache", "method"}
head, n = [], 0
for line in open(sys.argv[1]):
    cells = line.strip().split(",")
    if line.startswith("#"):
        continue
    if cells[0] in TEXT | {"B"} and cells[-1].isidentifier() and not (head and len(cells) != len(head)):
        head = cells
        continue
    n += 1
    assert len(cells) == len(head), f"not {len(head)} cells: {line}"
    for name, cell in zip(head, cells):
        assert cell and (name in TEXT or math.isfinite(float(cell))), f"{name} is '{cell}': {line}"
assert n >= int(sys.argv[2]), f"{n} rows, not {sys.argv[2]}"
PY
    head -n 1 "$OUT/$1.csv" | grep -q "^# commit " || fail "$1.csv does not say which commit"
}

bench ceilings kernels products
rows ceilings 10
rows products 45
rows kernels 50
for launcher in $(grep -o "cudaError_t k_[a-z_]*" "$source/kernels/kernels.h" | sed 's/.* k_//') "attention decode" \
    "attention prefill" "attention scoring" sample log-probabilities; do
    grep -q "^$launcher" "$OUT/kernels.csv" || fail "no benchmark of $launcher"
done
"$root/tests/gpu_emulation/gpu_kernels_rows_emulated" --quick --seconds 1e-9 >late || fail "no time left"
[ "$(grep -c "not measured: out of time" late)" -gt 10 ] || fail "no word of what there was no time for"

parts="decode score jobs memory"
! has_mpi || parts="ranks $parts"
bench $parts
rows decode 4
! has_mpi || rows ranks 2
rows score 10
rows jobs 2
rows memory 0
[ -s "$OUT/jobs_report/report.csv" ] || fail "no report of the jobs"

# ---- the tables; transformers' numbers made up ----
cat >"$OUT/peers.csv" <<'CSV'
what,B,P,S,prefill_ms,step_ms,tok_s
decode,4,24,16,1,1e6,1
decode,4096,24,16,out of memory
what,B,P,S,prefill_again_ms,score_ms,tok_s
round,4,16,24,1e6,1e6,1
CSV
bench tables
rows compare 2
awk -F, '$1 == "decode" && $8 > 10 && $9 == 1 { d = 1 } $1 == "round" && $8 > 10 && $9 > 0 { r = 1 } END { exit !(d && r) }' \
    "$OUT/compare.csv" || fail "compare.csv: $(cat "$OUT/compare.csv")"
grep -q "not measured on both sides" "$OUT/compare.csv" && fail "a point without a time on their side was asked for"
[ -s "$OUT/decode.gp" ] || fail "no script of the figure"
if command -v gnuplot >/dev/null; then grep -q "<svg" "$OUT/decode.svg" || fail "no figure"; fi

BUDGET_S=0 bench decode
grep -q "not measured: out of time" "$OUT/decode.csv" || fail "a budget of nothing is not nothing"
printf '#!/bin/sh\nexit 3\n' >broken
chmod +x broken
mkdir -p half/tests/gpu_emulation
ln -s "$root"/tests/bench_* half/tests
ln -s "$root/specrej" half
ln -s "$root"/tests/gpu_emulation/* half/tests/gpu_emulation
ln -sf "$work/broken" half/tests/gpu_emulation/gpu_ceilings_emulated
if BUILD=$work/half bash "$source/tests/bench/gpu.sh" ceilings kernels >log 2>&1; then fail "a part that failed"; fi
grep -q "gpu.sh: failed: ceilings$" log || fail "no word of the part that failed"
grep -q "^log-probabilities,.*,,$" "$OUT/kernels.csv" || fail "the others do not go on, without floors"
rm half/tests/bench_score
if BUILD=$work/half bash "$source/tests/bench/gpu.sh" ceilings 2>log; then fail "a program that is missing"; fi
grep -q "build first, these are missing:.*bench_score" log || fail "no word of what is missing"
if bash "$source/tests/bench/gpu.sh" nothing 2>log; then fail "a part that is none"; fi
grep -q "no part 'nothing'; parts: ceilings decode" log || fail "no word of the parts"
echo "all parts write their tables"
