#!/usr/bin/env bash
# Benchmarks on this machine's GPU, each number beside its floor, from a bare checkout:
#   [BUDGET_S=420] [ARCHIVE=FILE.tar.gz] bash tests/bench/gpu.sh [--bundle DIR] [PART...]
# PARTs, in this order when none is named:
#   ceilings   this card's own rates, from which the floors of all others are computed
#   decode     a decode step of Llama-3-8B shape over B x P x S
#   products   what batch-invariant products cost
#   ranks      what sums in rank order cost: decode steps of 2 and 4 GPUs, reproducible and not (one GPU: skipped)
#   jobs       Best-of-N and Speculative Rejection, generator and reward model of 8B; bookkeeping's share
#   score      prefill; scoring of new and of grown texts, for each cache
#   peers      the same work by transformers (skipped with a line where python3 has none)
#   kernels    every kernel
#   memory     does a job's memory grow over 100 prompts?
#   tables     compare.csv, decode.svg of what the others have measured
#   build      named first: builds and does nothing else
# One CSV per part in results/gpu/, headed by commit, device, driver and command; ARCHIVE: all of them, after each part.
# BUDGET_S: seconds for all parts together, the build not counted.  Each part gets its share of what is left; a point
# that is not begun in time is listed as not measured.  Without it: everything.
# A part that fails is listed at the end, and the others go on.
# Builds what it needs into build/gpu where that is not there, from a bundle (setup.sh --bundle) where one is given.
# DTYPE=fp8: decode, score and jobs in fp8 (floors by the rate of fp8, though the vocabulary is projected in bf16),
# beside transformers in bf16.
# BACKEND=cpu: decode, jobs, score and peers on the CPU, with DTYPE=f32 and, say, SHAPE=tests/bench/shapes/llama-110m.
# QUICK=1: tiny shapes and few points, to try the script itself.  EMULATED=1: on the emulated GPU, where nothing but
# QUICK=1 ends in time: BUILD=build EMULATED=1 QUICK=1 OUT=build/bench/gpu bash tests/bench/gpu.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${BUILD:-build/gpu} backend=${BACKEND:-cuda} dtype=${DTYPE:-bf16} out=${OUT:-results/gpu}
quick=${QUICK:-} budget=${BUDGET_S:-} tables=tests/bench/gpu_tables.py
bundle=""
[ "${1:-}" != --bundle ] || { bundle=${2:?--bundle DIR} && shift 2; }
all="ceilings decode products ranks jobs score peers kernels memory tables"
[ $# -gt 0 ] || set -- $all
for part in "$@"; do
    [[ " $all build " == *" $part "* ]] || { echo "gpu.sh: no part '$part'; parts: $all" >&2 && exit 2; }
done
results=$out out=$build # that of gpu_machine.sh
source tests/gpu_machine.sh

# ---- the build ----
# shellcheck disable=SC1091
[ ! -e "$build/prefix/env.sh" ] || source "$build/prefix/env.sh"
gpu_bin=$build/tests suffix=""
if [ -n "${EMULATED:-}" ]; then
    gpu_bin=$build/tests/gpu_emulation suffix=_emulated
    export SPECREJ_CUDA_BACKEND=${SPECREJ_CUDA_BACKEND:-$PWD/$gpu_bin/specrej_cuda_emulated.so}
else
    export SPECREJ_CUDA_BACKEND=${SPECREJ_CUDA_BACKEND:-$PWD/$build/libspecrej_cuda.so}
fi
missing=""
for program in "$build/specrej" "$build/tests/bench_decode" "$build/tests/bench_score" "$gpu_bin/gpu_products$suffix"; do
    [ -x "$program" ] || [[ $backend != cuda && $program == *gpu_* ]] || missing="$missing $program"
done
if [ -n "$missing" ] && { [ -n "${EMULATED:-}" ] || [ "$backend" != cuda ]; }; then
    echo "gpu.sh: build first, these are missing:$missing" >&2 && exit 1
elif [ -n "$missing" ]; then
    gpu_check
    gpu_bundle "$bundle"
    gpu_build gpu_benchmarks
fi
[ "$1" != build ] || exit 0
out=$results

# ---- shapes ----
shape=${SHAPE:-tests/bench/shapes/llama-3-8b} reward=${REWARD_SHAPE:-} scratch=$build/bench
mkdir -p "$out" "$scratch/tiny"
if [ -n "$quick" ] && [ -z "${SHAPE:-}" ]; then
    shape=$scratch/tiny
    cat >"$shape/config.json" <<JSON
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rope_theta": 10000.0,
 "rms_norm_eps": 1e-5, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "max_position_embeddings": 256, "vocab_size": 160, "torch_dtype": "float32",
 "bos_token_id": 1, "eos_token_id": 2}
