/* Setting up one model on the ranks of a tensor group: what a job's worker and the verb `score`
 * share. */
#pragma once

#include "decode/reward.h"

#define MEMORY_SHARE 0.9 /* of the free memory: the rest is for the libraries' own needs */

/* Configuration and this rank's shard.  b: borrowed; its tensor group decides the split. */
int setup_arch(struct model *m, struct backend *b, const char *folder, struct err *e);

/* *out = NULL for a folder without tokenizer.json: it serves texts that are given as ids. */
int setup_tokenizer(struct tokenizer **out, const char *folder, struct err *e);

/* HEAD_GATED: tell the scorer what opens the gate; nothing for other heads.  t: NULL for ids of a
 * tokenizer that is not there. */
int setup_gate(struct scorer *s, const struct arch *a, const struct tokenizer *t, struct err *e);

/* Bytes of one KV page of this rank. */
size_t setup_page_bytes(const struct model *m);
