#!/bin/bash
# Every kind of bad input: status 2 and one line that names the file and the key or tensor, on one rank and on two;
# what is odd but possible works.
source "$(dirname "$0")/tiny.sh"
no_daemon
tiny_job
prompts 3 >prompts.jsonl
small=(n=4 sampling.max_new_tokens=16)
ranks=(1)
has_mpi && ranks=(1 2)
tried=0
# When a rank ends with status 2, mpirun gives the others a second to end: here they have, and it is a second per refusal.
export OMPI_MCA_odls_base_sigkill_timeout=0

# refused PATTERN COMMAND...: status 2, one line on stderr with the pattern, soon; nothing is written.
refused() {
    local pattern=$1 began status n
    shift
    for n in "${ranks[@]}"; do
        began=$SECONDS
        if [ "$n" = 1 ]; then "$@" >/dev/null 2>log; else mpirun --oversubscribe -np "$n" "$@" >/dev/null 2>log; fi
        status=$?
        [ $status = 2 ] || fail "status $status, not 2, on $n ranks: $*"
        [ "$(grep -c "^specrej: error: " log)" = 1 ] || fail "not one message on $n ranks: $*"
        # Where there is no /sys, as in some containers, hwloc says so.
        [ "$n" -gt 1 ] || [ "$(grep -vc '^\[hwloc/' log)" = 1 ] || fail "more than one line: $*"
        grep -q "^specrej: error: .*$pattern" log || fail "the message does not have '$pattern': $*"
        [ $((SECONDS - began)) -lt 120 ] || fail "it took $((SECONDS - began)) s: $*"
        [ ! -e bad.h5 ] || fail "a result file was made: $*"
    done
    tried=$((tried + 1))
}

# refuses PATTERN KEY=VALUE...: the tiny job with these.
refuses() {
    local pattern=$1
    shift
    start 1 bad.h5 "${small[@]}" "$@"
    refused "$pattern" "${command[@]}"
}

# refuses_job PATTERN SED-EXPRESSION: the tiny job with a changed file.
refuses_job() {
    sed "$2" job.yaml >changed.yaml
    refused "$1" "$SPECREJ" run changed.yaml -q --set output=bad.h5
}

# ---- checkpoints ----
checkpoint=("generator.path=$golden/llama2" generator.weights=checkpoint "reward.path=$golden/rm_llama"
    reward.weights=checkpoint)
run 1 good.h5 "${small[@]}" "${checkpoint[@]}"

# copy NAME FROM PERL: a checkpoint whose model.safetensors went through the expression.
copy() {
    cp -r "$golden/$2" "$1"
    perl -0777 -pi -e "$3" "$1/model.safetensors"
}
every_ranks=("${ranks[@]}")
for key in generator reward; do
    from=llama2
    [ $key = reward ] && from=rm_llama ranks=(1) # the same readers
    with=("${checkpoint[@]}")
    copy $key-truncated $from '$_ = substr $_, 0, 20000'
    copy $key-empty $from '$_ = ""'
    copy $key-length $from '$_ = ("\xff" x 8) . substr $_, 8'
    copy $key-syntax $from 's/"dtype"/"dtype?/'
    for what in truncated empty length syntax; do
        refuses "$key-$what/model.safetensors" "${with[@]}" "$key.path=$key-$what"
    done
    copy $key-offsets $from 's/("model.norm.weight":\{[^}]*"data_offsets":\[)(\d+)/$1 . ($2 + 32)/e'
    refuses "$key-offsets/model.safetensors.*model.norm.weight" "${with[@]}" "$key.path=$key-offsets"
    copy $key-missing $from 's/model\.norm\.weight/model.nomr.weight/'
    refuses "$key-missing.*model.norm.weight" "${with[@]}" "$key.path=$key-missing"
    copy $key-shape $from 's/("model.embed_tokens.weight":\{[^}]*"shape":)\[131,32\]/${1}[32,131]/'
    refuses "$key-shape/model.safetensors.*model.embed_tokens.weight" "${with[@]}" "$key.path=$key-shape"
    copy $key-nan $from 'substr($_, -4) = pack "V", 0x7fc00000'
    refuses "$key-nan.*weight.*not finite" "${with[@]}" "$key.path=$key-nan"
    copy $key-none $from ''
    rm $key-none/model.safetensors
    refuses "$key-none.*safetensors" "${with[@]}" "$key.path=$key-none"
    mkdir $key-json
    echo '{"model_type": "llama",' >$key-json/config.json
    refuses "$key-json/config.json:[0-9]" $key.path=$key-json
    mkdir $key-arch
    sed 's/"Llama[A-Za-z]*"/"ParrotForCausalLM"/; s/"llama"/"parrot"/' generator/config.json >$key-arch/config.json
    refuses "$key-arch/config.json.*[Pp]arrot" $key.path=$key-arch
    mkdir $key-tokenizer
    cp $key/config.json $key-tokenizer
    echo '{"model": {"type": "BPE", "vocab": {' >$key-tokenizer/tokenizer.json
    refuses "$key-tokenizer/tokenizer.json" $key.path=$key-tokenizer
    refuses "$key.path: .*nowhere/config.json.*checkpoint folder" $key.path=nowhere