JSON
fi

# reward_of SHAPE: a folder with the same shape and a linear head, SHAPE-reward or one that is made.
reward_of() {
    local to
    [ ! -e "$1-reward/config.json" ] || { echo "$1-reward" && return; }
    to=$scratch/$(basename "$1")-reward
    mkdir -p "$to"
    sed 's/LlamaForCausalLM/LlamaForSequenceClassification/; s/^{/{"id2label": {"0": "r"}, "label2id": {"r": 0},/' \
        "$1/config.json" >"$to/config.json"
    echo "$to"
}
[ -n "$reward" ] || reward=$(reward_of "$shape")

# ---- time ----
began=$SECONDS
declare -A weight=([ceilings]=4 [decode]=28 [products]=12 [ranks]=12 [jobs]=30 [score]=14 [peers]=16 [kernels]=12
    [memory]=12 [tables]=1)
left() { [ -z "$budget" ] && echo 100000 || echo $((budget - SECONDS + began)); }

# share PART PARTS...: seconds for this part, of PARTS that are still to come.
share() {
    local sum=0 other
    for other in "${@:2}"; do sum=$((sum + weight[$other])); done
    echo $(($(left) * weight[$1] / sum))
}

# ---- files ----
# begin PART: an empty file with what must be known to believe it.
begin() {
    {
        echo "# commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown), $(date -u +%Y-%m-%d)"
        echo "# $(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader 2>/dev/null || echo "no GPU")"
        [ -z "$quick" ] || echo "# a trial of the script: these are no measurements"
        echo "# at most $seconds s"
    } >"$out/$1.csv"
}

# save FILE COMMAND...: its output to FILE.csv (appended) and to the terminal; what it says of itself to the terminal.
save() {
    local file="$out/$1.csv"
    shift
    echo "# $*" >>"$file"
    timeout -k 10 $((seconds > 0 ? seconds + 60 : 60)) "$@" | tee -a "$file" # should it hang
}

# ended FILE STATUS: a command that ran out of time leaves a line; one that failed, its status.
ended() {
    case $2 in
    0) ;;
    75 | 124 | 137) echo "# status $2: not all was measured: out of time" | tee -a "$out/$1.csv" ;;
    *) return "$2" ;;
    esac
}

# ceiling NAME: as measured by the part `ceilings`; 0: not measured, no floors then.
ceiling() { awk -F, -v name="$1" '$1 == name { v = $2 } END { print v + 0 }' "$out/ceilings.csv" 2>/dev/null || echo 0; }
# rates TYPE: options for the programs' floors.
rates() { echo --gbs "$(ceiling memory_read)" --tflops "$(ceiling "gemm_$1_square")"; }
products_type() { [ "$dtype" = fp8 ] && echo fp8 || echo bf16; }

# ---- parts; $seconds: what each may take ----
part_ceilings() {
    begin ceilings
    save ceilings "$gpu_bin/gpu_ceilings$suffix" ${quick:+--quick}
}

part_products() {
    begin products
    save products "$gpu_bin/gpu_products$suffix" ${quick:+--quick} $(rates bf16) --seconds "$seconds"
}

