#include "run/shell.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

char *shell_word(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_./=:,@%+-";
    if (text[0] && text[strspn(text, plain)] == 0) return mem_strdup(text);
    char *word = mem_strdup("'");
    for (const char *from = text;;) {
        size_t n = strcspn(from, "'");
        char *longer = mem_printf("%s%.*s%s", word, (int)n, from, from[n] ? "'\\''" : "'");
        free(word);
        word = longer;
        if (!from[n]) return word;
        from += n + 1;
    }
}
