#!/bin/bash
# The CUDA backend in whole jobs, on the device that $SPECREJ_CUDA_BACKEND drives: pairing on 1, 2 and 4 ranks, groups
# and tensor splits, survivors' pages that move between groups, in f32, bf16 and fp8; which backend is taken, and why.
source "$(dirname "$0")/tiny.sh"
[ -f "${SPECREJ_CUDA_BACKEND:-}" ] || { echo "skipped: SPECREJ_CUDA_BACKEND names no library"; exit 77; }
export SPECREJ_TEST_BACKEND=cuda
tiny_job
prompts 2 >prompts.jsonl
small=(n=8 sampling.max_new_tokens=36)
brief=${SPECREJ_TEST_BRIEF:-no} # under the sanitizers: each path once, several of them in a job
sr=(method=speculative_rejection alpha=0.5)
every=("${sr[@]}" "rounds=every 16")
memory=("${sr[@]}" rounds=memory budget_tokens=320)

# ---- fp8 where the device multiplies it ----
dtypes=(f32 bf16)
start 1 fp8.h5 "${small[@]}" dtype=fp8
if "${command[@]}" >log 2>&1; then
    dtypes+=(fp8)
else
    grep -q "dtype fp8 needs compute capability 8.9 or later" log || fail "status $? of: ${command[*]}"
    echo "fp8: skipped, $(cat log)"
fi
start 1 old.h5 "${small[@]}" dtype=fp8
if [[ $SPECREJ_CUDA_BACKEND == *emulated* ]]; then
    if SPECREJ_EMULATION_CAPABILITY=86 "${command[@]}" >log 2>&1; then fail "fp8 on a device without it"; fi
    grep -q "error: dtype fp8 needs compute capability 8.9 or later.*has 8.6: set dtype: bf16" log ||
        fail "no word of what fp8 needs"
fi

start 1 many.h5 n=100000000
if SLURM_MEM_PER_NODE=4000 "${command[@]}" >log 2>&1; then fail "candidates that the host cannot hold"; fi
grep -q "error: n 100000000: the candidates' states.*lower n to" log || fail "no word of the host's memory"

# Rank 1 has no memory to park KV in: where one rank has none, none parks.
cat >less_on_rank_1 <<'SH'
#!/bin/bash
[ "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" = 1 ] && export SPECREJ_EMULATION_PINNED_MIB=17
exec "$@"
SH
chmod +x less_on_rank_1

if [ $brief != no ]; then
    run 1 evicted.h5 "${small[@]}" budget_tokens=160
    run 1 flight.h5 "${small[@]}" "${memory[@]}" overlap=2 reward.cache=host
    check paired evicted.h5 flight.h5
    check rounds flight.h5 memory
    SPECREJ_EMULATION_PINNED_MIB=17 run 1 nowhere.h5 "${small[@]}" "${memory[@]}" reward.cache=host
    check same flight.h5 nowhere.h5
    echo "evictions, 2 prompts in flight, parked rewards: pairing holds"
    has_mpi || { echo "one rank only: this build has no MPI"; exit 0; }
    RANK_LAUNCHER="${RANK_LAUNCHER:-} ./less_on_rank_1" run 2 tensor.h5 "${small[@]}" "${every[@]}" parallel.tensor=2 \
        reward.cache=host
    check rounds tensor.h5
    run 4 split.h5 "${small[@]}" "${memory[@]}" parallel.tensor=2 parallel.split=candidates dtype=bf16
    check rounds split.h5 memory
    echo "tensor 2; two groups of it in bf16"
    exit 0
fi

# ---- what rejection leaves alive is Best-of-N's, bit for bit; recorded steps run again and again ----
for dtype in "${dtypes[@]}"; do
    run 1 bon-$dtype.h5 "${small[@]}" dtype=$dtype
    run 1 every-$dtype.h5 "${small[@]}" "${every[@]}" dtype=$dtype
    check paired bon-$dtype.h5 every-$dtype.h5
    check rounds every-$dtype.h5
    run 1 memory-$dtype.h5 "${small[@]}" "${memory[@]}" dtype=$dtype
    check paired bon-$dtype.h5 memory-$dtype.h5
    check rounds memory-$dtype.h5 memory
done
grep -q "emulated GPU\|NVIDIA" <<<"$("$SPECREJ" inspect bon-f32.h5)" || fail "the device is not in the file"
echo "pairing holds"

run 1 evicted.h5 "${small[@]}" budget_tokens=160
check same bon-f32.h5 evicted.h5
run 1 host.h5 "${small[@]}" "${every[@]}" reward.cache=host
check same every-f32.h5 host.h5
SPECREJ_EMULATION_PINNED_MIB=17 run 1 nowhere.h5 "${small[@]}" "${every[@]}" reward.cache=host # staging takes 16
check same every-f32.h5 nowhere.h5
echo "evictions and the reward's cache: the same"

