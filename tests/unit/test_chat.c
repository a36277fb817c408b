/* Chat templates: the built-in families against golden renderings by transformers
 * (tests/golden/make_templates.py) and against Jinja2 on random conversations; where templates come
 * from; the sandboxed python3; bad input.
 *
 *     test_chat [FAMILY=FILE.jinja ...]     compares more templates on random conversations */
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/chat.h"
#include "text/chat_families.h"
#include "text/chat_jinja.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW       1739000000 /* 8 February 2025 */
#define MAX_TURNS 8

static char folder[] = "/tmp/specrej-chat-XXXXXX"; /* a checkpoint under test */
static bool has_jinja;
static int n_more;
static char **more;

static void write_file(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    free(path);
}

static void clear_folder(void)
{
    static const char *const names[] = {"chat_template.jinja", "tokenizer_config.json",
                                        "special_tokens_map.json", "own.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = mem_printf("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
}

static void write_tokens(const char *bos, const char *eos)
{
    json_t *config = json_pack("{s:s, s:{s:s, s:b}}", "bos_token", bos, "eos_token", "content", eos,
                               "special", 1);
    char *text = json_dumps(config, 0);
    write_file("tokenizer_config.json", text);
    free(text);
    json_decref(config);
}

static struct chat *must_open(const char *choice)
{
    struct err e = {0};
    struct chat *c = chat_open(folder, choice, &e);
    if (!c) fail_msg("%s", e.text);
    chat_set_now(c, NOW);
    return c;
}

static void must_refuse(const char *choice, const char *expected)
{
    struct err e = {0};
    struct chat *c = chat_open(folder, choice, &e);
    assert_null(c);
    if (!strstr(e.text, expected)) fail_msg("'%s' does not contain '%s'", e.text, expected);
}

/* Render, compare with the text, or with the refusal when text is NULL. */
static void check(struct chat *c, const struct chat_message *m, size_t n, bool generation,
                  const char *text, const char *refusal)
{
    struct err e = {0};
    char *out = NULL;
    int rc = chat_render(c, m, n, generation, &out, &e);
    if (text) {
        if (rc < 0) fail_msg("%s", e.text);
        assert_string_equal(out, text);
    } else {
        assert_int_equal(rc, -1);
        assert_null(out);
        if (!strstr(e.text, refusal)) fail_msg("'%s' does not contain '%s'", e.text, refusal);
    }
    free(out);
}

/* ---- golden ---- */

static size_t take_messages(const json_t *list, struct chat_message *m)
{
    assert_true(json_array_size(list) <= MAX_TURNS);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        m[i].role = json_string_value(json_object_get(v, "role"));
        m[i].content = json_string_value(json_object_get(v, "content"));
    }
    return json_array_size(list);
}

static void check_golden(const json_t *golden, const json_t *t, struct chat *c)
{
    const json_t *conversations = json_object_get(golden, "conversations"),
                 *cases = json_object_get(t, "cases");
    assert_int_equal(json_array_size(conversations), json_array_size(cases));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        struct chat_message m[MAX_TURNS];
        size_t n = take_messages(json_array_get(conversations, i), m);
        for (size_t g = 0; g < 2; g++) {
            const json_t *v = json_array_get(json_array_get(cases, i), g);
            check(c, m, n, g == 1, json_string_value(json_object_get(v, "text")),
                  json_string_value(json_object_get(v, "error")));
        }
    }
}

static json_t *open_golden(void)
{
    struct err e = {0};
    json_t *golden = json_open(TESTS_DIR "/golden/templates.json", &e);
    if (!golden) fail_msg("%s", e.text);
    assert_int_equal(json_integer_value(json_object_get(golden, "now")), NOW);
    return golden;
}

static void families_render_as_transformers(void **state)
{
    (void)state;
    json_t *golden = open_golden();
    const json_t *templates = json_object_get(golden, "templates");
    assert_true(json_array_size(templates) > 15);
    for (size_t i = 0; i < json_array_size(templates); i++) {
        const json_t *t = json_array_get(templates, i);
        const char *family = json_string_value(json_object_get(t, "family"));
        const struct chat_family *f =
            chat_family_of_hash(json_string_value(json_object_get(t, "hash")));
        assert_non_null(f);
        assert_string_equal(f->name, family);
        write_tokens(json_string_value(json_object_get(t, "bos")),
                     json_string_value(json_object_get(t, "eos")));
        struct chat *c = must_open(family);
        check_golden(golden, t, c);
        chat_destroy(c);
    }
    json_decref(golden);
}

