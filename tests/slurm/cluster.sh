#!/usr/bin/env bash
# A real Slurm on this machine, for tests: munged, slurmctld and one slurmd per node in a folder of its own, in a tenth of
# a second.  As root it is sealed in namespaces: own network, processes, /dev/shm, and each node has its own host name and
# processes, so that nothing of it can be left behind.  Where that is not allowed, all nodes are the one host, on free
# ports, and what it started is found by its environment.
#   bash cluster.sh run COMMAND...    a cluster for one command; its exit status; 77 when Slurm's programs are not there
#   bash cluster.sh up DIR            a cluster to play with, not sealed; says how to use it
#   bash cluster.sh down DIR          ends it and whatever it started, and removes DIR
# A script that runs under `run` sources this file for node_kill, node_start, ... and finds CLUSTER_DIR, SLURM_CONF.
# CLUSTER_NODES (2), CLUSTER_CPUS per node (8, whatever the machine has), two GPUs per node that are no GPUs.
set -u

cluster_dir=${CLUSTER_DIR:-}
cluster_nodes=${CLUSTER_NODES:-2}
cluster_programs=(munged slurmctld slurmd sbatch srun scontrol squeue sinfo scancel)
PATH=$PATH:/usr/sbin:/sbin
seal=(unshare --fork --pid --kill-child --mount-proc --net --uts --ipc --mount)
node_seal=(unshare --fork --pid --kill-child --mount-proc --uts --ipc --mount)

# Slurm's or another program that is missing.
missing_program() {
    local program
    for program in "${cluster_programs[@]}"; do
        command -v "$program" >/dev/null || { echo "$program" && return; }
    done
    return 1
}

# eventually LIMIT_S COMMAND...: whether it comes true in time.
eventually() {
    local limit_s=$1 end
    end=$(($(date +%s%N) + limit_s * 1000000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s%N)" -lt $end ] || return 1
        sleep 0.1
    done
}

is_sealed() { [ "${CLUSTER_SEALED:-no}" = yes ]; }
node_names() { seq -f 'n%.0f' "$cluster_nodes"; }

is_port_free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first of a run of ports on which nobody listens: the controller's, then one per node.
free_ports() {
    local first i
    is_sealed && echo 16817 && return
    while :; do
        first=$((20000 + RANDOM % 10000))
        for ((i = 0; i <= cluster_nodes; i++)); do is_port_free $((first + i)) || continue 2; done
        echo $first
        return
    done
}

write_config() {
    local port host user node number=0
    port=$(free_ports) host=$(hostname -s) user=$(id -un)
    cat >"$cluster_dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
# A requeued job waits for as long as credentials live; 5 s is the least.
AuthInfo=socket=$cluster_dir/run/munge.sock,cred_expire=5
CredType=cred/munge
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$cluster_dir/state
SlurmdSpoolDir=$cluster_dir/spool/%n
# PMIx's folders of two nodes on one host would collide.
TmpFS=$cluster_dir/tmp-%n
SlurmctldPidFile=$cluster_dir/run/slurmctld.pid
SlurmdPidFile=$cluster_dir/run/slurmd-%n.pid
SlurmctldLogFile=$cluster_dir/log/slurmctld.log
SlurmdLogFile=$cluster_dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$cluster_dir/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
# CPUs as written below, whatever the machine has.
SlurmdParameters=config_overrides
MpiDefault=pmix
ReturnToService=2
KillWait=5
SlurmdTimeout=5
MaxArraySize=1001
GresTypes=gpu
PartitionName=main Nodes=n[1-$cluster_nodes] Default=YES MaxTime=INFINITE State=UP
CONF
    for node in $(node_names); do
        number=$((number + 1))
        is_sealed && host=$node
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + number)) CPUs=${CLUSTER_CPUS:-8}" \
            "RealMemory=1000 Gres=gpu:2" >>"$cluster_dir/slurm.conf"
        # Slurm wants device files; any will do.
        printf 'NodeName=%s Name=gpu File=/dev/%s\n' "$node" null "$node" zero >>"$cluster_dir/gres.conf"
        mkdir -p "$cluster_dir/spool/$node" "$cluster_dir/tmp-$node"
        chmod 1777 "$cluster_dir/tmp-$node"
    done
    echo "CgroupPlugin=cgroup/v1" >"$cluster_dir/cgroup.conf" # not used; without it slurmd looks for one
}

