#include "job/sweep.h"

#include "base/mem.h"
#include "job/job_internal.h"
#include "job/paths.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_AXES = 32, MAX_COMBINATIONS = 100000 };

/* One list: entries first .. first + n - 1. */
struct axis {
    const char *key; /* without "sweep." */
    size_t first, n;
};

struct axes {
    struct axis items[MAX_AXES];
    int n;
    int64_t n_combinations;
};

/* The paths count by the ids that follow from them; a judge counts in no id. */
static bool is_sweepable(const char *key)
{
    const char *dot = strrchr(key, '.');
    if (!strcmp(key, "judge.path")) return false;
    return job_key_is_scientific(key) || (dot && !strcmp(dot, ".path"));
}

static int find_axes(const struct entries *es, struct axes *a, struct err *e)
{
    *a = (struct axes){.n_combinations = 1};
    for (size_t i = 0; i < es->n; i++) {
        const struct entry *en = &es->items[i];
        if (en->kind != ENTRY_ITEM) continue;
        const char *key = en->key + strlen("sweep.");
        if (a->n && !strcmp(a->items[a->n - 1].key, key)) {
            a->items[a->n - 1].n++;
            continue;
        }
        if (!is_sweepable(key))
            return err_set(e, "%s: key '%s': cannot be swept: it does not count in the points' ids",
                           en->where, en->key);
        if (a->n == MAX_AXES)
            return err_set(e, "%s: key '%s': more than %d lists", en->where, en->key, MAX_AXES);
        a->items[a->n++] = (struct axis){key, i, 1};
    }
    for (int i = 0; i < a->n; i++) {
        a->n_combinations *= (int64_t)a->items[i].n;
        if (a->n_combinations > MAX_COMBINATIONS)
            return err_set(e, "%s: key '%s': more than %d combinations",
                           es->items[a->items[i].first].where, es->items[a->items[i].first].key,
                           MAX_COMBINATIONS);
    }
    return 0;
}

/* The entries of combination k laid over the base. */
static void choose(const struct entries *es, const struct axes *a, int64_t k, struct entries *out)
{
    struct entries over = {0};
    for (int i = a->n; i-- > 0;) {
        const struct axis *axis = &a->items[i];
        const struct entry *en = &es->items[axis->first + (size_t)(k % (int64_t)axis->n)];
        k /= (int64_t)axis->n;
        entries_push(&over, axis->key, en->text, en->where, ENTRY_SCALAR);
    }
    for (size_t i = 0; i < es->n; i++) {
        const struct entry *en = &es->items[i];
        if (en->kind == ENTRY_SCALAR) entries_push(out, en->key, en->text, en->where, en->kind);
    }
    entries_apply(out, &over);
    entries_free(&over);
}

/* compat changes speculative_rejection only: in a sweep over methods it says nothing of the other
 * points. */
static void drop_unused_compat(struct job *j, const struct axes *a)
{
    for (int i = 0; i < a->n; i++)
        if (!strcmp(a->items[i].key, "method") && j->method != METHOD_SPECULATIVE_REJECTION)
            j->compat = COMPAT_OFF;
}

/* Ids seen so far: open addressing over the 48 bits of an id. */
struct seen {
    struct {
        uint64_t id;
        int64_t point; /* + 1; 0: free */
    } * slots;
    size_t n_slots; /* power of two */
};

/* The point with this id, or -1 after remembering it as `point`. */
static int64_t remember(struct seen *s, const char *hex, int64_t point)
{
    uint64_t id = strtoull(hex, NULL, 16);
    size_t i = (size_t)id & (s->n_slots - 1);
    for (; s->slots[i].point; i = (i + 1) & (s->n_slots - 1))
        if (s->slots[i].id == id) return s->slots[i].point - 1;
    s->slots[i].id = id;
    s->slots[i].point = point + 1;
    return -1;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Points merge when they cannot differ.  An `id` given to several folders, or template files of one
 * name in several folders (the id knows them by name), would make them merge wrongly. */
static int check_merge(const struct job *a, const struct job *b, const char *id, struct err *e)
{
    const struct {
        const char *key, *a, *b;
        bool is_template;
    } pairs[] = {
        {"generator.path", a->generator.path, b->generator.path, false},
        {"reward.path", a->reward.path, b->reward.path, false},
        {"dataset.path", a->dataset.path, b->dataset.path, false},
        {"generator.template", a->generator.chat_template, b->generator.chat_template, true},
        {"reward.template", a->reward.chat_template, b->reward.chat_template, true},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!strcmp(pairs[i].a, pairs[i].b)) continue;
        if (pairs[i].is_template && strcmp(file_name(pairs[i].a), file_name(pairs[i].b)))
            continue; /* unused here */
        return err_set(e,
                       "%s: key 'sweep.%s': %.100s and %.100s would share the point id %s; give "
                       "them different names",
                       a->file, pairs[i].key, pairs[i].a, pairs[i].b, id);
    }
    return 0;
}

