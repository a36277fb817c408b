/* attention_walk.cuh for f16. */
#include "attention_launch.cuh"

ATTENTION_INSTANCES(__half)
