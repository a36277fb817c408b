/* One rank reads a checkpoint and sends it to the ranks that hold the same shard: equal weights
 * everywhere, only rank 0 touches files, and whatever fails where, all ranks leave with one
 * message.  A check that fails ends all ranks. */
#include "base/mem.h"
#include "model/weights.h"
#include "ref/plain_backend.h"
#include "ref/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS TESTS_DIR "/golden/models/"

/* Files of another rank must not be needed: only rank 0 is told where they are. */
static const char *folder_of(struct comm *c, const char *folder)
{
    return comm_rank(c) == 0 ? folder : "/nonexistent";
}

static void open_config(struct arch *a, struct shard *s, const char *folder)
{
    struct err e = {{0}};
    if (arch_open(a, folder, &e) < 0 || shard_make(s, a, 2, 1, &e) < 0) DIE("%s", e.text);
}

static void test_equal(struct comm *c)
{
    static const char *const names[] = {"llama31", "smollm2",  "qwen2",       "gemma2",
                                        "rm_armo", "rm_llama", "rm_two_layer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *folder = mem_printf(MODELS "%s", names[i]);
        struct plain_backend p, q;
        struct arch a;
        struct shard s;
        struct weights w, alone;
        struct err e = {{0}};
        plain_backend_init(&p, DTYPE_ID_BF16);
        plain_backend_init(&q, DTYPE_ID_BF16);
        open_config(&a, &s, folder);
        if (weights_open(&w, &p.b, &a, &s, folder_of(c, folder), c, &e) < 0) DIE("%s", e.text);
        if (weights_open(&alone, &q.b, &a, &s, folder, NULL, &e) < 0) DIE("%s", e.text);
        ENSURE(w.bytes == alone.bytes && !strcmp(w.hash, alone.hash));
        ENSURE(!memcmp(w.embedding, alone.embedding, (size_t)(s.V_rows * a.D) * 2));
        for (int64_t l = 0; l < a.L; l++) {
            const struct weight *x[] = {w.layers[l].qkv, w.layers[l].o, w.layers[l].gate_up,
                                        w.layers[l].down};
            const struct weight *y[] = {alone.layers[l].qkv, alone.layers[l].o,
                                        alone.layers[l].gate_up, alone.layers[l].down};
            for (int k = 0; k < 4; k++)
                ENSURE(x[k]->finished &&
                       !memcmp(x[k]->rows, y[k]->rows, (size_t)(x[k]->N * x[k]->K) * 4));
            ENSURE(!memcmp(w.layers[l].mlp_norm, alone.layers[l].mlp_norm, (size_t)a.D * 4));
        }
        if (w.head.linear) ENSURE(!memcmp(w.head.linear, alone.head.linear, (size_t)a.D * 4));
        if (w.head.dense1)
            ENSURE(!memcmp(w.head.dense1, alone.head.dense1, (size_t)(a.D * a.D) * 4));
        if (w.head.gate)
            ENSURE(!memcmp(w.head.gate[1], alone.head.gate[1],
                           (size_t)(a.gate_hidden * a.gate_hidden) * 4));
        ENSURE(w.head.gate_logit_scale == alone.head.gate_logit_scale);
        weights_close(&w, &a);
        weights_close(&alone, &a);
        ENSURE(p.live == 0 && q.live == 0);
        free(folder);
    }
}

/* All ranks fail, with `part` in the message. */
static void expect_refused(struct comm *c, const struct arch *a, const struct shard *s,
                           const char *folder, int64_t allow, const char *part)
{
    struct plain_backend p;
    struct weights w;
    struct err e = {{0}};
    plain_backend_init(&p, DTYPE_ID_F32);
    p.allow = allow;
    ENSURE(weights_open(&w, &p.b, a, s, folder_of(c, folder), c, &e) == -1);
    if (!strstr(e.text, part)) DIE("message: %s, expected: %s", e.text, part);
    ENSURE(p.live == 0);
}

/* On the second tensor rank, with no memory at all to take: the headers were looked at first. */
static void test_config_asks_for_more(struct comm *c)
{
    struct arch a;
    struct shard s;
    struct err e;
    open_config(&a, &s, MODELS "qwen2");
    a.V = (int64_t)1 << 40;
    ENSURE(shard_make(&s, &a, 2, 1, &e) == 0);
    expect_refused(c, &a, &s, MODELS "qwen2", 0, "expected [1099511627776, 32]");
    open_config(&a, &s, MODELS "qwen2");
    a.F = (int64_t)1 << 40;
    ENSURE(shard_make(&s, &a, 2, 1, &e) == 0);
    expect_refused(c, &a, &s, MODELS "qwen2", 0, "expected [1099511627776, 32]");
}

static void test_reader_fails(struct comm *c)
{
    struct arch a;
    struct shard s;
    open_config(&a, &s, MODELS "qwen2");
    expect_refused(c, &a, &s, "/also/nonexistent", -1, "/also/nonexistent: No such file");
    a.F *= 2;
    s.F_local *= 2;
    expect_refused(c, &a, &s, MODELS "qwen2", -1, "has shape [64, 32], expected [128, 32]");
    open_config(&a, &s, MODELS "qwen2");
    a.qkv_bias = false;
    expect_refused(c, &a, &s, MODELS "qwen2", -1, "is not part of a Qwen2ForCausalLM");

    /* the last number of the last file's last tensor: found when much has been sent already */
    char *folder = comm_rank(c) == 0 ? temp_folder() : NULL;
    open_config(&a, &s, MODELS "llama2");
    if (folder) {
        size_t n;
        temp_copy(MODELS "llama2", folder);
        char *bytes = temp_read(folder, "model.safetensors", &n);
        memcpy(bytes + n - 4, "\0\0\xc0\x7f", 4); /* NaN */
        temp_write(folder, "model.safetensors", bytes, n);
        free(bytes);
    }
    expect_refused(c, &a, &s, folder, -1,
                   "tensor 'model.norm.weight' is not finite at row 0, column 31");
    if (folder) temp_remove(folder);
}

/* The last rank alone runs out of memory at the n-th allocation. */
static void test_one_rank_fails(struct comm *c)
{
    struct arch a;
    struct shard s;
    int last = comm_size(c) - 1;
    char part[64];
    snprintf(part, sizeof part, last ? "rank %d: no memory" : "no memory", last);
    open_config(&a, &s, MODELS "qwen2");
    for (int64_t n = 0; n < 17; n++)
        expect_refused(c, &a, &s, MODELS "qwen2", comm_rank(c) == last ? n : -1, part);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    test_equal(world);
    test_config_asks_for_more(world);
    test_reader_fails(world);
    test_one_rank_fails(world);
    comm_set_piece(world, 1000); /* every block goes in several pieces, as those beyond 1 GiB do */
    test_equal(world);
    comm_barrier(world);
    if (comm_rank(world) == 0) printf("%d ranks: passed\n", comm_size(world));
    comm_stop(world);
    return 0;
}
