#!/usr/bin/env bash
# A sweep as an array: at most two tasks at a time, several points in a task, a point that fails, and submissions of what
# is missing alone; status says how far each point is.
source "$(dirname "$0")/support.sh"

prompts=2 n=16 demo_job sweep.yaml "sweep: {method: [best_of_n, speculative_rejection], seed: [0, 1, 2]}"
sed -i 's,^output:.*,output: "out/%p.h5",' sweep.yaml
undisturbed 1 sweep.yaml
mapfile -t points < <("$SPECREJ" sweep sweep.yaml | cut -d ' ' -f 1)
[ ${#points[@]} = 6 ] || fail "${#points[@]} points"

# sweep ARGUMENTS: of sweep --submit; what it says goes to `log`, the job's id to `job`.
sweep() {
    "$SPECREJ" sweep sweep.yaml --submit "$@" >log 2>&1 || fail "status $? of sweep --submit $*"
    job=$(sed -n 's/^submitted as job \([0-9]*\),.*/\1/p' log)
}
status() { "$SPECREJ" status sweep.sweep >log 2>&1 || fail "status $? of specrej status"; }
running() { timeout 5 squeue -h -t R,CG | wc -l; }
all_same() {
    local point
    for point in "${points[@]}"; do check same "reference/out/$point.h5" "out/$point.h5"; done
    [ "$(find out -name '*.h5' | wc -l)" = 6 ] || fail "other files than those of the points"
}

# ---- two at a time; one point cannot write its file ----
sweep --dry-run --max-running 2
grep -q -- "'--array=0-5%2'" log || fail "no such array would be submitted"
[ ! -e sweep.sweep ] && jobs_gone || fail "a dry run did something"
mkdir -p "out/${points[3]}.h5"
sweep --max-running 2 -- --ntasks=1
most=0 seen=""
until jobs_gone "$job"; do
    now=$(running)
    [ "$now" -le $most ] || most=$now
    [ -n "$seen" ] || [ "$now" = 0 ] || { status && seen=$(cat log); }
    sleep 0.5
done
[ $most = 2 ] || fail "$most tasks ran at a time, not 2"
[[ $seen == *waiting* ]] || { echo "$seen" >log && fail "status while it runs"; }
status
[ "$(grep -c complete log)" -ge 5 ] && grep -q "${points[3]}.*failed" log && grep -q "out/${points[3]}.h5" log ||
    fail "status does not tell five complete from one failed, and why"
echo "an array with a limit; one point failed, the others did not"

# ---- only what is missing ----
rmdir "out/${points[3]}.h5"
sweep
grep -q "6 points: 5 complete, 0 running or waiting, 1 to submit" log || fail "not the missing one"
ended COMPLETED 0:0
all_same
sums=$(sha256sum out/*.h5)
sweep
[ -z "$job" ] && jobs_gone || fail "complete points were submitted"
[ "$(sha256sum out/*.h5)" = "$sums" ] || fail "a complete file was changed"
echo "submitted again: the missing point alone"

# ---- several points in one task ----
rm -r sweep.sweep
find out -type f ! -name "${points[0]}.h5*" -delete
sweep --points-per-task 3
eventually 150 jobs_gone || fail "the array does not end"
all_same
[ "$(find sweep.sweep/logs -name "${job}_*.log" | wc -l)" = 2 ] || fail "not two tasks"
status
grep -q "6 points: 6 complete" log || fail "status of a sweep that was begun elsewhere"
"$SPECREJ" report out/*.h5 >log 2>&1 || fail "report"
echo "three points in a task"
