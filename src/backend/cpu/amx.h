/* What tile_amx.c and chunk_amx.c share of the processor's tiles. */
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <stdint.h>

#define AMX_ISA   "amx-tile,amx-bf16,prfchw" /* the last is older: whoever has the others has it */
#define AMX_ROWS  16                         /* most of a tile */
#define AMX_DEPTH 32                         /* bf16 numbers of a tile's row */

/* What the compiler does not know of the intrinsics: that they read and write memory. */
#define AMX_FENCE __asm__ volatile("" ::: "memory")

/* As the instruction reads it. */
struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
#endif
