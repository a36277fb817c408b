#!/usr/bin/env bash
# What `specrej report -o` writes, of a made-up sweep whose names hold markup: every figure as script, SVG, PNG and inside
# the page; the page as a reader and a browser see it (page_check.py); points that are missing, in every form; a machine
# without gnuplot; files that cannot be in one curve.
set -euo pipefail
: "${SPECREJ:?path of the program}" "${MAKE_SWEEP:?path of make_sweep}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || { echo "skipped: needs python3" && exit 77; }
export OMPI_MCA_ess_singleton_isolated=1 # a rank alone starts no daemon
work=$(mktemp -d "${TMPDIR:-/tmp}/specrej-report.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMPI_MCA_orte_tmpdir_base=$work # two such ranks at once need a folder each

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

all=(improvement speedup sawtooth partial lost phases lengths judge subsets)
mkdir files none
"$MAKE_SWEEP" files 12 2 16 64
recorded=$(python3 -c '
import json, os, subprocess, sys
out = subprocess.run([os.environ["SPECREJ"], "report", *sys.argv[1:], "--json"], capture_output=True, check=True).stdout
print(*(f["path"] for f in json.loads(out)["files"] if "score_at" in f["method"]))' files/*.h5)
"$SPECREJ" replay "$recorded" --set "sweep={n: [16, 32], alpha: [0.3, 0.8]}" --set "rounds=at 32, 64, 128, 256" --subsets 20 \
    -o replay.json 2>log || fail "replay: $(cat log)"

# ---- without gnuplot: PATH holds nothing at all ----
PATH=$work/none "$SPECREJ" report files/*.h5 replay.json -o bare >out 2>log || fail "report without gnuplot: $(cat log)"
grep -q "install gnuplot" out || fail "nothing says how to get gnuplot"
grep -q "Install gnuplot" bare/report.html || fail "the page does not say how to get gnuplot"
for name in "${all[@]}"; do
    [ -s "bare/$name.gp" ] || fail "no bare/$name.gp"
    [ ! -e "bare/$name.svg" ] && [ ! -e "bare/$name.png" ] || fail "drawn without gnuplot: $name"
done
python3 "$here/page_check.py" bare/report.html || fail "the page without figures"
echo "without gnuplot: a page, the scripts, and the reason"

# ---- a gnuplot that does not do ----
mkdir fake
printf '#!/bin/sh\nexec /usr/bin/head -c 70000000 /dev/zero\n' >fake/gnuplot
chmod +x fake/gnuplot
status=0
PATH=$work/fake:$PATH "$SPECREJ" report files/*.h5 -o flood >out 2>log || status=$?
[ $status = 2 ] && grep -q "flood/improvement.gp: gnuplot printed more than 64 MiB" log ||
    fail "status $status of a gnuplot that floods: $(cat log)"
[ ! -s out ] || fail "output before the error"

# ---- the command in the page, for a shell to take again ----
mkdir "it's \$HOME"
PATH=$work/none "$SPECREJ" report files/*.h5 -o "it's \$HOME" >out 2>log || fail "report into an odd folder: $(cat log)"
made=$(python3 -c '
import html, re, sys
print(html.unescape(re.search("Made by <code>(.*?)</code>", open(sys.argv[1]).read(), re.S).group(1)))' "it's \$HOME/report.html")
[ "$(eval "set -- $made" && echo "${!#}")" = "it's \$HOME" ] || fail "the command is not what was given: $made"

command -v gnuplot >/dev/null || { echo "skipped from here on: needs gnuplot" && exit 77; }
mkdir home
echo 'exit status 3' >home/.gnuplot # of somebody who draws otherwise: not read
HOME=$work/home "$SPECREJ" report files/*.h5 replay.json -o page >out 2>log || fail "report: $(cat log)"
[ ! -s log ] || fail "a warning: $(cat log)"
if grep -q "not drawn" out; then fail "$(grep "not drawn" out)"; fi
for name in "${all[@]}"; do
    [ -s "page/$name.gp" ] && [ -s "page/$name.svg" ] || fail "$name is not drawn"
    [ "$(head -c 4 "page/$name.png" | tail -c 3)" = PNG ] || fail "page/$name.png is no PNG"
    cmp -s <(cd page && gnuplot "$name.gp" 2>&1) "page/$name.svg" || fail "$name.gp drawn again is another SVG"
    (cd page && gnuplot -c "$name.gp" png 2>&1 | cmp -s - "$name.png") || fail "$name.gp drawn again is another PNG"
done
for phase in prefill generate score comm wait; do
    grep -q ">$phase</tspan>\|> *$phase *<" page/phases.svg || fail "the key lacks $phase"
done
grep -q "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;" page/report.html || fail "the job's name"
grep -q "64&gt; " page/report.html || fail "the files' names"
echo "figures: script, SVG, PNG"

grep -q '^<section aria-labelledby="subsets">' page/report.html || fail "the page lacks the intervals over subsets"
grep -q "Over random subsets of N of the recorded candidates" page/report.md && grep -q "^% Over random subsets" page/report.tex &&
    grep -q "Over random subsets" out || fail "some form does not say what the intervals over subsets are"
python3 - <<'PYTHON' || fail "report does not have the replay's intervals over subsets"
import csv, json
replayed = {f["path"]: f["subsets"] for f in json.load(open("replay.json"))["files"]}
assert sum(v is not None for v in replayed.values()) == 6, replayed # Best-of-16 and 32, four rejecting; 64 is all there is
names = ("best_reward", "share_kept", "winners_survived", "tokens_generated")
rows = list(csv.DictReader(open("page/report.csv")))
assert sum(r["subsets"] == "20" for r in rows) == 6
for r in rows:
    if "replayed" not in r["method"]:
        assert r["subsets"] == r["subsets_best_reward"] == r["subsets_tokens_generated_high"] == "", r
    elif r["subsets"]:
        own = [float(r[f"subsets_{n}{end}"]) for n in names for end in ("", "_low", "_high")]
        assert own in [sum((v[n] for n in names), []) for v in replayed.values() if v], r
        assert float(r["subsets_best_reward_low"]) < float(r["subsets_best_reward"]) < float(r["subsets_best_reward_high"])
PYTHON

browser=() chromium=
for name in chromium chromium-browser google-chrome; do
    [ -n "$chromium" ] || chromium=$(command -v "$name" || true)
done
[ -z "$chromium" ] || browser=(--chromium "$chromium")
[ -z "${SCREENSHOTS:-}" ] || browser+=(--screenshots "$SCREENSHOTS")
python3 "$here/page_check.py" page/report.html "${all[@]}" "${browser[@]}" || fail "the page"
# What the check is worth: pages that are broken in one thing each.  The browser is asked only where no reading tells.
seen=()
broken() {
    local what=$1
    shift
    sed "$@" page/report.html >broken.html
    ! cmp -s broken.html page/report.html || fail "nothing to break: $what"
    if python3 "$here/page_check.py" broken.html "${all[@]}" "${seen[@]}" 2>/dev/null; then fail "not seen: $what"; fi
}
broken "a figure that is not there" 's/id="figure-lost"/id="figure-last"/'
broken "an id twice" "s/id='lost-gpDot'/id='judge-gpDot'/"
broken "something fetched" 's|<link rel="icon" href="data:,"/>|<link rel="icon" href="https://example.org/x.png"/>|'
broken "a table out of reach" 's/<div class="box" tabindex="0"/<div class="box"/'
broken "no text for a drawing" 's/role="img"//'
if [ -n "$chromium" ]; then
    seen=("${browser[@]:0:2}")
    broken "a page too wide" 's|<h2 id="notes">|<h2 id="notes" style="width: 90rem">|'
    broken "no focus" 's/outline: 3px solid/outline: 0 none/'
    broken "an error on the console" 's|</style>|</style><style>@font-face { font-family: x; src: url(gone.woff) } body { font-family: x }</style>|'
    echo "the page: read, and seen in headless $(basename "$chromium")"
else
    echo "the page: read.  SKIPPED: how a browser shows it (needs chromium: bash setup.sh --dev)"
fi

# ---- missing points ----
mkdir some
cp files/*.h5 some/
python3 - some <<'PYTHON'
import json, os, subprocess, sys
folder = sys.argv[1]
files = [os.path.join(folder, f) for f in os.listdir(folder)]
out = subprocess.run([os.environ["SPECREJ"], "report", *files, "--json"], capture_output=True, check=True).stdout
for f in json.loads(out)["files"]:
    if (f["n"], f["alpha"]) == (16, 0.7) or (f["n"], f["alpha"], f["seed"]) == (64, 0.3, 1): os.remove(f["path"])
PYTHON
"$SPECREJ" report some/*.h5 -o some >out 2>log || fail "report: $(cat log)"
"$SPECREJ" report some/*.h5 --json >some/report.json 2>log || fail "report --json"
method="speculative_rejection" rounds="rounds at 32, 64, 128, 256"
for point in "N 16, alpha 0.7, $rounds, seed 0" "N 16, alpha 0.7, $rounds, seed 1" "N 64, alpha 0.3, $rounds, seed 1"; do
    grep -qF "$method, $point" <<<"$(tr -s '\n ' ' ' <out)" || fail "the table does not list: $point"
    grep -qF "$method, $point" some/report.html || fail "the page does not list: $point"
    grep -qF "$method, $point" some/report.json || fail "--json does not list: $point"
    grep -qF "% missing: $method, $point" some/report.tex || fail "the LaTeX rows do not list: $point"
    grep -qF -- "- $method, $point" <<<"$(tr -d '\\' <some/report.md)" || fail "the Markdown does not list: $point"
done
python3 - <<'PYTHON' || fail "the CSV does not list what is missing"
import csv
rows = {(int(r["n"]), float(r["alpha"])): r for r in csv.DictReader(open("some/report.csv")) if r["method"][:9] != "best_of_n"}
assert len(rows) == 8, rows.keys()
for key, row in rows.items():
    missing = {(16, 0.7): "0 1", (64, 0.3): "1"}.get(key, "")
    assert row["missing_seeds"] == missing, row
    assert (row["best_reward"] == "") == (row["seeds"] == "") == (missing == "0 1"), row
PYTHON
echo "missing points: in every form"

# ---- one reference or another; files that cannot be in one curve ----
"$SPECREJ" report files/*.h5 --reference 16 -o other >out 2>log || fail "--reference 16: $(cat log)"
grep -q "Best-of-16 = 100" other/improvement.svg || fail "the figure has another reference"
grep -q "reference  *Best-of-16: files 1-2" out || fail "the table has another reference"
point="speculative_rejection:64,alpha=0.5" name="Speculative Rejection, N 64, alpha 0.5, $rounds"
"$SPECREJ" report files/*.h5 --reference "$point" -o other >out 2>log || fail "--reference $point: $(cat log)"
for form in out other/report.{md,tex,html}; do
    grep -qF "$name" <<<"$(tr -s '\n ' ' ' <"$form")" || fail "$form does not say which reference"
done
grep -qF "reference: Speculative Rejection, N 64, alpha 0.5'" other/improvement.gp || fail "improvement.gp has another reference"
grep -qF "reference: Speculative Rejection, alpha 0.5'" other/speedup.gp || fail "speedup.gp has another reference"
grep -qF "Winners of Speculative Rejection, alpha 0.5" other/report.md || fail "the caption of lost has another reference"
python3 "$here/page_check.py" other/report.html "${all[@]::8}" || fail "the page of another reference"
python3 - "$point" <<'PYTHON' || fail "the CSV of another reference"
import csv, sys
rows = list(csv.DictReader(open("other/report.csv")))
assert all(r["reference"] == sys.argv[1] + ",rounds=at 32, 64, 128, 256" for r in rows), rows[0]
own = [r for r in rows if r["n"] == "64" and r["alpha"] == "0.5"]
assert len(own) == 1 and float(own[0]["improvement_score"]) == 100 and float(own[0]["relative_compute"]) == 1, own
for r in rows: # speedups are along rejection with this alpha, shares of a single sample are not known
    assert r["speedup_kind"] != "none" and r["share_kept"] == "", r
PYTHON
# refused POINT EXPECTED: status 2, no output, one line that says what there is to choose from.
refused() {
    local status=0
    "$SPECREJ" report files/*.h5 --reference "$1" -o nowhere >out 2>log || status=$?
    [ $status = 2 ] && [ ! -s out ] && [ ! -e nowhere ] && [ "$(wc -l <log)" = 1 ] || fail "status $status: --reference $1"
    grep -qF -- "$2" log || fail "no '$2' in the answer to --reference $1: $(cat log)"
}
refused speculative_rejection:16 "needs one of alpha=0.3; alpha=0.5; alpha=0.7; alpha=0.9"
refused static:16 "there is best_of_n:16; score_at:64; best_of_n:64; "
refused speculative_rejection:17,alpha=0.5 "none of these files is"
refused best_of_m:16 "'best_of_m' is no method"
status=0
"$SPECREJ" report files/*.h5 "$here/nothing.h5" -o nowhere >out 2>log || status=$?
[ $status = 2 ] && [ ! -s out ] && [ ! -e nowhere ] || fail "a file that is not there: status $status"
echo "all as expected"
