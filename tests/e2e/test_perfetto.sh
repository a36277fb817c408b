#!/usr/bin/env bash
# The timelines of jobs on several ranks, of a running job and of a dead one, against the format and the rows.
set -euo pipefail
: "${SPECREJ:?path of the program}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || { echo "needs python3" && exit 77; }
python=
for p in ${PYTHON:-} python3 /usr/bin/python3; do
    if "$p" -c 'import h5py, numpy' 2>/dev/null; then python=$p && break; fi
done
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMP_NUM_THREADS=1 OMPI_MCA_ess_singleton_isolated=1 # a rank alone starts no daemon
work=$(mktemp -d "${TMPDIR:-/tmp}/timeline.XXXXXX")
job=
trap '[ -z "$job" ] || kill -9 $job 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export OMPI_MCA_orte_tmpdir_base=$work # two such ranks at once need a folder each
python3 "$here/verbs_models.py" .

# check NAME: the document against the format, and with h5py against NAME.h5.
check() {
    if [ -n "$python" ]; then
        "$python" "$here/perfetto_check.py" "$1.json" "$1.h5"
    else
        python3 "$here/perfetto_check.py" "$1.json"
    fi
}

# shown RANKS NAME JOB [KEY=VALUE...]: run it, and check its timeline.
shown() {
    local ranks=$1 name=$2 file=$3 set=() pair launcher=()
    shift 3
    for pair in "$@"; do set+=(--set "$pair"); done
    [ "$ranks" = 1 ] || launcher=(mpirun --oversubscribe -np "$ranks")
    ${launcher[@]+"${launcher[@]}"} "$SPECREJ" run "$file" -q --set "output=$name.h5" ${set[@]+"${set[@]}"} 2>log ||
        { cat log && exit 1; }
    "$SPECREJ" timeline "$name.h5" -o "$name.json"
    check "$name"
}

shown 1 one same.yaml # with a prompt that is skipped
shown 1 steps bare.yaml record.trace=steps
shown 1 best bare.yaml method=best_of_n record.trace=steps
shown 1 off bare.yaml record.trace=off record.candidates=best
if ! "$SPECREJ" --version | grep -q "no MPI" && command -v mpirun >/dev/null; then
    shown 4 grid bare.yaml parallel.tensor=2
    shown 4 split bare.yaml parallel.tensor=2 parallel.split=candidates n=40
fi

# To stdout; one prompt alone; what is refused.
"$SPECREJ" timeline one.h5 | cmp - one.json
"$SPECREJ" timeline one.h5 --prompt 1 >only.json
python3 "$here/perfetto_check.py" only.json
grep -q '"name": "prompt 1"' only.json && ! grep -q '"name": "prompt 0"' only.json
refused() {
    local expected=$1 rc=0
    shift
    "$SPECREJ" "$@" >out 2>err || rc=$?
    [ $rc = 2 ] && grep -qF -- "$expected" err && [ ! -s out ] || { echo "FAIL: $*" && cat out err && exit 1; }
}
refused "needs one result file" timeline
refused "needs one result file" timeline one.h5 best.h5
refused "holds no prompt 99" timeline one.h5 --prompt 99 -o none.json
refused "No such file" timeline one.h5 -o nowhere/out.json
refused "nowhere.h5" timeline nowhere.h5
[ ! -e none.json ] && [ ! -e none.json.tmp ]
"$SPECREJ" run bare.yaml -q --set overlap=2 --set output=flight.h5 # prompts in flight: one of them at a time
refused "its prompts interleave" timeline flight.h5
for prompt in 0 1; do
    "$SPECREJ" timeline flight.h5 --prompt $prompt >flight.json
    python3 "$here/perfetto_check.py" flight.json
done
if [ -c /dev/full ]; then
    rc=0
    "$SPECREJ" timeline one.h5 >/dev/full 2>err || rc=$?
    [ $rc = 1 ] && grep -q "cannot write" err
fi

# The file of a running job, and of the dead one.
python3 -c 'for i in range(20000): print("{\"prompt_ids\": [%d, 2, 3]}" % (i % 90))' >ids.jsonl
"$SPECREJ" run bare.yaml -q --set output=dead.h5 &
job=$!
for ((i = 0; i < 600; i++)); do
    sleep 0.1
    [ -e dead.h5 ] || continue
    "$SPECREJ" timeline dead.h5 -o running.json
    ! grep -q '"cat": "round"' running.json || break
done
python3 "$here/perfetto_check.py" running.json
grep -q '"status": "running"' running.json
kill -9 $job
wait $job 2>/dev/null || true
job=
"$SPECREJ" timeline dead.h5 -o dead.json
check dead
[ -n "$python" ] || { echo "SKIPPED in part: no python3 with h5py, so no timeline was held against its file's rows" && exit 77; }
echo "timelines: all as expected"
