# Shared by the tests on a Slurm of their own: the cluster, a folder, the demo's job at a few prompts, ways to wait.
#   source "$(dirname "$0")/support.sh"; then the script is in a cluster, and `$work` is the current folder.
# Needs the variables SPECREJ and COMPARE_RESULTS (paths of these programs), as CTest sets them.
# shellcheck shell=bash disable=SC2034
: "${SPECREJ:?path of the program}" "${COMPARE_RESULTS:?path of compare_results}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -n "${CLUSTER_DIR:-}" ] || exec bash "$here/cluster.sh" run bash "$0" "$@"
# shellcheck source=tests/slurm/cluster.sh
source "$here/cluster.sh"
export SPECREJ
export OMPI_MCA_rmaps_base_oversubscribe=1
unset OMP_NUM_THREADS GOMP_SPINCOUNT # the batch script and the program set them
if "$SPECREJ" --version | grep -q "no MPI"; then
    echo "skipped: this build has no MPI"
    exit 77
fi
slurm=$(cd "$here/../../slurm" && pwd) demo=$(cd "$here/../../jobs/demo" && pwd)
work=$CLUSTER_DIR/work # removed with the cluster
mkdir "$work"
cd "$work" || exit 1

fail() {
    local file
    echo "FAIL: $*" >&2
    for file in log logs/*; do [ -s "$file" ] && sed "s,^,  $file | ," "$file" >&2; done
    timeout 5 squeue >&2
    exit 1
}

# demo_job FILE [KEY: VALUE...]: the demo's models at 4 prompts, about a second of two cores, with more lines after it.
demo_job() {
    local file=$1
    shift
    cat >"$file" <<YAML
name: $(basename "$file" .yaml)
generator: {path: $demo/generator}
reward: {path: $demo/reward}
dataset: {path: $demo/prompts.jsonl, limit: ${prompts:-4}}
sampling: {temperature: 1.0, top_k: 50, max_new_tokens: 384}
method: speculative_rejection
n: ${n:-24}
alpha: 0.5
rounds: memory
min_round_tokens: 16
budget_tokens: ${budget:-480}
record: {text: none}
backend: cpu
output: $(basename "$file" .yaml).h5
YAML
    [ $# = 0 ] || printf '%s\n' "$@" >>"$file"
}

# undisturbed RANKS JOB [OPTIONS]: the same job without Slurm, into reference/.
undisturbed() {
    local ranks=$1
    shift
    mkdir -p reference
    (
        cd reference || exit 1
        unset OMPI_MCA_btl
        OMP_NUM_THREADS=1 mpirun --oversubscribe -np "$ranks" "$SPECREJ" run -q "../$1" "${@:2}" >../log 2>&1
    ) || fail "without Slurm: status $? of $*"
}

# submit ARGUMENTS: of slurm/submit.sh; the job's id goes to `job`.
submit() { job=$("$slurm/submit.sh" "$@") || fail "submit.sh $*"; }

# jobs_gone [ID]: nothing of this job, or of all, waits or runs.
jobs_gone() { [ -z "$(timeout 5 squeue -h ${1:+-j "$1"} 2>/dev/null)" ]; }

# ended STATE EXIT_CODE: the job comes to that end; EXIT_CODE is a pattern.
ended() {
    eventually "${patience:-150}" jobs_gone "$job" || fail "job $job does not end"
    local line pattern="* JobState=$1 * ExitCode=$2 *"
    line=$(scontrol show job "$job" | tr -s ' \n' ' ')
    # shellcheck disable=SC2053  # a pattern
    [[ $line == $pattern ]] || fail "job $job is not $1 with $2: $line"
}

state_is() { [ "$(timeout 5 squeue -h -j "$1" -o %T 2>/dev/null)" = "$2" ]; }

# committed FILE N: at least N prompts are.
committed() { [ "$("$COMPARE_RESULTS" verify "$1" 2>/dev/null || echo 0)" -ge "$2" ]; }

# check WHAT FILE...: compare_results.
check() { "$COMPARE_RESULTS" "$@" >log 2>&1 || fail "compare_results $*"; }
