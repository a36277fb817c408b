#!/usr/bin/env bash
# GPUs: every rank its own, whether Slurm gives a job's to all ranks of a node or one to each; a second job others.
source "$(dirname "$0")/support.sh"

# The program as the ranks' shell script: what Slurm lets each see.
cat >program <<'SH'
#!/bin/bash
[ "$1" = status ] && echo 0 && exit
echo "sees $SLURMD_NODENAME $SLURM_LOCALID ${CUDA_VISIBLE_DEVICES:-none}"
[ "$3" = hold ] && while [ ! -e go ]; do sleep 0.1; done
exit 0
SH
chmod +x program
demo_job gpus.yaml
two=(--ntasks-per-node=2 --gpus-per-node=2)

# seen NAME: what the ranks of the last job saw.
seen() { sed -n 's/^sees //p' "logs/$1-$job.log" | sort | tr '\n' ';'; }

SPECREJ=$work/program submit --nodes=2 "${two[@]}" -- gpus.yaml
ended COMPLETED 0:0
[ "$(seen gpus)" = "n1 0 0,1;n1 1 0,1;n2 0 0,1;n2 1 0,1;" ] || fail "--gpus-per-node: $(seen gpus)"
SPECREJ=$work/program submit --nodes=2 --ntasks-per-node=2 --gpus-per-task=1 -- gpus.yaml
ended COMPLETED 0:0
[ "$(seen gpus)" = "n1 0 0;n1 1 1;n2 0 0;n2 1 1;" ] || fail "--gpus-per-task: $(seen gpus)"
SPECREJ=$work/program submit --nodelist=n1 --gpus-per-node=1 -- gpus.yaml hold
first=$job
eventually 20 grep -q sees "logs/gpus-$first.log" || fail "the job that holds a GPU does not start"
SPECREJ=$work/program submit --nodelist=n1 --gpus-per-node=1 -- gpus.yaml
ended COMPLETED 0:0
[ "$(seen gpus)" = "n1 0 1;" ] || fail "two jobs on one node: $(seen gpus)"
touch go
job=$first ended COMPLETED 0:0
echo "Slurm's GPUs reach the ranks"
