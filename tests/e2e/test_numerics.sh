#!/bin/bash
# Numbers that are not finite (numerics_models.py): a candidate whose logits are NaN or infinite ends alone, the others
# keep their bits, whatever the method, grouping, memory; rewards that are no numbers never win; replay agrees.
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tiny.sh"
: "${COMPARE_REPLAY:?path of compare_replay}"
no_daemon
backend=${SPECREJ_TEST_BACKEND:-cpu}
if [ "$backend" = cuda ] && [ ! -f "${SPECREJ_CUDA_BACKEND:-}" ]; then
    echo "skipped: SPECREJ_CUDA_BACKEND names no library" && exit 77
fi
python3 "$here/numerics_models.py" . || fail "numerics_models.py"
token=77 reward_token=55
cat >job.yaml <<YAML
name: numerics
generator: {path: mlp}
reward: {path: reward_sound}
dataset: {path: prompts.jsonl}
sampling: {temperature: 1.0, top_k: 0, max_new_tokens: 64}
method: best_of_n
n: 24
backend: $backend
dtype: f32
record: {text: none}
seed: 7
output: out.h5
YAML
few=() n=24 faults=(mlp attention head)
if [ "$backend" = cuda ]; then # emulated, which takes its time
    n=8 faults=(mlp head)
    few=(n=8 sampling.max_new_tokens=40 dataset.offset=4)
fi
sr=(method=speculative_rejection alpha=0.5)
every=("${sr[@]}" "rounds=every 16")
memory=("${sr[@]}" alpha=0.25 rounds=memory budget_tokens=560 min_round_tokens=16)
[ "$backend" = cuda ] && memory=("${sr[@]}" alpha=0.25 rounds=memory budget_tokens=240 min_round_tokens=16)

# reason FILE PROMPT PATTERN
reason() {
    "$SPECREJ" inspect "$1" --prompt "$2" 2>&1 | tr -s ' \n' ' ' >log
    grep -q "status $3" log || fail "$1, prompt $2: no '$3'"
}

# ---- the generator ----
run 1 sound.h5 "${few[@]}" generator.path=sound
for fault in "${faults[@]}"; do
    run 1 $fault.h5 "${few[@]}" generator.path=$fault
    broken=$("$COMPARE_RESULTS" numerics sound.h5 $fault.h5 $token 2>log) || fail "$fault: compare_results numerics"
    [ "${broken%% *}" -gt 0 ] || fail "$fault: nothing broke"
    [ "$backend" = cuda ] || check work $fault.h5 1 # a GPU goes on to the page boundary
    echo "$fault: $broken candidates ended alone"
done
reason mlp.h5 6 "skipped: no answer: logits of $n of $n candidates not finite; candidate 0 at position 0, from the MLP of layer 1 on"
reason mlp.h5 7 "skipped: no answer: .*, from the attention of layer 2 on" # behind a prompt's token that broke it
[ "$backend" = cuda ] || reason attention.h5 6 "skipped: no answer: .*, from the attention of layer 2 on"
reason head.h5 6 "skipped: no answer: .*, behind the last layer"
"$SPECREJ" inspect mlp.h5 2>&1 | tr -s ' \n' ' ' >log
grep -q "prompt [0-5] ok: logits of [0-9]* of $n candidates not finite; candidate [0-9]* at position [0-9]*, from the MLP of layer 1 on" log ||
    fail "inspect names no prompt that is ok"
"$SPECREJ" report mlp.h5 >log 2>&1 || fail "report"
said=$("$COMPARE_RESULTS" numerics sound.h5 mlp.h5 $token)
grep -q "the logits of ${said%% *} candidates, which ended there" <<<"$(tr -s ' \n' ' ' <log)" || fail "report does not count them"

# ---- what decides who lives has no say in it ----
run 1 memory.h5 "${few[@]}" "${memory[@]}"
check paired mlp.h5 memory.h5
check rounds memory.h5 memory
[ "$backend" = cpu ] || exit 0
run 1 every.h5 "${every[@]}"
check paired mlp.h5 every.h5
check rounds every.h5
check work memory.h5 1
check work every.h5 1
run 1 flight.h5 overlap=3
check same mlp.h5 flight.h5
run 1 uncached.h5 "${every[@]}" reward.cache=none
check same every.h5 uncached.h5
echo "Speculative Rejection, overlap: the same candidates"