part_kernels() {
    local what
    begin kernels
    for what in attention rows sample; do
        save kernels "$gpu_bin/gpu_kernels_$what$suffix" ${quick:+--quick} $(rates bf16) --seconds $((seconds / 3 + 1))
    done
}

# Most valuable points first: P = S = 512, then B from the middle outwards.
part_decode() {
    local prompts=512,2048,64 owns=512,1024,64 batches="64 256 1024 1 512 16 2048 4096" new=32 repeat=3 rows=4096
    [ -z "$quick" ] || prompts=24 owns=16,0 batches="1 4" new=4 repeat=1 rows=64
    begin decode
    save decode "$build/tests/bench_decode" "$shape" --backend "$backend" --dtype "$dtype" --prompt $prompts --own $owns \
        --new $new --repeat $repeat --rows $rows $(rates "$(products_type)") --seconds "$seconds" $batches
}

# Columns: ranks, reproducible, then those of decode.
part_ranks() {
    local gpus ranks mode own=512 prompt=512 batches="64 256 1024" new=32 rows=1024
    gpus=$({ nvidia-smi -L 2>/dev/null || true; } | wc -l)
    [ -z "${EMULATED:-}" ] || gpus=2
    [ -z "$quick" ] || own=16 prompt=24 batches=4 new=4 rows=64
    begin ranks
    for ranks in 2 4; do
        if [ "$gpus" -lt $ranks ] || ! command -v mpirun >/dev/null; then
            echo "# not measured with $ranks ranks: $gpus GPUs, mpirun: $(command -v mpirun || echo none)" >>"$out/ranks.csv"
            continue
        fi
        for mode in yes no; do
            save ranks mpirun -np $ranks "$build/tests/bench_decode" "$shape" --backend "$backend" --dtype "$dtype" \
                --reproducible $mode --prompt $prompt --own $own --new $new --repeat 3 --rows $rows \
                $(rates "$(products_type)") --seconds $((seconds / 4 + 1)) $batches >/dev/null
            sed -i "s/^B,/ranks,reproducible,B,/; s/^\([0-9]*,$prompt,$own,\)/$ranks,$mode,\1/" "$out/ranks.csv"
        done
    done
    cat "$out/ranks.csv"
}

# The last length of a text is that of peers' rounds.
part_score() {
    local prefill=512,2048,64,8192 prompt=512 own=448 more=64 batches="256 64 16 1024" repeat=3 rows=1024
    [ -z "$quick" ] || prefill=16,40 prompt=16 own=16 more=8 batches="4" repeat=1 rows=64
    begin score
    save score "$build/tests/bench_score" "$reward" --backend "$backend" --dtype "$dtype" --prefill $prefill --prompt \
        $prompt --own $own --more $more --caches device,none,prompt,host --repeat $repeat --rows $rows \
        $(rates "$(products_type)") --seconds "$seconds" $batches
}

# job FILE GENERATOR REWARD PROMPTS TOKENS N NEW BUDGET METHOD...: writes it, and its prompts of that many tokens.  Its
# results are FILE-%p.h5.
job() {
    local methods
    methods=$(IFS=, && echo "${*:9}")
    awk -v n="$4" -v tokens="$5" 'BEGIN { srand(1); for (i = 0; i < n; i++) { line = 4; for (k = 1; k < tokens; k++)
        line = line ", " 4 + int(rand() * 150); print "{\"prompt_ids\": [" line "]}" } }' >"$1.jsonl"
    cat >"$1.yaml" <<YAML
name: $(basename "$1")
generator: {path: $(realpath "$2"), weights: random, template: raw}
reward: {path: $(realpath "$3"), weights: random, template: raw}
dataset: {path: $(realpath "$1.jsonl")}
sampling: {temperature: 1.0, top_k: 50, max_new_tokens: $7, ignore_eos: true}
n: $6
alpha: 0.5
rounds: memory
budget_tokens: $8
min_round_tokens: 16
backend: $backend
dtype: $dtype
record: {text: none, trace: rounds}
output: $(realpath "$scratch")/$(basename "$1")-%p.h5
sweep: {method: [$methods]}
YAML
    rm -f "$1"-*.h5*
}

