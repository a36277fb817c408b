#!/usr/bin/env bash
# inspect, export, tokenize and score: against each other, against a job's rewards, against bad input.
set -euo pipefail
: "${SPECREJ:?path of the program}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
golden=$here/../golden/models
command -v python3 >/dev/null || { echo "needs python3" && exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMP_NUM_THREADS=1 OMPI_MCA_ess_singleton_isolated=1 # a rank alone starts no daemon
work=$(mktemp -d "${TMPDIR:-/tmp}/verbs.XXXXXX")
job=
trap '[ -z "$job" ] || kill -9 $job 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export OMPI_MCA_orte_tmpdir_base=$work # two such ranks at once need a folder each
python3 "$here/verbs_models.py" .

has_mpi() { ! "$SPECREJ" --version | grep -q "no MPI" && command -v mpirun >/dev/null; }
check() { python3 "$here/verbs_check.py" "$SPECREJ" "$@"; }
run() { "$SPECREJ" run "$1.yaml" -q --set "output=$1.h5" "${@:2}" 2>log || { cat log && exit 1; }; }

run same
run other
run bare

for m in generator same other bare; do check model $m; done
for f in same other bare; do check file $f.h5; done
check export same.h5 prompts.jsonl
check export other.h5 prompts.jsonl
check score same.h5 same 1 chatml
check score other.h5 other 1 chatml
check score bare.h5 bare_rm 1
check forms other
for m in rm_llama rm_mistral rm_qwen2 rm_qwen3 rm_gemma2 rm_two_layer rm_eurus; do check golden "$golden/$m"; done
for m in generator other; do check tokenize $m; done
if has_mpi; then
    mpirun --oversubscribe -np 2 "$SPECREJ" run other.yaml -q --set output=two.h5 --set parallel.tensor=2
    check score two.h5 other 2 chatml
    check file two.h5
fi

# refused EXPECTED COMMAND...: exit status 2, and a message with EXPECTED in it.
refused() {
    local expected=$1 rc=0
    shift
    "$SPECREJ" "$@" >out 2>err || rc=$?
    [ $rc = 2 ] || { echo "FAIL: status $rc, not 2: $*" && cat out err && exit 1; }
    grep -qF -- "$expected" err || { echo "FAIL: no '$expected' in the answer to: $*" && cat err && exit 1; }
    [ ! -s out ] || { echo "FAIL: output before the error: $*" && exit 1; }
}
refused "needs one" inspect
refused "needs one" export same.h5 other.h5
refused "No such file" inspect nowhere
refused "holds no prompt 99" inspect same.h5 --prompt 99
refused "--prompt goes with" inspect generator --prompt 0
refused "config.json" inspect .
refused "none of jsonl, alpaca_eval, csv" export same.h5 --format xml
refused "none of best, all, pairs" export same.h5 --pick some
refused "has its own form" export same.h5 --pick pairs --format alpaca_eval
refused "No such file" export same.h5 -o nowhere/out.jsonl
refused "needs the prompts as text" export bare.h5 --pick pairs
refused "tokenizer.json" tokenize bare </dev/null
printf 'a\xff' >bad && refused "invalid UTF-8 at byte 1" tokenize same <bad
refused "is not a token id" tokenize same --decode <<<"1 2 x"
refused "is no token of the vocabulary" tokenize same --decode <<<"1 100000"
line='{"prompt": "a", "response": "b"}'
refused "has no reward head" score generator --template chatml <<<"$line"
refused "no chat template" score same <<<"$line"
refused "none of auto, f32, bf16" score same --template chatml --dtype f8 <<<"$line"
refused "line 2: not valid JSON" score same --template chatml <<<"$line
{"
refused "line 1: expected an object" score same --template chatml <<<"[1]"
refused "'response' (a text)" score same --template chatml <<<'{"prompt": "a"}'
refused "'response': expected a text" score same --template chatml <<<'{"prompt": "a", "response": 1}'
refused "not the assistant's" score same --template chatml <<<'{"messages": [{"role": "user", "content": "a"}]}'
refused "message 0" score same --template chatml <<<'{"messages": [{"role": "user"}]}'
refused "expected \"prompt\"" score same --template chatml <<<'{"response": "b"}'
refused "line 1: text needs" score bare_rm <<<"$line"
refused "element 1 is not a token id" score bare_rm <<<'{"prompt_ids": [1, 99], "response_ids": []}'
refused "context holds 256" score bare_rm <<<"{\"prompt_ids\": [1$(printf ', 1%.0s' {1..300})], \"response_ids\": []}"
refused "the prompt is empty" score bare_rm <<<'{"prompt_ids": [], "response_ids": [1]}'

# unwritten COMMAND...: exit status 1, since the input was good and the output is lost.  What gcov writes in a build of
# coverage.sh would be cut short, too: it goes elsewhere.
unwritten() {
    local rc=0
    (trap '' XFSZ && ulimit -f 1 && export GCOV_PREFIX=$PWD/cut_short GCOV_ERROR_FILE=/dev/null &&
        exec "$SPECREJ" "$@") 2>err || rc=$?
    [ $rc = 1 ] || { echo "FAIL: status $rc, not 1, without room for the output: $*" && cat err && exit 1; }
    grep -q "cannot write" err || { echo "FAIL: no word of the output: $*" && cat err && exit 1; }
}
if [ -c /dev/full ]; then
    for form in jsonl alpaca_eval csv; do unwritten export same.h5 --format $form >/dev/full; done
    unwritten inspect same.h5 >/dev/full
    unwritten report same.h5 >/dev/full
    unwritten tokenize same >/dev/full <<<"text"
    unwritten score same --template chatml >/dev/full <<<"$line"
fi
unwritten export same.h5 --pick all -o limited.jsonl
[ ! -e limited.jsonl ] && [ ! -e limited.jsonl.tmp ]

# Without the dataset: fields are left out with a warning; what needs the prompts says so.
mv prompts.jsonl away.jsonl
"$SPECREJ" export same.h5 >out 2>err
grep -q "fields are left out" err && [ "$(wc -l <out)" = 4 ] && ! grep -q '"prompt":' out
refused "needs the prompts" export same.h5 --format alpaca_eval -o best.json
[ ! -e best.json ] && [ ! -e best.json.tmp ]
sed 's/Last one/Other one/' away.jsonl >prompts.jsonl
"$SPECREJ" export same.h5 >out 2>err
grep -q "has changed since: its row 4" err && [ "$(grep -c '"prompt":' out)" = 3 ]
mv away.jsonl prompts.jsonl

# Without recorded texts: the tokenizer's, else a clear error.
"$SPECREJ" export same.h5 --pick best -o recorded.jsonl
run same --set output=untold.h5 --set record.text=none
mv same.h5 told.h5 && "$SPECREJ" export untold.h5 | cmp - recorded.jsonl
mv generator away && refused "was not recorded" export untold.h5
"$SPECREJ" export told.h5 | cmp - recorded.jsonl
"$SPECREJ" inspect untold.h5 --prompt 0 >out && grep -q "was not recorded" out
mv away generator

# The file of a running job, and of a dead one.
python3 -c 'for i in range(20000): print("{\"prompt_ids\": [%d, 2, 3]}" % (i % 90))' >ids.jsonl
"$SPECREJ" run bare.yaml -q --set output=dead.h5 --set n=64 &
job=$!
: >last
for ((i = 0; i < 600; i++)); do
    sleep 0.1
    [ -e dead.h5 ] || continue
    "$SPECREJ" inspect dead.h5 >out
    "$SPECREJ" export dead.h5 | tail -n 1 >last
    [ ! -s last ] || break
done
[ -s last ] || { echo "FAIL: no prompt within a minute" && exit 1; }
grep -q "running" out
kill -9 $job
wait $job 2>/dev/null || true
job=
[ "$("$SPECREJ" status bare.yaml --set output=dead.h5 --set n=64 --done)" = "$("$SPECREJ" export dead.h5 | wc -l)" ]
"$SPECREJ" inspect dead.h5 --json >out
python3 - <<'PYTHON'
import json
dead = json.load(open("out"))
assert dead["runs"][0]["status"] == "running" and dead["runs"][0]["end_unix_s"] is None
assert dead["prompts_ok"] > 0 and dead["rank_hours"] > 0
PYTHON
[ "$("$SPECREJ" export dead.h5 | wc -l)" -gt 0 ]
"$SPECREJ" inspect dead.h5 --prompt 0 >out # a person is shown those that came furthest
grep -q "the 32 of 64 that came furthest" out
[ "$(grep -Ec "^[ *] +[0-9]+  (finished|truncated|rejected) " out)" = 32 ]
head -c 3000 dead.h5 >cut.h5 && refused "cut.h5" inspect cut.h5
echo hello >text.h5 && refused "text.h5" export text.h5
echo "verbs: all as expected"
