# Shared by the scripts that end jobs before their time: tiny.sh, waiting for the end, and looking at what is left.
#   source "$(dirname "$0")/killing.sh"
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/tiny.sh"
unset GOMP_SPINCOUNT # as people run it
patience=120 # seconds that a job may take to end once one of its ranks is gone; on a busy machine it took 30
# shellcheck disable=SC2034
launcher_hangs=0
with_h5py= # a Python that can read result files by itself; none: only our own reader looks
for python in ${PYTHON:-} python3 /usr/bin/python3; do
    "$python" -c "import h5py" 2>/dev/null && with_h5py=$python && break
done

# finish PID: its exit status; a job that hangs is a failure.  mpirun may hang when all ranks are gone: in Open MPI 4.1
# a rank that dies while it connects, inside MPI_Init, can leave the launcher waiting for a mutex of its own in
# PMIx_server_finalize.  That is counted, and mpirun is ended.
finish() {
    local waited=0 alone=0 # in tenths of a second: since we wait, since mpirun has no rank any more
    while kill -0 "$1" && [ $waited -lt $((patience * 10)) ] && [ $alone -lt 100 ]; do
        sleep 0.1
        waited=$((waited + 1))
        [ $((waited % 10)) != 0 ] || { is_deserted "$1" && alone=$((alone + 10)); } || alone=0
    done 2>/dev/null # bash says here that a process was killed
    if kill -0 "$1" 2>/dev/null; then
        is_deserted "$1" || fail "it still runs after $patience s"
        kill -9 "$1"
        launcher_hangs=$((launcher_hangs + 1))
    fi
    wait "$1" 2>/dev/null
}

# is_deserted PID: it is an mpirun without a process that lives.
is_deserted() {
    [ "$(ps -p "$1" -o comm=)" = mpirun ] && ! ps --ppid "$1" -o stat= | grep -qv '^Z'
}

# ranks_of PID RANKS: the ranks' process ids; without mpirun the process itself.
ranks_of() { if [ "$2" = 1 ]; then echo "$1"; else pgrep -P "$1" -x specrej; fi; }

# One Python for all files, as to start it takes longer than to read one: a path per line, "ok" or what is wrong.
start_h5py() {
    coproc h5py { "$with_h5py" -u -c '
import sys, h5py
def look(path):
    try:
        f = h5py.File(path, "r")
    except OSError:
        f = h5py.File(path, "r", swmr=True)
    with f:
        prompts = f["prompts"][:]
        assert len(set(prompts["prompt_index"])) == len(prompts), "a prompt is there twice"
        for p in prompts:
            rows = f["candidates"][p["first_candidates"]:p["first_candidates"] + p["count_candidates"]]
            assert (rows["prompt_index"] == p["prompt_index"]).all(), "rows of another prompt"
for line in sys.stdin:
    try:
        look(line.strip())
        print("ok")
    except Exception as reason:
        print(repr(reason))
' 2>&1; }
}

# readable FILE REFERENCE: every prompt in it is that of the undisturbed run, by our reader and by h5py.
readable() {
    [ -e "$1" ] || return 0
    check part "$2" "$1"
    "$SPECREJ" inspect "$1" >log 2>&1 || fail "inspect $1"
    [ -n "$with_h5py" ] || return 0
    [ -n "${h5py_PID:-}" ] || start_h5py
    local answer
    echo "$1" >&"${h5py[1]}"
    read -r -t $patience answer <&"${h5py[0]}" && [ "$answer" = ok ] || fail "h5py cannot read $1: ${answer:-}"
}

# committed FILE: how many prompts are in it.
committed() { [ -e "$1" ] && "$COMPARE_RESULTS" verify "$1" 2>/dev/null || echo 0; }
