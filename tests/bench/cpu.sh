#!/usr/bin/env bash
# Benchmarks on this machine's processor, each number beside its floor:
#   bash tests/bench/cpu.sh [PART...]      (all) ceilings decode score growth jobs memory peers peer_jobs summary plot
# One CSV per part in results/cpu/, headed by commit, processor and command.  Needs the release build.  Settings:
#   THREADS=N  DTYPES="bf16 f32" (default: bf16 only where the processor multiplies it)  RUNS=5 (interleaved, of peers)
#   PEERS="llama-110m:256:128:1,16,64,256 llama-1b:128:32:32" (shape:prompt:new:B,...)  OUT=DIR  BUILD=DIR
#   QUICK=1: to try the script itself in a minute or two
# The peers are programs that somebody else installed; without them their lines say `skipped`:
#   PEERS_PYTHON=python3 of an environment with torch, transformers and gguf (pip install torch transformers gguf)
#   LLAMA_BATCHED_BENCH=llama-batched-bench of llama.cpp (cmake -DGGML_NATIVE=ON --target llama-batched-bench); several: a
#   list with spaces, each shown by the name of the folder that holds its build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${BUILD:-build} out=${OUT:-results/cpu} threads=${THREADS:-$(nproc)} runs=${RUNS:-5}
shapes=tests/bench/shapes work=$build/bench python=${PEERS_PYTHON:-python3}
mkdir -p "$out" "$work/reward"
[ -x "$build/tests/bench_ceilings" ] || { echo "cpu.sh: no $build/tests/bench_ceilings: build the release preset first" >&2; exit 1; }
dtypes=${DTYPES:-$(grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo 2>/dev/null && echo "bf16 f32" || echo f32)}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=$threads GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000} # as the program sets it for itself
[ -z "${QUICK:-}" ] || runs=1
# quick LONG SHORT: one of them.
quick() { [ -z "${QUICK:-}" ] && echo "$1" || echo "$2"; }

# save PART COMMAND...: its output to PART.csv (appended) and to the terminal.
save() {
    local file="$out/$1.csv"
    shift
    echo "# ${*//"$python"/\$PEERS_PYTHON}" >>"$file"
    "$@" 2>&1 | sed "s|$PWD/||g" | tee -a "$file"
}

# begin PART: an empty file with what must be known to believe it.
begin() {
    {
        echo "# commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown), $(date -u +%Y-%m-%d)"
        echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $threads threads, load $(cut -d' ' -f1-3 /proc/loadavg)"
    } >"$out/$1.csv"
}

# ceiling NAME: as measured by the part `ceilings` with the most threads; 0: not measured, no floors then.
ceiling() { awk -F, -v name="$1" '$1 == name { v = $3 } END { print v + 0 }' "$out/ceilings.csv" 2>/dev/null || echo 0; }
teraflops() { awk -v g="$(ceiling "gemm_$1")" 'BEGIN { print g / 1000 }'; }

ceilings() {
    begin ceilings
    save ceilings "$build/tests/bench_ceilings" "$threads"
}

# decode_at PART DTYPE SHAPE P NEW REPEAT B...
decode_at() {
    local part=$1 dtype=$2 shape=$3 P=$4 new=$5 repeat=$6
    shift 6
    save "$part" "$build/tests/bench_decode" "$shapes/$shape" --backend cpu --dtype "$dtype" --prompt "$P" --new "$new" \
        --repeat "$repeat" --gbs "$(ceiling memory_read)" --tflops "$(teraflops "$dtype")" "$@"
}

decode() {
    local dtype
    begin decode
    for dtype in $dtypes; do
        # shellcheck disable=SC2046
        decode_at decode "$dtype" llama-110m "$(quick 256 16)" "$(quick 128 4)" "$runs" $(quick "1 16 64 256" "1 4")
        decode_at decode "$dtype" llama-1b "$(quick 128 8)" "$(quick 32 1)" "$(quick 3 1)" "$(quick 32 2)"
    done
}

reward_config() { # llama-110m with a linear head
    sed 's/LlamaForCausalLM/LlamaForSequenceClassification/; s/^{/{"id2label": {"0": "r"}, "label2id": {"r": 0},/' \
        "$shapes/llama-110m/config.json" >"$work/reward/config.json"
}

