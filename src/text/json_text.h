/* Members of the JSON that is written: texts may come from files and command lines, so that they
 * need not be UTF-8. */
#pragma once

#include "base/json.h"

/* The text as a JSON string, with U+FFFD for bytes that are no UTF-8.  Never NULL; the caller's. */
json_t *json_text(const char *text);

/* o[key] = value, which it takes over; value NULL is a broken promise. */
void json_put(json_t *o, const char *key, json_t *value);
