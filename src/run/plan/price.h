/* Seconds of counted work (run/plan/work.h) on a group of `tensor` ranks, from bytes and FLOPs
 * (model/cost.h).
 *
 * Floor: every phase at the device's ceilings, and the exchanges between the group's ranks.
 * Expected: the floor's device part over the efficiency, exchanges as they are, times the overhead.
 * An exchange: all ranks gather the partial sums of all and add them in rank order, twice a layer
 * and once for the embedding; a rank receives (tensor - 1) rows x D x 4 bytes and each collective
 * costs its latency. */
#pragma once

#include "model/cost.h"
#include "run/plan/hardware.h"
#include "run/plan/work.h"

struct price_setup {
    const struct hardware *hardware;
    const struct arch *generator, *reward; /* reward NULL: self */
    int64_t tensor;
    int64_t groups; /* that share each prompt (split: candidates), else 1: candidates are divided */
    int64_t max_rows;
    bool across_nodes; /* the ranks of a group are on several nodes */
};

struct phases {
    double prefill_s, generate_s, score_s;
};
struct price {
    struct phases floor, expected; /* floor: exchanges within a group included */
    double exchange_s;             /* part of both that is exchanges */
    double decide_s;            /* groups that share a prompt: gather and broadcast per decision */
    double floor_s, expected_s; /* of the prompt */
};

struct price price_work(const struct price_setup *p, const struct work *w);

/* One collective over rows [rows, D] f32 of a group. */
double price_exchange_s(const struct price_setup *p, const struct arch *a, int64_t rows);
