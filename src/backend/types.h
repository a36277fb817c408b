/* Numbers and sizes that host and kernels share; C and CUDA both include it. */
#pragma once

#include <stdint.h>

#define PAGE_TOKENS 16 /* tokens of a KV page */

/* FP8: e4m3.h. */
enum dtype { DTYPE_NONE, DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16, DTYPE_ID_FP8 };

enum activation { ACT_SILU, ACT_GELU_TANH, ACT_RELU };

/* A KV page, and memory that holds it in one piece, aligned to 16 bytes. */
struct kv_place {
    void *p;
    int32_t page;
};
