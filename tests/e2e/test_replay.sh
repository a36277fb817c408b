#!/bin/bash
# Replay against runs that were really made with the same seed: (alpha, N, schedule) points, memory rounds among them,
# prompt by prompt (compare_replay), and the verb.
source "$(dirname "$0")/tiny.sh"
: "${COMPARE_REPLAY:?path of compare_replay}"
no_daemon
tiny_job

few=(dataset.limit=6)
sr=(method=speculative_rejection)
run 1 pages.h5 "${few[@]}" score_at=pages
run 1 every.h5 "${few[@]}" "score_at=every 8"
both=$(for at in 16 32 48 64 80; do printf '%d, %d, ' $at $((at + 1)); done)
run 1 both.h5 "${few[@]}" "score_at=${both%, }"

points=0
# real RECORDED [KEY=VALUE...]: a run of its own, to be compared with RECORDED replayed.
declare -A runs
real() {
    local recorded=$1
    shift
    points=$((points + 1))
    run 1 "real$points.h5" "${few[@]}" "${sr[@]}" "$@"
    runs[$recorded]+=" real$points.h5"
}
for alpha in 0.1 0.3 0.5 0.9; do
    for n in 64 20; do
        real every.h5 alpha=$alpha n=$n "rounds=every 16"
        real every.h5 alpha=$alpha n=$n "rounds=at 8, 24, 72"
    done
    for budget in 2304 1200; do
        real pages.h5 alpha=$alpha budget_tokens=$budget n=$((budget / 40)) rounds=memory
    done
    real both.h5 alpha=$alpha "rounds=at 64, 80" budget_tokens=2304
done
real pages.h5 alpha=0.5 n=auto budget_tokens=1600 rounds=memory
real pages.h5 alpha=0.5 n=33 rounds=memory budget_tokens=1200 # of some prompts that are too long
real pages.h5 alpha=0.5 n=64 rounds=memory min_round_tokens=16 budget_tokens=1100
real pages.h5 alpha=0.5 n=50 rounds=memory compat=paper_code_2024 budget_tokens=2000
real every.h5 alpha=0.3 n=64 "rounds=every 24" compat=paper_code_2024
real every.h5 alpha=0 n=64 rounds=memory
for recorded in "${!runs[@]}"; do
    "$COMPARE_REPLAY" "$recorded" ${runs[$recorded]} 2>log || fail "compare_replay $recorded"
done
echo "$points real runs: replayed exactly"

# ---- the demo's models, whose reward model has a tokenizer of its own: no counts, but times ----
demo() {
    local out=$1
    shift
    "$SPECREJ" run "$demo_job" -q --set "sweep={n: [12]}" --set "output=$out" --set dataset.limit=2 \
        --set sampling.max_new_tokens=64 "$@" >log 2>&1 || fail "status $? of the demo's $out"
}
demo_job=$(cd "$golden/../../.." && pwd)/jobs/demo/demo.yaml
demo demo.h5 --set method=best_of_n --set score_at=pages --set budget_tokens=4000
demo demo-sr.h5 --set method=speculative_rejection --set budget_tokens=400
"$COMPARE_REPLAY" --times demo.h5 demo-sr.h5 >out 2>log || fail "compare_replay of the demo"
cat out
"$SPECREJ" replay demo.h5 --set budget_tokens=400 -o demo.json 2>log || fail "replay of the demo"
python3 - <<'PYTHON' || fail "times without counts"
import json
r = json.load(open("demo.json"))
assert "tokenizer" in r["not_known"] and r["times_from"] == "steps"
for f in r["files"]:
    assert f["total"]["flops"] is None and f["total"]["tokens_scored"] is None
    assert 0 < f["total"]["wall_s"] == f["total"]["compute_s"]
assert r["time_error"] is not None and r["time_left_out"] is not None
PYTHON

# ---- the verb: as the report of runs that were really made ----
run 1 bon64.h5 "${few[@]}"
run 1 bon20.h5 "${few[@]}" n=20
"$SPECREJ" report bon64.h5 bon20.h5 real1.h5 real3.h5 --json >real.json 2>log || fail "report"
"$SPECREJ" replay every.h5 --set "rounds=every 16" --set alpha=0.1 --set "sweep.n=[64, 20]" --subsets 8 --json >replay.json 2>log ||
    fail "replay"
