#!/bin/bash
# Points that one start of the program runs one after the other give what each gives alone; models stay loaded between
# points that use the same ones, and only then.
source "$(dirname "$0")/tiny.sh"
tiny_job
prompts 3 >prompts.jsonl
mkdir other
config other/config.json LlamaForSequenceClassification 2
sed -i 's,"rope_theta": 10000.0,"rope_theta": 500.0,' other/config.json
sed -i '/^output/d; /^method/d; /^n:/d' job.yaml
cat >>job.yaml <<YAML
n: 16
output: "%n/%p.h5"
sweep: {reward.path: [reward, other, self], method: [best_of_n, speculative_rejection], seed: [1, 2]}
YAML
ranks=1 launch=()
has_mpi && ranks=2 && launch=(mpirun --oversubscribe -np 2)

"${launch[@]}" "$SPECREJ" sweep job.yaml --run >log 2>&1 || fail "status $? of sweep --run"
[ "$(grep -c "; loaded in" log)" = 3 ] || fail "three pairs of models are not loaded once each"
[ "$(grep -c "the models of the point before" log)" = 9 ] || fail "models are not kept"
mv tiny together
mapfile -t ids < <("$SPECREJ" sweep job.yaml | cut -d' ' -f1)
[ ${#ids[@]} = 12 ] || fail "${#ids[@]} points, not 12"
for id in "${ids[@]}"; do
    "${launch[@]}" "$SPECREJ" run job.yaml -q --point "$id" >log 2>&1 || fail "status $? of point $id"
    check same "together/$id.h5" "tiny/$id.h5"
done
echo "12 points in one start on $ranks ranks: the same as 12 starts, models loaded three times"

# ---- several job files: every one is looked at before the first is run ----
sed '/^sweep/d; s,^output.*,output: a.h5,' job.yaml >a.yaml
sed 's,^output.*,output: b.h5,; s,^n: 16,n: 0.5,' a.yaml >b.yaml
"$SPECREJ" run a.yaml b.yaml >log 2>&1
[ $? = 2 ] && grep -q "b.yaml:" log && [ ! -e a.h5 ] || fail "a mistake in the second file is not seen first"
sed -i 's,^n: 0.5,n: 8,' b.yaml
"$SPECREJ" run a.yaml b.yaml >log 2>&1 || fail "status $? of two job files"
grep -q "the models of the point before" log || fail "models are not kept between job files"
[ "$("$SPECREJ" status --done a.yaml b.yaml)" = 6 ] || fail "status --done: $("$SPECREJ" status --done a.yaml b.yaml)"
grep -q "complete *3/3" <<<"$("$SPECREJ" status b.yaml)" || fail "$("$SPECREJ" status b.yaml)"
[ "$("$SPECREJ" status --done job.yaml --point "${ids[0]}" --point "${ids[1]}")" = 6 ] || fail "status --point"
[ "$("$SPECREJ" status job.yaml --point "${ids[2]}" | grep -c complete)" = 2 ] || fail "status shows other points"

# ---- on a terminal: a bar that is drawn over itself, and nothing of it left at the end ----
if command -v script >/dev/null; then
    script -qec "'$SPECREJ' run a.yaml --set output=bar.h5" /dev/null </dev/null >bar.txt || fail "status $? on a terminal"
    tr '\r' '\n' <bar.txt >log
    for line in "tiny [########................] 1/3 prompts, " "tiny [################........] 2/3 prompts, " \
        "tiny [########################] 3/3 prompts, "; do
        [ "$(grep -cF "$line" log)" -ge 1 ] || fail "no '$line' on a terminal"
    done
    grep -q "3/3 prompts, [0-9]* live, [1-9][0-9]* tok/s, ETA 0 ms.\[K$" log || fail "the last bar says otherwise"
    grep -A 1 "3/3 prompts" log | tail -n 1 | grep -q "^.\[K" || fail "the bar is left on the terminal"
    echo "on a terminal: a bar"
else
    echo "on a terminal: skipped, no script(1)"
fi
