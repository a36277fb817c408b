#!/bin/bash
# kill -9 at random moments: of jobs on 1, 2 and 4 ranks that split prompts or candidates, with tensor groups, prompts
# in flight and a judge; of a rank, of all ranks, of mpirun, of everything.  After each the file opens and holds what it
# held before and more, bit for bit that of the undisturbed job; after some the job is continued to its end.
#   bash test_kill_random.sh [KILLS [SEED]]     KILLS: of jobs that were running; SEED: of all that is drawn
# KILL_LOG=FILE: a line for each kill is added to it: layout, method, ranks, victim, phase, prompts that this start committed.
source "$(dirname "$0")/killing.sh"
kills=${1:-9}
RANDOM=${2:-1}
log=${KILL_LOG:-$work/kills}
tiny_job
total=30 # prompts; fewer for tensor groups, whose ranks wait for each other at every layer
prompts $total >prompts.jsonl

# Layouts: RANKS that it may have, then keys.  A file is continued on any of its RANKS.
layouts=("1 overlap=3" "1 overlap=1")
has_mpi && layouts=("124 overlap=3" "241 parallel.split=candidates" "24 parallel.tensor=2 overlap=3" "241 overlap=1"
    "42 parallel.tensor=2 parallel.split=candidates" "24 parallel.tensor=2")
methods=(every memory judged best)
declare -A keys=(
    [every]="method=speculative_rejection rounds=every_16"
    [memory]="method=speculative_rejection rounds=memory budget_tokens=480"
    [judged]="method=speculative_rejection rounds=every_16 judge.path=reward judge.weights=random"
    [best]="method=best_of_n")
context=256 # of the tiny models

# set_keys METHOD KEYS...: of a job, as `start` and `run` take them, in `set`.
set_keys() {
    local words=(n=16 sampling.max_new_tokens=32 min_round_tokens=16 "dataset.limit=$total")
    # shellcheck disable=SC2206
    words+=(${keys[$1]} "${@:2}")
    set=("${words[@]//every_/every }")
}

# reference_of METHOD TENSOR: the undisturbed file, made when it is first asked for.
reference_of() {
    reference=reference-${1/judged/every}-$2.h5
    [ -e "$reference" ] && return
    set_keys "${1/judged/every}" "parallel.tensor=$2" # of `total` prompts
    run "$2" "$reference" "${set[@]}"
    [ "$1" != memory ] || check rounds "$reference" memory
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# How long a job takes on so many ranks, and how long until it has its file.
declare -A length_ms start_ms
measure() {
    local begin total=30
    [ -n "${length_ms[$1]:-}" ] && return
    rm -f measured.h5*
    set_keys every overlap=1
    start "$1" measured.h5 "${set[@]}"
    begin=$(now_ms)
    "${command[@]}" >log 2>&1 &
    until [ -e measured.h5 ]; do kill -0 $! 2>/dev/null || fail "it ended without a file" && sleep 0.01; done
    start_ms[$1]=$(($(now_ms) - begin))
    wait $! || fail "status $? of: ${command[*]}"
    length_ms[$1]=$(($(now_ms) - begin))
}

# phase FILE: what the job was doing, by what it says itself.
phase() {
    local said=$1.status.json
    [ "$said" -nt started ] || { echo starting && return; }
    grep -q '"state":"judging"' "$said" && echo judging || echo working
}

# kill_them VICTIM JOB PIDS...: 1: there was nothing to kill.
kill_them() {
    local victim=$1 job=$2
    shift 2
    case $victim in
        rank) kill -9 "${@:dice[4] % $# + 1:1}" ;;
        ranks) kill -9 "$@" ;;
        launcher) kill -9 "$job" ;;
        all) kill -9 "$job" "$@" ;;
    esac 2>/dev/null
}

# gone PIDS...: no rank outlives its launcher for long.  (A dead one may wait for a parent that takes note of it.)
gone() {
    local pid waited=0
    for pid; do
        while ps -p "$pid" -o stat= | grep -qv '^Z'; do
            [ $waited -lt $((patience * 10)) ] || fail "a rank still runs $patience s after mpirun was killed"
            sleep 0.1
            waited=$((waited + 1))
        done
    done
}

# look: what must hold of the file whenever its job is gone.
look() {
    local there
    [ -e killed.h5 ] || [ ! -e before.h5 ] || fail "the file is gone"
    readable killed.h5 "$reference"
    [ ! -e before.h5 ] || check part killed.h5 before.h5 # nothing is lost
    there=$(committed killed.h5)
    [ "$there" -ge "$seen" ] || fail "a reader saw $seen prompts before the kill, now there are $there"
    new=$((there - had)) had=$there
    [ ! -e killed.h5 ] || cp killed.h5 before.h5
}