score() {
    local dtype
    begin score
    begin rounds # memory rounds, by what is cached
    reward_config
    for dtype in $dtypes; do
        # shellcheck disable=SC2046
        save score "$build/tests/bench_score" "$work/reward" --backend cpu --dtype "$dtype" --prefill "$(quick 256,1024 16)" \
            --prompt "$(quick 256 16)" --own "$(quick 112 8)" --more 16 --caches device,prompt,none --repeat "$runs" \
            --gbs "$(ceiling memory_read)" --tflops "$(teraflops "$dtype")" $(quick "16 64" 2)
        save rounds "$build/tests/bench_rounds" "$work/reward" --dtype "$dtype" --prompt "$(quick 256 16)" \
            --candidates "$(quick 64 4)" --first "$(quick 32 4)" --rounds "$(quick 4 2)" --repeat "$runs" \
            --tflops "$(teraflops "$dtype")"
    done
}

# Cost against B and P: no cliff.
growth() {
    local P dtype=${dtypes%% *}
    begin growth
    # shellcheck disable=SC2046
    decode_at growth "$dtype" llama-110m "$(quick 256 16)" "$(quick 16 2)" "$(quick 3 1)" \
        $(quick "1 2 3 4 6 8 12 16 24 32 48 64 65 96 128 192 256 384 512" "1 2")
    for P in $(quick "16 32 64 128 256 512 1024 2048" "16 32"); do
        decode_at growth "$dtype" llama-110m "$P" "$(quick 16 2)" "$(quick 3 1)" "$(quick 64 4)"
    done
}

# job METHOD N: a job on random weights in job.yaml, its result METHOD.h5.
job() {
    reward_config
    awk -v n="$(quick 2 1)" 'BEGIN { srand(1); for (i = 0; i < n; i++) { line = 4; for (k = 1; k < 256; k++)
        line = line ", " 4 + int(rand() * 30000); print "{\"prompt_ids\": [" line "]}" } }' >"$work/prompts.jsonl"
    cat >"$work/job.yaml" <<YAML
name: bench
generator: {path: $PWD/$shapes/llama-110m, weights: random, template: raw}
reward: {path: $(cd "$work/reward" && pwd), weights: random, template: raw}
dataset: {path: prompts.jsonl}
sampling: {temperature: 1.0, top_k: 50, max_new_tokens: $(quick 256 48), ignore_eos: true}
method: $1
n: $2
alpha: 0.5
rounds: memory
budget_tokens: $(quick 6000 400)
min_round_tokens: 16
backend: cpu
dtype: ${dtypes%% *}
record: {text: none, trace: rounds}
output: $work/$1.h5
YAML
    rm -f "$work/$1".h5*
}

# Whole jobs: Best-of-N against Speculative Rejection on this engine.  The paper's way of the same rounds is the
# part `peer_jobs`.
jobs() {
    local method
    begin jobs
    for method in best_of_n speculative_rejection; do
        job "$method" "$(quick 120 8)"
        save jobs "$build/specrej" run "$work/job.yaml"
    done
    save jobs "$build/specrej" report "$work/best_of_n.h5" "$work/speculative_rejection.h5"
}

# What a job takes at most of the machine's memory, beside the plan's sum.
memory() {
    local n
    begin memory
    echo "N,budget_tokens,plan_mib,peak_mib,ratio" >>"$out/memory.csv"
    for n in $(quick "16 64 256" 8); do
        job speculative_rejection "$n"
        python3 - "$build/specrej" "$work/job.yaml" "$n" <<'PY' | tee -a "$out/memory.csv"
import json, os, subprocess, sys
program, job, n = sys.argv[1:]
plan = json.loads(subprocess.run([program, "plan", job, "--json"], check=True, stdout=subprocess.PIPE).stdout)
memory = plan["points"][0]["memory"]
planned = (memory["taken_bytes"] + plan["program_bytes"]) / 2**20
run = subprocess.Popen([program, "run", job, "-q"])
_, status, usage = os.wait4(run.pid, 0)
assert status == 0, f"{job}: status {status}"
peak = usage.ru_maxrss / 1024
print(f"{n},{memory['budget_tokens']},{planned:.1f},{peak:.1f},{peak / planned:.3f}")
PY
    done
}

have_python() { "$python" -c "import torch, transformers, gguf" 2>/dev/null; }

# add_peer NAME SHAPE DTYPE RUN: lines "B,tok_s,prefill_tok_s" on standard input become rows of peers.csv.
add_peer() { awk -F, -v OFS=, -v first="$1,$2,$3,$4" 'NF == 3 { print first, $1, $2, $3 }' | tee -a "$out/peers.csv"; }

peer_specrej() { # SHAPE DTYPE P NEW B...
    "$build/tests/bench_decode" "$shapes/$1" --backend cpu --dtype "$2" --prompt "$3" --new "$4" --repeat 1 "${@:5}" |
        awk -F, -v P="$3" '$1 ~ /^[0-9]+$/ { printf "%s,%.2f,%.2f\n", $1, $7, P / $5 * 1000 }'
}

