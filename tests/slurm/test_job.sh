#!/usr/bin/env bash
# One job through sbatch: on one node, on two with tensor 2 and two groups, with srun and mpirun; equal, bit for bit, to
# the same without Slurm.
source "$(dirname "$0")/support.sh"

# ---- what would be submitted ----
demo_job one.yaml
"$slurm/submit.sh" --dry-run --nodes=2 --comment="two words" -- one.yaml --set "rounds=every 8" >dry 2>log || fail "dry run"
grep -q -- "--requeue.*--nodes=2.*'--comment=two words'.*job.sh' 'one.yaml' '--set' 'rounds=every 8'" dry || fail "$(cat dry)"
[ "$(wc -l <dry)" = 1 ] && jobs_gone && [ ! -e logs ] || fail "a dry run did something"
if "$slurm/submit.sh" -- missing.yaml 2>log; then fail "a job file that is not there was submitted"; fi

# ---- one node, and exactly the command of the dry run ----
undisturbed 1 one.yaml
"$slurm/submit.sh" --dry-run --cpus-per-task=2 -- one.yaml >dry
mkdir -p logs
job=$(bash dry) || fail "the printed command fails"
ended COMPLETED 0:0
check same reference/one.h5 one.h5
grep -q "1 rank = 1 group x tensor 1, 2 threads each" "logs/one-$job.log" || fail "not two threads"
grep -q "job $job, start 1: status 0 on n" "logs/one-$job.log" || fail "no last word"
echo "one node"

# ---- two nodes ----
demo_job two.yaml "parallel: {tensor: 2, split: prompts}"
undisturbed 4 two.yaml
submit --nodes=2 --ntasks-per-node=2 -- two.yaml
ended COMPLETED 0:0
check same reference/two.h5 two.h5
"$SPECREJ" inspect two.h5 >log
if is_sealed; then grep -q "4 ranks = 2 groups x tensor 2, 1 threads each, on n1 n2" log || fail "not on two hosts"; fi
echo "two nodes, two groups of tensor 2"

# ---- a site's own file: mpirun, and a program to be found ----
sed 's/exec srun.*/exec mpirun --oversubscribe "$@"/; s/^    :$/    export PREPARED=yes/' "$slurm/site.sh" >site.sh
echo 'sbatch_options=(--nodes=2 --ntasks-per-node=2 --job-name=site)' >>site.sh
rm two.h5
SPECREJ_SITE=site.sh submit -- two.yaml
ended COMPLETED 0:0
check same reference/two.h5 two.h5
[ -s "logs/site-$job.log" ] || fail "the site's options did not come after ours"
echo "mpirun on two nodes"

# ---- the batch script by itself, and what it refuses ----
rm one.h5
job=$(SPECREJ_SITE=$slurm/site.sh sbatch --parsable "$slurm/job.sh" one.yaml)
ended COMPLETED 0:0
check same reference/one.h5 one.h5
job=$(sbatch --parsable "$slurm/job.sh" one.yaml)
ended FAILED 2:0
grep -q "no $work/slurm/site.sh: submit from" "slurm-$job.out" || fail "no clear message"
echo "sbatch slurm/job.sh"
