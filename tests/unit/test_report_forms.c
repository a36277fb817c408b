/* What specrej report prints and writes of small made-up result files: table, JSON, CSV, Markdown,
 * LaTeX rows, scripts of figures. */
#include "base/json.h"
#include "report/report.h"
#include "report_files.h"

static char *printed(const struct place *p, bool json)
{
    char *text = NULL;
    size_t n = 0;
    struct err e = {0};
    struct report_options o = {.json = json};
    FILE *out = open_memstream(&text, &n);
    if (report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    return text;
}

static void test_table(void **state)
{
    struct place *p = *state;
    struct fake_file other = sr;
    other.name = "other.h5", other.fingerprint = "g";
    add_file(p, &bon);
    add_file(p, &sr);
    add_file(p, &other);
    char *text = printed(p, false);
    static const char *const words[] = {"speculative_rejection",
                                        "unpaired",
                                        "3 compared, 3 left out",
                                        "75.0",
                                        "50.0 %",
                                        "<= 4.00 x",
                                        "prompt 3: file 2",
                                        "specrej inspect /",
                                        "same reward"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(text, words[i])) fail_msg("'%s' is not in\n%s", words[i], text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (!strstr(line, p->folder)) assert_in_range(strlen(line), 0, 100);
    free(text);
}

/* Best-of-N files of one curve that differ in more than N: said, with the key. */
static void test_mixed_curve(void **state)
{
    struct place *p = *state;
    struct fake_file half = bon;
    half.name = "half.h5", half.sets = "method=best_of_n;n=2;budget_tokens=4096", half.n = 2;
    add_file(p, &half);
    add_file(p, &bon);
    char *text = printed(p, false);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    assert_non_null(strstr(text, "not of one curve with file 1: budget_tokens is '4096' there,"));
    free(text);
}

/* Files that read alike are told apart, the first few of many. */
static void test_alike(void **state)
{
    struct place *p = *state;
    char names[8][16], sets[8][40];
    for (int i = 0; i < 8; i++) {
        struct fake_file f = sr;
        snprintf(names[i], sizeof names[i], "%d.h5", i);
        snprintf(sets[i], sizeof sets[i], "n=4;budget_tokens=%d", 4096 + 16 * i);
        f.name = names[i], f.sets = sets[i];
        add_file(p, &f);
    }
    char *text = printed(p, false);
    int n = 0;
    for (const char *at = text; (at = strstr(at, "not the same point as file")) != NULL; at++) n++;
    assert_int_equal(n, 5);
    assert_non_null(strstr(text, "other files     2 more are not the same point as another"));
    free(text);
}

/* Times that are parts of shared time are called so. */
static void test_overlap_is_noted(void **state)
{
    struct place *p = *state;
    struct fake_file one = bon, other = sr;
    one.sets = "method=best_of_n;n=4;overlap=3";
    other.sets = "n=4;overlap=3";
    add_file(p, &one);
    add_file(p, &other);
    char *text = printed(p, false);
    const char *note = strstr(text, "overlap 3: a prompt's time is its part");
    if (!note || !strstr(note + 1, "overlap 3: a prompt's")) fail_msg("no such notes in\n%s", text);
    free(text);
}

/* Rejection that rejected nobody says so, and no other file does. */
static void test_nobody_rejected_is_noted(void **state)
{
    struct place *p = *state;
    struct fake_file idle = {.name = "idle.h5", .sets = "n=4", .n = 4, .wall_s = 8, ROWS(all_kept)};
    add_file(p, &bon);
    add_file(p, &sr);
    char *text = printed(p, false);
    if (strstr(text, "rejected nobody")) fail_msg("a note too many in\n%s", text);
    free(text);
    add_file(p, &idle);
    text = printed(p, false);
    const char *note = strstr(text, "rejected nobody");
    if (!note || strstr(note + 1, "rejected nobody")) fail_msg("not one such note in\n%s", text);
    free(text);
}

static void test_json(void **state)
{
    struct place *p = *state;
    struct fake_file alone = sr;
    alone.sets = "n=4;dataset.limit=5;seed=18446744073709551615";
    add_file(p, &alone);
    char *text = printed(p, true);
    json_t *o = json_loads(text, 0, NULL), *file, *speedup;
    assert_non_null(o);
    file = json_array_get(json_object_get(o, "files"), 0);
    speedup = json_object_get(file, "speedup");
    assert_string_equal(json_string_value(json_object_get(file, "seed")), "18446744073709551615");
    assert_true(json_is_null(json_object_get(o, "reference")));
    assert_true(json_is_null(json_object_get(file, "improvement_score")));
    assert_true(json_is_null(json_object_get(file, "partner")));
    assert_string_equal(json_string_value(json_object_get(speedup, "kind")), "none");
    assert_int_equal(json_array_size(json_object_get(o, "prompts_compared")), 4);
    assert_int_equal(json_array_size(json_object_get(o, "prompts_left_out")), 1);
    json_decref(o);
    free(text);
}

static json_t *reported(const char *const *paths, int n, const char *folder)
{
    char *text = NULL;
    size_t size = 0;
    struct err e = {0};
    struct report_options o = {.json = true, .folder = folder};
    FILE *out = open_memstream(&text, &size);
    if (report(paths, n, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

/* Files of two pairs of models, mixed: each pair is reported as if alone, in a folder of its own.
 */
static void test_groups(void **state)
{
    struct place *p = *state;
    struct fake_file b = bon, s = sr;
    b.name = "other-bon.h5", b.sets = "method=best_of_n;n=4;generator.path=h";
    s.name = "other-sr.h5", s.sets = "n=4;generator.path=h";
    add_file(p, &bon);
    add_file(p, &b);
    add_file(p, &sr);
    add_file(p, &s);
    json_t *all = reported((const char *const *)p->paths, 4, p->folder),
           *groups = json_object_get(all, "groups");
    assert_string_equal(json_string_value(json_object_get(all, "kind")), "reports");
    assert_int_equal(json_array_size(groups), 2);
    for (size_t g = 0; g < 2; g++) {
        char folder[4096], inside[4096];
        snprintf(folder, sizeof folder, "%s/alone", p->folder);
        snprintf(inside, sizeof inside, "%s/%zu", p->folder, g + 1);
        const char *const own[] = {p->paths[g], p->paths[g + 2]};
        json_t *alone = reported(own, 2, folder);
        assert_true(json_equal(alone, json_array_get(groups, g)));
        size_t n, m;
        char *x = temp_read(folder, "report.csv", &n), *y = temp_read(inside, "report.csv", &m);
        assert_string_equal(x, y);
        free(x);
        free(y);
        json_decref(alone);
    }
    size_t n;
    char *page = temp_read(p->folder, "report.html", &n);
    assert_non_null(strstr(page, "<a href=\"2/report.html\">"));
    free(page);
    json_decref(all);
    /* One curve is of one way of sampling. */
    struct err e = {0};
    struct report_options o = {0};
    s.name = "hot.h5", s.sets = "n=4;generator.path=h;sampling.temperature=2";
    add_file(p, &s);
    assert_int_equal(report((const char *const *)p->paths, 5, &o, stdout, &e), -1);
    assert_non_null(strstr(e.text, "sampling.temperature is '1"));
}

/* The same point and seed twice is told; a path with backticks stays one piece of code. */
static void test_repetition(void **state)
{
    struct place *p = *state;
    struct fake_file again = bon;
    again.name = "a`g``ain.h5";
    add_file(p, &bon);
    add_file(p, &again);
    json_decref(reported((const char *const *)p->paths, 2, p->folder));
    size_t n;
    char *md = temp_read(p->folder, "report.md", &n);
    for (char *c = md; *c; c++)
        if (*c == '\n') *c = ' ';
    assert_non_null(strstr(md, "the same point and seed as file 1"));
    assert_non_null(strstr(md, "/a`g``ain.h5 ``` "));
    assert_non_null(strstr(md, ". ``` /"));
    free(md);
}

/* Bytes of a path or a reason that are no UTF-8 become U+FFFD. */
static void test_no_utf8(void **state)
{
    struct place *p = *state;
    struct fake_file b = bon;
    b.name = "caf\xe9.h5";
    add_file(p, &b);
    json_t *j = reported((const char *const *)p->paths, 1, p->folder);
    const char *path =
        json_string_value(json_object_get(json_array_get(json_object_get(j, "files"), 0), "path"));
    assert_non_null(strstr(path, "caf\xef\xbf\xbd.h5"));
    json_decref(j);
}

/* Every form has every point; the numbers of csv are those of the averages. */
static void test_forms(void **state)
{
    struct place *p = *state;
    char *text = NULL;
    size_t n = 0;
    struct err e = {0};
    struct report_options o = {.json = true, .folder = p->folder};
    add_two_seeds(p);
    FILE *out = open_memstream(&text, &n);
    if (report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    free(text);
    char *csv = temp_read(p->folder, "report.csv", &n), *md = temp_read(p->folder, "report.md", &n),
         *tex = temp_read(p->folder, "report.tex", &n);
    assert_non_null(
        strstr(csv, "method,n,alpha,rounds,seeds,prompts,reference,best_reward,improvement_score,"
                    "improvement_score_low,improvement_score_high,"));
    assert_non_null(strstr(csv, "\r\nbest_of_n,4,,,0 9,3,best_of_n:4,"));
    const char *row =
        strstr(csv, "\r\nspeculative_rejection,4,0.5,memory,0 9,3,best_of_n:4,3.333333");
    assert_non_null(row);
    assert_non_null(strstr(row, ",87.5,"));
    const char *head_end = strstr(csv, "\r\n"), *row_end = strstr(row + 2, "\r\n");
    assert_memory_equal(head_end - 23, ",missing_seeds,energy_j", 23);
    assert_memory_equal(row_end - 6, ",,24.0", 6); /* three prompts of 2 and of 6 s, 2 W */
    assert_non_null(strstr(row, ",at_most,"));
    assert_non_null(
        strstr(md, "| speculative\\_rejection | 4 | 0.5 | memory | 2 | 3.3333 | 87.5 ("));
    assert_non_null(strstr(md, "2. `"));
    assert_non_null(
        strstr(tex, "\nspeculative\\_rejection & 4 & 0.5 & memory & 2 & 3.3333 & 87.5 ("));
    assert_non_null(strstr(tex, "$\\leq$3.00$\\times$ ($\\leq$3.00 to 3.00) \\\\\n"));
    free(csv);
    free(md);
    free(tex);
    char *gp = temp_read(p->folder, "improvement.gp", &n);
    assert_non_null(strstr(gp, "\n1 100 1 1 100 100 4\nEND\n$series2 << END\n0.333333333 87.5 "));
    assert_non_null(strstr(gp, "title 'Speculative Rejection, N 4, by alpha'"));
    free(gp);
    if (system("command -v gnuplot >/dev/null") == 0) {
        char *svg = temp_read(p->folder, "improvement.svg", &n);
        assert_non_null(strstr(svg, "<svg"));
        assert_non_null(strstr(svg, "relative compute (Best-of-4 = 1)"));
        assert_non_null(strstr(svg, "</svg>"));
        free(svg);
    }
    o.folder = p->paths[0]; /* a file */
    out = open_memstream(&text, &n);
    assert_true(report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0);
    fclose(out);
    assert_int_equal(n, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table),
        TEST(test_mixed_curve),
        TEST(test_alike),
        TEST(test_overlap_is_noted),
        TEST(test_nobody_rejected_is_noted),
        TEST(test_json),
        TEST(test_groups),
        TEST(test_repetition),
        TEST(test_no_utf8),
        TEST(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
