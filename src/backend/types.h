/* Numbers and sizes that host and kernels share; C and CUDA both include it. */
#pragma once

#define PAGE_TOKENS 16 /* tokens of a KV page */

enum dtype { DTYPE_NONE, DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16 };

enum activation { ACT_SILU, ACT_GELU_TANH, ACT_RELU };
