/* tokenizer.json files that are made here: the smallest that works, and every kind of broken one.
 */
#include "base/mem.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN TESTS_DIR "/golden/tokenizers/"

static struct tokenizer *open_at(const char *folder)
{
    struct err e = {0};
    struct tokenizer *t = tokenizer_open(folder, &e);
    if (!t) print_error("%s\n", e.text);
    assert_non_null(t);
    return t;
}

static struct ids encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct ids out = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, n, flags, &out, &e) < 0) fail_msg("%s", e.text);
    return out;
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    struct bytes b = {0};
    for (int c; (c = fgetc(f)) != EOF;) ARRAY_PUSH(b, (char)c);
    *n = b.n;
    ARRAY_PUSH(b, '\0');
    fclose(f);
    return b.items;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void make_folder(char folder[64])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, 64, "%.40s/tokenizerXXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
    char path[512];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* A small file; each part may be replaced. */
struct parts {
    const char *model, *vocab, *merges, *added, *normalizer, *pre_tokenizer, *post_processor,
        *decoder;
};

static void write_parts(const char *folder, struct parts p)
{
#define OR(part, otherwise) (p.part ? p.part : (otherwise))
    char *text = mem_printf(
        "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,"
        "\"decoder\":%s,\"model\":{%s,\"vocab\":%s,\"merges\":%s}}",
        OR(added, "[{\"id\":4,\"content\":\"<s>\",\"special\":true},{\"id\":5,\"content\":\"</s>\","
                  "\"special\":true}]"),
        OR(normalizer, "null"),
        OR(pre_tokenizer, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"),
        OR(post_processor, "null"), OR(decoder, "{\"type\":\"ByteLevel\"}"),
        OR(model, "\"type\":\"BPE\""), OR(vocab, "{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3}"),
        OR(merges, "[\"a b\",[\"ab\",\"a\"]]"));
    write_file(folder, "tokenizer.json", text);
    free(text);
}

static void test_minimal(void **state)
{
    (void)state;
    char folder[64];
    make_folder(folder);
    write_parts(folder, (struct parts){0});
    struct tokenizer *t = open_at(folder);
    struct ids ids = encode(t, "ababa x b", 9, 0); /* space and x are no tokens: left out */
    static const int32_t want[] = {2, 3, 1};
    assert_int_equal(ids.n, 3);
    assert_memory_equal(ids.items, want, sizeof want);
    assert_int_equal(tokenizer_vocab_size(t), 6);
    free(ids.items);
    tokenizer_destroy(t);
    remove_folder(folder);
}

#define SPLIT_REGEX(pattern)                                                                       \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\"}"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct parts parts;
        const char *message;
    } cases[] = {
        {{.model = "\"type\":\"Unigram\""}, "model 'Unigram'"},
        {{.model = "\"dropout\":0.1"}, "dropout"},
        {{.model = "\"continuing_subword_prefix\":\"##\""}, "continuing_subword_prefix"},
        {{.model = "\"unk_token\":\"<unk>\""}, "unk_token '<unk>'"},
        {{.model = "\"ignore_merges\":1"}, "ignore_merges"},
        {{.vocab = "[]"}, "vocab"},
        {{.vocab = "{}", .added = "[]"}, "empty"},
        {{.vocab = "{\"a\":0,\"b\":0,\"ab\":2,\"aba\":3}"}, "same id 0"},
        {{.vocab = "{\"a\":-1}"}, "id -1"},
        {{.vocab = "{\"a\":\"0\"}"}, "no integer"},
        {{.vocab = "{\"a\":2000000000}"}, "id 2000000000"},
        {{.vocab = "{\"a\":9999999999999999}"}, "id 9999999999999999"},
        {{.merges = "{}"}, "merges"},
        {{.merges = "[\"ab\"]"}, "merge 0"},
        {{.merges = "[\"a b a\"]"}, "merge 0"},
        {{.merges = "[\" b\"]"}, "merge 0"},
        {{.merges = "[[\"a\"]]"}, "merge 0"},
        {{.merges = "[[\"a\",1]]"}, "merge 0"},
        {{.merges = "[\"a b\",\"a x\"]"}, "merge 1: token 'x'"},
        {{.merges = "[\"b a\"]"}, "'ba' is not in the vocabulary"},
        {{.added = "[{\"id\":7}]"}, "content"},
        {{.added = "[{\"id\":\"7\",\"content\":\"x\"}]"}, "no integer"},
        {{.added = "[{\"id\":7,\"content\":\"a\"}]"}, "two ids"},
        {{.added = "[{\"id\":1,\"content\":\"x\"}]"}, "same id 1"},
        {{.added = "[7]"}, "content"},
        {{.normalizer = "{\"type\":\"Precompiled\"}"}, "normalizer 'Precompiled'"},
        {{.normalizer = "{\"type\":\"Sequence\"}"}, "normalizers"},
        {{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[1]}"}, "type"},
        {{.normalizer = "7"}, "type"},
        {{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}"},
         "String"},
        {{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}"},
         "empty"},
        {{.pre_tokenizer = "{\"type\":\"Whitespace\"}"}, "pre_tokenizer 'Whitespace'"},
        {{.pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
                           "{\"type\":\"Digits\"}]}"},
         "behind ByteLevel"},
        {{.pre_tokenizer = SPLIT_REGEX("(a")}, "pattern '(a'"},
        {{.pre_tokenizer = SPLIT_REGEX("[a[b]]")}, "nested"},
        {{.pre_tokenizer = SPLIT_REGEX("[a")}, "pattern '[a'"},
        {{.pre_tokenizer = SPLIT_REGEX("a\\\\")}, "pattern"},
        {{.pre_tokenizer = SPLIT_REGEX("\\\\w+")}, "not supported"},
        {{.pre_tokenizer = SPLIT_REGEX("")}, "empty"},
        {{.pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}"},
         "Regex"},
        {{.pre_tokenizer =
              "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"x\"}"},
         "behavior 'x'"},
        {{.pre_tokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"}, "one character"},
        {{.pre_tokenizer = "{\"type\":\"Metaspace\",\"prepend_scheme\":\"last\"}"}, "'last'"},
        {{.post_processor = "{\"type\":\"BertProcessing\"}"}, "'BertProcessing'"},
        {{.post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[]}"}, "missing"},
        {{.post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}},"
                            "{\"Sequence\":{}}]}"},
         "twice"},
        {{.post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
                            "{\"id\":\"<s>\"}},{\"Sequence\":{}}]}"},
         "no ids"},
        {{.post_processor =
              "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
              "{\"id\":\"<s>\"}},{\"Sequence\":{}}],\"special_tokens\":{\"<s>\":{\"ids\":"
              "[99]}}}"},
         "id 99"},
        {{.decoder = "null"}, "no decoder"},
        {{.decoder = "{\"type\":\"WordPiece\"}"}, "decoder 'WordPiece'"},
        {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\","
                     "\"content\":\" \",\"start\":1,\"stop\":1}]}"},
         "stop 1"},
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        write_parts(folder, cases[i].parts);
        struct tokenizer *t = tokenizer_open(folder, &e);
        if (t || !strstr(e.text, cases[i].message) || !strstr(e.text, "tokenizer.json") ||
            strchr(e.text, '\n'))
            fail_msg("case %zu: expected '%s', got '%s'", i, cases[i].message, e.text);
    }
    remove_folder(folder);
}

