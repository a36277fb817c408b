#!/bin/bash
# Pairing (design section 2): Best-of-N and Speculative Rejection generate the same candidates, and nothing but the
# seed, the prompt and the candidate's number decides what a candidate is.
#   PAIRING=full bash test_pairing.sh   20 prompts instead of 12, and all of them in every variant (several minutes)
source "$(dirname "$0")/tiny.sh"
no_daemon
tiny_job

total=12 few=(dataset.limit=5)
[ "${PAIRING:-}" = full ] && total=20 few=()
prompts $total >prompts.jsonl
sr=(method=speculative_rejection)
every=("${sr[@]}" alpha=0.5 "rounds=every 16")
memory=("${sr[@]}" alpha=0.25 rounds=memory budget_tokens=2304)

# ---- every candidate that Speculative Rejection completed is Best-of-N's ----
run 1 bon.h5
check work bon.h5 1
for alpha in 0.25 0.5 0.75; do
    run 1 "every$alpha.h5" "${sr[@]}" alpha=$alpha "rounds=every 16"
    check paired bon.h5 "every$alpha.h5"
    check rounds "every$alpha.h5"
    check work "every$alpha.h5" 1
    run 1 "memory$alpha.h5" "${sr[@]}" alpha=$alpha rounds=memory budget_tokens=2304
    check paired bon.h5 "memory$alpha.h5"
    check rounds "memory$alpha.h5" memory
    check work "memory$alpha.h5" 1
done
run 1 zero.h5 "${sr[@]}" alpha=0 rounds=memory
check same bon.h5 zero.h5
run 1 half.h5 n=32
check paired bon.h5 half.h5
run 1 early.h5 "${few[@]}" "${memory[@]}" "rounds=at 64, 90" # 64 tokens do not fit: made early
check rounds early.h5
run 1 other-seed.h5 "${few[@]}" seed=8
for wrong in "same bon.h5 every0.5.h5" "paired bon.h5 other-seed.h5" "paired every0.5.h5 bon.h5" "work bon.h5 2"; do
    "$COMPARE_RESULTS" $wrong 2>/dev/null && fail "compare_results sees no difference: $wrong"
done
echo "pairing holds"

# ---- partial rewards, in whatever batches they are computed ----
run 1 bon-few.h5 "${few[@]}"
run 1 every.h5 "${few[@]}" "${every[@]}"
run 1 memory.h5 "${few[@]}" "${memory[@]}"
run 1 scored.h5 "${few[@]}" "score_at=every 16" budget_tokens=1600
check partials scored.h5 every.h5
check paired bon-few.h5 scored.h5
run 1 scored.h5.at "${few[@]}" "score_at=33, 49, 65, 81"
check partials scored.h5.at memory.h5
echo "partial rewards are the same at the same lengths"

# variant NAME RANKS [KEY=VALUE...]: the three jobs again, with the same results.
variant() {
    local name=$1 ranks=$2
    shift 2
    rm -f variant-*.h5
    run "$ranks" variant-bon.h5 "${few[@]}" "$@"
    check same bon-few.h5 variant-bon.h5
    run "$ranks" variant-every.h5 "${few[@]}" "${every[@]}" "$@"
    check same every.h5 variant-every.h5
    run "$ranks" variant-memory.h5 "${few[@]}" "${memory[@]}" "$@"
    check same memory.h5 variant-memory.h5
    check rounds variant-memory.h5 memory
    echo "$name: the same"
}

variant "reward cache none" 1 reward.cache=none
variant "reward cache prompt" 1 reward.cache=prompt
variant "reward cache host" 1 reward.cache=host
variant "3 prompts in flight" 1 overlap=3 # tests/mpi/test_overlap.c: with little memory
check work variant-every.h5 1
[ "${PAIRING:-}" = full ] && OMP_NUM_THREADS=2 variant "2 threads" 1
OMP_NUM_THREADS=3 variant "3 threads" 1

# ---- Best-of-N with little memory: waves, and evictions ----
run 1 static.h5 "${few[@]}" batching=static budget_tokens=1600
check same bon-few.h5 static.h5
run 1 evicted.h5 "${few[@]}" budget_tokens=800
check same bon-few.h5 evicted.h5
[ "$("$COMPARE_RESULTS" evictions evicted.h5)" -gt 0 ] || fail "nothing was evicted"
echo "batching and evictions: the same"

# ---- the likelihood as the reward ----
run 1 self-bon.h5 "${few[@]}" reward.path=self
run 1 self.h5 "${few[@]}" reward.path=self "${every[@]}"
check paired self-bon.h5 self.h5
check rounds self.h5

# ---- left in the middle, and continued ----
# interrupted RANKS OUT [KEY=VALUE...]
interrupted() {
    local out=$2 status
    start "$@"
    "${command[@]}" >log 2>&1 &
    local pid=$!
    until [ -s "$out" ] && [ "$("$COMPARE_RESULTS" verify "$out" 2>/dev/null || echo 0)" -ge 1 ]; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    kill -USR1 $pid
    wait $pid
    status=$?
    [ $status = 75 ] || fail "status $status after SIGUSR1 of: ${command[*]}"
    [ "$("$COMPARE_RESULTS" verify "$out")" -lt $total ] || fail "it was complete already"
    run "$@"
}
interrupted 1 restart.h5 "${sr[@]}" alpha=0.5 "rounds=every 16"
check same every0.5.h5 restart.h5
echo "restart: the same"

has_mpi || { echo "one rank only: this build has no MPI"; exit 0; }

variant "2 groups by prompts" 2
variant "2 groups by candidates" 2 parallel.split=candidates
check work variant-every.h5 2 # the prompt is read in both groups, moved candidates are not read again
variant "2 groups, 2 prompts in flight in each" 2 overlap=2
variant "4 groups by prompts" 4
[ "${PAIRING:-}" = full ] && variant "4 groups by candidates" 4 parallel.split=candidates
interrupted 2 restart2.h5 "${sr[@]}" alpha=0.25 rounds=memory budget_tokens=2304
check same memory0.25.h5 restart2.h5
interrupted 2 restart3.h5 "${sr[@]}" alpha=0.25 rounds=memory budget_tokens=2304 parallel.split=candidates
check same memory0.25.h5 restart3.h5
echo "restart on 2 ranks: the same"

# ---- tensor 2: other last bits, its own pairing ----
run 2 tensor-bon.h5 "${few[@]}" parallel.tensor=2
run 2 tensor-every.h5 "${few[@]}" "${every[@]}" parallel.tensor=2
run 2 tensor-memory.h5 "${few[@]}" "${memory[@]}" parallel.tensor=2
check paired tensor-bon.h5 tensor-every.h5
check paired tensor-bon.h5 tensor-memory.h5
check rounds tensor-memory.h5 memory
run 4 tensor-flight.h5 "${few[@]}" "${memory[@]}" parallel.tensor=2 overlap=2
check same tensor-memory.h5 tensor-flight.h5
run 4 tensor-groups.h5 "${few[@]}" "${memory[@]}" parallel.tensor=2 parallel.split=candidates
check same tensor-memory.h5 tensor-groups.h5
echo "tensor 2: the same in 1 and 2 groups"
