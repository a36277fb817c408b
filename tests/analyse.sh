#!/usr/bin/env bash
# Static analysis of src/: cppcheck, and gcc's -fanalyzer on what the preset release compiles.
#   bash tests/analyse.sh             both
#   bash tests/analyse.sh cppcheck    one: cppcheck or gcc
# What they say and what is no fault stands in tests/analyse.txt: so many times in that file, with its reason.  Exit status
# 1 when they say more than that; what is in the list and no longer said is printed, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

which=${1:-both}
said=$(mktemp)
trap 'rm -f "$said" "$said".*' EXIT

run_cppcheck() {
    cat >"$said.cfg" <<'XML'
<?xml version="1.0"?>
<def format="2"><function name="die"><noreturn>true</noreturn></function></def>
XML
    cppcheck --quiet --library="$said.cfg" --enable=warning,portability --std=c11 -D_GNU_SOURCE -I src \
        --suppress=missingIncludeSystem --template='{file}: {id}: line {line}: {message}' src 2>&1 | sort -u
}

# The commands of the build, with the analyser and without an object.
run_gcc() {
    cmake --preset release >/dev/null
    python3 - <<'PY' | xargs -P "$(nproc)" -I {} sh -c '{} 2>&1' | sed -nE 's/^.*(src\/[^:]*):([0-9]+):[0-9]+: warning: (.*) \[(-Wanalyzer[a-z-]*)\]$/\1: \4: line \2: \3/p' | sort -u
import json, re
for c in json.load(open("build/compile_commands.json")):
    if "/src/" not in c["file"] or not c["file"].endswith(".c"): continue
    command = re.sub(r"^\S*ccache ", "", c["command"])
    command = re.sub(r" -o \S+", " -o /dev/null", command)
    command = re.sub(r" -O3\b| -Werror\b", " ", command)
    print(f'cd {c["directory"]} && {command} -O1 -fanalyzer'.replace('"', '\\"'))
PY
}

# cppcheck takes one processor, the compiler what is left.
cppcheck=
[ "$which" = gcc ] || { run_cppcheck >"$said.cppcheck" & cppcheck=$!; }
[ "$which" = cppcheck ] || run_gcc >"$said"
[ -z "$cppcheck" ] || wait "$cppcheck"
[ "$which" = gcc ] || cat "$said.cppcheck" >>"$said"
# FILE: KIND: COUNT: why
sed -nE 's/^(src[^ ]* [^ ]*): ([0-9]+): .*/\2 \1/p' tests/analyse.txt >"$said.known"
sed -E 's/^(src[^ ]* [^ ]*): line .*/\1/' "$said" | sort | uniq -c >"$said.counts"
failed=0
while read -r n finding; do
    known=$(awk -v f="$finding" '{ k = $1; sub(/^[0-9]+ /, "") } $0 == f { print k }' "$said.known")
    [ "$n" -gt "${known:-0}" ] || continue
    grep -F "$finding: " "$said"
    echo "analyse.sh: $finding: said $n times, ${known:-0} are known" >&2
    failed=1
done <"$said.counts"
if [ $failed = 1 ]; then
    echo "analyse.sh: mend these, or give the reason why they are none in tests/analyse.txt" >&2
    exit 1
fi
[ "$which" != both ] || while read -r known finding; do
    n=$(grep -c -F "$finding: " "$said" || true)
    [ "$n" -ge "$known" ] || echo "tests/analyse.txt: said $n times, not $known: $finding"
done <"$said.known"
echo "analyse.sh: nothing new; $(wc -l <"$said") known"