/* ---- random conversations, C against Jinja2 ---- */

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static char *random_content(uint32_t *seed)
{
    static const char *const pieces[] = {" ",          "\n",
                                         "\t",         "word",
                                         "",           "é世🌍",
                                         "<think>",    "</think>",
                                         "\r\n",       "<tool_response>",
                                         "\u00a0",     "\u2003",
                                         "\u200b",     "</tool_response>",
                                         "\x1c",       "\u3000",
                                         "<|im_end|>", "\\n{{x}}",
                                         "\n\n",       "</s>",
                                         "\u2028",     "\xc2\x85",
                                         "'\"",        "\u180e",
                                         "\ufeff"};
    struct bytes b = {0};
    uint32_t n = next(seed) % 7;
    for (uint32_t i = 0; i < n; i++) {
        const char *p = pieces[next(seed) % (sizeof pieces / sizeof *pieces)];
        for (; *p; p++) ARRAY_PUSH(b, *p);
    }
    ARRAY_PUSH(b, 0);
    return b.items;
}

/* Mostly well-formed, some in any order. */
static void random_conversation(uint32_t *seed, struct chat_message *m, struct chat_request *r)
{
    static const char *const roles[] = {"user", "assistant", "system"};
    bool is_wild = next(seed) % 4 == 0;
    size_t system = next(seed) % 3 == 0 ? 1 : 0;
    r->n = 1 + next(seed) % (MAX_TURNS - 1);
    for (size_t i = 0; i < r->n; i++) {
        const char *role = i < system ? "system" : roles[(i - system) % 2];
        m[i].role = is_wild ? roles[next(seed) % 3] : role;
        m[i].content = random_content(seed);
    }
    r->messages = m;
    r->with_generation_prompt = next(seed) % 2;
}

static int compare_one(const struct chat_family *f, const struct chat_request *r, const char *text,
                       const char *refusal)
{
    struct chat_view v = {r->messages, r->n, r->with_generation_prompt, "<B>", "<E>", NOW};
    struct bytes out = {0};
    struct err e = {0};
    ARRAY_PUSH(out, 0);
    out.n = 0;
    int rc = f->render(&v, &out, &e);
    if (text && rc < 0) fail_msg("%s refuses what Jinja2 renders: %s", f->name, e.text);
    if (!text && rc == 0) fail_msg("%s renders what Jinja2 refuses: %s", f->name, refusal);
    if (text)
        assert_string_equal(out.items, text);
    else
        assert_string_equal(e.text, refusal);
    free(out.items);
    return text ? 1 : 0;
}

static void compare_random(const struct chat_family *f, const char *path, const char *template_text)
{
    enum { N = 300 };
    struct chat_message(*m)[MAX_TURNS] = mem_calloc(N, sizeof *m);
    struct chat_request *r = mem_calloc(N, sizeof *r);
    char **texts = mem_calloc(N, sizeof *texts), **reasons = mem_calloc(N, sizeof *reasons);
    uint32_t seed = 7;
    for (size_t i = 0; i < N; i++) random_conversation(&seed, m[i], &r[i]);
    json_t *tokens = json_pack("{s:s, s:s}", "bos_token", "<B>", "eos_token", "<E>");
    struct jinja_job job = {.template_text = template_text, .tokens = tokens, .now_unix_s = NOW};
    struct err e = {0};
    if (jinja_render(&job, r, N, texts, reasons, &e) < 0) fail_msg("%s: %s", path, e.text);
    int rendered = 0;
    for (size_t i = 0; i < N; i++) {
        rendered += compare_one(f, &r[i], texts[i], reasons[i]);
        free(texts[i]);
        free(reasons[i]);
        for (size_t k = 0; k < r[i].n; k++) free((char *)m[i][k].content);
    }
    printf("%-14s %4d of %d rendered, the others refused alike (%s)\n", f->name, rendered, N, path);
    json_decref(tokens);
    free(texts);
    free(reasons);
    free(r);
    free(m);
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = mem_calloc(1 << 20, 1);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return mem_realloc(text, n + 1, 1);
}