/* Every prefix of a good file is an error, not a crash; so is a folder without the file. */
static void test_truncated(void **state)
{
    (void)state;
    size_t n = 0;
    char *text = read_file(GOLDEN "llama2_legacy/tokenizer.json", &n), folder[64];
    assert_non_null(text);
    make_folder(folder);
    struct err e = {0};
    assert_null(tokenizer_open(folder, &e));
    assert_non_null(strstr(e.text, "tokenizer.json"));
    for (size_t cut = 0; cut + 2 < n; cut += 61) {
        char *part = mem_strndup(text, cut);
        write_file(folder, "tokenizer.json", part);
        assert_null(tokenizer_open(folder, &e));
        free(part);
    }
    free(text);
    remove_folder(folder);
}

/* Nested sequences unroll; deeper ones than any stack would like are refused by the JSON reader. */
static void test_nesting(void **state)
{
    (void)state;
    char folder[64];
    make_folder(folder);
    struct bytes deep = {0};
    for (int i = 0; i < 500; i++)
        for (const char *p = "{\"type\":\"Sequence\",\"pretokenizers\":["; *p; p++)
            ARRAY_PUSH(deep, *p);
    for (const char *p = "{\"type\":\"ByteLevel\"}"; *p; p++) ARRAY_PUSH(deep, *p);
    for (int i = 0; i < 500; i++)
        for (const char *p = "]}"; *p; p++) ARRAY_PUSH(deep, *p);
    ARRAY_PUSH(deep, '\0');
    write_parts(folder, (struct parts){.pre_tokenizer = deep.items});
    tokenizer_destroy(open_at(folder));
    free(deep.items);
    remove_folder(folder);
}

