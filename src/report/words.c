#include "report/words.h"

#include "base/mem.h"
#include "report/baseline.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct speaker {
    word_fn *say;
    void *to;
};

static void say_list(const struct speaker *s, const char *label, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void say_list(const struct speaker *s, const char *label, const char *fmt, va_list ap)
{
    char *text = mem_vprintf(fmt, ap);
    s->say(s->to, label, text);
    free(text);
}

static void say(const struct speaker *s, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct speaker *s, const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_list(s, label, fmt, ap);
    va_end(ap);
}

/* ---- what is compared ---- */

static const char *key(const struct comparison *c, const char *name)
{
    const struct entry *x = entries_find(&c->files[0].keys, name);
    return x ? x->text : "?";
}

/* "4-8, 12": the files that some row is held against.  Caller frees. */
static char *reference_files(const struct comparison *c)
{
    char *text = mem_strdup("");
    bool *is_one = mem_calloc((size_t)c->n_files, sizeof *is_one);
    for (int f = 0; f < c->n_files; f++)
        if (c->rows[f].reference >= 0) is_one[c->rows[f].reference] = true;
    for (int f = 0, end; f < c->n_files; f = end) {
        for (end = f + 1; is_one[f] && end < c->n_files && is_one[end];) end++;
        if (!is_one[f]) continue;
        char *longer = mem_printf("%s%s%d", text, text[0] ? ", " : "", f + 1);
        free(text);
        text = end == f + 1 ? longer : mem_printf("%s-%d", longer, end);
        if (text != longer) free(longer);
    }
    free(is_one);
    return text;
}

static void say_reference(const struct comparison *c, const struct speaker *s)
{
    char name[BASELINE_NAME];
    if (c->reference < 0) {
        say(s, "reference",
            "none: no Best-of-N file is among these, so nothing can be held against it; "
            "--reference takes another");
        return;
    }
    char *files = reference_files(c);
    say(s, "reference", "%s: file%s %s", baseline_name(name, c), strpbrk(files, ",-") ? "s" : "",
        files);
    free(files);
}

void words_head(const struct comparison *c, word_fn *fn, void *to)
{
    const struct speaker s = {fn, to};
    say(&s, "generator", "%s", key(c, "generator.id"));
    say(&s, "reward model", "%s", key(c, "reward.id"));
    say(&s, "dataset", "%s", key(c, "dataset.id"));
    say_reference(c, &s);
    say(&s, "prompts", "%lld compared, %zu left out", (long long)c->n_prompts, c->left_out.n);
    for (size_t i = 0; i < c->left_out.n && i < WORDS_MAX_NAMED; i++) {
        const struct left_out *l = &c->left_out.items[i];
        say(&s, "", "prompt %lld: file %d, %s", (long long)l->prompt_index, l->file + 1, l->why);
    }
    if (c->left_out.n > WORDS_MAX_NAMED)
        say(&s, "", "and %zu more (--json names all)", c->left_out.n - WORDS_MAX_NAMED);
}

/* ---- what a careful reader must know before believing a row ---- */

static void note(const struct speaker *to, int file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void note(const struct speaker *to, int file, const char *fmt, ...)
{
    char label[24];
    va_list ap;
    snprintf(label, sizeof label, "file %d", file + 1);
    va_start(ap, fmt);
    say_list(to, label, fmt, ap);
    va_end(ap);
}

static void note_baselines(const struct comparison *c, int file, const struct speaker *to)
{
    const struct source *s = &c->files[file];
    const struct compare_row *r = &c->rows[file];
    const struct source *reference = r->reference < 0 ? NULL : &c->files[r->reference];
    char name[BASELINE_NAME];
    if (reference && reference->seed != s->seed)
        note(to, file, "no %s with its seed: held against file %d, seed %llu",
             baseline_name(name, c), r->reference + 1, (unsigned long long)reference->seed);
    if (reference && !source_rejects(reference) &&
        reference->is_static != c->files[c->reference].is_static)
        note(to, file, "held against file %d, whose batching is %s, unlike the reference's",
             r->reference + 1, reference->is_static ? "static" : "continuous");
    if (r->partner < 0)
        note(to, file, "no file of %s has its N and seed: what is held against one shows -",
             baseline_curve_name(name, c));
    else if (!r->is_paired)
        note(to, file,
             "unpaired: its arithmetic is not that of file %d (other fingerprint, or not "
             "reproducible), so equal candidate numbers are not the same candidates",
             r->partner + 1);
}

/* Points that a table calls the same are not one: whether the file is not the point of one before.
 */
static bool note_difference(const struct comparison *c, int file, bool is_named,
                            const struct speaker *to)
{
    for (int other = 0; other < file; other++) {
        const struct entry *one = averages_differ(c, other, file);
        if (!one) continue;
        const struct entry *mine = entries_find(&c->files[file].keys, one->key);
        if (is_named)
            note(to, file, "not the same point as file %d: %s is '%.80s' there, '%.80s' here",
                 other + 1, one->key, one->text, mine ? mine->text : "");
        return true;
    }
    return false;
}

/* Speedups are read along a curve of Best-of-N files, one for each N. */
static void note_curve(const struct comparison *c, int file, const struct speaker *to)
{
    const struct source *s = &c->files[file];
    for (int other = 0; other < file; other++) {
        const struct source *x = &c->files[other];
        if (x->method != METHOD_BEST_OF_N || s->method != METHOD_BEST_OF_N || x->n == s->n)
            continue;
        if (x->is_static != s->is_static || x->scores_on_the_way != s->scores_on_the_way) continue;
        const struct entry *one = averages_curve_differs(x, s);
        if (!one) continue;
        const struct entry *theirs = entries_find(&x->keys, one->key);
        note(to, file,
             "not of one curve with file %d: %s is '%.80s' there, '%.80s' here; speedups are read "
             "along both",
             other + 1, one->key, theirs ? theirs->text : "", one->text);
        return;
    }
}

/* Files come sorted, those of one point behind each other, by seed. */
static void note_repetition(const struct comparison *c, int file, const struct speaker *to)
{
    if (file == 0) return;
    const struct source *s = &c->files[file], *x = &c->files[file - 1];
    if (strcmp(s->family, x->family) != 0 || s->seed != x->seed) return;
    note(to, file,
         "the same point and seed as file %d: the two count as two seeds, though they are one; "
         "leave one out",
         file);
}

static void note_nobody_rejected(const struct comparison *c, int file, const struct speaker *to)
{
    const struct source *s = &c->files[file];
    if (!s->idle_cure || s->cuts_short || s->is_replayed) return;
    note(to, file,
         "rejected nobody: on every prompt all candidates came to their end %s, so it is Best-of-N "
         "at Best-of-N's cost; %s",
         s->idle_why, s->idle_cure);
}

static void note_file(const struct comparison *c, int file, const struct speaker *to)
{
    const struct source *s = &c->files[file];
    const struct compare_row *r = &c->rows[file];
    note_repetition(c, file, to);
    note_curve(c, file, to);
    note_baselines(c, file, to);
    note_nobody_rejected(c, file, to);
    if (s->only_answers && (r->reference == file || r->partner == file))
        note(to, file,
             "only its answers were recorded (record.candidates: best), so scores and shares "
             "against it cannot be formed");
    else if (r->without_spread && r->reference == file)
        note(to, file,
             "on %lld prompts all its candidates that came to their end got the same reward: "
             "improvement scores against it leave them out",
             (long long)r->without_spread);
    if (s->scores_on_the_way)
        note(to, file,
             "its times include scoring on the way (score_at), which Best-of-N does not need");
    if (s->n_broken + s->n_unrewarded > 0)
        note(to, file,
             "numbers that are not finite: the logits of %lld candidates, which ended there "
             "(finish_reason numerics), and the rewards of %lld; they never win.  specrej inspect "
             "names the prompts",
             (long long)s->n_broken, (long long)s->n_unrewarded);
    if (s->overlap > 1)
        note(to, file,
             "overlap %lld: a prompt's time is its part of the time of prompts in flight together, "
             "not comparable with files of another overlap",
             (long long)s->overlap);
    if (r->reference >= 0 && strcmp(s->machine, c->files[r->reference].machine) != 0)
        note(to, file, "its times are from another set-up than those of file %d: %s, against %s",
             r->reference + 1, s->machine, c->files[r->reference].machine);
}

/* A grid over another key than alpha has one for nearly every file. */
void words_notes(const struct comparison *c, word_fn *fn, void *to)
{
    const struct speaker s = {fn, to};
    int differing = 0;
    for (int f = 0; f < c->n_files; f++) {
        differing += note_difference(c, f, differing < WORDS_MAX_NAMED, &s);
        note_file(c, f, &s);
    }
    if (differing > WORDS_MAX_NAMED)
        say(&s, "other files", "%d more are not the same point as another file that reads the same",
            differing - WORDS_MAX_NAMED);
}

/* ---- the columns ---- */

static void say_replayed(const struct comparison *c, const struct speaker *s)
{
    for (int f = 0; f < c->n_files; f++) {
        if (!c->files[f].is_replayed) continue;
        say(s, "replayed",
            "not a run: what one would have done with the candidates of the recorded run (specrej "
            "replay); its times are a model.  approximate: rewards of a length before the round's "
            "stood in");
        return;
    }
}

/* The reference's curve in a sentence: its name where that is short. */
static char *curve_word(char out[BASELINE_NAME], const struct comparison *c)
{
    if (!baseline_rejects(c)) return baseline_curve_name(out, c);
    return strcpy(out, "the reference's method");
}

static void say_against_reference(const struct comparison *c, const struct speaker *s)
{
    bool rejects = baseline_rejects(c);
    char name[BASELINE_NAME], curve[BASELINE_NAME];
    curve_word(curve, c);
    if (rejects) say(s, "reference", "its method, of any N, is %s", baseline_curve_name(name, c));
    say(s, "improvement",
        "improvement score: 100 is %s, 0 its worst candidate%s; mean over prompts of the distance "
        "to its best, in units of its best minus its worst",
        rejects ? "the reference" : baseline_name(name, c), rejects ? " that came to its end" : "");
    if (rejects)
        say(s, "share kept", "-: what %s rejected has no final reward, so a single sample has none",
            curve);
    else
        say(s, "share kept",
            "of what %s of the same N and seed gains over a single sample (the mean of its "
            "candidates), the part that this file's answers have",
            curve);
    say(s, "(95 %)", "interval from %d resamples of the prompts", COMPARE_RESAMPLES);
    say(s, "winners",
        "share of prompts on which the winner of %s of the same N and seed survived all rounds to "
        "its end",
        curve);
    say(s, "regret", "mean reward of those winners minus that of the answers");
}

void words_legend(const struct comparison *c, word_fn *fn, void *to)
{
    const struct speaker s = {fn, to};
    char curve[BASELINE_NAME];
    curve_word(curve, c);
    say_replayed(c, &s);
    say(&s, "best reward", "mean over the prompts of the answer's reward");
    say_against_reference(c, &s);
    say(&s, "rounds", "rounds made per prompt (above: when they were to be made)");
    say(&s, "generated", "tokens over the compared prompts; scored: by the reward model");
    say(&s, baseline_rejects(c) ? "of SR" : "of BoN",
        "the same as a share of what %s of the same N and seed took", curve);
    say(&s, "time", "from start to end of each prompt, summed; loading apart");
    say(&s, "compute",
        "that time x ranks at work on the prompt, relative to the "
        "reference's (relative GPU compute)");
    say(&s, "speedup",
        "what %s costs to reach the same score, over what this cost; along its files here, one "
        "for each N.  >=: none of them reached the score.  <=: even the cheapest exceeds it",
        curve);
    say(&s, "files, seeds",
        "last part: files that differ in their seed alone are one point; means over them");
    say(&s, "rank-hours", "of the whole file, all prompts, loading and idling included");
    say(&s, "joules",
        "on the page, in CSV and JSON: of the ranks that worked on the compared prompts, as the "
        "device tells; -: it does not, or replayed");
}