python3 - <<'PYTHON' || fail "replay --json is not report --json"
import json, sys
real, replay = (json.load(open(f)) for f in ("real.json", "replay.json"))
def row(r, n, method): return next(f for f in r["files"] if f["n"] == n and f["method"].split(",")[0] == method)
assert len(replay["files"]) == 4, len(replay["files"])
assert all((f["subsets"] or {}).get("draws") == (8 if f["n"] == 20 else None) for f in replay["files"])
points = [(n, m) for n in (64, 20) for m in ("best_of_n", "speculative_rejection")]
for n, method in points:
    a, b = row(real, n, method), row(replay, n, method)
    for key in ("best_reward", "improvement_score", "improvement_score_95", "share_kept", "winners_survived", "regret", "rounds_per_prompt"):
        assert a[key] == b[key], (n, method, key, a[key], b[key])
    for key in ("tokens_generated", "tokens_scored", "flops", "bytes"):
        assert a["total"][key] == b["total"][key], (n, method, key)
    assert b["replayed"] and not b["approximate"] and b["total"]["wall_s"] > 0
PYTHON

# ---- report takes its points, beside the real runs ----
"$SPECREJ" report replay.json bon64.h5 bon20.h5 real1.h5 real3.h5 --json >mixed.json 2>log || fail "report of both"
"$SPECREJ" report replay.json --json >alone.json 2>log || fail "report of a replay alone"
"$SPECREJ" report replay.json -o figures >/dev/null 2>log || fail "report of a replay alone"
grep -q "Rejection, N 64, alpha 0.1, replayed" figures/speedup.gp || fail "the figure does not say replayed"
! grep -q 'title "measured' figures/speedup.gp || fail "the figure calls a replay measured"
[ "$(grep -c replayed figures/report.csv)" = 4 ] || fail "report.csv does not say replayed"
python3 - <<'PYTHON' || fail "report of a replay's points is not the replay's table"
import json
real, replay, mixed, alone = (json.load(open(f)) for f in ("real.json", "replay.json", "mixed.json", "alone.json"))
assert len(mixed["files"]) == 8 and not mixed["missing_points"], mixed["missing_points"]
assert mixed["prompts_compared"] == replay["prompts_compared"]
off = []
for f in replay["files"]:
    off += [f["total"]["wall_s"] / r["total"]["wall_s"] - 1 for r in real["files"] if r["point_id"] == f["point_id"]]
times = mixed["modelled_times"]
assert times["points"] == len(off) >= 2 and replay["modelled_times"] is real["modelled_times"] is None
assert abs(times["off_mean"] - sum(map(abs, off)) / len(off)) < 1e-12 and abs(times["off_most"] - max(map(abs, off))) < 1e-12
for one, all_ in ((real, mixed), (replay, mixed)):
    for want in one["files"]:
        got = [f for f in all_["files"] if (f["point_id"], f["replayed"]) == (want["point_id"], want["replayed"])]
        assert len(got) == 1, (want["path"], len(got))
        for key in want:
            a, b = want[key], got[0][key]
            if key in ("path", "reference", "partner") and want["replayed"]: a = "replay.json: " + a
            assert a == b, (want["path"], key, a, b)
assert len(mixed["points"]) == len(real["points"]) + len(alone["points"]) == 8
for want in real["points"] + alone["points"]: # runs and replays have a curve each
    got = [p for p in mixed["points"] if all(p[k] == want[k] for k in ("method", "n", "alpha", "rounds"))]
    assert got == [want], (want, got)
for p in mixed["points"]:
    f, = (f for f in mixed["files"] if all(f[k] == p[k] for k in ("method", "n")) and f["alpha"] == (p["alpha"] or 0))
    s = f["speedup"]
    assert p["speedup_kind"] == s["kind"] and (p["speedup"] == s["value"] or abs(p["speedup"] / s["value"] - 1) < 1e-12), (p, s)
PYTHON