# Peers wait at barriers as they like.
alone() { env -u GOMP_SPINCOUNT "$@"; }

peer_transformers() { # SHAPE DTYPE P NEW B...
    alone "$python" tests/bench/peer_transformers.py decode "$shapes/$1" --device cpu --dtype "$2" --threads "$threads" \
        --prompt "$3" --new "$4" --repeat 1 --warm 0 "${@:5}" |
        awk -F, -v P="$3" '$1 == "decode" && NF == 7 { printf "%s,%.2f,%.2f\n", $2, $7, P / $5 * 1000 }'
}

# PROGRAM SHAPE DTYPE P NEW B...: time of its steps without sampling, which it leaves out.  Newer ones divide the context evenly
# among the sequences, each of which needs room for the prompt, too.
peer_llama() {
    local batches=("${@:6}")
    local most=${batches[-1]}
    alone "$1" -m "$work/$2-$3.gguf" -c $((most * (($4 + $5 + 256) / 256 * 256))) -b 2048 -ub 512 -npp "$4" -ntg "$5" \
        -npl "$(IFS=,; echo "${batches[*]}")" -pps -t "$threads" -tb "$threads" 2>"$work/llama.log" |
        awk -F'|' '$2 ~ /^ *[0-9]+ *$/ { gsub(/ /, ""); printf "%d,%.2f,%.2f\n", $4, $9, $7 }'
}

# The first prompt of the part `jobs` the paper's way on transformers: the same rounds of as many candidates and tokens, KV
# anew and all texts through the reward model at each.
peer_jobs() {
    local method rounds
    begin peer_jobs
    have_python || { echo "skipped: PEERS_PYTHON ($python) has no torch, transformers and gguf" | tee -a "$out/peer_jobs.csv"; return; }
    for method in best_of_n speculative_rejection; do
        [ -e "$work/$method.h5" ] || { echo "cpu.sh: peer_jobs: no $work/$method.h5: run the part jobs first" >&2; exit 1; }
        read -r -a rounds <<<"$("$build/specrej" inspect "$work/$method.h5" --prompt 0 --json | job_rounds)"
        save peer_jobs alone "$python" tests/bench/peer_transformers.py job "$shapes/llama-110m" --device cpu --dtype "${dtypes%% *}" \
            --threads "$threads" --prompt 256 --repeat "${JOB_RUNS:-1}" --warm 0 "${rounds[@]:1}"
        echo "# specrej, $method: ${rounds[0]} s" | tee -a "$out/peer_jobs.csv"
    done
}

# SECONDS B:S..., of a prompt as inspect tells it.
job_rounds() {
    python3 -c '
import json, sys
p = json.load(sys.stdin)
most = max(c["n_tokens"] for c in p["candidates"])
rounds = [(r["ranked"], min(r["step"], most)) for r in p["rounds"]] or [(p["n"], most)] # Best-of-N: scored at its end
print(round(p["wall_s"], 2), *map("%d:%d".__mod__, rounds))'
}