run 1 flight.h5 "${small[@]}" "${every[@]}" overlap=2
check same every-f32.h5 flight.h5
run 1 flight.h5.memory "${small[@]}" "${memory[@]}" overlap=2
check same memory-f32.h5 flight.h5.memory
echo "2 prompts in flight: the same"

# ---- a profiler sees the phases under the names of the trace (a real one is not asked) ----
SPECREJ_EMULATION_NVTX=$work/ranges run 1 ranges.h5 "${small[@]}" "${every[@]}"
if [ -e ranges ]; then
    "$SPECREJ" timeline ranges.h5 -o ranges.json
    for phase in prefill decode score; do
        recorded=$(grep -c "\"cat\": \"phase\", \"name\": \"$phase\"" ranges.json)
        [ "$recorded" -gt 0 ] && [ "$(grep -cE "^ *$phase$" ranges)" = "$recorded" ] || fail "ranges of $phase, not $recorded"
    done
    if grep -vE '^(prefill|decode|decide|  score|  move)$' ranges; then fail "ranges that the trace does not know"; fi
    echo "ranges: those of the trace"
fi

# ---- which backend ----
sed -i 's/^backend: .*/backend: auto/' job.yaml
start 1 auto.h5 "${small[@]}"
unset "command[3]" # -q
"${command[@]}" 2>log || fail "status $? of: ${command[*]}"
grep -q "backend auto: cuda" log || fail "auto does not say that it took cuda"
check same bon-f32.h5 auto.h5
start 1 cpu.h5 "${small[@]}"
unset "command[3]"
SPECREJ_CUDA_BACKEND=$work/none.so "${command[@]}" 2>log || fail "status $? of: ${command[*]}"
grep -q "backend auto: cpu, since .*none.so is missing" log || fail "auto does not say why it took cpu"
sed -i 's/^backend: .*/backend: cuda/' job.yaml
start 1 none.h5 "${small[@]}"
if SPECREJ_EMULATION_DEVICES=0 CUDA_VISIBLE_DEVICES='' "${command[@]}" 2>log; then fail "it ran without a device"; fi
grep -q "error: backend: cuda: no CUDA device" log || fail "no word of the missing device"
sed -i 's/^backend: .*/backend: auto/' job.yaml
start 1 none.h5 "${small[@]}" dtype=fp8
if SPECREJ_CUDA_BACKEND=$work/none.so "${command[@]}" 2>log; then fail "fp8 without a device"; fi
grep -q "error: backend auto took cpu, since .*none.so is missing.*: dtype fp8 is not for the cpu" log ||
    fail "no word of why fp8 is not to be had"
sed -i 's/^backend: .*/backend: cuda/' job.yaml
echo "auto takes what is there"

has_mpi || { echo "one rank only: this build has no MPI"; exit 0; }

# variant NAME RANKS [KEY=VALUE...]: the jobs again, with the same results.
variant() {
    local name=$1 ranks=$2
    shift 2
    rm -f variant-*.h5
    run "$ranks" variant-every.h5 "${small[@]}" "${every[@]}" "$@"
    check same every-f32.h5 variant-every.h5
    run "$ranks" variant-memory.h5 "${small[@]}" "${memory[@]}" "$@"
    check same memory-f32.h5 variant-memory.h5
    echo "$name: the same"
}
variant "2 groups by prompts" 2
variant "2 groups by candidates" 2 parallel.split=candidates

run 2 tensor-every.h5 "${small[@]}" "${every[@]}" parallel.tensor=2
RANK_LAUNCHER="${RANK_LAUNCHER:-} ./less_on_rank_1" run 2 tensor-host.h5 "${small[@]}" "${every[@]}" parallel.tensor=2 \
    reward.cache=host
check same tensor-every.h5 tensor-host.h5
echo "parked on 2 ranks: the same"

# split NAME RANKS [KEY=VALUE...]: its own pairing.
split() {
    local name=$1 ranks=$2
    shift 2
    rm -f split-*.h5
    run "$ranks" split-bon.h5 "${small[@]}" "$@"
    run "$ranks" split-memory.h5 "${small[@]}" "${memory[@]}" "$@"
    check paired split-bon.h5 split-memory.h5
    check rounds split-memory.h5 memory
    echo "$name: pairing holds"
}
split "tensor 2" 2 parallel.tensor=2
run 2 any-order.h5 "${small[@]}" "${memory[@]}" parallel.tensor=2 reproducible=false # nothing is promised of its bits
check rounds any-order.h5 memory
split "tensor 4, bf16" 4 parallel.tensor=4 dtype=bf16
case " ${dtypes[*]} " in *" fp8 "*) split "tensor 2, fp8" 2 parallel.tensor=2 dtype=fp8 ;; esac
split "2 groups x tensor 2 by candidates" 4 parallel.tensor=2 parallel.split=candidates
