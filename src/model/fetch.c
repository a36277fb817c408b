#include "model/fetch.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* What the reading rank tells the others before a block. */
struct message {
    int32_t rc, dtype;
    struct err err;
};

static bool is_reader(const struct fetch *f)
{
    return !f->source || comm_rank(f->source) == 0;
}

static void tell(struct fetch *f, void *what, size_t bytes)
{
    if (f->source && comm_size(f->source) > 1) comm_bcast(f->source, what, bytes, 0);
}

/* ---- opening ---- */

static int find_prefix(struct fetch *f, struct err *e)
{
    static const char *const prefixes[] = {"model.", ""};
    for (int i = 0; i < 2; i++) {
        char *name = mem_printf("%sembed_tokens.weight", prefixes[i]);
        bool here = safetensors_find(f->files, name) != NULL;
        free(name);
        f->prefix = prefixes[i];
        if (here) return 0;
    }
    return err_set(
        e, "%s: tensor 'model.embed_tokens.weight' is missing (looked for it without 'model.' too)",
        safetensors_path(f->files));
}

int fetch_open(struct fetch *f, const char *folder, struct comm *source, char hash[33],
               struct err *e)
{
    memset(f, 0, sizeof *f);
    f->source = source;
    f->prefix = "model.";
    struct message m = {0};
    if (is_reader(f)) {
        f->files = safetensors_open(folder, &m.err);
        m.rc = f->files ? find_prefix(f, &m.err) : -1;
        if (m.rc == 0) safetensors_hash(f->files, hash);
    }
    tell(f, &m, sizeof m);
    if (m.rc < 0) {
        *e = m.err;
        fetch_close(f);
        return -1;
    }
    tell(f, hash, HASH_HEX);
    return 0;
}

void fetch_open_random(struct fetch *f, uint64_t seed, float norm_offset, int threads)
{
    memset(f, 0, sizeof *f);
    f->random = true;
    f->seed = seed;
    f->norm_offset = norm_offset;
    f->threads = threads;
}

void fetch_close(struct fetch *f)
{
    safetensors_close(f->files);
    free(f->block);
    memset(f, 0, sizeof *f);
}

/* ---- random numbers ---- */

/* Sum of the word's four bytes: close to normal (excess kurtosis -0.3, cut at 3.45 sigma), the same
 * bits everywhere. */
static float normal_of_word(uint32_t x)
{
    int sum = (int)(x & 255u) + (int)(x >> 8 & 255u) + (int)(x >> 16 & 255u) + (int)(x >> 24);
    return (float)(sum - 510) * (0.02f / 147.80054f); /* sqrt(4 * (256^2 - 1) / 12) = 147.80... */
}

static void random_row(float *out, uint64_t seed, uint64_t name, int64_t row, int64_t col,
                       int64_t n_cols)
{
    uint32_t lo = (uint32_t)name, hi = (uint32_t)(name >> 32);
    int64_t end = col + n_cols;
    for (int64_t c = col; c < end;) {
        struct philox x = philox4x32(seed, lo, hi, (uint32_t)row, (uint32_t)(c / 4));
        if (c % 4 == 0 && c + 4 <= end) { /* nearly always: the compiler does all four at once */
            for (int k = 0; k < 4; k++) out[c - col + k] = normal_of_word(x.word[k]);
            c += 4;
            continue;
        }
        do {
            out[c - col] = normal_of_word(x.word[c % 4]);
            c++;
        } while (c < end && c % 4 != 0);
    }
}

static uint64_t name_number(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = name; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    return h;
}

static void fill_random(struct fetch *f, const struct tensor_want *w, int64_t row, int64_t n_rows,
                        int64_t col, int64_t n_cols)
{
    float *out = f->block;
    uint64_t name = name_number(w->name);
#pragma omp parallel for num_threads(f->threads)
    for (int64_t i = 0; i < n_rows; i++) {
        float *to = out + i * n_cols;
        if (w->init == INIT_NORMAL) random_row(to, f->seed, name, row + i, col, n_cols);
        for (int64_t j = 0; j < n_cols && w->init != INIT_NORMAL; j++)
            to[j] = w->init == INIT_ONE        ? 1.0f
                    : w->init == INIT_NORM     ? 1.0f - f->norm_offset
                    : w->init == INIT_IDENTITY ? (float)(row + i == col + j)
                                               : 0.0f;
    }
}

/* ---- numbers that are not finite ---- */

static bool is_bad(const void *p, bool wide, uint32_t exponent, int64_t i)
{
    uint32_t v = wide ? ((const uint32_t *)p)[i] : ((const uint16_t *)p)[i];
    return (v & exponent) == exponent;
}

/* The first number whose exponent is all ones, or -1.  Looks at whole blocks without a branch
 * first. */