# every_peer SHAPE DTYPE P NEW RUN B...: all programs in turn.
every_peer() {
    local shape=$1 dtype=$2 run=$5 same=("$1" "$2" "$3" "$4" "${@:6}") gguf="$work/$1-$2.gguf" program
    peer_specrej "${same[@]}" | add_peer specrej "$shape" "$dtype" "$run"
    ! have_python || peer_transformers "${same[@]}" | add_peer transformers "$shape" "$dtype" "$run"
    [ -n "${LLAMA_BATCHED_BENCH:-}" ] || return 0
    [ -e "$gguf" ] || ! have_python || "$python" tests/bench/make_gguf.py "$shapes/$shape" "$dtype" "$gguf"
    [ -e "$gguf" ] || return 0
    for program in $LLAMA_BATCHED_BENCH; do
        peer_llama "$program" "${same[@]}" | add_peer "$(basename "${program%/build/bin/*}")" "$shape" "$dtype" "$run"
    done
}

# `runs` times, so that what else the machine does meets them all: the same shape, dtype, threads, prompt and length.
peers() {
    local dtype run peer shape P new batches
    begin peers
    echo "# tokens/s of the steps, tokens/s of the prefill" >>"$out/peers.csv"
    echo "program,shape,dtype,run,B,tok_s,prefill_tok_s" >>"$out/peers.csv"
    have_python || echo "skipped transformers, and llama.cpp's model file: PEERS_PYTHON ($python) has no torch, transformers and gguf" |
        tee -a "$out/peers.csv"
    [ -n "${LLAMA_BATCHED_BENCH:-}" ] || echo "skipped llama.cpp: LLAMA_BATCHED_BENCH is not set" | tee -a "$out/peers.csv"
    for peer in ${PEERS:-$(quick "llama-110m:256:128:1,16,64,256 llama-1b:128:32:32" llama-110m:16:4:1,2)}; do
        IFS=: read -r shape P new batches <<<"$peer"
        echo "# $shape: P = $P, $new new tokens" >>"$out/peers.csv"
        for dtype in $dtypes; do
            for run in $(seq "$runs"); do
                # shellcheck disable=SC2086
                every_peer "$shape" "$dtype" "$P" "$new" "$run" ${batches//,/ }
            done
        done
    done
}

# Medians of peers.csv, and how many times faster specrej is.
summary() {
    awk -F, '
        function median(list,    x, n, i, j, t) {
            n = split(list, x, " ")
            for (i = 2; i <= n; i++) for (j = i; j > 1 && x[j] + 0 < x[j - 1] + 0; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
            return x[int((n + 1) / 2)]
        }
        function times(list, by) { return by + 0 == 0 ? "" : sprintf("%.2f", median(list) / by) }
        /^#/ || $1 == "program" || NF != 7 { next }
        { key = $1 "," $2 "," $3 "," $5; if (!(key in step)) order[++n] = key; step[key] = step[key] " " $6; prefill[key] = prefill[key] " " $7 }
        END {
            print "program,shape,dtype,B,tok_s,prefill_tok_s,specrej_times_faster,prefill_times_faster"
            for (i = 1; i <= n; i++) {
                split(order[i], p, ","); ours = "specrej," p[2] "," p[3] "," p[4]
                a = median(step[order[i]]); b = median(prefill[order[i]])
                printf "%s,%.2f,%.2f,%s,%s\n", order[i], a, b, times(step[ours], a), times(prefill[ours], b)
            }
        }' "$out/peers.csv" | tee "$out/summary.csv"
}

# draw NAME: NAME.svg by the gnuplot script on standard input.
draw() {
    command -v gnuplot >/dev/null || { echo "skipped: $1.svg: no gnuplot here"; return; }
    { echo "set terminal svg size 900,420 background '#ffffff'; set logscale xy; set grid; set key left top"; cat; } |
        gnuplot >"$out/$1.svg"
}

# Points `B P step_ms floor_ms` of growth.csv where column $1 has the value $2.
growth_points() { awk -F, -v at="$1" -v value="$2" '$1 ~ /^[0-9]+$/ && $at == value { print $1, $2, $6, $8 }' "$out/growth.csv" | sort -n -k1,1 -k2,2; }

# shellcheck disable=SC2016 # $batch and its like are gnuplot's
plot() {
    local program programs
    {
        printf '$batch << END\n%s\nEND\n$prompt << END\n%s\nEND\n' "$(growth_points 2 256)" "$(growth_points 1 64)"
        cat <<'GNUPLOT'
set multiplot layout 1,2; set ylabel "step in ms"
set xlabel "candidates, prompt of 256 tokens"
plot $batch using 1:3 with linespoints pointtype 7 title "110M, step", "" using 1:4 with lines dashtype 2 title "floor"
set xlabel "prompt tokens, 64 candidates"
plot $prompt using 2:3 with linespoints pointtype 7 title "110M, step", "" using 2:4 with lines dashtype 2 title "floor"
GNUPLOT
    } | draw growth
    mapfile -t programs < <(awk -F, '$2 == "llama-110m" && !($1 in seen) { seen[$1] = 1; print $1 }' "$out/summary.csv")
    {
        for program in "${programs[@]}"; do
            printf '$d%s << END\n%s\nEND\n' "${program//[^a-z0-9]/_}" "$(awk -F, -v program="$program" -v dtype="${dtypes%% *}" \
                '$1 == program && $2 == "llama-110m" && $3 == dtype { print $4, $5 }' "$out/summary.csv")"
        done
        echo "set xlabel 'candidates, prompt of 256 tokens, 110M, ${dtypes%% *}'; set ylabel 'tokens/s'; plot \\"
        for program in "${programs[@]}"; do
            printf '$d%s using 1:2 with linespoints pointtype 7 title "%s", \\\n' "${program//[^a-z0-9]/_}" "$program"
        done
        echo
    } | draw peers
}

[ $# -gt 0 ] || set -- ceilings decode score growth jobs memory peers peer_jobs summary plot
for part in "$@"; do
    case "$part" in
    ceilings | decode | score | growth | jobs | memory | peers | peer_jobs | summary | plot) "$part" ;;
    *) echo "cpu.sh: no part '$part'; parts: ceilings decode score growth jobs memory peers peer_jobs summary plot" >&2 && exit 2 ;;
    esac
done
echo "written: $out"