static void published_templates_match(void **state)
{
    (void)state;
    static const struct {
        const char *file, *family; /* NULL: rendered by Jinja2 */
    } files[] = {
        {"google-gemma-2-2b-it", "gemma"},
        {"meta-llama-Llama-3.1-8B-Instruct", "llama3.1"},
        {"meta-llama-Llama-3.2-3B-Instruct", "llama3.2"},
        {"microsoft-Phi-3.5-mini-instruct", "phi3.5"},
        {"mistral-v1", "mistral-v1"},
        {"mistral-v3", "mistral-v3"},
        {"Qwen-Qwen2.5-7B-Instruct", "qwen2.5"},
        {"Qwen-Qwen3-0.6B", "qwen3"},
        {"HuggingFaceTB-SmolLM3-3B", NULL},
    };
    if (access(SHARED_DATA_DIR "/templates", R_OK) != 0 || !has_jinja) {
        print_message("skipped: needs %s/templates and python3 with jinja2\n", SHARED_DATA_DIR);
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = mem_printf("%s/templates/%s.jinja", SHARED_DATA_DIR, files[i].file);
        char *text = read_text(path);
        assert_non_null(text);
        const struct chat_family *f = chat_family_of_template(text);
        assert_true((f == NULL) == (files[i].family == NULL));
        if (f) {
            assert_string_equal(f->name, files[i].family);
            compare_random(f, files[i].file, text);
        }
        free(text);
        free(path);
    }
}

static void templates_of_arguments_match(void **state)
{
    (void)state;
    for (int i = 0; i < n_more; i++) {
        char *path = strchr(more[i], '=');
        assert_non_null(path);
        *path++ = 0;
        char *text = read_text(path);
        assert_non_null(text);
        assert_non_null(chat_family_find(more[i]));
        compare_random(chat_family_find(more[i]), path, text);
        free(text);
    }
}

/* ---- where the template comes from ---- */

static const struct chat_message hello[] = {{"user", "Hi"}};

static void sources_of_auto(void **state)
{
    (void)state;
    clear_folder();
    must_refuse("auto", "has no chat template");
    must_refuse("auto", "set template: to raw");
    must_refuse("nonsense", "'nonsense' is neither auto, raw");
    must_refuse("missing.jinja", "missing.jinja: No such file");
    write_file("tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"x\"}]}");
    must_refuse("auto", "without one named \"default\"");
    write_file("tokenizer_config.json", "{\"chat_template\": 7}");
    must_refuse("auto", "'chat_template' is an integer");
    write_file("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"rag\"}]}");
    must_refuse("auto", "'template' is missing");
    write_file("tokenizer_config.json", "[1]");
    must_refuse("auto", "not a JSON object");
    write_file("tokenizer_config.json", "{");
    must_refuse("auto", "not valid JSON");
    clear_folder();
}

static void families_by_name(void **state)
{
    (void)state;
    clear_folder();
    struct chat *c = must_open("llama3");
    check(c, hello, 1, true,
          "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n",
          NULL);
    assert_true(chat_adds_bos(c));
    assert_false(chat_prints_date(c));
    assert_string_equal(chat_end_of_turn(c), "<|eot_id|>");
    const struct chat_message tool[] = {{"user", "Hi"}, {"tool", "42"}};
    check(c, tool, 2, true, NULL,
          "conversation 0 has a role that is not system, user or assistant");
    check(c, hello, 0, true, NULL, "has no messages");
    chat_destroy(c);
    c = must_open("gemma");
    const struct chat_message system[] = {{"system", "s"}, {"user", "u"}};
    check(c, system, 2, true, NULL,
          "template gemma refuses conversation 0: System role not supported");
    chat_destroy(c);
    c = must_open("llama3.2");
    assert_true(chat_prints_date(c));
    chat_destroy(c);
    write_tokens("<other>", "</other>");
    c = must_open("zephyr"); /* the checkpoint's tokens are the ones that its tokenizer knows */
    check(c, hello, 1, true, "<|user|>\nHi</other>\n<|assistant|>\n", NULL);
    assert_false(chat_adds_bos(c));
    chat_destroy(c);
    clear_folder();
}

static void raw_adds_nothing(void **state)
{
    (void)state;
    clear_folder();
    struct chat *c = must_open("raw");
    const struct chat_message m[] = {{"system", "a "}, {"user", "b"}, {"tool", ""}};
    check(c, m, 3, true, "a b", NULL);
    assert_string_equal(chat_name(c), "raw");
    assert_string_equal(chat_end_of_turn(c), "");
    struct err e = {0};
    char *closing;
    assert_int_equal(chat_closing(c, &closing, &e), 0);
    assert_string_equal(closing, "");
    free(closing);
    chat_destroy(c);
}

