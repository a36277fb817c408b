/* attention_walk.cuh for bf16. */
#include "attention_launch.cuh"

ATTENTION_INSTANCES(__nv_bfloat16)
