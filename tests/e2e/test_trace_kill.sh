#!/usr/bin/env bash
# Kills the writer of a result file at random moments, and fills its disk: nothing committed may be lost.
#   test_trace_kill.sh [KILLS [FULL_DISKS]]    TRACE_KILL: the program tests/e2e/trace_kill.c
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kills=${1:-12}
full_disks=${2:-8}
program=${TRACE_KILL:?the program trace_kill}
count=150 # prompts of a complete file

work=$(mktemp -d)
probe=
mounted=
finish() {
  touch "$work/stop"
  [ -z "$probe" ] || wait "$probe" 2>/dev/null || true
  [ -z "$mounted" ] || umount "$mounted"
  rm -rf "$work"
}
trap finish EXIT

# A folder for a new file.
generation=0
fresh() {
  generation=$((generation + 1))
  mkdir -p "$work/$generation"
  ln -sfn "$generation" "$work/current"
  folder=$work/$generation
}

# Resume without committing: the file must then hold committed rows alone.
check_resumed() {
  local rc=0
  "$program" write "$1/f.h5" $count 0 "$1/ack" 2>/dev/null || rc=$?
  [ $rc = 0 ] || [ $rc = 75 ]
  "$program" tight "$1/f.h5"
  "$program" verify "$1/f.h5" "$1/ack" >/dev/null
}

python=
for p in ${PYTHON:-} python3 /usr/bin/python3; do
  if "$p" -c 'import h5py' 2>/dev/null; then python=$p && break; fi
done
fresh
if [ -n "$python" ]; then
  "$python" "$here/trace_probe.py" "$work" &
  probe=$!
else
  echo "no python3 with h5py: only this program's own reader is tried"
fi

hit=0
for ((k = 1; k <= kills; k++)); do
  # Short and long sessions, so that opening, committing, closing and copying are all hit.
  commits=$((RANDOM % 4 ? 1000 : RANDOM % 5))
  "$program" write "$folder/f.h5" $count $commits "$folder/ack" 2>/dev/null &
  writer=$!
  sleep "0.$(printf %03d $((RANDOM % 2 ? RANDOM % 400 : RANDOM % 40)))"
  rc=0
  kill -9 $writer 2>/dev/null || true
  wait $writer 2>/dev/null || rc=$?
  [ $rc = 137 ] && hit=$((hit + 1))
  [ $rc = 137 ] || [ $rc = 0 ] || [ $rc = 75 ] || { echo "writer: exit $rc" && exit 1; }
  if [ -e "$folder/f.h5" ]; then
    "$program" verify "$folder/f.h5" "$folder/ack" >/dev/null
    [ $((k % 3)) != 0 ] || check_resumed "$folder"
  fi
  if [ $rc = 0 ] || [ $((k % 10)) = 0 ]; then
    previous=$folder
    fresh
    [ ! -e "$previous/f.h5" ] || check_resumed "$previous"
  fi
done
touch "$work/stop"
if [ -n "$probe" ]; then
  wait "$probe"
  probe=
fi
echo "kill -9: $hit of $kills sessions were killed, $generation files"

# A full disk: a small volume where one can be mounted, else a limit on the file's size.  Every failed write leaves the
# file as it was; with more room the job goes on.
mkdir "$work/disk"
if mount -t tmpfs -o size=1m tmpfs "$work/disk" 2>/dev/null; then mounted=$work/disk; fi
failures=0
for ((k = 1; k <= full_disks; k++)); do
  folder=$work/disk/$k
  mkdir "$folder"
  kib=$((400 + RANDOM % 6000))
  ack=$work/ack.$k # of what is on the small disk, but not on it
  rc=0
  if [ -n "$mounted" ]; then
    mount -o remount,size=${kib}k "$mounted"
    "$program" write "$folder/f.h5" $count 1000 "$ack" 2>"$work/reason" || rc=$?
  else
    (ulimit -f "$kib" && exec "$program" write "$folder/f.h5" $count 1000 "$ack") 2>"$work/reason" || rc=$?
  fi
  [ $rc = 3 ] || { echo "a full disk of $kib KiB: exit $rc" && cat "$work/reason" && exit 1; }
  failures=$((failures + 1))
  if [ -e "$folder/f.h5" ]; then
    "$program" verify "$folder/f.h5" "$ack" >/dev/null
    # Still full: resuming fails, too, and changes nothing.
    if [ -n "$mounted" ]; then
      rc=0
      "$program" write "$folder/f.h5" $count 1000 "$ack" 2>/dev/null || rc=$?
      [ $rc = 3 ] || { echo "resumed on a full disk: exit $rc" && exit 1; }
      "$program" verify "$folder/f.h5" "$ack" >/dev/null
      [ -z "$python" ] || "$python" -c 'import h5py, sys; len(h5py.File(sys.argv[1], "r", swmr=True)["prompts"][:])' "$folder/f.h5"
    fi
  elif [ -s "$ack" ]; then
    echo "prompts were acknowledged, and there is no file" && exit 1
  fi
  [ -z "$mounted" ] || mount -o remount,size=200m "$mounted"
  while rc=0 && "$program" write "$folder/f.h5" $count 1000 "$ack" 2>/dev/null || rc=$?; [ $rc = 75 ]; do :; done
  [ $rc = 0 ]
  "$program" verify "$folder/f.h5" "$ack" >/dev/null
  "$program" tight "$folder/f.h5"
  rm -rf "$folder"
done
echo "full disk: $failures of $full_disks writes failed as they must${mounted:+ (small volume)}, every file was continued"
