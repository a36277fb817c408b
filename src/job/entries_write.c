/* Entries as YAML text, by libyaml's emitter: what it quotes and escapes, its parser reads back. */
#include "base/mem.h"
#include "job/entries.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct text {
    char *items;
    size_t n, cap;
};

static int append(void *context, unsigned char *bytes, size_t n)
{
    struct text *t = context;
    ARRAY_RESERVE(*t, t->n + n + 1);
    memcpy(t->items + t->n, bytes, n);
    t->n += n;
    t->items[t->n] = 0;
    return 1;
}

/* Making an event and emitting it fail for want of memory alone: invalid UTF-8 the readers have
 * refused. */
static void must(int made)
{
    if (!made) mem_exhausted("a YAML text");
}

static void emit(yaml_emitter_t *em, yaml_event_t *ev)
{
    must(yaml_emitter_emit(em, ev));
}

static void emit_scalar(yaml_emitter_t *em, const char *s, bool quoted)
{
    yaml_event_t ev;
    yaml_scalar_style_t style = quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
    must(yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)strlen(s), 1, 1,
                                      style));
    emit(em, &ev);
}

static void emit_mapping(yaml_emitter_t *em, bool start)
{
    yaml_event_t ev;
    must(start ? yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
               : yaml_mapping_end_event_initialize(&ev));
    emit(em, &ev);
}

static void emit_entries(yaml_emitter_t *em, const struct entries *es, bool nested)
{
    const char *group = NULL; /* the key in which the group's name ends at group_length */
    size_t group_length = 0;
    for (size_t i = 0; i < es->n; i++) {
        const char *key = es->items[i].key;
        const char *dot = nested ? strchr(key, '.') : NULL;
        bool same = group && dot && (size_t)(dot - key) == group_length &&
                    !strncmp(group, key, group_length);
        if (group && !same) emit_mapping(em, false);
        if (!same) group = NULL;
        if (dot && !same) {
            group = key;
            group_length = (size_t)(dot - key);
            char *name = mem_strndup(key, group_length);
            emit_scalar(em, name, false);
            free(name);
            emit_mapping(em, true);
        }
        emit_scalar(em, dot ? dot + 1 : key, false);
        emit_scalar(em, es->items[i].text, es->items[i].quoted);
    }
    if (group) emit_mapping(em, false);
}

char *entries_to_yaml(const struct entries *es, bool nested)
{
    struct text out = {0};
    yaml_emitter_t em;
    yaml_event_t ev;
    must(yaml_emitter_initialize(&em));
    yaml_emitter_set_output(&em, append, &out);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    must(yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
    emit(&em, &ev);
    must(yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
    emit(&em, &ev);
    emit_mapping(&em, true);
    emit_entries(&em, es, nested);
    emit_mapping(&em, false);
    must(yaml_document_end_event_initialize(&ev, 1));
    emit(&em, &ev);
    must(yaml_stream_end_event_initialize(&ev));
    emit(&em, &ev);
    yaml_emitter_delete(&em);
    return out.items;
}