done
ranks=("${every_ranks[@]}")
copy no-head rm_llama 's/score\.weight/scope.weight/'
refuses "no-head.*score.weight" "${checkpoint[@]}" reward.path=no-head
refuses "generator.*reward head" reward.path=generator
refuses "reward.*cannot generate" generator.path=reward

# ---- job file ----
refuses_job "changed.yaml:7: key 'n'" 's/^n: 64/n: many/'
refuses_job "changed.yaml.*rubbish" 's/^seed: 7/rubbish: 7/'
refuses_job "changed.yaml" 's/^seed: 7/seed: [7/'
refuses_job "changed.yaml" 's/^name: tiny/name: "\xff\xfe"/'
refuses_job "output.*%p" 's/^seed: 7/sweep: {seed: [1, 2]}/'
refused "nothing.yaml" "$SPECREJ" run nothing.yaml
refused "run does not take --pick" "$SPECREJ" run job.yaml --pick best
refused "alpha=2: key 'alpha'" "$SPECREJ" run job.yaml --set=alpha=2
refused "quiet takes no value" "$SPECREJ" run job.yaml --quiet=yes
refused "behind --" "$SPECREJ" run job.yaml -- --time=1
refused "good.h5: a result file (HDF5), not a job file.*report" "$SPECREJ" run good.h5
"$SPECREJ" run job.yaml -q --set "sweep={seed: [1, 2, 3]}" --set output=bad-%p.h5 --set generator.path=nowhere 2>log
[ $? = 2 ] && [ "$(grep -c nowhere/config.json log)" = 1 ] && grep -q "2 more points" log || fail "an error of 3 points"
ranks=(1) # keys are read as above
SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 refused "srun started 2 tasks, .*--mpi=pmix" "$SPECREJ" run job.yaml -q --set output=bad.h5
for alpha in 1 1.5 -0.1 nan half; do refuses "alpha" alpha=$alpha; done
refuses "n" n=-3
refuses "rounds" "rounds=every 0"
refuses "rounds" "rounds=at 64, 32"
refuses "score_at" "score_at=sometimes"
refuses "temperature" sampling.temperature=-1
refuses "top_p" sampling.top_p=0
refuses "max_new_tokens" sampling.max_new_tokens=0
refuses "rubbish" rubbish=1
refuses "method" method=worst_of_n
ranks=("${every_ranks[@]}")
refuses "dtype fp8 is not for the cpu backend.*set dtype: f32 or bf16" dtype=fp8
SPECREJ_CUDA_BACKEND=$work/no-such-file.so refuses "cuda.*no-such-file.so is missing" backend=cuda
refuses "max_new_tokens 4096" sampling.max_new_tokens=4096 # the context holds 256
refused "verb.*walk" "$SPECREJ" walk job.yaml
refused "option.*--fast" "$SPECREJ" run job.yaml --fast
refused "job file" "$SPECREJ" run
refused "point" "$SPECREJ" run job.yaml --point ffffffffffff