static void answers_are_framed(void **state)
{
    (void)state;
    static const struct {
        const char *family, *before, *after;
    } rows[] = {
        {"llama3",
         "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n",
         "<|eot_id|>"},
        {"gemma", "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
         "<end_of_turn>\n"},
        {"qwen3", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
         "<|im_end|>\n"},
        {"mistral", "<s> [INST] Hi [/INST] ", "</s>"},
        {"phi3.5", "<|user|>\nHi<|end|>\n<|assistant|>\n", "<|end|>\n<|endoftext|>"},
        {"raw", "Hi", ""},
    };
    clear_folder();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chat *c = must_open(rows[i].family);
        struct chat_request r = {hello, 1, true};
        struct chat_frame frame;
        struct err e = {0};
        char *closing;
        assert_int_equal(chat_frame_many(c, &r, 1, &frame, &e), 0);
        assert_string_equal(frame.before, rows[i].before);
        assert_string_equal(frame.after, rows[i].after);
        assert_int_equal(chat_closing(c, &closing, &e), 0);
        assert_string_equal(closing, rows[i].after);
        free(closing);
        free(frame.before);
        free(frame.after);
        chat_destroy(c);
    }
    struct chat *c = must_open("gemma");
    const struct chat_message after[] = {{"user", "q"}, {"assistant", "a"}};
    struct chat_request r = {after, 2, false};
    struct chat_frame frame;
    struct err e = {0};
    assert_int_equal(chat_frame_many(c, &r, 1, &frame, &e), -1);
    assert_non_null(strstr(e.text, "roles must alternate"));
    chat_destroy(c);
}

/* ---- Jinja2 ---- */

static void need_jinja(void)
{
    clear_folder();
    if (has_jinja) return;
    print_message("skipped: needs python3 with jinja2\n");
    skip();
}

/* What the template makes of one message "Hi" with generation prompt; or its refusal. */
static void check_template(const char *template_text, const char *text, const char *refusal)
{
    json_t *tokens = json_pack("{s:s}", "bos_token", "<B>");
    struct jinja_job job = {template_text, tokens, NOW, 5, (int64_t)400 << 20};
    struct chat_request r = {hello, 1, true};
    char *out, *reason;
    struct err e = {0};
    int rc = jinja_render(&job, &r, 1, &out, &reason, &e);
    json_decref(tokens);
    const char *error = rc < 0 ? e.text : reason;
    if (text && !out) fail_msg("%s: %s", template_text, error);
    if (text) assert_string_equal(out, text);
    if (!text && out) fail_msg("%s: not refused: %s", template_text, out);
    if (!text && !strstr(error, refusal)) fail_msg("'%s' does not contain '%s'", error, refusal);
    free(out);
    free(reason);
}

static void jinja_surroundings(void **state)
{
    (void)state;
    need_jinja();
    check_template("{{ bos_token }}{{ eos_token }}{{ messages[0].content }}\n", "<B>Hi", NULL);
    check_template("{{ strftime_now('%d %b %Y') }}", "08 Feb 2025", NULL);
    check_template("{{ {'b': '<é>', 'a': 1} | tojson }}", "{\"b\": \"<é>\", \"a\": 1}", NULL);
    check_template(
        "{% for i in range(9) %}\n  {% if i == 2 %}{% break %}{% endif %}\n{{ i }}\n{% endfor %}",
        "0\n1\n", NULL);
    check_template("{% generation %}{{ messages|length }}{% endgeneration %}!", "1!", NULL);
    check_template("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}",
                   "TrueTrueTrue", NULL);
    check_template("{{ messages[0]['content'] }}\r\n{{ 1 }}", "Hi\n1", NULL);
}

