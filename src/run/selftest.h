/* The start-up proof of batch invariance: an anchor sequence through the real model, alone, in
 * chunks, and among other sequences at several places, compared bit for bit; then its logits and
 * the token drawn from them. */
#pragma once

#include "base/hash.h"
#include "decode/kvcache.h"

/* What a full test takes.  With fewer it is shorter, and the fingerprint another one. */
#define SELFTEST_POSITIONS 74
#define SELFTEST_PAGES     5

/* Adds the anchor's bits to `fingerprint`.  -1 with *e: which composition changed which row's bits.
 * Collective over the tensor group; every page that is taken is given back. */
int selftest_run(struct model *m, struct kvcache *k, const char *name, struct hash *fingerprint,
                 struct err *e);