# ---- bytes that are no text ----
odd=$'caf\xe9.h5'
cp every.h5 "$odd"
"$SPECREJ" replay "$odd" --set "rounds=every 16" --json >odd.json 2>log || fail "replay of a name that is no UTF-8"
"$SPECREJ" inspect "$odd" --json >odd-inspect.json 2>log || fail "inspect of a name that is no UTF-8"
"$SPECREJ" report "$odd" --json >odd-report.json 2>log || fail "report of a name that is no UTF-8"
python3 - <<'PYTHON' || fail "JSON of a name that is no UTF-8"
import json
for name, path in (("odd", lambda r: r["recorded"]), ("odd-inspect", lambda r: r["path"]), ("odd-report", lambda r: r["files"][0]["path"])):
    assert path(json.load(open(f"{name}.json"))) == "caf\ufffd.h5", name
PYTHON

python3 - <<'PYTHON' || fail "damaging replay.json"
import json
def damage(name, change):
    r = json.load(open("replay.json"))
    change(r, r["report"]["points"][1])
    json.dump(r, open(f"damaged-{name}.json", "w"))
def put(o, key, value): o[key] = value
damage("kind", lambda r, p: put(r, "kind", "report"))
damage("report", lambda r, p: r.pop("report"))
damage("columns", lambda r, p: r["report"]["columns"].pop())
damage("points", lambda r, p: put(r["report"], "points", []))
damage("job", lambda r, p: put(p, "job", "alfa: 1\n"))
damage("prompts", lambda r, p: p["prompts"].pop())
damage("order", lambda r, p: r["report"]["prompts"].reverse())
damage("row", lambda r, p: p["prompts"][2].pop())
damage("winner", lambda r, p: put(p["prompts"][2], 2, 64))
damage("lost", lambda r, p: put(p["prompts"][2], 13, "0" * 16))
damage("digits", lambda r, p: put(p["prompts"][2], 13, "0"))
damage("best", lambda r, p: put(p["prompts"][2], 3, None))
damage("spread", lambda r, p: put(p["prompts"][2], 4, 1e6))
def subsets(r): return next(p["subsets"] for p in r["report"]["points"] if "subsets" in p)
damage("draws", lambda r, p: put(subsets(r), "draws", 0))
damage("limits", lambda r, p: put(subsets(r)["best_reward"], 1, 1e6))
damage("three", lambda r, p: subsets(r)["share_kept"].pop())
damage("tokens", lambda r, p: put(p["prompts"][2], 9, -1))
text = open("replay.json").read()
open("damaged-cut.json", "w").write(text[:len(text) // 2])
open("damaged-empty.json", "w").write("{}")
PYTHON
# damaged NAME EXPECTED: one line that names the file and says what is wrong; status 2.
damaged() {
    local status=0
    "$SPECREJ" report bon64.h5 "damaged-$1.json" >out 2>log || status=$?
    [ $status = 2 ] || fail "status $status, not 2: $1"
    [ "$(wc -l <log)" = 1 ] && [ ! -s out ] || fail "not one line: $1"
    grep -qF "damaged-$1.json" log && grep -qF -- "$2" log || fail "no '$2': $1"
}
damaged kind "not of specrej replay"
damaged empty "not of specrej replay"
damaged report "it is missing; write it again: specrej replay"
damaged columns "not those of this program"
damaged points "it has no points"
damaged job "report.points[1]: 'job': job:1: unknown key 'alfa'"
damaged prompts "not a list of 6, one for each prompt"
damaged order "growing row numbers"
damaged row "report.points[1].prompts[2]: it is not a list of 14 values"
damaged winner "'winner' is 64, not from 0 to"
damaged lost "its winner is not among the complete"
damaged digits "a digit for each four candidates"
damaged best "'best' is not a number"
damaged spread "not in order"
damaged tokens "'tokens_generated' is below 0"
damaged draws "'subsets' has no whole number of 'draws'"
damaged limits "'subsets': 'best_reward' is not a mean and the limits"
damaged three "'subsets': 'share_kept' is not a mean and the limits"
damaged cut "not valid JSON"
echo "report takes a replay's points, and refuses damaged ones"

# refused EXPECTED ARGUMENTS...: exit status 2, a message with EXPECTED in it, no output.
refused() {
    local expected=$1 status=0
    shift
    "$SPECREJ" replay "$@" >out 2>log || status=$?
    [ $status = 2 ] || fail "status $status, not 2: replay $*"
    grep -qF -- "$expected" log || fail "no '$expected' in the answer to: replay $*"
    [ ! -s out ] || fail "output before the error: replay $*"
}
refused "were not recorded: 20, 60 (recorded: 8, 16, 24, 32 and 7 more)" every.h5 --set "rounds=at 20, 60"
refused "there is best_of_n:64; 'speculative_rejection:64,alpha=" every.h5 --set "rounds=every 16" --reference 16
refused "'best' is no method" every.h5 --set "rounds=every 16" --reference best:16
refused "with --nearest" pages.h5 --set "rounds=every 32"
refused "nothing was recorded before" pages.h5 --set "rounds=at 10" --nearest
refused "(recorded: none)" bon64.h5 --set "rounds=at 10"
refused "rejects candidates" real2.h5
refused "cannot change 'seed'" pages.h5 --set seed=8
refused "cannot change 'sampling.top_k'" pages.h5 --set "sweep.sampling.top_k=[1, 2]"
refused "more than the 64 candidates" pages.h5 --set n=65
refused "whether it fits is not known" pages.h5 --set budget_tokens=9999999
budget=$("$SPECREJ" inspect pages.h5 | sed -n 's/^  budget *\([0-9]*\) KV tokens.*/\1/p')
refused "whether it fits is not known" pages.h5 --set budget_tokens=$((budget + 16))
# Budgets count in whole pages: a job's own number is what it ran with, a multiple of 16 or not.
"$SPECREJ" replay pages.h5 -q --set budget_tokens=$((budget + 15)) >out.txt 2>log || fail "a budget of $budget and a part of a page"
refused "alpha" pages.h5 --set alpha=2
refused "cannot change 'alfa'" pages.h5 --set alfa=0.5
refused "needs one" pages.h5 every.h5
refused "No such file" nowhere.h5
run 1 best.h5 dataset.limit=1 score_at=pages record.candidates=best
refused "record.candidates: all" best.h5

"$SPECREJ" replay pages.h5 --set "rounds=every 32" --nearest >out 2>log || fail "replay --nearest"
grep -q "approximate" out || fail "nothing says approximate"
"$SPECREJ" replay pages.h5 --set "sweep.alpha=[0.3, 0.5]" --set n=32 --reference speculative_rejection:32,alpha=0.3 \
    -o rejection.csv 2>log || fail "replay --reference: $(cat log)"
python3 - <<'PYTHON' || fail "the CSV of another reference"
import csv
rows = list(csv.DictReader(open("rejection.csv")))
assert {r["reference"] for r in rows} == {"speculative_rejection:32,alpha=0.3,rounds=memory"}, rows[0]
own, = (r for r in rows if r["method"] != "best_of_n" and r["alpha"][:3] == "0.2" or r["alpha"] == "0.3")
assert float(own["improvement_score"]) == 100 and float(own["relative_compute_model"]) == 1, own
PYTHON
"$SPECREJ" replay pages.h5 --set "sweep.alpha=[0.3, 0.5]" --set n=32 --set budget_tokens=1200 --subsets 8 -o sub.csv 2>log ||
    fail "replay --subsets"
"$SPECREJ" replay pages.h5 --set "sweep.alpha=[0.3, 0.5]" --set n=32 --set budget_tokens=1200 --subsets 8 -o again.csv 2>log
cmp sub.csv again.csv || fail "other subsets of the same file"
python3 - <<'PYTHON' || fail "the CSV"
import csv
rows = list(csv.DictReader(open("sub.csv")))
assert {r["budget_tokens"] for r in rows if r["method"] != "best_of_n"} == {"1200"}
assert [r["method"] for r in rows] == ["best_of_n", "best_of_n", "speculative_rejection", "speculative_rejection"]
for r in rows:
    assert r["exact"] == "1" and float(r["flops"]) > 0 and float(r["bytes"]) > 0
    if r["n"] == "64": assert r["subsets_best_reward"] == ""; continue
    low, mean, high = (float(r["subsets_best_reward" + s]) for s in ("_low", "", "_high"))
    assert low < mean < high
    assert r["method"] != "best_of_n" or float(r["subsets_share_kept"]) == 1
PYTHON
echo "the verb: all as expected"
