#include "cluster/status.h"

#include "base/clock.h"
#include "base/mem.h"
#include "job/entries.h"
#include "text/json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 6 };

/* Keys in which the points differ, as columns of the table. */
struct columns {
    const struct points *points; /* borrowed */
    struct entries *keys;        /* owned [n_points]: each point's job */
    size_t n_points;
    const char *key[MAX_COLUMNS];
    int width[MAX_COLUMNS], n;
};

/* "path/to/llama" -> "llama": what tells paths apart stands at their end. */
static const char *short_text(const char *key, const char *text)
{
    const char *dot = strrchr(key, '.'), *slash = strrchr(text, '/');
    return dot && strcmp(dot, ".path") == 0 && slash ? slash + 1 : text;
}

static const char *text_of(const struct columns *c, size_t point, const char *key)
{
    const struct entry *en = entries_find(&c->keys[point], key);
    if (!job_key_has_effect(c->points->items[point].job, key)) return "-";
    return en ? short_text(key, en->text) : "";
}

static bool is_shown(const char *key)
{
    const char *dot = strrchr(key, '.');
    return strcmp(key, "name") != 0 && strcmp(key, "output") != 0 &&
           (!dot || strcmp(dot, ".id") != 0);
}

/* A point to which the key makes no difference ("-") does not make it a column. */
static void add_column(struct columns *c, const char *key)
{
    bool differs = false;
    int width = (int)strlen(short_text(".path", key));
    const char *first = NULL;
    for (size_t i = 0; i < c->n_points; i++) {
        const char *text = text_of(c, i, key);
        if ((int)strlen(text) > width) width = (int)strlen(text);
        if (!job_key_has_effect(c->points->items[i].job, key)) continue;
        if (!first) first = text;
        differs |= strcmp(first, text) != 0;
    }
    if (!differs || c->n == MAX_COLUMNS || !is_shown(key)) return;
    c->key[c->n] = key;
    c->width[c->n++] = width;
}

static void columns_make(struct columns *c, const struct points *p)
{
    *c = (struct columns){.points = p, .keys = mem_calloc(p->n, sizeof *c->keys), .n_points = p->n};
    for (size_t i = 0; i < p->n; i++) {
        char *yaml = job_to_yaml(p->items[i].job);
        struct err e;
        ENSURE(entries_read(&c->keys[i], yaml, strlen(yaml), "job", &e) == 0);
        free(yaml);
    }
    for (size_t k = 0; p->n > 0 && k < c->keys[0].n; k++) add_column(c, c->keys[0].items[k].key);
}

static void columns_free(struct columns *c)
{
    for (size_t i = 0; i < c->n_points; i++) entries_free(&c->keys[i]);
    free(c->keys);
}

static void print_point(const struct columns *c, const struct point *p, size_t i, FILE *out)
{
    char prompts[48], eta[24] = "";
    if (p->state == POINT_RUNNING && !isnan(p->eta_s)) clock_text(eta, p->eta_s);
    if (p->prompts >= 0)
        snprintf(prompts, sizeof prompts, "%lld/%lld", (long long)p->done, (long long)p->prompts);
    else
        snprintf(prompts, sizeof prompts, "%lld/?", (long long)p->done);
    fprintf(out, "%s  ", p->id);
    for (int k = 0; k < c->n; k++) fprintf(out, "%-*s  ", c->width[k], text_of(c, i, c->key[k]));
    const char *rest = p->note[0] ? p->note : p->where;
    fprintf(out, "%-8s  %9s", point_state_name(p->state), prompts);
    if (eta[0] || rest[0]) fprintf(out, "  %7s", eta);
    fprintf(out, "%s%s\n", rest[0] ? "  " : "", rest);
}

static void count(const struct points *p, size_t n[POINT_STATES])
{
    memset(n, 0, POINT_STATES * sizeof *n);
    for (size_t i = 0; i < p->n; i++) n[p->items[i].state]++;
}

void status_print(const struct points *p, const char *name, FILE *out)
{
    struct columns c;
    size_t n[POINT_STATES];
    columns_make(&c, p);
    count(p, n);
    fprintf(out, "%s: %zu point%s", name, p->n, p->n == 1 ? "" : "s");
    const char *separator = ": ";
    for (int s = 0; s < POINT_STATES; s++) {
        if (n[s] == 0) continue;
        fprintf(out, "%s%zu %s", separator, n[s], point_state_name((enum point_state)s));
        separator = ", ";
    }
    fprintf(out, "\n%-12s  ", "point");
    for (int k = 0; k < c.n; k++) fprintf(out, "%-*s  ", c.width[k], short_text(".path", c.key[k]));
    fprintf(out, "%-8s  %9s  %7s\n", "state", "prompts", "ETA");
    for (size_t i = 0; i < p->n; i++) print_point(&c, &p->items[i], i, out);
    columns_free(&c);
}

void status_print_json(const struct points *p, FILE *out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const struct point *q = &p->items[i];
        json_t *o = json_pack("{ss ss sI sI so sf so so ss}", "id", q->id, "state",
                              point_state_name(q->state), "prompts_done", (json_int_t)q->done,
                              "prompts", (json_int_t)q->prompts, "eta_s", json_finite(q->eta_s),
                              "tokens_per_s", q->tokens_per_s, "slurm", json_text(q->where),
                              "error", json_text(q->note), "output", q->output);
        ENSURE(o);
        json_array_append_new(list, o);
    }
    json_t *all = json_pack("{so}", "points", list);
    json_dumpf(all, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    fputc('\n', out);
    json_decref(all);
}
