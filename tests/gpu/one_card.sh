#!/bin/sh
# one_card.sh COMMAND...: as one of several ranks that share a single GPU, which NCCL up to 2.29 refuses unless the ranks
# seem to be on different hosts.  They then talk over sockets: slow, for tests only.  mpirun -np 2 one_card.sh PROGRAM
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}
export NCCL_HOSTID="specrej-$rank" NCCL_NET=Socket NCCL_IB_DISABLE=1 NCCL_SOCKET_IFNAME=lo NCCL_NVLS_ENABLE=0 \
    NCCL_MNNVL_ENABLE=0 NCCL_MAX_CTAS=2 NCCL_RAS_ENABLE=0 NCCL_ALGO=Ring NCCL_PROTO=Simple \
    NCCL_MULTI_RANK_GPU_ENABLE=1
exec "$@"