# Memory-triggered rounds against Best-of-N, both points with one load of the models.
part_jobs() {
    local n=960 new=512 prompts=2 tokens=256 pages=200000 status=0 file files
    [ "$seconds" -ge 150 ] || prompts=1
    [ -z "$quick" ] || n=8 new=48 prompts=1 tokens=24 pages=200
    begin jobs
    job "$scratch/jobs" "$shape" "$reward" $prompts $tokens $n $new $pages speculative_rejection best_of_n
    timeout -s USR1 -k 30 "$seconds" "$build/specrej" run "$scratch/jobs.yaml" || status=$?
    ended jobs $status
    files=$(compgen -G "$scratch/jobs-*.h5") || return 0
    for file in $files; do "$build/specrej" timeline "$file" -o "$file.json"; done
    save jobs python3 $tables costs "$scratch"/jobs-*.h5.json
    [ $status != 0 ] || "$build/specrej" report $files -o "$out/jobs_report"
}

# The same work by transformers, in the same hour on the same card, at points of decode and score.
part_peers() {
    local device=cuda batches="256 64 1 512" prompt=512 own=512 new=32 repeat=1 type=$dtype what status
    [ "$dtype" != fp8 ] || type=bf16
    [ "$backend" = cuda ] && [ -z "${EMULATED:-}" ] || device=cpu
    [ -z "$quick" ] || batches="1 4" prompt=24 own=16 new=4
    begin peers
    # looked for, not imported: that takes seconds
    if ! python3 -c "from importlib.util import find_spec as f; exit(not (f('torch') and f('transformers')))"; then
        echo "# skipped: python3 has no torch and transformers (pip install torch transformers)" | tee -a "$out/peers.csv"
        return
    fi
    for what in decode round; do
        status=0
        [ $what = decode ] || new=$own
        [ -z "$quick" ] || [ $what = decode ] || prompt=16 new=24
        save peers timeout $((seconds / 2 + 1)) python3 tests/bench/peer_transformers.py $what "$shape" --device $device \
            --dtype "$type" --prompt $prompt --own $own --new $new --repeat $repeat $batches || status=$?
        ended peers $status
    done
}

# 100 prompts of a smaller model: whether memory grows does not depend on its size.
part_memory() {
    local prompts=100 tokens=24 n=32 new=48 pages=1200 small=tests/bench/shapes/llama-1b status=0 point
    [ -z "$quick" ] || prompts=12 n=2 new=24 pages=100 small=$shape
    begin memory
    job "$scratch/memory" "$small" "$(reward_of "$small")" $prompts $tokens $n $new $pages speculative_rejection
    point=$("$build/specrej" sweep "$scratch/memory.yaml" | grep -o '[^ ]*memory-[^ ]*\.h5')
    save memory timeout "$seconds" python3 $tables memory "$point" "$build/specrej" run "$scratch/memory.yaml" || status=$?
    ended memory $status
}

part_tables() {
    begin compare
    save compare python3 $tables compare "$out"
    python3 $tables plot "$out"
}

failed=""
while [ $# -gt 0 ]; do
    seconds=$(share "$1" "$@")
    echo "== $1: at most $seconds s of $(left)"
    if [ "$seconds" -gt 0 ] || [[ $1 == ceilings || $1 == tables ]]; then # what the others need, and seconds
        "part_$1" & # in a process of its own, that ends at its first error
        wait $! || failed="$failed $1"
    else
        begin "$1"
        echo "# not measured: out of time" | tee -a "$out/$1.csv"
    fi
    [ -z "${ARCHIVE:-}" ] || { tar -czf "$scratch/all" -C "$out" . && mv "$scratch/all" "$ARCHIVE"; }
    shift
done
echo "written: $out, in $((SECONDS - began)) s"
[ -z "$failed" ] || { echo "gpu.sh: failed:$failed" >&2 && exit 1; }
