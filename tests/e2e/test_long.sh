#!/bin/bash
# Very many prompts in one job: no rank's memory grows with their number, the file holds each once and grows by its rows
# alone, what it holds of some is what a job of these alone makes, and the other verbs can read it.
#   bash test_long.sh [PROMPTS]     300; results/hardening.md has 10000
source "$(dirname "$0")/tiny.sh"
: "${HEAP_PROBE_LIBRARY:?path of the library heap_probe}" "${LIMITED:?path of the program limited}"
count=${1:-300}
few=20         # prompts that are run again by themselves
most_blocks=60  # by which a rank's heap may grow: from prompt to prompt it goes up and down
most_bytes=$((9 << 20)) # HDF5 keeps up to 1 MiB of each of eight tables
demo=$(cd "$golden/../../../jobs/demo" && pwd)
tiny_job
prompts "$count" >prompts.jsonl
while cat "$demo/prompts.jsonl"; do :; done 2>/dev/null | head -n "$count" >texts.jsonl
short=(sampling.max_new_tokens=16 n=8)
texts=("${short[@]}" "generator.path=$demo/generator" generator.weights=checkpoint "reward.path=$demo/reward"
    reward.weights=checkpoint dataset.path=texts.jsonl record.text=completed method=speculative_rejection
    "rounds=every 6" overlap=2)
shared=("${short[@]}" parallel.split=candidates method=speculative_rejection rounds=memory budget_tokens=160
    min_round_tokens=8)

# watched RANKS OUT [KEY=VALUE...]: as run; the file `samples` gets what every rank holds all the while (heap_probe.c).
watched() {
    start "$@"
    rm -f samples
    HEAP_PROBE=$work/samples:$work/$2 LD_PRELOAD="$HEAP_PROBE_LIBRARY ${LD_PRELOAD:-}" "${command[@]}" >log 2>&1 ||
        fail "status $? of: ${command[*]}"
}

# flat: what a rank holds must not grow from the first half of the job to the second: neither blocks (a leaked one shows
# after few prompts), nor, beyond what HDF5 keeps of each table, bytes.  Of many prompts also what one costs of the
# processor's time early and late.
flat() {
    sort -s -n -k 1,1 samples | awk -v count="$count" -v most=$most_blocks -v bytes=$most_bytes '
        # The middle one of 99 samples of a column between two shares of the rank`s.
        function middle(column, from, to,    i, k, v, list) {
            for (i = 0; i < 99; i++) {
                v = sample[column, int(n * (from + (to - from) * i / 99))]
                for (k = i; k > 0 && list[k - 1] > v; k--) list[k] = list[k - 1]
                list[k] = v
            }
            return list[49]
        }
        function cost_ms(from, to,    a, b) {
            a = int(n * from)
            b = int(n * to)
            return (sample[4, b] - sample[4, a]) / 1000 / ((sample[5, b] - sample[5, a]) / sample[5, n - 1] * count)
        }
        function rank(    blocks, kib) {
            if (n < 20) { print "only " n + 0 " samples"; exit bad = 1 }
            blocks = middle(2, 0.5, 0.8) - middle(2, 0.1, 0.4)
            kib = (middle(3, 0.5, 0.8) - middle(3, 0.1, 0.4)) / 1024
            printf "a rank holds %d blocks, %d KiB; later %+d, %+d", middle(2, 0.1, 0.4), middle(3, 0.1, 0.4) / 1024, blocks, kib
            if (count >= 1000) printf "; %.2f ms of the processor for a prompt, later %.2f", cost_ms(0.1, 0.3), cost_ms(0.7, 0.9)
            print ""
            if (blocks > most + 0.1 * count || kib * 1024 > bytes + 50 * count) bad = 1
            n = 0
        }
        $5 > 0 { # it has its file
            if ($1 != pid && n) rank()
            pid = $1
            for (i = 2; i <= 5; i++) sample[i, n] = $i
            n++
        }
        END { if (!bad) rank(); exit bad }' || fail "memory grows, or was not seen"
}

# whole FILE [KEY=VALUE...]: every prompt once; the last ones are those of a job of their own.
whole() {
    local file=$1
    shift
    [ "$(check verify "$file")" = "$count" ] || fail "$file does not have $count prompts"
    grep -q "\"state\":\"complete\".*\"prompts\":$count,\"prompts_done\":$count," "$file.status.json" ||
        fail "$(cat "$file.status.json")"
    run 1 few.h5 "$@" "dataset.offset=$((count - few))" dataset.limit=$few
    [ "$(check verify few.h5)" = $few ] || fail "few.h5 does not have $few prompts"
    check part "$file" few.h5
    rm few.h5*
    echo "$file: $count prompts, $(($(stat -c %s "$file") / count)) bytes each"
}

# read_by VERB ARGUMENTS...: it can, in less than 300 MiB.
read_by() {
    "$LIMITED" limits 300 120 "$SPECREJ" "$@" >log 2>&1 || fail "status $? of: $*"
    tail -n 1 limits | awk -v verb="$1" '{ printf "%s: %d MiB, %.2f s of the processor\n", verb, $1, $2 }'
}

# job RANKS FILE [KEY=VALUE...]
job() {
    watched "$@"
    flat
    whole "${@:2}"
}

job 1 ids.h5 "${short[@]}"
ranks=1
has_mpi && ranks=2
job "$ranks" texts.h5 "${texts[@]}"
read_by inspect texts.h5
read_by inspect texts.h5 --prompt $((count - 1))
read_by report texts.h5
read_by export texts.h5 --pick best
! has_mpi || job 2 shared.h5 "${shared[@]}"
