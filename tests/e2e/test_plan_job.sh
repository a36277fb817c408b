#!/bin/bash
# plan: no MPI, no GPU, seconds.  The demo's plan is sane; what it says of a rank's memory is what a run takes; what it says
# of the work is what a result file shows; every broken input is named with its cure, all of them at once, with status 2.
source "$(dirname "$0")/tiny.sh"
no_daemon
tests=$(cd "$golden/../.." && pwd)
check() { python3 "$tests/e2e/plan_check.py" "$@" 2>log || fail "plan_check.py $*"; }

# As on a login node: nothing of a launcher.
plan() { env -u PMIX_RANK -u OMPI_COMM_WORLD_RANK -u PMI_RANK "$SPECREJ" plan "$@"; }

# planned OUT ARGUMENT...: must end with status 0, soon.
planned() {
    local out=$1 began=$SECONDS
    shift
    plan "$@" --json >"$out" 2>log || fail "status $? of: plan $*"
    [ $((SECONDS - began)) -lt 120 ] || fail "plan took $((SECONDS - began)) s: $*"
}

# ---- the demo ----
demo=$tests/../jobs/demo/demo.yaml
planned demo.json "$demo" --ranks 2
check demo demo.json
plan "$demo" --ranks 2 >demo.txt 2>log || fail "plan of the demo as text"
for word in "fits    yes: " "takes   .* on 2 ranks" "rounds  [56] a prompt" "saves   8[0-9] % of the tokens" "prompts 16, .* 0 would be skipped" \
    "writes  demo/" "submit  specrej sweep .*demo.yaml --submit -- --nodes=1 --ntasks-per-node=2"; do
    head -10 demo.txt | grep -q -- "^  $word" || fail "the first lines of the demo's plan do not say '$word'"
done
[ "$(wc -l <demo.txt)" -lt 24 ] || fail "the demo's plan is $(wc -l <demo.txt) lines long"
plan "$demo" --ranks 2 --verbose >demo.txt 2>log || fail "plan of the demo with everything"
for word in "2 groups x tensor 1" "all 29 tensors there" "0 would be skipped" "budget_tokens 2992" "1024" "assumed" \
    "measured" "upper bound"; do
    grep -q -- "$word" demo.txt || fail "the demo's plan does not say '$word'"
done

plan "$demo" --set method=best_of_n --set "rounds=every 128" >one.txt 2>log || fail "plan of one point"
grep -q "submit  slurm/submit.sh --nodes=1 .* -- .*demo.yaml --set method=best_of_n --set 'rounds=every 128'$" one.txt ||
    fail "the suggested command is not this job's"

# ---- against a run: memory to the byte, work from its own lengths ----
tiny_job
checkpoint=("generator.path=$golden/llama2" generator.weights=checkpoint "reward.path=$golden/rm_llama"
    reward.weights=checkpoint)
for point in "method=best_of_n" "method=speculative_rejection" "method=best_of_n budget_tokens=1600" \
    "method=speculative_rejection min_round_tokens=16 budget_tokens=1600" "reward.path=self" "reward.cache=host" "batching=static budget_tokens=1600"; do
    rm -f run.h5*
    set=(--set output=run.h5 --set dataset.limit=6)
    for pair in $point; do set+=(--set "$pair"); done
    "$SPECREJ" run job.yaml "${set[@]}" >log 2>&1 || fail "run with $point"
    cp log said.txt
    planned plan.json job.yaml "${set[@]}" --like run.h5
    check memory plan.json said.txt
    check work plan.json run.h5 "$SPECREJ"
done

# ---- many candidates: some are simulated, in seconds ----
many=(--set n=1000000 --set sampling.max_new_tokens=16 --set sampling.ignore_eos=true --set record.candidates=best --set output=many.h5)
planned many.json job.yaml "${many[@]}" --memory 1000 --set method=best_of_n --set budget_tokens=4000
check many many.json
planned many.json job.yaml "${many[@]}" --memory 1000 --set method=speculative_rejection --set budget_tokens=20000000 --set "rounds=every 8"
check many many.json

# ---- what is broken ----
# refused PATTERN ARGUMENT...: status 2, a line of stderr with the pattern, nothing on stdout.
tried=0
refused() {
    local pattern=$1 status
    shift
    plan "$@" >out 2>log
    status=$?
    [ $status = 2 ] || fail "status $status, not 2: plan $*"
    grep -q "^specrej: error: .*$pattern" log || fail "no line with '$pattern': plan $*"
    grep -qv "^specrej: error: " log && fail "more than errors on stderr: plan $*"
    [ ! -s out ] || fail "a plan of a job that cannot run: plan $*"
    tried=$((tried + 1))
}
small=(--set n=4 --set sampling.max_new_tokens=16 --set output=bad.h5)
for pair in "${checkpoint[@]}"; do small+=(--set "$pair"); done
planned good.json job.yaml "${small[@]}"

