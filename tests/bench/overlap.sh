#!/usr/bin/env bash
# Prompts per hour with 1, 2 and 4 prompts in flight (`overlap`), on responses of uneven lengths:
#   bash tests/bench/overlap.sh            at most 3 minutes on two cores
#   REPEATS=5 PROMPTS=24 bash tests/bench/overlap.sh      medians of 5 interleaved runs
# Random weights in the 110M shape of tests/bench/shapes, but with a vocabulary of 512 of which 8 tokens end a
# response: lengths are geometric, 64 tokens on average, and the longest of a prompt's are several times that.  Each
# file is held against that of overlap 1: not a bit of a result differs.  Prompts per hour count working and idle time,
# not loading.  CSV in build/bench/overlap.csv, headed by commit, processor and load; BUILD, OUT, BACKEND, DTYPE as
# in gpu.sh.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(cd "${BUILD:-build}" && pwd) out=${OUT:-build/bench} repeats=${REPEATS:-1} prompts=${PROMPTS:-6}
mkdir -p "$out"
out=$(cd "$out" && pwd)
for program in "$build/specrej" "$build/tests/compare_results"; do
    [ -x "$program" ] || { echo "overlap.sh: no $program: build it first" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/overlap.XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# shape NAME HEAD
shape() {
    mkdir -p "$work/$1"
    sed "s/LlamaForCausalLM/$2/; s/\"vocab_size\": 32000/\"vocab_size\": 512/
        s/\"eos_token_id\": 2/\"eos_token_id\": [$(seq -s, 2 9)], \"id2label\": {\"0\": \"r\"}, \"label2id\": {\"r\": 0}/" \
        tests/bench/shapes/llama-110m/config.json >"$work/$1/config.json"
}
shape generator LlamaForCausalLM
shape reward LlamaForSequenceClassification
awk -v n="$prompts" 'BEGIN { srand(1); for (i = 0; i < n; i++) { line = 20; for (k = 16 + int(rand() * 112); k > 0; k--)
    line = line ", " 20 + int(rand() * 490); print "{\"prompt_ids\": [" line "]}" } }' >"$work/prompts.jsonl"
cat >"$work/job.yaml" <<YAML
name: overlap
generator: {path: generator, weights: random, template: raw}
reward: {path: reward, weights: random, template: raw}
dataset: {path: prompts.jsonl}
sampling: {temperature: 1.0, top_k: 0, max_new_tokens: 256}
method: best_of_n
n: 12
alpha: 0.5
rounds: every 32
budget_tokens: 4096
backend: ${BACKEND:-cpu}
dtype: ${DTYPE:-auto}
record: {text: none, trace: off}
output: out.h5
YAML

# run METHOD OVERLAP: seconds of work of all prompts.
run() {
    rm -f "$work/$1.$2.h5"*
    (cd "$work" && "$build/specrej" run job.yaml -q --set "method=$1" --set "overlap=$2" --set "output=$1.$2.h5")
    "$build/tests/compare_results" same "$work/$1.1.h5" "$work/$1.$2.h5"
    "$build/specrej" inspect "$work/$1.$2.h5" --json |
        awk -F'[:,]' '/"rank_hours_(prompts|idle)"/ { s += $2 * 3600 } END { printf "%.3f\n", s }'
}

{
    echo "# commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown), $(date -u +%Y-%m-%d)"
    echo "# $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg)"
    echo "# $prompts prompts, $repeats interleaved runs; every result is that of overlap 1, bit for bit"
} | tee "$out/overlap.csv"
for ((r = 0; r < repeats; r++)); do
    for method in best_of_n speculative_rejection; do
        for overlap in 1 2 4; do
            seconds=$(run $method $overlap)
            echo "$method $overlap $seconds" >>"$work/seconds"
        done
    done
done
echo "method,overlap,seconds_median,prompts_per_hour,over_overlap_1" | tee -a "$out/overlap.csv"
sort -k1,1 -k2,2n -k3,3n "$work/seconds" | awk -v n="$prompts" '
    function put() { m = k % 2 ? v[(k + 1) / 2] : (v[k / 2] + v[k / 2 + 1]) / 2; if (o == 1) one = m
        printf "%s,%s,%.2f,%.1f,%.2f\n", name, o, m, n * 3600 / m, one / m }
    $1 != name || $2 != o { if (k) put(); k = 0; name = $1; o = $2 }
    { v[++k] = $3 }
    END { put() }' | tee -a "$out/overlap.csv"