static int64_t first_bad(const void *p, enum dtype type, int64_t n)
{
    bool wide = type == DTYPE_ID_F32;
    uint32_t exponent = wide ? 0x7f800000u : type == DTYPE_ID_BF16 ? 0x7f80u : 0x7c00u;
    for (int64_t at = 0; at < n; at += 4096) {
        int64_t end = n - at < 4096 ? n : at + 4096;
        bool found = false;
        for (int64_t i = at; i < end; i++) found |= is_bad(p, wide, exponent, i);
        for (int64_t i = at; found && i < end; i++)
            if (is_bad(p, wide, exponent, i)) return i;
    }
    return -1;
}

/* ---- blocks ---- */

int64_t fetch_rows(const struct fetch *f, int64_t n_cols)
{
    if (f->problem) return INT64_MAX;
    int64_t rows = (int64_t)FETCH_BLOCK_BYTES / (4 * n_cols);
    return rows < 1 ? 1 : rows;
}

static void full_name(char out[160], const struct fetch *f, const struct tensor_want *w)
{
    const char *prefix = w->in_base ? f->prefix : "";
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    memcpy(out + n, w->name, sizeof w->name);
}

static int read_block(struct fetch *f, const struct tensor_want *w, int64_t row, int64_t n_rows,
                      int64_t col, int64_t n_cols, struct message *m)
{
    char name[160];
    const struct tensor_info *t;
    full_name(name, f, w);
    TRY(safetensors_get(f->files, name, w->n_dims, w->shape, &t, &m->err));
    TRY(safetensors_read(f->files, t, row, n_rows, col, n_cols, f->block, &m->err));
    m->dtype = t->dtype;
    int64_t bad = first_bad(f->block, t->dtype, n_rows * n_cols);
    if (bad < 0) return 0;
    return err_set(&m->err, "%s: tensor '%s' is not finite at row %lld, column %lld",
                   safetensors_path(f->files), name, (long long)(row + bad / n_cols),
                   (long long)(col + bad % n_cols));
}

static int reserve(struct fetch *f, size_t bytes, struct err *e)
{
    if (f->block_bytes >= bytes) return 0;
    free(f->block);
    f->block_bytes = 0;
    f->block = mem_try_aligned(bytes);
    if (!f->block) return err_set(e, "no memory for %zu bytes while loading weights", bytes);
    f->block_bytes = bytes;
    return 0;
}

/* A tensor is asked for once, as one block (fetch_rows). */
static void check_header(struct fetch *f, const struct tensor_want *w)
{
    char name[160];
    const struct tensor_info *t;
    struct err e;
    full_name(name, f, w);
    if (safetensors_get(f->files, name, w->n_dims, w->shape, &t, &e) < 0)
        f->problem(f->problem_arg, &e);
}

int fetch_block(struct fetch *f, const struct tensor_want *w, int64_t row, int64_t n_rows,
                int64_t col, int64_t n_cols, enum dtype *from, struct err *e)
{
    *from = DTYPE_ID_F32;
    if (f->problem) {
        check_header(f, w);
        return 0;
    }
    /* Without its buffer a rank cannot even receive: all must know before anything is sent. */
    size_t room = (size_t)n_rows * (size_t)n_cols * sizeof(float);
    if (f->block_bytes < room || !f->block) {
        struct err mine;
        if (reserve(f, room > FETCH_BLOCK_BYTES ? room : FETCH_BLOCK_BYTES, &mine) < 0)
            fetch_fail(f, &mine);
        TRY(fetch_agree(f, e));
    }
    if (f->random) {
        fill_random(f, w, row, n_rows, col, n_cols);
        return 0;
    }
    struct message m = {0};
    if (is_reader(f)) m.rc = read_block(f, w, row, n_rows, col, n_cols, &m);
    tell(f, &m, sizeof m);
    if (m.rc < 0) {
        *e = m.err;
        return -1;
    }
    *from = (enum dtype)m.dtype;
    tell(f, f->block, (size_t)n_rows * (size_t)n_cols * dtype_bytes(*from));
    return 0;
}

bool fetch_find(struct fetch *f, const struct tensor_want *w)
{
    if (f->random) return true;
    char name[160];
    int32_t found = 0;
    full_name(name, f, w);
    if (is_reader(f)) found = safetensors_find(f->files, name) != NULL;
    tell(f, &found, sizeof found);
    return found;
}

int fetch_fail(struct fetch *f, const struct err *e)
{
    if (f->rc == 0) f->err = *e;
    f->rc = -1;
    return -1;
}

int fetch_agree(struct fetch *f, struct err *e)
{
    if (f->rc < 0) *e = f->err;
    if (!f->source || comm_size(f->source) == 1) return f->rc;
    return comm_agree(f->source, f->rc, e);
}
