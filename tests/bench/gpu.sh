#!/usr/bin/env bash
# Benchmarks on this machine's GPU, each number beside its floor:
#   bash tests/bench/gpu.sh [PART...]      parts: ceilings decode jobs peers (default: all, in this order)
# One CSV per part in results/gpu/, headed by commit, device, driver and command.  Needs the build that tests/gpu.sh
# leaves in build/gpu.  DTYPE=fp8: decode and jobs in fp8 (floors by the rate of fp8, though the vocabulary is
# projected in bf16), beside transformers in bf16.  To try the script itself without a GPU:
#   BUILD=build BACKEND=cpu DTYPE=f32 SHAPE=llama-110m OUT=build/bench QUICK=1 bash tests/bench/gpu.sh decode jobs peers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${BUILD:-build/gpu} backend=${BACKEND:-cuda} dtype=${DTYPE:-bf16} shape=${SHAPE:-llama-3-8b} out=${OUT:-results/gpu}
shapes=tests/bench/shapes
mkdir -p "$out"
[ -x "$build/tests/bench_decode" ] || { echo "gpu.sh: no $build/tests/bench_decode: run tests/gpu.sh first" >&2; exit 1; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# save PART COMMAND...: its output to PART.csv (appended) and to the terminal.
save() {
    local file="$out/$1.csv"
    shift
    echo "# $*" >>"$file"
    "$@" 2>&1 | tee -a "$file"
}

# begin PART: an empty file with what must be known to believe it.
begin() {
    {
        echo "# commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown), $(date -u +%Y-%m-%d)"
        echo "# $(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader 2>/dev/null || echo "no GPU")"
    } >"$out/$1.csv"
}

# ceiling NAME: as measured by the part `ceilings`; 0: not measured, no floors then.
ceiling() { awk -F, -v name="$1" '$1 == name { v = $2 } END { print v + 0 }' "$out/ceilings.csv" 2>/dev/null || echo 0; }

ceilings() {
    begin ceilings
    save ceilings "$build/tests/gpu_ceilings"
}

decode() {
    local P S prompts="64 512 2048" owns="64 512 1024" batches="1 16 64 256 512 1024 2048 4096" new=32 rows=4096
    [ -z "${QUICK:-}" ] || prompts=64 owns=16 batches="1 4" new=2 rows=64
    local bandwidth rate
    local products=bf16
    [ "$dtype" != fp8 ] || products=fp8
    bandwidth=$(ceiling memory_read) rate=$(ceiling "gemm_${products}_8192")
    begin decode
    for P in $prompts; do
        for S in $owns; do
            save decode "$build/tests/bench_decode" "$shapes/$shape" --backend "$backend" --dtype "$dtype" --prompt "$P" \
                --own "$S" --new $new --repeat 5 --rows $rows --gbs "$bandwidth" --tflops "$rate" $batches
        done
    done
}

# Whole jobs on random weights: memory-triggered rounds against Best-of-N, generator and reward model of one shape.
jobs() {
    local n=960 new=512 prompts=3 budget=200000 reward=$shape-reward
    [ -z "${QUICK:-}" ] || n=8 new=48 prompts=1 budget=400
    mkdir -p "$build/bench"
    [ -e "$shapes/$reward/config.json" ] || { # the same shape with a linear head
        reward=../../../$build/bench/reward
        mkdir -p "$shapes/$reward"
        sed 's/LlamaForCausalLM/LlamaForSequenceClassification/; s/^{/{"id2label": {"0": "r"}, "label2id": {"r": 0},/' \
            "$shapes/$shape/config.json" >"$shapes/$reward/config.json"
    }
    awk -v n=$prompts 'BEGIN { srand(1); for (i = 0; i < n; i++) { line = 4; for (k = 1; k < 256; k++)
        line = line ", " 4 + int(rand() * 30000); print "{\"prompt_ids\": [" line "]}" } }' >"$build/bench/prompts.jsonl"
    begin jobs
    rm -f "$build"/bench/*.h5*
    local method
    for method in best_of_n speculative_rejection; do
        cat >"$build/bench/job.yaml" <<YAML
name: bench
generator: {path: $PWD/$shapes/$shape, weights: random, template: raw}
reward: {path: $PWD/$shapes/$reward, weights: random, template: raw}
dataset: {path: prompts.jsonl}
sampling: {temperature: 1.0, top_k: 50, max_new_tokens: $new, ignore_eos: true}
method: $method
n: $n
alpha: 0.5
rounds: memory
budget_tokens: $budget
min_round_tokens: 16
backend: $backend
dtype: $dtype
record: {text: none, trace: rounds}
output: $build/bench/$method.h5
YAML
        save jobs "$build/specrej" run "$build/bench/job.yaml"
    done
    save jobs "$build/specrej" report "$build/bench/best_of_n.h5" "$build/bench/speculative_rejection.h5"
    for method in best_of_n speculative_rejection; do save jobs "$build/specrej" inspect "$build/bench/$method.h5"; done
}

# The same work by transformers, in the same hour on the same card.
peers() {
    local device=cuda batches="1 16 64 256 512" new=128 repeat=5 prompt=512 type=$dtype
    [ "$dtype" != fp8 ] || type=bf16
    [ "$backend" = cuda ] || device=cpu
    [ -z "${QUICK:-}" ] || batches="1 2" new=2 repeat=1 prompt=32
    begin peers
    if ! python3 -c "import torch, transformers" 2>/dev/null; then
        echo "skipped: python3 has no torch and transformers (pip install torch transformers)" | tee -a "$out/peers.csv"
        return
    fi
    local what
    for what in decode round; do
        save peers python3 tests/bench/peer_transformers.py $what "$shapes/$shape" --device $device --dtype "$type" \
            --prompt $prompt --new $new --repeat $repeat $batches
    done
}

[ $# -gt 0 ] || set -- ceilings decode jobs peers
for part in "$@"; do
    case "$part" in
    ceilings | decode | jobs | peers) "$part" ;;
    *) echo "gpu.sh: no part '$part'; parts: ceilings decode jobs peers" >&2 && exit 2 ;;
    esac
done
echo "written: $out"