copy() {
    cp -r "$golden/$2" "$1"
    [ -z "$3" ] || perl -0777 -pi -e "$3" "$1/model.safetensors"
}
for key in generator reward; do
    from=llama2
    [ $key = reward ] && from=rm_llama
    copy $key-missing $from 's/model\.layers\.1\.mlp\.up_proj/model.layers.1.mlp.pu_proj/'
    refused "$key-missing.*'model.layers.1.mlp.up_proj.weight' is missing.*download" job.yaml "${small[@]}" --set $key.path=$key-missing
    copy $key-shape $from 's/("model.embed_tokens.weight":\{[^}]*"shape":)\[131,32\]/${1}[32,131]/'
    refused "$key-shape/model.safetensors.*'model.embed_tokens.weight' has shape \[32, 131\], expected \[131, 32\].*download" \
        job.yaml "${small[@]}" --set $key.path=$key-shape
    copy $key-truncated $from '$_ = substr $_, 0, 20000'
    refused "$key-truncated/model.safetensors.*truncated.*download" job.yaml "${small[@]}" --set $key.path=$key-truncated
    copy $key-unreadable $from ''
    rm $key-unreadable/model.safetensors
    mkdir $key-unreadable/model.safetensors
    refused "$key-unreadable/model.safetensors.*download" job.yaml "${small[@]}" --set $key.path=$key-unreadable
    copy $key-pickled $from ''
    rm -f $key-pickled/golden.safetensors && mv $key-pickled/model.safetensors $key-pickled/pytorch_model.bin
    refused "$key-pickled: only pickled weights.*convert" job.yaml "${small[@]}" --set $key.path=$key-pickled
    copy $key-half $from ''
    mv $key-half/model.safetensors $key-half/model-00001-of-00002.safetensors
    refused "$key-half: there are \*.safetensors, but .*index.json" job.yaml "${small[@]}" --set $key.path=$key-half
    mkdir -p $key-arch
    echo '{"architectures": ["ParrotForCausalLM"], "model_type": "parrot"}' >$key-arch/config.json
    refused "$key-arch/config.json.*[Pp]arrot.*README" job.yaml "${small[@]}" --set $key.path=$key-arch
    refused "nowhere/config.json" job.yaml "${small[@]}" --set $key.path=nowhere
done
refused "reward.template: .*no-such-template\|no-such-template.*template" "$demo" --set reward.template=no-such-template
refused "nowhere.jinja: No such file" "$demo" --set generator.template=nowhere.jinja
refused "nowhere.jsonl" job.yaml "${small[@]}" --set dataset.path=nowhere.jsonl
refused "/proc.*cannot be written.*output" job.yaml "${small[@]}" --set output=/proc/bad.h5
refused "budget_tokens 16 " job.yaml "${small[@]}" --set budget_tokens=16
refused "weights of a rank take.*parallel.tensor" job.yaml "${small[@]}" --memory 0.00001
refused "no memory for KV pages" job.yaml "${small[@]}" --memory 0.001
refused "3 ranks are no multiple of parallel.tensor 2" job.yaml "${small[@]}" --set parallel.tensor=2 --ranks 3
refused "tensor = 8 does not divide" job.yaml "${small[@]}" --set parallel.tensor=8

long=$(seq -s ", " 4 120)
printf '{"prompt_ids": [5, 6]}\n{"prompt_ids": [%s, %s]}\n' "$long" "$long" >long.jsonl
echo '{"prompt_ids": [5, 160]}' >foreign.jsonl
refused "foreign.jsonl: row 0 has id 160, outside .* vocabulary of 131" job.yaml "${small[@]}" --set dataset.path=foreign.jsonl
refused "long.jsonl: row 1 has 234 tokens.*context of 64.*of 2 prompts 1 cannot.*lower" job.yaml "${small[@]}" \
    --set dataset.path=long.jsonl --set on_prompt_error=stop
planned skips.json job.yaml "${small[@]}" --set dataset.path=long.jsonl
check skips skips.json

# All of them, each with its own line, and in the JSON too.
plan job.yaml "${small[@]}" --set generator.path=generator-missing --set reward.path=reward-shape --set \
    dataset.path=nowhere.jsonl --set output=/proc/bad.h5 --json >all.json 2>log
[ $? = 2 ] || fail "five problems, another status"
for pattern in "up_proj.weight' is missing" "pu_proj.weight' is not part" reward-shape nowhere.jsonl /proc; do
    [ "$(grep -c "^specrej: error: .*$pattern" log)" = 1 ] || fail "$pattern is not named once"
done
check problems all.json 5

refused "device 'abacus'" job.yaml "${small[@]}" --device abacus
refused "h200.*backend: cpu" job.yaml "${small[@]}" --device h200
refused "hardware 'speed=3'" job.yaml "${small[@]}" --hardware speed=3
refused "hardware efficiency" job.yaml "${small[@]}" --hardware efficiency=1.5
for value in 0 1e10 nan much; do refused "hardware network: '$value'" job.yaml "${small[@]}" --hardware network=$value; done
refused "hardware ranks_per_node: '0.5' is no number from 1" job.yaml "${small[@]}" --hardware ranks_per_node=0.5
for n in 0 1000001 3000000000; do refused "ranks needs a number from 1 to 1000000" job.yaml "${small[@]}" --ranks $n; done
refused "memory needs a number.*not '1e300'" job.yaml "${small[@]}" --memory 1e300
refused "mean-tokens 17" job.yaml "${small[@]}" --mean-tokens 17
refused "memory needs a number" job.yaml "${small[@]}" --memory much
refused "nowhere.h5" job.yaml "${small[@]}" --like nowhere.h5
refused "point" job.yaml "${small[@]}" --point ffffffffffff
refused "one job file" "${small[@]}"
[ ! -e bad.h5 ] && [ ! -e bad.h5.lock ] || fail "plan wrote a result file"

# ---- what-ifs from configurations alone ----
shapes=$tests/bench/shapes
yes "Why is the sky blue?" | head -64 >questions.txt
for size in 8b 70b; do
    planned $size.json job.yaml --set "generator.path=$shapes/llama-3-$size" --set "reward.path=$shapes/llama-3-8b-reward" \
        --set generator.weights=checkpoint --set reward.weights=checkpoint --set dataset.path=questions.txt \
        --set sampling.max_new_tokens=2048 --set n=960 --set method=speculative_rejection --set backend=cuda \
        --set dtype=bf16 --set parallel.tensor=4 --ranks 8 --device h100 --mean-tokens 500
    check whatif $size.json
done
echo "the demo, memory and work of a run, $tried broken inputs, what-ifs"
