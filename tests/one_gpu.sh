#!/bin/bash
# A rank of several that share one GPU: NCCL refuses two ranks on a device unless their hosts differ, so each calls
# itself a host of its own, and they talk by sockets.  For tests: each exchange takes milliseconds.
#   mpirun -np 2 one_gpu.sh PROGRAM ...
export NCCL_HOSTID=h${OMPI_COMM_WORLD_RANK:-0} NCCL_MULTI_RANK_GPU_ENABLE=1
export NCCL_NET=Socket NCCL_IB_DISABLE=1 NCCL_SOCKET_IFNAME=lo NCCL_NVLS_ENABLE=0 NCCL_MNNVL_ENABLE=0
export NCCL_MAX_CTAS=2 NCCL_RAS_ENABLE=0 NCCL_ALGO=Ring NCCL_PROTO=Simple
exec "$@"
