#include "run/plan/hardware.h"

#include "run/plan/measure.h"
#include "run/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makers' data sheets, one SXM module each: memory as the driver reports it (GiB), GB/s, dense
 * TFLOP/s of the tensor cores at bf16 and f16 and at fp8 (0: none), TFLOP/s of f32, GB/s that a
 * module receives over NVLink (half of the sheet's two-way sum).  Network: one port of the maker's
 * own eight-module server. */
struct sheet {
    const char *name, *title;
    double memory_gib, bandwidth, half_tflops, fp8_tflops, f32_tflops, link, network;
};
static const struct sheet sheets[] = {
    {"a100", "NVIDIA A100 SXM 80 GB", 80, 2039, 312, 0, 19.5, 300, 25},
    {"h100", "NVIDIA H100 SXM 80 GB", 79.6, 3350, 989, 1979, 67, 450, 50},
    {"h200", "NVIDIA H200 SXM 141 GB", 140.4, 4800, 989, 1979, 67, 450, 50},
    {"b200", "NVIDIA B200 (HGX) 180 GB", 179, 8000, 2250, 4500, 80, 900, 50},
};
#define CUDA_MAX_ROWS 1024 /* of backend/cuda, which need not be there */
#define SHEETS        (sizeof sheets / sizeof *sheets)
#define LEAST_GIVEN   1e-9 /* in a key's unit: beyond these, sums of bytes and seconds overflow */
#define MOST_GIVEN    1e9

static const struct figure_unit units[FIGURES] = {
    [FIGURE_MEMORY] = {"memory", "GiB", "memory of a rank", 0x1p30},
    [FIGURE_BANDWIDTH] = {"bandwidth", "GB/s", "memory bandwidth of a rank", 1e9},
    [FIGURE_COMPUTE] = {"tflops", "TFLOP/s", "matrix products of a rank", 1e12},
    [FIGURE_EFFICIENCY] = {"efficiency", "", "of decoding, against its floor", 1},
    [FIGURE_SCORE_EFFICIENCY] = {"score_efficiency", "", "of scoring and prefill", 1},
    [FIGURE_OVERHEAD] = {"overhead", "", "wall time of a prompt over its phases", 1},
    [FIGURE_RANKS_PER_NODE] = {"ranks_per_node", "", "ranks of one node", 1},
    [FIGURE_LINK] = {"link", "GB/s", "received by a rank inside a node", 1e9},
    [FIGURE_LINK_LATENCY] = {"link_latency", "us", "of a collective inside a node", 1e-6},
    [FIGURE_NETWORK] = {"network", "GB/s", "received by a rank from other nodes", 1e9},
    [FIGURE_NETWORK_LATENCY] = {"network_latency", "us", "of a collective across nodes", 1e-6},
    [FIGURE_READ] = {"read", "GB/s", "from the file system of the weights, all ranks", 1e9},
    [FIGURE_START] = {"start", "s", "start-up besides reading weights", 1},
    [FIGURE_COMMIT] = {"commit", "s", "to write a prompt down", 1},
};

const struct figure_unit *figure_unit(enum figure_id f)
{
    return &units[f];
}

const char *figure_source_name(enum figure_source s)
{
    static const char *const names[] = {[FIGURE_NONE] = "unknown",
                                        [FIGURE_SHEET] = "data sheet",
                                        [FIGURE_MEASURED] = "measured",
                                        [FIGURE_ASSUMED] = "assumed",
                                        [FIGURE_GIVEN] = "given"};
    return names[s];
}

/* In the unit of the key. */
static void set(struct hardware *h, enum figure_id f, double value, enum figure_source source)
{
    h->figures[f] = (struct figure){value * units[f].scale, source};
}

static void assume(struct hardware *h, enum figure_id f, double value)
{
    if (h->figures[f].source == FIGURE_NONE) set(h, f, value, FIGURE_ASSUMED);
}

static const struct sheet *find_sheet(const char *name)
{
    for (size_t i = 0; i < SHEETS; i++)
        if (strcmp(sheets[i].name, name) == 0) return &sheets[i];
    return NULL;
}

/* As backend/cuda lays them out: no padding. */
static size_t plain_page_bytes(const struct backend *b, struct kv_shape s)
{
    return (size_t)(2 * s.L * s.G * PAGE_TOKENS * s.E) * dtype_bytes(b->activation);
}

static int from_sheet(struct hardware *h, const struct job *j, const struct sheet *s, struct err *e)
{
    double tflops[] = {[DTYPE_ID_F32] = s->f32_tflops,
                       [DTYPE_ID_BF16] = s->half_tflops,
                       [DTYPE_ID_F16] = s->half_tflops,
                       [DTYPE_ID_FP8] = s->fp8_tflops};
    enum dtype asked = worker_backend_config(j, 0).dtype;
    snprintf(h->name, sizeof h->name, "%s", s->title);
    h->is_cuda = true;
    h->dtype = asked == DTYPE_NONE ? DTYPE_ID_BF16 : asked;
    h->activation = dtype_beside(h->dtype);
    if (tflops[h->dtype] <= 0)
        return err_set(e, "dtype %s is not for the %s; set dtype: bf16", dtype_name(h->dtype),
                       s->title);
    h->max_rows = CUDA_MAX_ROWS;
    h->kv_page_bytes = plain_page_bytes;
    h->workspace_bytes = workload_bytes;
    set(h, FIGURE_MEMORY, s->memory_gib, FIGURE_SHEET);
    set(h, FIGURE_BANDWIDTH, s->bandwidth, FIGURE_SHEET);
    set(h, FIGURE_COMPUTE, tflops[h->dtype], FIGURE_SHEET);
    set(h, FIGURE_LINK, s->link, FIGURE_SHEET);
    assume(h, FIGURE_NETWORK, s->network);
    assume(h, FIGURE_RANKS_PER_NODE, 8);
    return 0;
}

/* What nobody measured.  The efficiencies are round numbers below the design's targets. */
static void assume_rest(struct hardware *h)
{
    assume(h, FIGURE_EFFICIENCY, h->is_cuda ? 0.6 : 0.25);
    assume(h, FIGURE_SCORE_EFFICIENCY, h->is_cuda ? 0.6 : 0.25);
    assume(h, FIGURE_OVERHEAD, 1.05);
    assume(h, FIGURE_RANKS_PER_NODE, h->is_cuda ? 8 : 64);
    assume(h, FIGURE_LINK, 10);
    assume(h, FIGURE_LINK_LATENCY, 10);
    assume(h, FIGURE_NETWORK, 10);
    assume(h, FIGURE_NETWORK_LATENCY, 30);
    assume(h, FIGURE_READ, 2);
    assume(h, FIGURE_START, h->is_cuda ? 60 : 1);
    assume(h, FIGURE_COMMIT, 0.02);
}

static int take_given(struct hardware *h, const char *text, struct err *e)
{
    for (int f = 0; f < FIGURES; f++) {
        size_t n = strlen(units[f].key);
        if (strncmp(text, units[f].key, n) != 0 || text[n] != '=') continue;
        char *end;
        double v = strtod(text + n + 1, &end);
        bool is_share = f == FIGURE_EFFICIENCY || f == FIGURE_SCORE_EFFICIENCY;
        double least = f == FIGURE_RANKS_PER_NODE ? 1 : LEAST_GIVEN,
               most = is_share ? 1 : MOST_GIVEN;
        if (end == text + n + 1 || *end || !(v >= least && v <= most))
            return err_set(e, "--hardware %s: '%s' is no number from %g to %g", units[f].key,
                           text + n + 1, least, most);
        set(h, (enum figure_id)f, v, FIGURE_GIVEN);
        return 0;
    }
    char keys[256] = "";
    for (int f = 0; f < FIGURES; f++) {
        size_t used = strlen(keys);
        snprintf(keys + used, sizeof keys - used, "%s%s", used ? ", " : "", units[f].key);
    }
    return err_set(e, "--hardware '%s': KEY=VALUE with one of %s", text, keys);
}

static int choose_device(struct hardware *h, const struct job *j, const struct hardware_options *o,
                         struct plan_notes *notes, struct err *e)
{
    const char *name = o->device;
    if (!name && j->backend == BACKEND_CUDA) {
        name = "h100";
        notes_add(notes, NOTE_ASSUMPTION,
                  "device: backend is cuda and no --device was given: %s by its data sheet", name);
    }
    if (!name || strcmp(name, "this") == 0) return measure_this(h, j, o->ranks, !o->no_rates, e);
    const struct sheet *s = find_sheet(name);
    if (!s) return err_set(e, "--device '%s' is none of a100, h100, h200, b200, this", name);
    if (j->backend == BACKEND_CPU)
        return err_set(e, "--device %s: the job says backend: cpu; add --set backend=cuda", name);
    return from_sheet(h, j, s, e);
}

int hardware_choose(struct hardware *h, const struct job *j, const struct hardware_options *o,
                    struct plan_notes *notes, struct err *e)
{
    for (int i = 0; i < o->n_given; i++) TRY(take_given(h, o->given[i], e)); /* before measuring */
    *h = (struct hardware){0};
    TRY(choose_device(h, j, o, notes, e));
    assume_rest(h);
    for (int i = 0; i < o->n_given; i++) TRY(take_given(h, o->given[i], e));
    return 0;
}
