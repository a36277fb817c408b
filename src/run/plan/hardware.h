/* What a plan takes a rank's device to be: figures, each with the word where it comes from.
 *
 * A device is one of a small table of data sheets, or `this`: the machine at hand, whose ceilings
 * are measured in a second or two through the backend's own gemm and its widest streaming op. */
#pragma once

#include "backend/backend.h"
#include "job/job.h"
#include "run/plan/notes.h"

#include <stddef.h>

enum figure_source { FIGURE_NONE, FIGURE_SHEET, FIGURE_MEASURED, FIGURE_ASSUMED, FIGURE_GIVEN };
const char *figure_source_name(enum figure_source s); /* "data sheet", "measured", ... */

enum figure_id {
    FIGURE_MEMORY,           /* bytes that a rank may take in all */
    FIGURE_BANDWIDTH,        /* bytes/s of a rank's memory */
    FIGURE_COMPUTE,          /* FLOP/s of a rank's matrix products in the job's dtype */
    FIGURE_EFFICIENCY,       /* floor of decoding over its time, 0..1 */
    FIGURE_SCORE_EFFICIENCY, /* the same of scoring and prefill */
    FIGURE_OVERHEAD,         /* wall time of a prompt over that of its phases, at least 1 */
    FIGURE_RANKS_PER_NODE,
    FIGURE_LINK,            /* bytes/s that a rank receives from ranks of its node */
    FIGURE_LINK_LATENCY,    /* s of one collective inside a node, whatever its size */
    FIGURE_NETWORK,         /* bytes/s that a rank receives from another node */
    FIGURE_NETWORK_LATENCY, /* s of one collective across nodes */
    FIGURE_READ,            /* bytes/s that the file system of the weights gives a job */
    FIGURE_START,           /* s from start to the first prompt, reading the weights excepted */
    FIGURE_COMMIT,          /* s that rank 0 takes to write a prompt down */
    FIGURES
};

struct figure {
    double value; /* SI: bytes, bytes/s, FLOP/s, s */
    enum figure_source source;
};

struct hardware {
    char name[160];
    bool is_cuda;
    int threads; /* of a rank, cpu only */
    enum dtype dtype, activation;
    int64_t max_rows; /* of a forward pass */
    size_t (*kv_page_bytes)(const struct backend *b,
                            struct kv_shape shape); /* reads b->activation */
    size_t (*workspace_bytes)(const struct workload *w, int n);
    struct figure figures[FIGURES];
};

/* Key of --hardware KEY=VALUE, its unit, and how many SI units it is. */
struct figure_unit {
    const char *key, *unit, *meaning;
    double scale;
};
const struct figure_unit *figure_unit(enum figure_id f);

struct hardware_options {
    const char *device;       /* table entry, "this", or NULL: what the job's backend says */
    const char *const *given; /* [n_given] "KEY=VALUE" */
    int n_given;
    int64_t ranks; /* of the job: they share this machine, up to ranks_per_node */
    bool no_rates; /* nothing is going to be priced: this machine's are not measured, but 0 */
};

/* The job's device.  -1 with *e: unknown names or values; what had to be assumed is in notes. */
int hardware_choose(struct hardware *h, const struct job *j, const struct hardware_options *o,
                    struct plan_notes *notes, struct err *e);

static inline double hardware_get(const struct hardware *h, enum figure_id f)
{
    return h->figures[f].value;
}
