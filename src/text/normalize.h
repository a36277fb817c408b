/* Normalisation: NFC, replacing one string by another, the dummy prefix. */
#pragma once

#include "base/err.h"
#include "text/tokenizer.h"

#include <jansson.h>

struct normalizer {
    struct normalizer_step {
        enum { NORMALIZE_NFC, NORMALIZE_PREPEND, NORMALIZE_REPLACE } kind;
        char *from, *to; /* owned; PREPEND: `to` alone */
        size_t n_from, n_to;
    } * items; /* owned */
    size_t n, cap;
    uint8_t *
        unstable; /* owned bit set over code points that NFC may change or join; NULL without NFC */
};

/* Read the file's "normalizer" (NULL or null: none). */
int normalizer_open(struct normalizer *s, const json_t *json, const char *where, struct err *e);
void normalizer_close(struct normalizer *s);

/* Working memory of one call; zeroed is empty. */
struct normalizer_scratch {
    struct bytes a, b;
};
void normalizer_scratch_free(struct normalizer_scratch *w);

/* Normalise text[0..*n): returns the result, borrowed from text or from w, and its length in *n.
 * no_prefix leaves out what Prepend adds.  NULL with *e when the text grows without measure. */
const char *normalize(const struct normalizer *s, struct normalizer_scratch *w, const char *text,
                      size_t *n, bool no_prefix, struct err *e);