/* tokenizer_config.json overrules the template when it speaks about BOS or EOS. */
static void test_config(void **state)
{
    (void)state;
    static const char template[] = "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
                                   "{\"id\":\"<s>\"}},{\"Sequence\":"
                                   "{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[4]}}}";
    static const struct {
        const char *post_processor, *config;
        int32_t first, last; /* -1: nothing added */
    } cases[] = {
        {NULL, "{}", -1, -1},
        {template, "{}", 4, -1},
        {template, "{\"bos_token\":\"</s>\"}", 4, -1},
        {template, "{\"add_bos_token\":false,\"bos_token\":\"<s>\"}", -1, -1},
        {NULL, "{\"add_bos_token\":true,\"bos_token\":\"<s>\"}", 4, -1},
        {NULL, "{\"add_bos_token\":true,\"bos_token\":{\"content\":\"<s>\"}}", 4, -1},
        {NULL, "{\"add_bos_token\":true}", -1, -1},
        {template, "{\"add_bos_token\":null,\"bos_token\":\"<s>\"}", 4, -1},
        {template,
         "{\"add_bos_token\":true,\"bos_token\":\"<s>\",\"add_eos_token\":true,\"eos_token\":\"</"
         "s>\"}",
         4, 5},
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_parts(folder, (struct parts){.post_processor = cases[i].post_processor});
        write_file(folder, "tokenizer_config.json", cases[i].config);
        struct tokenizer *t = open_at(folder);
        struct ids ids = encode(t, "b", 1, TOKENIZE_BOS);
        size_t n = 1u + (cases[i].first >= 0) + (cases[i].last >= 0);
        assert_int_equal(ids.n, n);
        if (cases[i].first >= 0) assert_int_equal(ids.items[0], cases[i].first);
        if (cases[i].last >= 0) assert_int_equal(ids.items[n - 1], cases[i].last);
        free(ids.items);
        tokenizer_destroy(t);
    }
    struct err e = {0};
    write_file(folder, "tokenizer_config.json", "{\"add_bos_token\":true,\"bos_token\":\"<x>\"}");
    assert_null(tokenizer_open(folder, &e));
    assert_non_null(strstr(e.text, "bos_token '<x>'"));
    write_file(folder, "tokenizer_config.json", "{");
    assert_null(tokenizer_open(folder, &e));
    assert_non_null(strstr(e.text, "tokenizer_config.json"));
    remove_folder(folder);
}

/* A normalizer that leaves nothing of a text: no ids, and no error. */
static void test_nothing_left(void **state)
{
    (void)state;
    char folder[64];
    make_folder(folder);
    write_parts(folder,
                (struct parts){.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":"
                                             "\"b\"},\"content\":\"\"}"});
    struct tokenizer *t = open_at(folder);
    for (size_t n = 0; n < 3; n++) {
        struct ids ids = encode(t, "bb", n, 0);
        assert_int_equal(ids.n, 0);
        free(ids.items);
    }
    tokenizer_destroy(t);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_config),    cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
