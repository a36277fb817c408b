#!/bin/bash
# A job read while it is written, signals, a failure on one rank, a full disk: the job ends on all ranks within seconds,
# what was committed stays, and the next start goes on.  Processes killed at any moment: test_kill_random.sh.
source "$(dirname "$0")/killing.sh"
tiny_job
small=(n=16 sampling.max_new_tokens=64 method=speculative_rejection "rounds=every 16" dataset.limit=all)
prompts 60 >prompts.jsonl
sizes=(1)
has_mpi && sizes=(1 2 4)

# ---- readable while it is written ----
run 1 reference.h5 "${small[@]}"
start 1 watched.h5 "${small[@]}"
"${command[@]}" >log.job 2>&1 &
job=$!
while kill -0 $job 2>/dev/null; do readable watched.h5 reference.h5; done
finish $job || fail "status $? of: ${command[*]}"
check same reference.h5 watched.h5
echo "readable at any moment"

# ---- signals ----
# stopped STATUS SIGNAL RANKS OVERLAP: status 75, this word in /runs and in the status file, and it can be continued.
stopped() {
    local word=$1 signal=$2 ranks=$3 overlap=$4 out=stopped.h5 status state=stopped
    rm -f $out*
    start "$ranks" $out "${small[@]}" "overlap=$overlap"
    "${command[@]}" >log 2>&1 &
    local job=$!
    until [ "$("$COMPARE_RESULTS" verify $out 2>/dev/null || echo 0)" -ge 1 ]; do
        kill -0 $job 2>/dev/null || fail "it ended before the signal"
        sleep 0.02
    done
    case $signal$ranks in
    TERM*) kill -TERM "$(ranks_of $job "$ranks" | head -1)" ;;
    USR14) kill -USR1 "$(ranks_of $job "$ranks" | tail -1)" ;; # rank 0 hears of it
    *) kill "-$signal" $job ;;
    esac
    finish $job
    status=$?
    [ $status = 75 ] || fail "status $status, not 75, after SIG$signal on $ranks ranks"
    [ "$("$COMPARE_RESULTS" runs $out | tail -1)" = "$word" ] || fail "the run is not marked $word"
    [ "$word" = 3 ] && state=continue
    grep -q "\"state\":\"$state\"" $out.status.json || fail "$(cat $out.status.json)"
    readable $out reference.h5
    run "$ranks" $out "${small[@]}" "overlap=$overlap"
    check same reference.h5 $out
}
for ranks in "${sizes[@]}"; do
    stopped 3 USR1 "$ranks" 3 # RUN_CONTINUE
    stopped 2 TERM "$ranks" 1 # RUN_STOPPED
done
echo "SIGUSR1 and SIGTERM: committed, status 75, continued"

# ---- a full disk ----
# after_full_disk STATUS FILE: what the job must have said, and left behind.
after_full_disk() {
    [ "$1" = 1 ] || fail "status $1, not 1, on a full disk"
    grep -q "specrej: error: $2: .*run the same command to continue" log || fail "no clear message about $2"
    readable "$2" reference.h5
}
if command -v prlimit >/dev/null; then
    start 1 limited.h5 "${small[@]}"
    "${command[@]}" >log 2>&1 &
    job=$!
    until [ -e limited.h5 ]; do sleep 0.02; done
    prlimit --pid $job --fsize=$(($(stat -c %s reference.h5) / 2))
    finish $job
    after_full_disk $? limited.h5
    run 1 limited.h5 "${small[@]}"
    check same reference.h5 limited.h5
    echo "file size limit: a message, and continued"
fi
if [ "$(id -u)" = 0 ] && mkdir tiny-disk && mount -t tmpfs -o size=160k tmpfs tiny-disk 2>/dev/null; then
    trap 'umount "$work/tiny-disk" 2>/dev/null; rm -rf "$work"' EXIT
    start "${sizes[-1]}" tiny-disk/full.h5 "${small[@]}"
    "${command[@]}" >log 2>&1
    after_full_disk $? tiny-disk/full.h5
    mount -o remount,size=8m tiny-disk
    run "${sizes[-1]}" tiny-disk/full.h5 "${small[@]}"
    check same reference.h5 tiny-disk/full.h5
    umount tiny-disk
    echo "full disk: a message, and continued"
fi

has_mpi || exit 0

# ---- one rank's own failure ----
# only_on_rank_1 ARGUMENTS...: runs the program with more arguments on rank 1 of 2.
cat >only_on_rank_1 <<'SH'
#!/bin/bash
extra=()
while [ "$1" != -- ]; do extra+=("$1"); shift; done
shift
[ "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" = 1 ] || extra=()
exec "$@" ${extra[@]+"${extra[@]}"}
SH
chmod +x only_on_rank_1

# one_fails PATTERN ARGUMENTS-OF-RANK-1 -- ARGUMENTS...: status 2 and one rank's message, soon.
one_fails() {
    local pattern=$1 extra=() status
    shift
    while [ "$1" != -- ]; do extra+=("$1"); shift; done
    shift
    rm -f fails.h5*
    mpirun --oversubscribe -np 2 ./only_on_rank_1 "${extra[@]}" -- "$SPECREJ" run job.yaml -q --set output=fails.h5 \
        --set parallel.tensor=2 "$@" >log 2>&1 &
    finish $!
    status=$?
    [ $status = 2 ] || fail "status $status, not 2"
    [ "$(grep -c "specrej: error: " log)" = 1 ] || fail "not one message"
    grep -q "specrej: error: .*rank 1: .*$pattern" log || fail "no message of rank 1 with '$pattern'"
    [ ! -e fails.h5 ] || fail "a result file was made"
}
one_fails "broken/config.json" --set generator.path=broken --
one_fails "n" --set n=-1 --
checkpoint=(--set "generator.path=$golden/llama2" --set generator.weights=checkpoint
    --set "reward.path=$golden/rm_llama" --set reward.weights=checkpoint --set sampling.max_new_tokens=16)
cp -r "$golden/llama2" truncated
head -c 30000 "$golden/llama2/model.safetensors" >truncated/model.safetensors
one_fails "truncated/model.safetensors" --set generator.path=truncated -- "${checkpoint[@]}"
cp -r "$golden/rm_llama" headless
head -c 20000 "$golden/rm_llama/model.safetensors" >headless/model.safetensors
one_fails "headless/model.safetensors" --set reward.path=headless -- "${checkpoint[@]}"
echo "one rank's failure ends the job with its message"
