#!/bin/bash
# The judge: with the job or after it, alone, once; by itself it changes nothing.  The judge is the reward model again,
# so that its rewards are known.
source "$(dirname "$0")/tiny.sh"
no_daemon
tiny_job
prompts 6 >prompts.jsonl
small=(n=16 method=speculative_rejection "rounds=every 32")
judge=(judge.path=reward judge.weights=random)
context=256 # of the tiny models

# judged FILE CONTEXT UNREAD: the rewards are as they must be, and so many are longer than the context.
judged() {
    local unread
    unread=$("$COMPARE_RESULTS" judged "$1" "$2" 2>log) || fail "compare_results judged $1 $2"
    [ "$unread" = "$3" ] || fail "$1: $unread candidates are longer than $2 tokens, not $3"
}

# runs FILE N: the program worked on prompts so many times, each time to the end.
runs() { [ "$("$COMPARE_RESULTS" runs "$1" | tr -d '\n')" = "$2" ] || fail "$1: runs other than $2"; }

# ---- with the job, after the job, by ranks ----
run 1 plain.h5 "${small[@]}"
"$COMPARE_RESULTS" judged plain.h5 $context 2>/dev/null >&2 && fail "compare_results sees rewards of no judge"
run 1 both.h5 "${small[@]}" "${judge[@]}"
judged both.h5 $context 0
check same plain.h5 both.h5
cp plain.h5 later.h5
run 1 later.h5 "${small[@]}" "${judge[@]}"
judged later.h5 $context 0
check same plain.h5 later.h5
runs later.h5 1
grep -q '"judge_reward":[0-9-]' <<<"$("$SPECREJ" export later.h5 --pick best)" || fail "the judge's rewards are not exported"
if has_mpi; then
    cp plain.h5 ranks.h5
    run 2 ranks.h5 "${small[@]}" "${judge[@]}"
    judged ranks.h5 $context 0
fi
echo "a judge may be added later: it alone runs"

# ---- what is judged is left alone ----
cp later.h5 before.h5
run 1 later.h5 "${small[@]}" "${judge[@]}"
cmp later.h5 before.h5 || fail "it was judged again"
run 1 later.h5 "${small[@]}"
cmp later.h5 before.h5 || fail "the job without its judge changed the file"

# ---- more prompts, one by one ----
run 1 more.h5 "${small[@]}" "${judge[@]}" dataset.limit=3
judged more.h5 $context 0
run 1 more.h5 "${small[@]}" "${judge[@]}" dataset.limit=5
judged more.h5 $context 0
run 1 more.h5 "${small[@]}"
run 1 more.h5 "${small[@]}" "${judge[@]}"
judged more.h5 $context 0
runs more.h5 111
check same plain.h5 more.h5
echo "only what is new is judged"

# ---- another judge ----
cp -r reward other
sed -i 's/"rope_theta": 10000.0/"rope_theta": 500.0/' other/config.json
run 1 other.h5 "${small[@]}" judge.path=other judge.weights=random
"$COMPARE_RESULTS" judged other.h5 $context 2>/dev/null >&2 && fail "compare_results sees rewards of another judge"
run 1 other.h5 "${small[@]}" "${judge[@]}"
judged other.h5 $context 0
runs other.h5 1
start 1 other.h5 "${small[@]}" judge.path=other judge.weights=random dataset.limit=3
"${command[@]}" >log 2>&1
[ $? = 1 ] || fail "a file with rewards of two judges"
grep -q "judge: prompt .* is in the file, but not in this job; raise dataset.limit" log || fail "no clear message"
judged other.h5 $context 0
start 1 plain.h5 "${small[@]}" judge.path=nowhere
"${command[@]}" >log 2>&1
[ $? = 2 ] || fail "status other than 2 for a judge that is not there"
echo "another judge replaces the first one's rewards"

# ---- a judge that cannot read everything ----
short=64
cp -r reward short
sed -i "s/\"max_position_embeddings\": 256/\"max_position_embeddings\": $short/" short/config.json
run 1 short.h5 "${small[@]}" judge.path=short judge.weights=random
unread=$("$COMPARE_RESULTS" judged short.h5 $short) || fail "compare_results judged short.h5 $short"
all=$("$SPECREJ" export both.h5 --pick all | grep -vc '"status":"rejected"')
[ "$unread" -gt 0 ] && [ "$unread" -lt "$all" ] || fail "$unread of $all candidates are longer than $short tokens"
grep -q "prompt .* candidates are not judged: .*context holds $short" log || fail "no word of what was not judged"
cp short.h5 before.h5
run 1 short.h5 "${small[@]}" judge.path=short judge.weights=random
cmp short.h5 before.h5 || fail "what cannot be read was tried again"
echo "what a judge cannot read stays without a reward, and is not tried again"

# ---- under the file's lock, from the first look at it to the last ----
# lock HOST PID JOB: as another start of the job would hold it.
lock() {
    cat >locked.h5.lock <<JSON
{"host": "$1", "boot": "$(cat /proc/sys/kernel/random/boot_id)", "pid_space": "$(readlink /proc/self/ns/pid)",
 "pid": $2, "start_ticks": 0, "slurm_job": "$3", "slurm_cluster": "", "slurm_restart": 0, "since_unix_s": 1700000000}
JSON
}
run 1 locked.h5 "${small[@]}"
cp locked.h5 before.h5
lock "$(hostname)" $$ "" # this script lives
start 1 locked.h5 "${small[@]}" "${judge[@]}"
"${command[@]}" >log 2>&1
[ $? = 1 ] || fail "status other than 1 while another start holds the lock"
grep -q "judge: .*locked.h5 is in use: host .*, pid $$" log || fail "no word of who holds it"
cmp locked.h5 before.h5 || fail "a file that is in use was judged"
grep -q '"state":"complete"' locked.h5.status.json || fail "the notice of who holds it was replaced"
mkdir bin
printf '#!/bin/sh\necho "slurm_load_jobs error: Invalid job id specified" >&2\nexit 1\n' >bin/squeue # long ended
chmod +x bin/squeue
lock elsewhere 4711 4711
PATH=$work/bin:$PATH run 1 locked.h5 "${small[@]}" "${judge[@]}"
judged locked.h5 $context 0
[ ! -e locked.h5.lock ] || fail "the lock is still there"
echo "a lock is respected, and taken over where Slurm says that its holder has ended"
