#include "bench/onednn.h"

#include "base/check.h"
#include "base/mem.h"
#include "ref/compare.h"

#include <dnnl.h>
#include <dnnl_debug.h>
#include <stdlib.h>

static const char *status_name(int status)
{
    return dnnl_status2str((dnnl_status_t)status);
}
#define DNNL_CHECK(call) CHECK_GEN(call, dnnl_success, status_name)

enum { X, W, OUT, SCRATCHPAD, PARTS };

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t matmul;
    dnnl_memory_t part[PARTS];
    void *data[PARTS]; /* owned */
};

/* NULL where the library has no kernel. */
static dnnl_primitive_desc_t describe(dnnl_engine_t engine, dnnl_data_type_t type, int64_t M,
                                      int64_t N, int64_t K)
{
    dnnl_dims_t x_dims = {M, K}, w_dims = {K, N}, out_dims = {M, N};
    dnnl_memory_desc_t x, w, out;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes;
    dnnl_primitive_desc_t d = NULL;
    DNNL_CHECK(dnnl_memory_desc_init_by_tag(&x, 2, x_dims, type, dnnl_ab));
    DNNL_CHECK(dnnl_memory_desc_init_by_tag(&w, 2, w_dims, type, dnnl_format_tag_any));
    DNNL_CHECK(dnnl_memory_desc_init_by_tag(&out, 2, out_dims, dnnl_f32, dnnl_ab));
    DNNL_CHECK(dnnl_matmul_desc_init(&matmul, &x, &w, NULL, &out));
    DNNL_CHECK(dnnl_primitive_attr_create(&attributes));
    DNNL_CHECK(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (dnnl_primitive_desc_create(&d, &matmul, attributes, engine, NULL) != dnnl_success) d = NULL;
    DNNL_CHECK(dnnl_primitive_attr_destroy(attributes));
    return d;
}

static void fill(void *data, const dnnl_memory_desc_t *d)
{
    size_t bytes = dnnl_memory_desc_get_size(d);
    if (d->data_type == dnnl_f32) fill_random(data, (int64_t)(bytes / sizeof(float)), 1);
    if (d->data_type != dnnl_bf16) return; /* scratchpad */
    size_t n = bytes / sizeof(uint16_t);
    float *x = mem_calloc(n, sizeof *x);
    fill_random(x, (int64_t)n, 1);
    dtype_narrow(data, x, DTYPE_ID_BF16, n);
    free(x);
}

static void part_begin(struct onednn *o, int i, const dnnl_memory_desc_t *d)
{
    size_t bytes = dnnl_memory_desc_get_size(d);
    o->data[i] = mem_try_aligned(bytes + 64);
    if (!o->data[i]) DIE("no memory for %zu bytes", bytes);
    fill(o->data[i], d);
    DNNL_CHECK(dnnl_memory_create(&o->part[i], d, o->engine, o->data[i]));
}

struct onednn *onednn_create(enum dtype dtype, int64_t M, int64_t N, int64_t K)
{
    static const dnnl_query_t queries[PARTS] = {dnnl_query_src_md, dnnl_query_weights_md,
                                                dnnl_query_dst_md, dnnl_query_scratchpad_md};
    struct onednn *o = mem_calloc(1, sizeof *o);
    DNNL_CHECK(dnnl_engine_create(&o->engine, dnnl_cpu, 0));
    DNNL_CHECK(dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order));
    dnnl_primitive_desc_t d =
        describe(o->engine, dtype == DTYPE_ID_BF16 ? dnnl_bf16 : dnnl_f32, M, N, K);
    if (!d) {
        onednn_destroy(o);
        return NULL;
    }
    DNNL_CHECK(dnnl_primitive_create(&o->matmul, d));
    for (int i = 0; i < PARTS; i++)
        part_begin(o, i, dnnl_primitive_desc_query_md(d, queries[i], 0));
    DNNL_CHECK(dnnl_primitive_desc_destroy(d));
    return o;
}

void onednn_run(struct onednn *o)
{
    dnnl_exec_arg_t args[PARTS] = {{DNNL_ARG_SRC, o->part[X]},
                                   {DNNL_ARG_WEIGHTS, o->part[W]},
                                   {DNNL_ARG_DST, o->part[OUT]},
                                   {DNNL_ARG_SCRATCHPAD, o->part[SCRATCHPAD]}};
    DNNL_CHECK(dnnl_primitive_execute(o->matmul, o->stream, PARTS, args));
    DNNL_CHECK(dnnl_stream_wait(o->stream));
}

void onednn_destroy(struct onednn *o)
{
    if (o->matmul) DNNL_CHECK(dnnl_primitive_destroy(o->matmul));
    for (int i = 0; i < PARTS; i++) {
        if (o->part[i]) DNNL_CHECK(dnnl_memory_destroy(o->part[i]));
        free(o->data[i]);
    }
    DNNL_CHECK(dnnl_stream_destroy(o->stream));
    DNNL_CHECK(dnnl_engine_destroy(o->engine));
    free(o);
}
