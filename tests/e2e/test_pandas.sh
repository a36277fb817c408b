#!/usr/bin/env bash
# The examples of results/README.md and README.md run as they stand there; the tables of the former describe every field
# of src/trace/format.h and of a real result file, with the units that stand in the file.
set -euo pipefail
: "${SPECREJ:?path of the program}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readme=$here/../../results/README.md
command -v python3 >/dev/null || { echo "needs python3" && exit 77; }
python3 "$here/result_fields.py" "$here/../../src/trace/format.h" "$readme"
python=
for p in ${PYTHON:-} python3 /usr/bin/python3; do
    if "$p" -c 'import h5py, pandas' 2>/dev/null; then python=$p && break; fi
done
[ -n "$python" ] || { echo "SKIPPED: no python3 with h5py and pandas, so the examples did not run" && exit 77; }
export OMP_NUM_THREADS=1 OMPI_MCA_ess_singleton_isolated=1 # a rank alone starts no daemon
work=$(mktemp -d "${TMPDIR:-/tmp}/pandas.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMPI_MCA_orte_tmpdir_base=$work # two such ranks at once need a folder each
"$python" "$here/verbs_models.py" .
"$SPECREJ" run same.yaml -q --set output=FILE.h5 2>log || { cat log && exit 1; }

example() { sed -n '/^```python$/,/^```$/p' "$1" | grep -v '^```'; }
example "$here/../../README.md" >first.py
point=$(grep -o 'demo/[0-9a-f]*\.h5' first.py)
grep -q "$point" <<<"$("$SPECREJ" sweep "$here/../../jobs/demo/demo.yaml")" || { echo "FAIL: README.md names $point" && exit 1; }
mkdir demo && cp FILE.h5 "$point"
"$python" first.py >printed
grep -q "^prompt_index" printed
example "$readme" >example.py
[ "$(wc -l <example.py)" = 8 ]
"$python" example.py >printed
cat printed
cat >>example.py <<'PYTHON'
import re, sys
assert len(winners) == 4 and (winners.reward == prompts.best_reward[prompts.best_candidate >= 0].values).all()
assert (winners.reward == candidates[candidates.status != 2].groupby("prompt_index").reward.max().values).all()
c = next(c for c in candidates.itertuples() if c.text_length > 0)
assert len(f["text"][c.text_offset : c.text_offset + c.text_length].tobytes().decode()) == c.text_length
text = open(sys.argv[1]).read()
for name, table in [(None, f.attrs), *((k, f[k].dtype.names or ()) for k in f)]:
    part = re.search(r"^## Attributes.*?(?=^## )" if name is None else rf"^## [^\n]*`/{name}`.*?(?=^## |\Z)", text, re.M | re.S)[0]
    described = {word for line in part.splitlines() if line.startswith("| `") for word in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert described == set(table), (name, described ^ set(table))
    if name:
        units, descriptions = (f[name].attrs[key].astype(str) for key in ("units", "description"))
        assert units.shape == descriptions.shape == ((len(table),) if table else ()) and all(descriptions.ravel()), name
        rows = [line.split("|") for line in part.splitlines() if line.startswith("| `")]
        said = {word: row[3].strip() for row in rows for word in re.findall(r"`(\w+)`", row[1])}
        assert dict(zip(table, units.ravel())) == said, (name, units, said)
    for field in f[name].dtype.names or () if name else ():
        for word in (__import__("h5py").check_enum_dtype(f[name].dtype[field]) or {}):
            row = next(line for line in part.splitlines() if f"`{field}`" in line)
            assert re.search(rf"\b{word}\b", row), (name, field, word)
PYTHON
"$python" example.py "$readme" >/dev/null
echo "results/README.md: the examples run, every field is described"
