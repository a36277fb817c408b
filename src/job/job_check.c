/* What the types cannot say: ranges, and rules between keys. */
#include "job/job_internal.h"

#include <stddef.h>
#include <string.h>

static const struct range {
    const char *key;
    size_t offset;
    int64_t min, max;
} ranges[] = {
    {"dataset.turn", offsetof(struct job, dataset.turn), 0, INT32_MAX},
    {"dataset.offset", offsetof(struct job, dataset.offset), 0, UINT32_MAX},
    {"sampling.top_k", offsetof(struct job, sampling.top_k), 0, INT32_MAX},
    {"sampling.max_new_tokens", offsetof(struct job, sampling.max_new_tokens), 1, INT32_MAX},
    {"n_max", offsetof(struct job, n_max), 1, INT32_MAX},
    {"min_round_tokens", offsetof(struct job, min_round_tokens), 1, INT32_MAX},
    {"overlap", offsetof(struct job, overlap), 1, 64},
    {"parallel.tensor", offsetof(struct job, parallel.tensor), 1, 1024},
};

static int check_whole(const struct job *j, const struct entries *es, const char *file,
                       struct err *e)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct range *r = &ranges[i];
        int64_t v;
        memcpy(&v, (const char *)j + r->offset, sizeof v);
        if (v < r->min || v > r->max)
            return entries_err(e, es, file, r->key, "%lld is out of range; allowed: %lld to %lld",
                               (long long)v, (long long)r->min, (long long)r->max);
    }
    if (j->overlap > 1 && j->parallel.split == SPLIT_CANDIDATES)
        return entries_err(
            e, es, file, "overlap",
            "%lld is not allowed with parallel.split: candidates, where groups share "
            "one prompt at a time; use 1, or parallel.split: prompts",
            (long long)j->overlap);
    return 0;
}

static int out_of_range(const struct entries *es, const char *file, const char *key, double v,
                        const char *allowed, struct err *e)
{
    return entries_err(e, es, file, key, "%g is out of range; allowed: %s", v, allowed);
}

static int check_numbers(const struct job *j, const struct entries *es, const char *file,
                         struct err *e)
{
    const struct sampling *s = &j->sampling;
    if (!(s->temperature >= 0))
        return out_of_range(es, file, "sampling.temperature", s->temperature, "0 (greedy) or more",
                            e);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return out_of_range(es, file, "sampling.top_p", s->top_p, "above 0, up to 1 (off)", e);
    if (!(s->min_p >= 0 && s->min_p < 1))
        return out_of_range(es, file, "sampling.min_p", s->min_p, "0 (off) or more, below 1", e);
    if (!(j->alpha >= 0 && j->alpha < 1))
        return out_of_range(es, file, "alpha", j->alpha, "0 (reject nothing) or more, below 1", e);
    return 0;
}

/* The name becomes part of file names. */
static bool is_name(const char *s)
{
    if (!*s || *s == '.') return false;
    for (; *s; s++)
        if (*s == '/' || (unsigned char)*s < 0x20) return false;
    return true;
}

static int check_texts(const struct job *j, const struct entries *es, const char *file,
                       struct err *e)
{
    if (!is_name(j->name))
        return entries_err(e, es, file, "name",
                           "'%.60s' cannot name files; no '/', no leading '.', not empty", j->name);
    if (!j->output[0])
        return entries_err(e, es, file, "output", "is empty; for example %%n/%%p.h5");
    for (const char *s = strchr(j->output, '%'); s; s = strchr(s + 2, '%'))
        if (s[1] == 0 || !strchr("np%", s[1]))
            return entries_err(e, es, file, "output",
                               "'%.60s': allowed after %% are n (name), p (point id) and %%",
                               j->output);
    if (!*j->generator.id)
        return entries_err(e, es, file, "generator.id", "is empty; leave it out or write a name");
    if (!*j->reward.id)
        return entries_err(e, es, file, "reward.id", "is empty; leave it out or write a name");
    if (!*j->dataset.id)
        return entries_err(e, es, file, "dataset.id", "is empty; leave it out or write a name");
    if (!*j->dataset.field)
        return entries_err(e, es, file, "dataset.field", "is empty; expected a field of the rows");
    return 0;
}

int job_check(const struct job *j, const struct entries *es, const char *file, struct err *e)
{
    TRY(check_whole(j, es, file, e));
    TRY(check_numbers(j, es, file, e));
    return check_texts(j, es, file, e);
}

int job_check_rules(const struct job *j, const struct entries *es, const char *file, struct err *e)
{
    if (j->compat != COMPAT_OFF && j->method != METHOD_SPECULATIVE_REJECTION)
        return entries_err(e, es, file, "compat",
                           "paper_code_2024 changes speculative_rejection; the method here is %s",
                           method_name(j->method));
    return 0;
}
