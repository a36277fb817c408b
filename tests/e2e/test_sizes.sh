#!/bin/bash
# The ends of every range: prompts of one token and of the whole context, one new token, candidates that all end at their
# first token, one candidate, thousands, many times more than memory holds.
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tiny.sh"
no_daemon
tiny_job
sr=(method=speculative_rejection alpha=0.5 "rounds=every 8")
ranks=(1)
has_mpi && ranks=(1 2)

# ids N: a prompt of N tokens.
ids() { awk -v n="$1" 'BEGIN { line = 5; for (i = 1; i < n; i++) line = line ", " 4 + i * 7 % 120; print "{\"prompt_ids\": [" line "]}" }'; }

# prompts_are FILE COUNT STATUS: so many of the file's prompts have it.
prompts_are() {
    local n
    n=$("$SPECREJ" inspect "$1" --json | grep -o "\"prompts_$3\": [0-9]*")
    [ "${n##* }" = "$2" ] || fail "$1: $n, not $2"
}

# pair NAME RANKS [KEY=VALUE...]: both methods, held against each other and the rules; NAME.h5 is Best-of-N's.
pair() {
    local name=$1 n=$2
    shift 2
    run "$n" "$name.h5" "$@"
    run "$n" "$name-sr.h5" "${sr[@]}" "$@"
    check paired "$name.h5" "$name-sr.h5"
    check rounds "$name-sr.h5"
    echo "$name on $n ranks: pairing holds"
}

# ---- prompts, and what they leave of the context of 256 ----
{ ids 1; ids 2; ids 16; ids 17; ids 232; ids 233; ids 256; ids 300; } >lengths.jsonl
lengths=(dataset.path=lengths.jsonl n=6 sampling.max_new_tokens=24)
pair lengths 1 "${lengths[@]}"
check work lengths.h5 1
prompts_are lengths.h5 5 ok
prompts_are lengths.h5 3 skipped
pair one-token 1 "${lengths[@]}" sampling.max_new_tokens=1
prompts_are one-token.h5 6 ok
pair whole-context 1 "${lengths[@]}" dataset.limit=1 sampling.max_new_tokens=255
if has_mpi; then
    run 2 lengths-2.h5 "${lengths[@]}" "${sr[@]}" parallel.split=candidates
    check same lengths-sr.h5 lengths-2.h5
    pair tensor 2 "${lengths[@]}" parallel.tensor=2
fi

# ---- candidates that end at once: their texts are empty ----
python3 "$here/numerics_models.py" models || fail "numerics_models.py"
ends=(generator.path=models/ends generator.weights=checkpoint n=12 sampling.max_new_tokens=24 dataset.limit=3)
for n in "${ranks[@]}"; do
    for keys in "" parallel.split=candidates reward.cache=none reward.path=self; do
        pair "ends-$n-${keys##*=}" "$n" "${ends[@]}" $keys
        [ "$("$SPECREJ" inspect "ends-$n-${keys##*=}-sr.h5" | grep -c "36 generated")" = 1 ] || fail "$keys: not a token each"
    done
done

# ---- how many ----
pair one 1 n=1 dataset.limit=2
many=(n=4096 dataset.limit=1 sampling.max_new_tokens=24)
pair many 1 "${many[@]}"
run 1 waves.h5 n=1500 dataset.limit=1 sampling.max_new_tokens=24 budget_tokens=320
check paired many.h5 waves.h5
[ "$("$COMPARE_RESULTS" evictions waves.h5)" -gt 0 ] || fail "nothing was evicted"
run 1 static.h5 n=1500 dataset.limit=1 sampling.max_new_tokens=24 budget_tokens=320 batching=static
check same waves.h5 static.h5
run 1 tight.h5 "${sr[@]}" "${many[@]}" alpha=0.9 n=auto rounds=memory min_round_tokens=16 budget_tokens=20480
check paired many.h5 tight.h5
check rounds tight.h5 memory
echo "4096 candidates; 1500 where 16 fit: the same"
