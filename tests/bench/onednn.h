/* Products by oneDNN, which the program does not use: ceilings that are not our own kernels'. */
#pragma once

#include "backend/backend.h"

#include <stdint.h>

/* out [M, N] f32 = x [M, K] w [K, N], w in the layout that the library likes best; of numbers
 * without meaning. */
struct onednn;

/* dtype F32 or BF16.  NULL where the library has no kernel. */
struct onednn *onednn_create(enum dtype dtype, int64_t M, int64_t N, int64_t K);
void onednn_run(struct onednn *o);
void onednn_destroy(struct onednn *o);
