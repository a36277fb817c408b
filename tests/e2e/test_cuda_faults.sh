#!/bin/bash
# A rank of a CUDA job that dies, falls silent or loses its network, while the others wait for it in NCCL: the job ends
# on all ranks within the deadline, with a message; what was committed stays, and the same command continues it.
source "$(dirname "$0")/tiny.sh"
[ -f "${SPECREJ_CUDA_BACKEND:-}" ] || { echo "skipped: SPECREJ_CUDA_BACKEND names no library"; exit 77; }
has_mpi || { echo "skipped: this build has no MPI"; exit 77; }
export SPECREJ_TEST_BACKEND=cuda
deadline=20  # seconds that a rank waits for its device: on a busy machine, ranks wait for each other for some
patience=300 # that the job may take to end after the fault
tiny_job
n_prompts=4
prompts $n_prompts >prompts.jsonl
job=(n=6 sampling.max_new_tokens=33 method=speculative_rejection alpha=0.5 "rounds=every 16")

# A rank: its process id goes to rank.N.  HIDDEN: a shell stays between it and the launcher, which does not see it die,
# so that the other ranks have to notice for themselves.  FAULT_RANK: of the one that gets the variables FAULT.
cat >rank.sh <<'SH'
#!/bin/bash
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}
[ "$rank" = "${FAULT_RANK:-}" ] && export $FAULT
if [ -z "${HIDDEN:-}" ]; then
    echo $$ >rank.$rank
    exec "$@"
fi
"$@" &
echo $! >rank.$rank
wait $!
status=$?
[ $status -lt 128 ] || exec sleep 1000
exit $status
SH
chmod +x rank.sh
RANK_LAUNCHER="${RANK_LAUNCHER:-} ./rank.sh"

# begin OUT [KEY=VALUE...]: the job on 2 ranks, in the background; its launcher is $launcher.
begin() {
    rm -f "$1"* rank.[0-9]
    start 2 "$@"
    SPECREJ_CUDA_DEADLINE_S=$deadline "${command[@]}" >log 2>&1 &
    launcher=$!
}

# running: the ids of the launcher and its ranks that are still there.
running() { for pid in $launcher $(cat rank.[01]); do kill -0 "$pid" 2>/dev/null && echo "$pid"; done; }

# ends WHAT OUT PATTERN: soon, on all ranks, with this message; and what OUT holds is right.
ends() {
    local what=$1 out=$2 pattern=$3 began=$SECONDS took said
    while [ -n "$(running)" ]; do
        [ $((SECONDS - began)) -lt $patience ] || { kill -9 $(running); fail "$what: it still runs after $patience s"; }
        sleep 0.1
    done
    took=$((SECONDS - began))
    wait $launcher && fail "$what: status 0"
    said=$(grep -m 1 -o "$pattern.*" log) || fail "$what: no message with '$pattern'"
    if [ "$("$COMPARE_RESULTS" verify "$out" 2>/dev/null || echo 0)" -ge 1 ]; then check part reference.h5 "$out"; fi
    echo "$what: ended after $took s: $said"
}

# continued OUT [KEY=VALUE...]: the same command, without a fault.
continued() {
    run 2 "$@"
    check same reference.h5 "$1"
}

# ---- tensor 2: each step waits for the other rank ----
tensor=("${job[@]}" parallel.tensor=2)
run 2 reference.h5 "${tensor[@]}"
begin seen.h5 "${tensor[@]}"
until [ "$("$COMPARE_RESULTS" verify seen.h5 2>/dev/null || echo 0)" -ge 1 ]; do
    kill -0 $launcher 2>/dev/null || fail "it ended too early"
    sleep 0.05
done
kill -9 "$(cat rank.1)"
ends "rank 1 killed, and the launcher sees it" seen.h5 "[Kk]illed"
continued seen.h5 "${tensor[@]}"

start 2 refused.h5 "${tensor[@]}"
SPECREJ_CUDA_DEADLINE_S=soon "${command[@]}" >log 2>&1 && fail "a deadline of soon was taken"
grep -q 'error: .*SPECREJ_CUDA_DEADLINE_S is "soon"; it must be a number of seconds' log || fail "no message about it"

grep -q "emulated GPU" <<<"$("$SPECREJ" inspect reference.h5)" || { echo "a real device: no faults in NCCL to ask for"; exit 0; }

# ---- in the midst of an operation of NCCL ----
# fault RANK VARIABLES OUT [KEY=VALUE...]: begin, and what befalls a rank.
fault() {
    local rank=$1 what=$2
    shift 2
    FAULT_RANK=$rank FAULT=$what begin "$@"
}
at=SPECREJ_EMULATION_NCCL_FAULT=700
hangs="the device has not finished for $deadline s: another rank or the device hangs"
HIDDEN=1 fault 0 "$at SPECREJ_EMULATION_NCCL_SIGNAL=9" dead.h5 "${tensor[@]}"
ends "rank 0 dead" dead.h5 "specrej: \[rank 1/.*$hangs"
fault 1 "$at SPECREJ_EMULATION_NCCL_SIGNAL=19" silent.h5 "${tensor[@]}"
ends "rank 1 silent" silent.h5 "specrej: \[rank 0/.*$hangs"
lost="failed, a rank is gone or cannot be reached: remote process exited or there was a network error"
fault 1 $at lost.h5 "${tensor[@]}"
ends "rank 1 without network" lost.h5 "specrej: \[rank 1/.*NCCL between the ranks of the tensor group $lost"
continued lost.h5 "${tensor[@]}"

# ---- two groups: pages that move between them, and do not arrive ----
fault 1 SPECREJ_EMULATION_NCCL_FAULT=0 moved.h5 "${job[@]}" n=12 "rounds=every 8" parallel.split=candidates
ends "pages lost between groups" moved.h5 "specrej: \[rank 1/.*NCCL between the groups $lost"
