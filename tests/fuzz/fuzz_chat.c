/* What a checkpoint says of chat (tokenizer_config.json, special_tokens_map.json,
 * chat_template.jinja), and a conversation through every built-in family.  Jinja2 itself runs in
 * another process and is not fuzzed here.
 *
 * Parts: tokenizer_config.json; special_tokens_map.json; chat_template.jinja; messages, each a line
 * "ROLE CONTENT" whose role is the first letter's. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "text/chat.h"
#include "text/chat_checkpoint.h"
#include "text/chat_families.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 16 };

static const char *role_of(char c)
{
    return c == 's' ? "system" : c == 'a' ? "assistant" : c == 't' ? "tool" : "user";
}

static void converse(struct chat *c, const struct chat_message *m, size_t n)
{
    struct chat_request r = {m, n, true};
    struct chat_frame frame = {0};
    struct err e = {0};
    char *text = NULL;
    int rc = chat_render(c, m, n, true, &text, &e);
    fuzz_check(rc, &e);
    ENSURE((rc == 0) == (text != NULL));
    free(text);
    e = (struct err){0};
    rc = chat_frame_many(c, &r, 1, &frame, &e);
    fuzz_check(rc, &e);
    free(frame.before);
    free(frame.after);
    e = (struct err){0};
    rc = chat_closing(c, &text, &e);
    fuzz_check(rc, &e);
    free(text);
}

static void each_family(const struct chat_message *m, size_t n)
{
    char *names = chat_family_names(), *rest = names;
    for (char *name; (name = strsep(&rest, ", ")) != NULL;) {
        if (!name[0]) continue;
        struct err e = {0};
        struct chat *c = chat_open(fuzz_folder(), name, &e);
        fuzz_check(c ? 0 : -1, &e);
        if (c) converse(c, m, n);
        chat_destroy(c);
    }
    free(names);
}

static void checkpoint(void)
{
    struct err e = {0};
    char *text = NULL, *source = NULL;
    fuzz_check(checkpoint_template(fuzz_folder(), &text, &source, &e), &e);
    ENSURE(source);
    if (text) chat_family_of_template(text);
    free(text);
    free(source);
    json_t *tokens = NULL;
    e = (struct err){0};
    fuzz_check(checkpoint_tokens(fuzz_folder(), &tokens, &e), &e);
    json_decref(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja"};
    size_t length, n_messages = 0;
    for (int i = 0; i < 3; i++) {
        char *part = fuzz_part(bytes, n, i, &length);
        if (part && length)
            fuzz_write(files[i], part, length);
        else
            fuzz_remove(files[i]);
        free(part);
    }
    checkpoint();
    char *lines = fuzz_part(bytes, n, 3, &length), *rest = lines;
    struct chat_message m[MAX_MESSAGES];
    for (char *line; lines && n_messages < MAX_MESSAGES && (line = strsep(&rest, "\n")) != NULL;)
        if (line[0]) m[n_messages++] = (struct chat_message){role_of(line[0]), line + 1};
    each_family(m, n_messages);
    free(lines);
    return 0;
}
