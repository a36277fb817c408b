/* attention_walk.cuh for f32. */
#include "attention_launch.cuh"

ATTENTION_INSTANCES(float)
