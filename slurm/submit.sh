#!/usr/bin/env bash
# Hands a job to Slurm and prints its id.
#   slurm/submit.sh [--dry-run] [sbatch options] -- JOB.yaml [options of specrej run]
#   slurm/submit.sh [--dry-run] [sbatch options] -- --tasks FILE [options of specrej run]     with --array, see job.sh
# sbatch is told, in this order, so that the later wins: what a job of ours needs, what the site says (site.sh, or the
# file that SPECREJ_SITE names), the options given here.  --dry-run prints that command and submits nothing.
set -euo pipefail

fail() {
    echo "submit.sh: $*" >&2
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
site=$(realpath -e "${SPECREJ_SITE:-$here/site.sh}") || fail "SPECREJ_SITE names a file that is not there"
# shellcheck source=slurm/site.sh
source "$site"

dry_run=no options=() log=%j own_log=yes
[ "${1:-}" != --dry-run ] || { dry_run=yes && shift; }
while [ $# != 0 ] && [ "$1" != -- ]; do
    case $1 in
    --array* | -a*) log=%A_%a ;;
    --output* | -o*) own_log=no ;;
    esac
    options+=("$1")
    shift
done
[ $# -ge 2 ] || fail "usage: submit.sh [--dry-run] [sbatch options] -- JOB.yaml [options of specrej run]"
shift
job_file=$1
[ "$1" != --tasks ] || job_file=${2:-}
[ -r "$job_file" ] || [ $dry_run = yes ] || fail "'$job_file' cannot be read"

# Nothing but ALL in --export: with names in it sbatch has slurmd start a login shell for the user's environment, which
# takes its time and lays the profile's over that of the submission.
command=(env "SPECREJ_SITE=$site" sbatch --parsable "--job-name=$(basename "$job_file" .yaml)" "--signal=B:USR1@$stop_before_s" --requeue
    --open-mode=append "--output=$logs/%x-$log.log" --export=ALL
    ${sbatch_options[@]+"${sbatch_options[@]}"} ${options[@]+"${options[@]}"} "$here/job.sh" "$@")
if [ $dry_run = yes ]; then
    printf '%s\n' "${command[*]@Q}"
    exit
fi
[ $own_log = no ] || mkdir -p "$logs" # Slurm does not make it, and a job without its log fails in silence
exec "${command[@]}"
