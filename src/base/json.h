/* Bounded reading on top of jansson: every typed get names the file, the key and what was expected.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* jansson takes its memory as mem_* do (mem.h), so that nothing made with it lacks a part for want
 * of memory.  Before any other use of it. */
void json_setup(void);

/* Load a whole file.  Returns NULL with *e set ("FILE:LINE: ...").  Caller json_decref()s. */
json_t *json_open(const char *path, struct err *e);

/* Typed reads of obj[key].  When the key is absent (or null): *out = fallback for the `_or` forms,
 * an error for the others.  A wrong type is always an error.  `where` is the file's name, for the
 * message. */
int json_get_i64(const json_t *obj, const char *where, const char *key, int64_t *out,
                 struct err *e);
int json_get_i64_or(const json_t *obj, const char *where, const char *key, int64_t fallback,
                    int64_t *out, struct err *e);
int json_get_f64_or(const json_t *obj, const char *where, const char *key, double fallback,
                    double *out, struct err *e);
int json_get_bool_or(const json_t *obj, const char *where, const char *key, bool fallback,
                     bool *out, struct err *e);
/* Borrowed from obj. */
int json_get_str(const json_t *obj, const char *where, const char *key, const char **out,
                 struct err *e);
int json_get_str_or(const json_t *obj, const char *where, const char *key, const char *fallback,
                    const char **out, struct err *e);

/* A number for output, null when it is not finite (JSON has no NaN). */
json_t *json_finite(double v);
/* A whole number for output; its digits as a string where jansson's integers (int64_t) end. */
json_t *json_u64(uint64_t v);