static int add_point(struct sweep *s, struct seen *seen, struct job *j, struct err *e)
{
    char id[HASH_HEX];
    job_point_id(j, id);
    int64_t same = remember(seen, id, s->n_points);
    if (same < 0) {
        s->points[s->n_points++] = *j;
        return 0;
    }
    int rc = check_merge(&s->points[same], j, id, e);
    job_free(j);
    return rc;
}

static int build_points(struct sweep *s, const struct entries *es, const struct axes *a,
                        const char *file, const char *folder, struct err *e)
{
    struct seen seen = {.n_slots = 16};
    while (seen.n_slots < (size_t)a->n_combinations * 2) seen.n_slots *= 2;
    seen.slots = mem_calloc(seen.n_slots, sizeof *seen.slots);
    s->points = mem_calloc((size_t)a->n_combinations, sizeof *s->points);
    int rc = 0;
    for (int64_t k = 0; k < a->n_combinations && rc == 0; k++) {
        struct entries point = {0};
        struct job j;
        choose(es, a, k, &point);
        rc = job_load(&j, &point, file, folder, e);
        if (rc == 0) {
            drop_unused_compat(&j, a);
            rc = job_check_rules(&j, &point, file, e);
            if (rc < 0) job_free(&j);
        }
        if (rc == 0) rc = add_point(s, &seen, &j, e);
        entries_free(&point);
    }
    free(seen.slots);
    return rc;
}

static bool has_point_id(const char *output)
{
    for (const char *s = strchr(output, '%'); s; s = strchr(s + 2, '%'))
        if (s[1] == 'p') return true;
    return false;
}

static int from_entries(struct sweep *s, const struct entries *es, const char *file,
                        const char *folder, struct err *e)
{
    struct axes axes;
    for (size_t i = 0; i < es->n; i++) TRY(job_check_entry(&es->items[i], e));
    TRY(find_axes(es, &axes, e));
    return build_points(s, es, &axes, file, folder, e);
}

int sweep_from_yaml(struct sweep *s, const char *yaml, const char *file,
                    const char *const *overrides, int n_overrides, struct err *e)
{
    *s = (struct sweep){0};
    struct entries es = {0};
    int rc = job_text_entries(&es, yaml, strlen(yaml), file, overrides, n_overrides, e);
    if (rc == 0) rc = from_entries(s, &es, file, "/", e); /* the paths in it are absolute */
    if (rc < 0) sweep_free(s);
    entries_free(&es);
    return rc;
}

int sweep_open(struct sweep *s, const char *file, const char *const *overrides, int n_overrides,
               struct err *e)
{
    *s = (struct sweep){0};
    struct entries es = {0};
    char *folder = NULL;
    int rc = job_read_entries(&es, file, overrides, n_overrides, e);
    if (rc == 0) rc = path_folder(file, &folder, e);
    if (rc == 0) rc = from_entries(s, &es, file, folder, e);
    if (rc == 0 && s->n_points > 1 && !has_point_id(s->points[0].output))
        rc = entries_err(e, &es, file, "output",
                         "the sweep has %lld points and needs %%p (the point's id) in it, for "
                         "example %%n/%%p.h5",
                         (long long)s->n_points);
    if (rc < 0) sweep_free(s);
    free(folder);
    entries_free(&es);
    return rc;
}

void sweep_free(struct sweep *s)
{
    for (int64_t i = 0; i < s->n_points; i++) job_free(&s->points[i]);
    free(s->points);
    *s = (struct sweep){0};
}

const struct job *sweep_find(const struct sweep *s, const char *id)
{
    for (int64_t i = 0; i < s->n_points; i++) {
        char own[HASH_HEX];
        job_point_id(&s->points[i], own);
        if (!strcmp(own, id)) return &s->points[i];
    }
    return NULL;
}
