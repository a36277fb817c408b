#!/usr/bin/env bash
# The demo's job on two of its prompts: different tokenizers for generator and reward model, both methods, two ranks, the
# report.  What Speculative Rejection completed must be what Best-of-N wrote, with the same reward bits.
set -euo pipefail
unset GOMP_SPINCOUNT # as people run it
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

run() {
    mpirun --oversubscribe -np 2 "$SPECREJ" run "$here/../../jobs/demo/demo.yaml" -q --set sweep={} --set dataset.limit=2 \
        --set n=24 --set budget_tokens=480 --set "output=$1.h5" --set "method=$1"
}
run best_of_n
run speculative_rejection
"$COMPARE_RESULTS" paired best_of_n.h5 speculative_rejection.h5
"$COMPARE_RESULTS" rounds speculative_rejection.h5 memory
"$SPECREJ" report best_of_n.h5 speculative_rejection.h5 >report.txt
grep -q 'reference  *Best-of-24' report.txt
"$SPECREJ" inspect speculative_rejection.h5 --prompt 0 >story.txt
grep -q memory story.txt

# The saw-tooth that the report draws from the candidates' lengths is what the run measured: pages in use when each round
# began, and their peak.
"$SPECREJ" report best_of_n.h5 speculative_rejection.h5 -o page >report.txt
if command -v python3 >/dev/null; then
    python3 - <<'PYTHON'
import json, os, re, subprocess
text = open("page/sawtooth.gp").read()
rows = [tuple(map(int, line.split())) for line in re.search(r"\$prompt << END\n(.*?)END", text, re.S)[1].splitlines()]
prompt = re.search(r'title "prompt (\d+)"', text)[1]
command = [os.environ["SPECREJ"], "inspect", "speculative_rejection.h5", "--json", "--prompt", prompt]
story = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
assert max(kv for _, _, kv in rows) == story["kv_peak_tokens"], (rows, story["kv_peak_tokens"])
rounds = [r for r in story["rounds"] if r["trigger"] != "final"]
assert rounds
for r in rounds:
    assert r["live_tokens"] in [kv for t, _, kv in rows if t == r["step"]], (r, rows)
PYTHON
fi
echo "1 passed, 0 failed"
