# Shared by the end-to-end scripts: a folder of their own, tiny random models, a job, ways to run it and to complain.
#   source "$(dirname "$0")/tiny.sh"; then `$work` is the current folder, removed at the end.
# Needs the variables SPECREJ and COMPARE_RESULTS (paths of these programs), as CTest sets them.
set -u
: "${SPECREJ:?path of the program}" "${COMPARE_RESULTS:?path of compare_results}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
golden=$(cd "$(dirname "$0")/../golden/models" && pwd) || exit 1 # real checkpoints, tiny ones
work=$(mktemp -d "${TMPDIR:-/tmp}/specrej-e2e.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

has_mpi() { ! "$SPECREJ" --version | grep -q "no MPI" && command -v mpirun >/dev/null; }

fail() {
    echo "FAIL: $*" >&2
    [ -s log ] && sed 's/^/  | /' log >&2
    exit 1
}

# A rank alone starts no daemon of Open MPI.  The folder of its files is then the same for all such ranks below this one,
# and whoever ends removes it: one at a time.
no_daemon() { export OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_orte_tmpdir_base=$work; }

# config FILE HEAD EOS: a Llama with 2 layers and 160 tokens, for weights: random.
config() {
    cat >"$1" <<JSON
{"architectures": ["$2"], "model_type": "llama", "hidden_act": "silu", "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
 "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "max_position_embeddings": 256, "vocab_size": 160, "torch_dtype": "float32",
 "bos_token_id": 1, "eos_token_id": $3, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
JSON
}

# prompts N: rows of 3 to 40 token ids, below the 131 of the golden models.
prompts() {
    awk -v n="$1" 'BEGIN { srand(1); for (i = 0; i < n; i++) { line = 4 + int(rand() * 127);
        for (k = 2 + int(rand() * 38); k > 0; k--) line = line ", " 4 + int(rand() * 127);
        print "{\"prompt_ids\": [" line "]}" } }'
}

# The job: Best-of-64, 96 new tokens.  Mean length about 75, so that most of the budget is used.
tiny_job() {
    mkdir -p generator reward
    config generator/config.json LlamaForCausalLM 2
    config reward/config.json LlamaForSequenceClassification 2
    prompts 20 >prompts.jsonl
    cat >job.yaml <<YAML
name: tiny
generator: {path: generator, weights: random}
reward: {path: reward, weights: random}
dataset: {path: prompts.jsonl}
sampling: {temperature: 1.0, top_k: 50, max_new_tokens: 96}
method: best_of_n
n: 64
backend: ${SPECREJ_TEST_BACKEND:-cpu}
dtype: f32
record: {text: none}
seed: 7
output: out.h5
YAML
}

# start RANKS OUT [KEY=VALUE...]: the command in `command`, for run and for scripts that send it signals.
start() {
    local ranks=$1 out=$2 set=() pair
    shift 2
    for pair in "$@"; do set+=(--set "$pair"); done
    command=("$SPECREJ" run job.yaml -q --set "output=$out" ${set[@]+"${set[@]}"})
    [ "$ranks" -gt 1 ] && command=(mpirun --oversubscribe -np "$ranks" ${RANK_LAUNCHER:-} "${command[@]}")
    return 0
}

# run RANKS OUT [KEY=VALUE...]: must end with status 0.
run() {
    start "$@"
    "${command[@]}" >log 2>&1 || fail "status $? of: ${command[*]}"
}

# check WHAT FILE...: compare_results.
check() { "$COMPARE_RESULTS" "$@" 2>log || fail "compare_results $*"; }
