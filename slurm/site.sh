# The one place that a site adapts: what sbatch is told, what is loaded, how ranks are started.  Sourced by submit.sh and
# job.sh.  Change this file, or copy it and name the copy in SPECREJ_SITE.  As it stands it works on a cluster with a
# shared file system, a default partition and Open MPI with PMIx.
# shellcheck shell=bash disable=SC2034

# The program, as every node sees it.
# A copy of this file elsewhere names it here.
specrej=${SPECREJ:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/specrej}

# Where the logs go, below the folder that a job is submitted from.
logs=logs

# What sbatch is told of every job; the user's own options come later and win.  A job needs `groups x tensor` ranks, one
# GPU each; all ranks of a group on one node, where NVLink is, when that is possible.
sbatch_options=(
    # --partition=gpu
    # --account=my-project
    # --nodes=1
    # --ntasks-per-node=4
    # --gpus-per-node=4
    # --cpus-per-task=16
    # --mem=0
    # --time=24:00:00
)

# How long before the time limit a job is told to stop.  It needs seconds (prompts in flight are left, to be done again);
# Slurm looks at the clock once a minute or so.
stop_before_s=120

# Before the program starts, on the first node: modules, an environment, or nothing.
prepare() {
    # module load gcc openmpi hdf5 cuda nccl
    # spack env activate "$HOME/specrej/slurm"
    :
}

# Starts "$@" on all ranks.  It ends in `exec`, so that a signal reaches the launcher itself.
launch() {
    exec srun --mpi=pmix "$@"
    # Where Slurm has no PMIx plugin, with an Open MPI that was built with Slurm:
    # exec mpirun "$@"
    # In a container (specrej.def); the host's srun starts it, the host's PMIx connects the ranks:
    # exec srun --mpi=pmix apptainer exec --nv "$HOME/specrej.sif" "$@"
}

# Runs "$@" once, on the first node: job.sh asks the program how far the job is.
alone() {
    "$@"
    # apptainer exec "$HOME/specrej.sif" "$@"
}