# roll: what is drawn for one start, the same for the same seed whatever became of those before.
roll() { dice=($RANDOM $RANDOM $RANDOM $RANDOM $RANDOM $RANDOM); }

# next_file: another layout and method; the last file must be whole.
complete=0 files=0
next_file() {
    if [ $files -gt 0 ]; then
        set_keys "$method" "${layout[@]:1}"
        run "${layout[0]:0:1}" killed.h5 "${set[@]}"
        check same "$reference" killed.h5
        [ "$method" != judged ] || [ "$(check judged killed.h5 $context)" = 0 ] || fail "it was not judged as it must be"
        complete=$((complete + 1))
        rm -f killed.h5* before.h5
    fi
    read -ra layout <<<"${layouts[files % ${#layouts[@]}]}"
    method=${methods[(files / ${#layouts[@]} + files) % ${#methods[@]}]}
    tensor=1 total=30
    [[ ${layout[*]} != *tensor=2* ]] || tensor=2 total=10
    reference_of "$method" $tensor
    deaths=$((1 + dice[5] % 6)) whole=no had=0 seen=0 files=$((files + 1))
}

# moment RANKS JOB: wait for it.  Every other one is anywhere between the first process and the end, the rest while the
# job works: starting takes most of the time of so small a job.
moment() {
    local left=$((total - had)) start=${start_ms[$1]}
    if [ $((dice[3] / 4 % 2)) = 1 ]; then
        start=0
        while [ "$(phase killed.h5)" = starting ] && kill -0 "$2" 2>/dev/null; do sleep 0.01; done
    fi
    [ "$method" != judged ] || left=$((left + total / 3)) # the judge comes after the prompts
    sleep "$(awk -v s="$start" -v l=$((length_ms[$1] - start_ms[$1])) -v left=$left -v n=30 -v r="${dice[0]}" \
        'BEGIN { printf "%.3f", (s + l * left / n) * r / 32768 / 1000 }')"
}

# attempt: one start, killed at some moment of it; 1: it was done before, or not yet there.
victims=(rank all rank ranks rank all launcher rank)
attempt() {
    local job pids victim ranks phase new=0 began hangs=$launcher_hangs
    roll
    ranks=${layout[0]:dice[1] % ${#layout[0]}:1} victim=${victims[dice[2] % ${#victims[@]}]}
    [ "$ranks" -gt 1 ] || victim=rank
    measure "$ranks"
    set_keys "$method" "${layout[@]:1}"
    start "$ranks" killed.h5 "${set[@]}"
    touch started
    "${command[@]}" >log 2>&1 &
    job=$!
    moment "$ranks" $job
    [ $((dice[3] % 4)) != 0 ] || seen=$(committed killed.h5) # not always: it takes time
    mapfile -t pids < <(ranks_of $job "$ranks")
    phase=$(phase killed.h5) began=$SECONDS
    if [ ${#pids[@]} = 0 ] || ! kill_them "$victim" $job "${pids[@]}"; then
        wait $job || fail "status $? of: ${command[*]}"
        whole=yes
    elif finish $job; then # its work was done: only its entry in the process table was left
        whole=yes
    else
        [ $launcher_hangs != "$hangs" ] || [ $((SECONDS - began)) -le $slowest ] || slowest=$((SECONDS - began))
        gone "${pids[@]}"
    fi
    look
    [ $whole = no ] || return 1
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "${layout[*]:1}" "$method" "$ranks" "$victim" "$phase" "$new" >>"$log"
}

hits=0 missed=0 slowest=0
roll
next_file
while [ $hits -lt "$kills" ]; do
    [ $missed -lt $((3 * kills + 20)) ] || fail "only $hits of $kills kills met a running job"
    if attempt; then hits=$((hits + 1)) deaths=$((deaths - 1)); else missed=$((missed + 1)); fi
    [ $deaths -gt 0 ] && [ $whole = no ] || next_file
done
next_file
awk -F'\t' '{ n[$5]++; sum += $6 } END { printf "%d prompts committed by starts that were killed; killed while", sum
    for (p in n) printf " %s: %d", p, n[p]; print "" }' "$log"
echo "$hits kills ($missed more found nothing to kill), $complete files completed after them: no prompt lost, doubled or" \
    "changed; a job ended at most $slowest s after its victim; mpirun itself hung $launcher_hangs times"
