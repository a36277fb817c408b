#include "backend/cpu/tile.h"

#include "backend/cpu/chunk.h"
#include "backend/cpu/cpu.h"

#include <math.h>

static void portable_panel(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                           int64_t ldb, int64_t rows, int64_t k, bool add)
{
    for (int64_t r = 0; r < rows; r++) {
        float sum[TILE_COLS] = {0};
        for (int64_t i = 0; i < k; i++)
            for (int j = 0; j < TILE_COLS; j++)
                sum[j] = fmaf(a[r * lda + i], b[i * ldb + j], sum[j]);
        for (int j = 0; j < TILE_COLS; j++) c[r * ldc + j] = add ? c[r * ldc + j] + sum[j] : sum[j];
    }
}

static void tile_portable(float *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                          int64_t ldb, int64_t panel, int64_t panels, int64_t rows, int64_t k,
                          bool add, const void *next)
{
    (void)next;
    for (int64_t p = 0; p < panels; p++)
        portable_panel(c + p * TILE_COLS, ldc, a, lda, (const float *)b + p * panel, ldb, rows, k,
                       add);
}

CPU_CLONES void round_portable(uint16_t *out, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_round(x[i]);
}

static struct tiles tiles_portable(void)
{
    return (struct tiles){.f32 = tile_portable, .round = round_portable, .rows = 6};
}

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2_ROWS 6 /* 12 sums, two columns of b and one broadcast: 15 of the 16 registers */
_Static_assert(AVX2_ROWS <= TILE_MOST_ROWS, "room is made for TILE_MOST_ROWS");

__attribute__((target("avx2,fma"), always_inline)) static inline void
avx2_rows(const int rows, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
          int64_t ldb, int64_t k, bool add, const float *next)
{
    __m256 sum[AVX2_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (int64_t i = 0; i < k; i++) {
        _mm_prefetch((const char *)(next + i * ldb), _MM_HINT_T1);
        __m256 b0 = _mm256_loadu_ps(b + i * ldb), b1 = _mm256_loadu_ps(b + i * ldb + 8);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(a + r * lda + i);
            sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        float *out = c + r * ldc;
        if (add) {
            sum[r][0] = _mm256_add_ps(_mm256_loadu_ps(out), sum[r][0]);
            sum[r][1] = _mm256_add_ps(_mm256_loadu_ps(out + 8), sum[r][1]);
        }
        _mm256_storeu_ps(out, sum[r][0]);
        _mm256_storeu_ps(out + 8, sum[r][1]);
    }
}

__attribute__((target("avx2,fma"))) static void avx2_panel(float *c, int64_t ldc, const float *a,
                                                           int64_t lda, const float *b, int64_t ldb,
                                                           int64_t rows, int64_t k, bool add,
                                                           const float *next)
{
    for (; rows >= AVX2_ROWS; rows -= AVX2_ROWS, a += AVX2_ROWS * lda, c += AVX2_ROWS * ldc)
        avx2_rows(AVX2_ROWS, c, ldc, a, lda, b, ldb, k, add, next);
    switch (rows) {
    case 1:
        avx2_rows(1, c, ldc, a, lda, b, ldb, k, add, next);
        break;
    case 2:
        avx2_rows(2, c, ldc, a, lda, b, ldb, k, add, next);
        break;
    case 3:
        avx2_rows(3, c, ldc, a, lda, b, ldb, k, add, next);
        break;
    case 4:
        avx2_rows(4, c, ldc, a, lda, b, ldb, k, add, next);
        break;
    case 5:
        avx2_rows(5, c, ldc, a, lda, b, ldb, k, add, next);
        break;
    default:
        break;
    }
}

static void tile_avx2(float *c, int64_t ldc, const void *a, int64_t lda, const void *b, int64_t ldb,
                      int64_t panel, int64_t panels, int64_t rows, int64_t k, bool add,
                      const void *next)
{
    for (int64_t p = 0; p < panels; p++)
        avx2_panel(c + p * TILE_COLS, ldc, a, lda, (const float *)b + p * panel, ldb, rows, k, add,
                   (const float *)next + p * panel);
}

struct tiles tiles_choose(enum isa isa)
{
    if (isa == ISA_PORTABLE) return tiles_portable();
    if (isa == ISA_AVX2)
        return (struct tiles){.f32 = tile_avx2, .round = round_portable, .rows = AVX2_ROWS};
    bool pairs = isa >= ISA_AVX512_BF16, amx = isa >= ISA_AMX;
    return (struct tiles){.f32 = tile_f32_avx512,
                          .bf16 = !pairs ? NULL
                                  : amx  ? tile_bf16_amx
                                         : tile_bf16_avx512,
                          .round = pairs ? round_avx512 : round_portable,
                          .chunk = pairs ? &chunk_avx512 : NULL,
                          .deep = amx ? &chunk_amx : NULL,
                          .rows = TILE_ROWS_AVX512,
                          .chunk_bf16 = amx ? TILE_MOST_CHUNK : TILE_CHUNK};
}
#else
struct tiles tiles_choose(enum isa isa)
{
    (void)isa;
    return tiles_portable();
}
#endif
