/* out [T, F] = activation(gate_up[:, 0:F]) * gate_up[:, F:2F].  Computed in f32, rounded once; the
 * cpu's bits in f32. Bytes: three numbers for each of the output. */
#include "kernels.h"
#include "rows.cuh"

#include "base/fmath.h"

#define THREADS 256

static __device__ __forceinline__ float activate(float x, enum activation activation)
{
    switch (activation) {
    case ACT_SILU:
        return x / (1.0f + fm_exp(-x));
    case ACT_GELU_TANH:
        /* sqrt(2 / pi) (x + 0.044715 x^3) */
        return 0.5f * x * (1.0f + fm_tanh(0.79788456f * fmaf(0.044715f * x * x, x, x)));
    default:
        return x < 0.0f ? 0.0f : x; /* ACT_RELU */
    }
}

/* Block: THREADS pieces of 16 bytes of one row of the output. */
template <typename T, bool whole>
static __global__ void glu_kernel(T *out, const T *gate_up, int64_t F, enum activation activation)
{
    constexpr int N = vector_of<T>;
    int64_t t = blockIdx.x;
    int64_t f = (static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x) * N;
    if (f >= F) return;
    float gate[N], up[N];
    load_some<whole>(gate, gate_up + t * 2 * F + f, F - f);
    load_some<whole>(up, gate_up + t * 2 * F + F + f, F - f);
#pragma unroll
    for (int i = 0; i < N; i++) gate[i] = activate(gate[i], activation) * up[i];
    store_some<whole>(out + t * F + f, gate, F - f);
}

extern "C" cudaError_t k_glu(void *out, const void *gate_up, enum dtype act, int64_t T, int64_t F,
                             enum activation activation, cudaStream_t stream)
{
    if (T == 0) return cudaSuccess;
    bool whole = is_whole(F, act) && is_aligned(out) && is_aligned(gate_up);
    return launch_for(act, whole, [&](auto type, auto is_whole) {
        using A = typename decltype(type)::type;
        LAUNCH((glu_kernel<A, decltype(is_whole)::value>),
               grid_of_rows(T, F, THREADS * vector_of<A>), THREADS, 0, stream,
               static_cast<A *>(out), static_cast<const A *>(gate_up), F, activation);
    });
}
