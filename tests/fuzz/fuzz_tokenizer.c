/* tokenizer.json, then tokenizer_config.json (a part of its own), then a text that is encoded and
 * decoded with it. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "text/bridge.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static void use(const struct tokenizer *t, const char *text, size_t n)
{
    static const unsigned flags[] = {TOKENIZE_BOS, TOKENIZE_NO_SPECIAL,
                                     TOKENIZE_PIECE | TOKENIZE_NO_SPECIAL};
    struct ids ids = {0}, other = {0};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct err e = {0};
        struct bytes out = {0};
        ids.n = 0;
        int rc = tokenizer_encode(t, text, n, flags[i], &ids, &e);
        fuzz_check(rc, &e);
        for (size_t k = 0; k < ids.n; k++)
            ENSURE(ids.items[k] >= 0 && ids.items[k] < tokenizer_vocab_size(t));
        if (rc == 0) {
            fuzz_check(tokenizer_decode(t, ids.items, ids.n, i == 1, &out, &e), &e);
            struct bytes repaired = {0};
            utf8_repair(out.items, out.n, &repaired);
            free(repaired.items);
        }
        free(out.items);
    }
    struct bridge *b = bridge_create(t, t);
    struct err e = {0};
    fuzz_check(bridge_convert(b, ids.items, ids.n, &other, &e), &e);
    bridge_destroy(b);
    free(ids.items);
    free(other.items);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char plain[] = "Hello  \xC3\xA9\xE2\x96\x81 world!\n\t 1234 <s> caf\x65\xCC\x81";
    size_t length;
    char *json = fuzz_part(bytes, n, 0, &length);
    fuzz_write("tokenizer.json", json, length);
    free(json);
    char *config = fuzz_part(bytes, n, 1, &length);
    if (config)
        fuzz_write("tokenizer_config.json", config, length);
    else
        fuzz_remove("tokenizer_config.json");
    free(config);
    struct err e = {0};
    struct tokenizer *t = tokenizer_open(fuzz_folder(), &e);
    fuzz_check(t ? 0 : -1, &e);
    if (!t) return 0;
    char *text = fuzz_part(bytes, n, 2, &length);
    if (text) use(t, text, length);
    free(text);
    use(t, plain, strlen(plain));
    tokenizer_destroy(t);
    return 0;
}