static void jinja_refusals(void **state)
{
    (void)state;
    need_jinja();
    check_template("{{ raise_exception('No é please') }}", NULL, "No é please");
    check_template("a\n{% if %}", NULL, "line 2: ");
    check_template("{{ nothing.here }}", NULL, "'nothing' is undefined");
    check_template("{{ ''.__class__.__mro__[1].__subclasses__() }}", NULL, "unsafe");
    check_template("{{ messages.append(1) }}", NULL, "unsafe");
    check_template("{% include 'x' %}", NULL, "no loader");
    check_template("{% for i in range(999999999) %}{% endfor %}", NULL, "Range too big");
    check_template("{{ 'x' * 4000000000 }}", NULL, "memory");
    check_template("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                   NULL, "takes too long");
    check_template("{% for i in range(500) %}{{ 'x' * 60000 }}{% endfor %}", NULL,
                   "prints more than 16 MiB");
    check_template("\xff", NULL, "not valid UTF-8");
}

static void jinja_through_checkpoint(void **state)
{
    (void)state;
    need_jinja();
    write_file("tokenizer_config.json",
               "{\"bos_token\": {\"content\": \"<B>\"}, \"pad_token\": null, \"tokenizer_class\": "
               "\"LlamaTokenizer\","
               " \"chat_template\": [{\"name\": \"other\", \"template\": \"no\"}, {\"name\": "
               "\"default\", \"template\":"
               " \"{{bos_token}}{% for m in messages %}[{{m.role}}]{{m.content}}{{eos_token}}\\n{% "
               "endfor %}\"}]}");
    struct chat *c = must_open("auto");
    check(c, hello, 1, true, "<B>[user]Hi</s>\n", NULL);
    assert_true(chat_adds_bos(c));
    assert_memory_equal(chat_name(c), "jinja2:", 7);
    assert_string_equal(chat_end_of_turn(c), "</s>");
    chat_destroy(c);
    write_file("chat_template.jinja", "{{ messages[0].content }} from the file{{ eos_token }}\n");
    c = must_open("auto");
    check(c, hello, 1, true, "Hi from the file</s>", NULL);
    struct err e = {0};
    char *closing;
    assert_int_equal(chat_closing(c, &closing, &e), -1);
    assert_non_null(strstr(e.text, "does not print an assistant message exactly once"));
    chat_destroy(c);
    write_file("own.jinja", "{{ raise_exception('never') }}");
    char *own = mem_printf("%s/own.jinja", folder);
    c = must_open(own);
    check(c, hello, 1, true, NULL, "own.jinja refuses conversation 0: never");
    chat_destroy(c);
    write_file("own.jinja", "{% endif %}");
    must_refuse(own, "own.jinja: line 1: ");
    free(own);
    clear_folder();
}

/* One start for many long conversations: more than a socket buffer in both directions. */
static void jinja_many(void **state)
{
    (void)state;
    need_jinja();
    enum { N = 500, LONG = 20000 };
    write_file("chat_template.jinja", "{{ messages[0].content }}{{ messages[0].content }}");
    struct chat *c = must_open("auto");
    struct chat_message m[N];
    struct chat_request r[N];
    char *out[N];
    for (size_t i = 0; i < N; i++) {
        char *text = mem_calloc(LONG + 1, 1);
        memset(text, 'a' + (int)(i % 26), LONG);
        m[i] = (struct chat_message){"user", text};
        r[i] = (struct chat_request){&m[i], 1, false};
    }
    struct err e = {0};
    if (chat_render_many(c, r, N, out, &e) < 0) fail_msg("%s", e.text);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(strlen(out[i]), 2 * LONG);
        assert_memory_equal(out[i], m[i].content, LONG);
        free(out[i]);
        free((char *)m[i].content);
    }
    chat_destroy(c);
}

static void without_python(void **state)
{
    (void)state;
    char *path = mem_strdup(getenv("PATH"));
    setenv("PATH", folder, 1);
    check_template("{{ 1 }}", NULL, "python3 does not start");
    setenv("PATH", path, 1);
    free(path);
}

static bool find_jinja(void)
{
    json_t *tokens = json_object();
    struct jinja_job job = {.template_text = "", .tokens = tokens};
    struct chat_request r = {hello, 1, false};
    char *text, *reason;
    struct err e = {0};
    bool found = jinja_render(&job, &r, 1, &text, &reason, &e) == 0;
    free(text);
    free(reason);
    if (!found) print_message("no Jinja2: %s\n", e.text);
    json_decref(tokens);
    return found;
}

int main(int argc, char **argv)
{
    n_more = argc - 1;
    more = argv + 1;
    setenv("TZ", "UTC", 1);
    if (!mkdtemp(folder)) return 1;
    has_jinja = find_jinja();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_render_as_transformers),
        cmocka_unit_test(published_templates_match),
        cmocka_unit_test(templates_of_arguments_match),
        cmocka_unit_test(sources_of_auto),
        cmocka_unit_test(families_by_name),
        cmocka_unit_test(raw_adds_nothing),
        cmocka_unit_test(answers_are_framed),
        cmocka_unit_test(jinja_surroundings),
        cmocka_unit_test(jinja_refusals),
        cmocka_unit_test(jinja_through_checkpoint),
        cmocka_unit_test(jinja_many),
        cmocka_unit_test(without_python),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    clear_folder();
    rmdir(folder);
    return rc;
}
