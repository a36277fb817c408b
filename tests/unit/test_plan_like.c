/* plan --like takes no number of a result file at its word. */
#include "report_place.h"
#include "run/plan/like.h"
#include "trace/writer.h"

enum { N = 4 };

/* A file of one prompt, as it should be but for what `damage` does to it. */
static void add_file(struct place *p, const char *sets,
                     void (*damage)(struct prompt_row *row, struct candidate_row *c))
{
    struct job j;
    struct err e = {0};
    char *path = p->paths[p->n_paths] = mem_printf("%s/%d.h5", p->folder, p->n_paths);
    struct candidate_row c[N];
    struct trace_record r = {.candidates = c, .n_candidates = N};
    r.prompt = (struct prompt_row){.n = N, .prompt_tokens = 20, .wall_s = 1, .generate_s = 1};
    for (int32_t i = 0; i < N; i++)
        c[i] = (struct candidate_row){
            .candidate = i, .n_tokens = 10, .tokens_offset = -1, .text_offset = -1};
    damage(&r.prompt, c);
    open_job(p, &j, sets);
    char *yaml = job_to_yaml(&j);
    struct trace_meta meta = {.job_yaml = yaml, .budget_tokens = 1024, .n = N};
    struct run_row run = {.ranks = 1, .tensor = 1, .groups = 1};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t || trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    trace_close(t);
    p->n_paths++;
    free(yaml);
    job_free(&j);
}

static void too_long(struct prompt_row *row, struct candidate_row *c)
{
    (void)row;
    c[2].n_tokens = 1 << 20;
}
static void negative(struct prompt_row *row, struct candidate_row *c)
{
    (void)row;
    c[0].n_tokens = -1000000;
}
static void of_no_number(struct prompt_row *row, struct candidate_row *c)
{
    (void)row;
    c[3].candidate = 1 << 20;
}
static void twice(struct prompt_row *row, struct candidate_row *c)
{
    (void)row;
    c[1].candidate = 0;
}
static void vast_prompt(struct prompt_row *row, struct candidate_row *c)
{
    (void)c;
    row->prompt_tokens = INT64_MAX;
}
static void beyond_the_budget(struct prompt_row *row, struct candidate_row *c)
{
    (void)c;
    row->prompt_tokens = 1016; /* of 1024: no candidate fits */
}

static void damaged(void **state)
{
    struct place *p = *state;
    static void (*const damages[])(struct prompt_row *, struct candidate_row *) = {
        too_long, negative, of_no_number, twice, vast_prompt, beyond_the_budget};
    static const char *const methods[] = {"method=best_of_n;sampling.max_new_tokens=16",
                                          "alpha=0.5;sampling.max_new_tokens=16"};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        for (int m = 0; m < 2; m++) {
            struct plan_inputs in = {0};
            struct hardware h = {0};
            struct lengths lengths = {0};
            struct plan_notes notes = {0};
            struct job j;
            struct err e = {0};
            add_file(p, methods[m], damages[i]);
            open_job(p, &j, methods[m]);
            const char *path = p->paths[p->n_paths - 1];
            assert_int_equal(like_read(path, &j, &in, &h, &lengths, &notes, &e), -1);
            if (!strstr(e.text, "prompt 0 is none that its job can have run"))
                fail_msg("damage %zu: %s", i, e.text);
            job_free(&j);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