# What every program of the cluster and its user needs; CLUSTER_DIR also marks them as ours.
export_environment() {
    export SLURM_CONF=$cluster_dir/slurm.conf CLUSTER_DIR=$cluster_dir CLUSTER_NODES=$cluster_nodes
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # Two nodes with one host name: Open MPI takes them for one and their shared memory collides.
    is_sealed || export OMPI_MCA_btl=self,tcp
}

# node_start NODE: power and a slurmd; in a sealed cluster a host name and processes of its own, which die with it.
node_start() {
    if is_sealed; then
        (
            CLUSTER_NODE=$cluster_dir/$1 setsid "${node_seal[@]}" bash -c \
                "hostname $1; mount -t tmpfs tmpfs /dev/shm; slurmd -N $1; sleep infinity & wait" >/dev/null 2>&1 &
            echo $! >"$cluster_dir/run/power-$1.pid"
        )
    else
        CLUSTER_NODE=$cluster_dir/$1 slurmd -N "$1"
    fi
}

node_is_idle() { [ "$(timeout 5 sinfo -hN -n "$1" -o %T)" = idle ]; }
cluster_is_idle() { [ "$(timeout 5 sinfo -hNo %T | sort -u)" = idle ]; }

parent_of() { awk '/^PPid:/ { print $2 }' "/proc/$1/status"; }

# marked NAME=VALUE...: ids of the processes that have one of these in their environment, but for us and our parents.
marked() {
    local own=" " pid=$BASHPID
    while [ "$pid" -gt 1 ]; do
        own+="$pid "
        pid=$(parent_of "$pid")
    done
    grep -lzsxF "${@/#/-e}" /proc/[0-9]*/environ | tr -dc '0-9\n' | while read -r pid; do
        case $own in *" $pid "*) continue ;; esac
        [ ! -e "/proc/$pid" ] || echo "$pid" # grep itself is gone
    done
}

# What jobs run on a node: batch scripts, launchers, ranks.
tasks_on() {
    local pid
    for pid in $(marked "SLURMD_NODENAME=$1"); do
        grep -qzsxF "CLUSTER_DIR=$cluster_dir" "/proc/$pid/environ" && echo "$pid"
    done
    return 0
}

# All of a node.  A step's daemon writes its title over its environment, but it is its tasks' parent.
node_processes() {
    local pid parent
    marked "CLUSTER_NODE=$cluster_dir/$1"
    for pid in $(tasks_on "$1"); do
        echo "$pid"
        parent=$(parent_of "$pid")
        [ "$(cat "/proc/$parent/comm")" != slurmstepd ] || echo "$parent"
    done 2>/dev/null
}

# node_kill NODE: it loses its power: slurmd, the steps' daemons and all ranks are gone at once.
node_kill() {
    if is_sealed; then
        kill -9 "$(cat "$cluster_dir/run/power-$1.pid")"
    else
        # shellcheck disable=SC2046  # several ids
        kill -9 $(node_processes "$1") 2>/dev/null
    fi
}

# slurmd_kill NODE: slurmd alone; the steps' daemons and the ranks live on.
slurmd_kill() {
    local pid
    for pid in $(marked "CLUSTER_NODE=$cluster_dir/$1"); do
        [ "$(cat "/proc/$pid/comm")" = slurmd ] && kill -9 "$pid"
    done
    return 0
}

# slurmd_start NODE: after slurmd_kill.
slurmd_start() {
    local inside=()
    if is_sealed; then
        inside=(nsenter --target "$(pgrep -P "$(cat "$cluster_dir/run/power-$1.pid")")" --mount --uts --ipc --pid)
    fi
    CLUSTER_NODE=$cluster_dir/$1 "${inside[@]}" slurmd -N "$1"
}

