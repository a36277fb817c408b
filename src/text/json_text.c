#include "text/json_text.h"

#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

json_t *json_text(const char *text)
{
    struct bytes whole = {0};
    utf8_repair(text, strlen(text), &whole);
    json_t *s = json_stringn(whole.items ? whole.items : "", whole.n);
    ENSURE(s);
    free(whole.items);
    return s;
}

void json_put(json_t *o, const char *key, json_t *value)
{
    ENSURE(value && json_object_set_new(o, key, value) == 0);
}