# ---- the policy ----
start 1 stop.h5 on_numerics_error=stop
"${command[@]}" >log 2>&1
[ $? = 1 ] || fail "on_numerics_error: stop did not end with status 1"
grep -q "prompt [0-9]* was not finished: candidate .*logits at position .* not finite, from the MLP of layer 1 on; on_numerics_error: end goes on" log ||
    fail "on_numerics_error: stop does not say why"
[ "$("$COMPARE_RESULTS" verify stop.h5)" -lt "$("$COMPARE_RESULTS" verify mlp.h5)" ] || fail "stop: it went on"
done_in() { "$SPECREJ" status job.yaml --set output="$1" --done; }
cp stop.h5 unnoticed.h5 # without what the run says of itself
[ "$(done_in stop.h5)" = "$(done_in unnoticed.h5)" ] || fail "stop: the prompt that was not finished counts as done"
run 1 stop.h5 # the cure that it names: the same file goes on
check same mlp.h5 stop.h5
start 1 strict.h5 on_prompt_error=stop dataset.offset=6
"${command[@]}" >log 2>&1
[ $? = 1 ] || fail "on_prompt_error: stop does not stop at a prompt without an answer"
echo "end, stop: as the job says"

# ---- the reward model ----
run 1 rewards.h5 generator.path=sound reward.path=reward_nan
broken=$("$COMPARE_RESULTS" rewards sound.h5 rewards.h5 $reward_token 2>log) || fail "compare_results rewards"
[ "${broken%% *}" -gt $n ] || fail "only prompt 8 lacks rewards"
reason rewards.h5 8 "ok: rewards of $n of $n candidates not finite"
run 1 rewards-every.h5 generator.path=sound reward.path=reward_nan "${every[@]}"
check paired rewards.h5 rewards-every.h5
check rounds rewards-every.h5 # NaN is last
run 1 equal.h5 generator.path=sound reward.path=reward_equal "${every[@]}"
check rounds equal.h5 # ties by number
echo "rewards: $broken are no numbers"

# ---- replay ----
run 1 pages.h5 score_at=pages
run 1 every8.h5 "score_at=every 8"
run 1 real1.h5 "${memory[@]}"
run 1 real2.h5 "${memory[@]}" compat=paper_code_2024
"$COMPARE_REPLAY" pages.h5 real1.h5 real2.h5 2>log || fail "compare_replay: memory"
run 1 real3.h5 "${every[@]}"
run 1 real4.h5 "${every[@]}" n=2 # where both may break
run 1 real5.h5 "${every[@]}" compat=paper_code_2024 alpha=0.3
run 1 real6.h5 n=1
"$COMPARE_REPLAY" every8.h5 real3.h5 real4.h5 real5.h5 real6.h5 2>log || fail "compare_replay: schedules"

# ---- memory, groups ----
run 1 evicted.h5 budget_tokens=480
check same mlp.h5 evicted.h5
[ "$("$COMPARE_RESULTS" evictions evicted.h5)" -gt 0 ] || fail "nothing was evicted"
has_mpi || { echo "one rank only: this build has no MPI"; exit 0; }
run 2 groups.h5 "${memory[@]}"
check same memory.h5 groups.h5
run 2 groups.h5.candidates "${memory[@]}" parallel.split=candidates
check same memory.h5 groups.h5.candidates
run 2 tensor-sound.h5 parallel.tensor=2 generator.path=sound
run 2 tensor.h5 parallel.tensor=2
"$COMPARE_RESULTS" numerics tensor-sound.h5 tensor.h5 $token >log 2>&1 || fail "tensor 2: compare_results numerics"
run 2 tensor-every.h5 parallel.tensor=2 "${every[@]}"
check paired tensor.h5 tensor-every.h5
run 2 tensor-head.h5 parallel.tensor=2 generator.path=head dataset.offset=6
reason tensor-head.h5 6 "skipped: no answer: .*, behind the last layer"
echo "groups, tensor 2: the same"