# By SIGTERM, upon which it saves its state: after a crash it can have forgotten a young job, whose id it then gives to
# another, or can run a finished one again.
controller_stop() {
    local pid
    pid=$(cat "$cluster_dir/run/slurmctld.pid")
    kill "$pid" && eventually 20 test ! -e "/proc/$pid"
}
controller_start() { slurmctld && eventually 20 timeout 5 scontrol ping; }

# ranks_on NODE: process ids of the program's ranks there, as this shell sees them.
ranks_on() {
    local pid
    for pid in $(tasks_on "$1"); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = specrej ] && grep -qzs '^PMIX_RANK=' "/proc/$pid/environ" && echo "$pid"
    done
    return 0
}

cluster_up() {
    mkdir -p "$cluster_dir"/{run,log,state,spool}
    chmod 755 "$cluster_dir" "$cluster_dir/run" # munged refuses what others could change
    head -c 1024 /dev/urandom >"$cluster_dir/munge.key"
    chmod 400 "$cluster_dir/munge.key"
    write_config
    export_environment
    munged --key-file="$cluster_dir/munge.key" --socket="$cluster_dir/run/munge.sock" \
        --pid-file="$cluster_dir/run/munged.pid" --log-file="$cluster_dir/log/munged.log" \
        --seed-file="$cluster_dir/state/munged.seed" || return 1
    slurmctld -i || return 1
    local node
    for node in $(node_names); do node_start "$node"; done
    eventually 20 cluster_is_idle && return
    echo "the cluster did not come up:" >&2
    tail -n 20 "$cluster_dir"/log/*.log >&2
    return 1
}

cluster_down() {
    local pids
    while pids=$(marked "CLUSTER_DIR=$cluster_dir") && [ -n "$pids" ]; do
        # shellcheck disable=SC2086  # several ids
        kill -9 $pids 2>/dev/null
        sleep 0.1
    done
    rm -rf "$cluster_dir"
}

# What is sealed gets a /dev/shm of its own, and a network with an address besides 127.0.0.1, without which the C library
# resolves none at all.
furnish() {
    mount -t tmpfs tmpfs /dev/shm && ip link set lo up && ip link add cluster type bridge &&
        ip addr add 10.78.0.1/24 dev cluster && ip link set cluster up
}

can_seal() {
    [ "$(id -u)" = 0 ] && "${seal[@]}" bash -c "$(declare -f furnish); furnish && ${node_seal[*]} hostname n1" 2>/dev/null
}

run_in_cluster() {
    local program status
    if program=$(missing_program); then
        echo "skipped: no $program on this machine (setup.sh --dev installs Slurm)"
        return 77
    fi
    if [ -z "${CLUSTER_SEALED:-}" ]; then
        can_seal && CLUSTER_SEALED=yes exec "${seal[@]}" bash "${BASH_SOURCE[0]}" run "$@"
        export CLUSTER_SEALED=no
    fi
    cluster_dir=$(mktemp -d "${TMPDIR:-/tmp}/specrej-slurm.XXXXXX")
    trap cluster_down EXIT
    if is_sealed; then
        furnish || return 1
        node_names | sed 's/^/127.0.0.1 /' | cat /etc/hosts - >"$cluster_dir/hosts"
        mount --bind "$cluster_dir/hosts" /etc/hosts
    fi
    cluster_up || return 1
    "$@"
    status=$?
    [ $status = 0 ] || [ $status = 77 ] || tail -n 30 "$cluster_dir"/log/slurm*.log >&2
    return $status
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0
case ${1:-}:$# in
run:1 | up:[!2] | down:[!2]) ;;
run:*)
    shift
    run_in_cluster "$@"
    exit
    ;;
up:2)
    cluster_dir=$(realpath -m "$2")
    cluster_up || exit 1
    echo "export SLURM_CONF=$SLURM_CONF OMPI_MCA_btl=$OMPI_MCA_btl     # and sinfo, sbatch, ... work"
    exit
    ;;
down:2)
    cluster_dir=$(realpath "$2") && [ -e "$cluster_dir/slurm.conf" ] || exit 2
    cluster_down
    exit
    ;;
esac
echo "usage: cluster.sh run COMMAND... | up DIR | down DIR" >&2
exit 2
