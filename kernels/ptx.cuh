/* The only inline PTX: one small function per instruction, each with its emulation beside it
 * (tests/gpu_emulation says how that runs).  All need sm_80, or do without where that has none.
 * Layouts are those of the PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix"; lane =
 * thread of the warp, row = lane / 4, column pair = lane % 4. */
#pragma once

#include "backend/e4m3.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>
#include <type_traits>

#ifndef SPECREJ_EMULATED
/* Where a pointer to shared memory points, as the instructions below want it. */
static __device__ __forceinline__ uint32_t ptx_shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

/* d [16, 8] += a [16, 16] b [16, 8], sums in f32; T: __nv_bfloat16 or __half, two to a register
 * (the lower half is the element of the lower index).  All 32 lanes call.
 *   a[0] = a(row, 2 pair + {0, 1})      a[1] = a(row + 8, 2 pair + {0, 1})
 *   a[2] = a(row, 2 pair + 8 + {0, 1})  a[3] = a(row + 8, 2 pair + 8 + {0, 1})
 *   b0 = b(2 pair + {0, 1}, lane / 4)   b1 = b(2 pair + 8 + {0, 1}, lane / 4)
 *   d[0], d[1] = d(row, 2 pair + {0, 1})    d[2], d[3] = d(row + 8, 2 pair + {0, 1}) */
template <typename T>
static __device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4],
                                                    uint32_t b0, uint32_t b1)
{
    static_assert(sizeof(T) == 2, "bf16 or f16");
#ifdef SPECREJ_EMULATED
    gpu::mma_m16n8k16<T>(d, a, b0, b1);
#else
    if constexpr (std::is_same_v<T, __nv_bfloat16>)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory.  Lane i gives the address of row i % 8
 * of matrix i / 8: 16 bytes, aligned to 16.  r[m] = elements (lane / 4, 2 (lane % 4) + {0, 1}) of
 * matrix m.  All 32 lanes call. */
static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
#ifdef SPECREJ_EMULATED
    gpu::ldmatrix_x4(r, row, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(ptx_shared_address(row))
                 : "memory");
#endif
}

/* The same, each matrix transposed: r[m] = elements (2 (lane % 4) + {0, 1}, lane / 4). */
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
#ifdef SPECREJ_EMULATED
    gpu::ldmatrix_x4(r, row, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(ptx_shared_address(row))
                 : "memory");
#endif
}

/* 16 bytes from global to shared memory, past the registers and L1; both aligned to 16.  There only
 * after this thread's cp_async_wait, and for other threads after a barrier behind it.  The
 * emulation copies at once or at the wait, as its seed has it. */
static __device__ __forceinline__ void cp_async_16(void *shared, const void *global)
{
#ifdef SPECREJ_EMULATED
    gpu::copy_async(shared, global, 16);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(ptx_shared_address(shared)),
                 "l"(__cvta_generic_to_global(global))
                 : "memory");
#endif
}

/* The same, or zeros where !valid: then `global` is not read. */
static __device__ __forceinline__ void cp_async_16_or_zero(void *shared, const void *global,
                                                           bool valid)
{
#ifdef SPECREJ_EMULATED
    gpu::copy_async(shared, global, valid ? 16 : 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(ptx_shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
#endif
}

/* Closes this thread's group of copies: those since the last commit. */
static __device__ __forceinline__ void cp_async_commit()
{
#ifdef SPECREJ_EMULATED
    gpu::copy_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Waits until at most `newest` of this thread's groups, the last ones, are under way. */
template <int newest> static __device__ __forceinline__ void cp_async_wait()
{
#ifdef SPECREJ_EMULATED
    gpu::copy_wait(newest);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(newest) : "memory");
#endif
}

/* 16 bytes, aligned to 16, that no thread writes while the kernel runs and that are read once:
 * kept out of L1. */
static __device__ __forceinline__ uint4 load_streaming_16(const void *global)
{
#ifdef SPECREJ_EMULATED
    return gpu::load_16(global);
#else
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(__cvta_generic_to_global(global)));
    return v;
#endif
}

/* Two numbers as e4m3, the first in the lower byte: e4m3_narrow of each (NaN of either sign), which
 * sm_80 has no instruction for. */
static __device__ __forceinline__ uint32_t e4m3_pair(float low, float high)
{
#if defined SPECREJ_EMULATED || __CUDA_ARCH__ < 890
    return e4m3_narrow(low) | static_cast<uint32_t>(e4m3_narrow(high)) << 8;
#else
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
#endif
}