# ---- data set ----
refuses "nowhere.jsonl" dataset.path=nowhere.jsonl
: >empty.jsonl
refuses "empty.jsonl" dataset.path=empty.jsonl
refuses "prompts.jsonl" dataset.offset=3
echo '{"prompt_ids": [5, 6]}
{"prompt_ids": [5, 6}' >syntax.jsonl
refuses "syntax.jsonl.*2" dataset.path=syntax.jsonl
printf '{"prompt_ids": [5]}\n{"prompt": "\xff\xfe"}\n' >utf8.jsonl
refuses "utf8.jsonl.*2" dataset.path=utf8.jsonl
echo '{"question": "why?"}' >field.jsonl
refuses "field.jsonl.*prompt" dataset.path=field.jsonl
echo '{"prompt": "why?"}' >text.jsonl
refuses "tokenizer.json" dataset.path=text.jsonl

# ---- memory ----
refuses "budget_tokens 16 .*raise it" budget_tokens=16
refuses "n 2000000000: .*lower n to [0-9]" n=2000000000
refuses "n 64 .*budget_tokens 512.*largest" n=64 method=speculative_rejection budget_tokens=512 sampling.max_new_tokens=96
if has_mpi; then # Best-of-N in groups: each has its share of the budget
    echo '{"prompt_ids": [5, 6, 7]}' >short.jsonl
    shared=(dataset.path=short.jsonl parallel.split=candidates n=4 sampling.max_new_tokens=32)
    start 1 bad.h5 "${shared[@]}" budget_tokens=64
    ranks=(2)
    refused "budget_tokens 64 .*each of the 2 groups; raise it to 80" "${command[@]}"
    ranks=(1 2)
    run 2 shared.h5 "${shared[@]}" budget_tokens=80
    [ "$("$COMPARE_RESULTS" verify shared.h5)" = 1 ] || fail "budget_tokens 80 does not do"
fi

start 1 bad.h5 n=100000000
refused "n 100000000: the candidates' states.*lower n to" env SLURM_MEM_PER_NODE=4000 "${command[@]}"

# ---- output ----
start 1 /proc/bad.h5 "${small[@]}"
refused "/proc/bad.h5.*set output to a folder" "${command[@]}"
mkdir folder.h5
start 1 folder.h5 "${small[@]}"
refused "folder.h5" "${command[@]}"
echo "not a result file" >other.h5
start 1 other.h5 "${small[@]}"
refused "other.h5" "${command[@]}"
[ "$(cat other.h5)" = "not a result file" ] || fail "other.h5 was changed"
[ ! -e other.h5.status.json ] && [ ! -e folder.h5.status.json ] || fail "a notice beside a file that is not ours"
start 1 good.h5 "${small[@]}" "${checkpoint[@]}" seed=8
refused "good.h5 belongs to another job: seed is 7 there, 8 here" "${command[@]}"
grep -q '"state":"complete"' good.h5.status.json || fail "the notice of good.h5's job was replaced"
each_rank=("${ranks[@]}") ranks=(1)
refused "good.h5 belongs to another job: seed is 7 there, 8 here" "$SPECREJ" plan "${command[@]:2:1}" "${command[@]:4}"
ranks=("${each_rank[@]}")
start 1 good.h5 "${small[@]}" "${checkpoint[@]}" "generator.path=$golden/smollm2"
refused "good.h5 belongs to another job: the files of its models" "${command[@]}"
awk 'NR != 2 || sub(/\[/, "[9, ")' prompts.jsonl >edited.jsonl
start 1 good.h5 "${small[@]}" "${checkpoint[@]}" dataset.path=edited.jsonl
refused "row 1 of the dataset changed" "${command[@]}"
check same good.h5 good.h5

prompts 2000 >many.jsonl
start 1 busy.h5 "${small[@]}" dataset.path=many.jsonl
"${command[@]}" >/dev/null 2>&1 &
busy=$!
until [ -e busy.h5.lock ] && [ -e busy.h5 ]; do
    kill -0 $busy 2>/dev/null || fail "the job that keeps the file ended"
    sleep 0.05
done
start 1 busy.h5 "${small[@]}" dataset.path=many.jsonl
refused "busy.h5.*$busy" "${command[@]}"
kill -USR1 $busy
wait $busy
[ $? = 75 ] || fail "the job that keeps the file was disturbed"

if has_mpi; then
    start 3 bad.h5 "${small[@]}" parallel.tensor=2
    "${command[@]}" >/dev/null 2>log
    [ $? = 2 ] && grep -q "specrej: error: .*parallel.tensor is 2, but 3 ranks" log || fail "3 ranks, tensor 2"
    start 2 bad.h5 "${small[@]}" "${checkpoint[@]}" parallel.tensor=2 generator.path=generator-nan
    "${command[@]}" >/dev/null 2>log
    [ $? = 2 ] && grep -q "generator-nan.*not finite" log || fail "NaN on tensor 2"
fi
echo "$tried kinds of bad input are refused"

# ---- prompts that cannot be run: recorded, and the job goes on ----
long=$(seq -s ", " 4 150)
printf '{"prompt_ids": [5, 6]}\n{"prompt_ids": [%s, %s]}\n{"prompt_ids": [5, 160]}\n{"prompt_ids": [7]}\n' "$long" \
    "$long" >odd.jsonl
for n in "${ranks[@]}"; do
    rm -f odd.h5*
    run "$n" odd.h5 "${small[@]}" dataset.path=odd.jsonl
    grep -q "prompt 1 was skipped: .*294 tokens.*context" log || fail "no word about the long prompt"
    grep -q "prompt 2 was skipped: .*160.*vocabulary" log || fail "no word about the unknown id"
    [ "$("$COMPARE_RESULTS" verify odd.h5)" = 4 ] || fail "not all prompts are recorded"
    run "$n" odd.h5 "${small[@]}" dataset.path=odd.jsonl # complete: nothing to do
    rm -f odd.h5*
    start "$n" odd.h5 "${small[@]}" dataset.path=odd.jsonl on_prompt_error=stop
    "${command[@]}" >log 2>&1
    [ $? = 1 ] || fail "on_prompt_error: stop did not end with status 1"
done

# ---- one candidate ----
run 1 one-bon.h5 n=1
run 1 one.h5 n=1 method=speculative_rejection "rounds=every 16"
check paired one-bon.h5 one.h5
check rounds one.h5
echo "prompts that cannot be run are recorded; one candidate works"
