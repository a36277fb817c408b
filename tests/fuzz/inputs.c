/* Runs a target on files, and on all files of folders: what fuzzing has found stays found.
 *   fuzz_NAME_inputs PATH... */
#include "base/mem.h"
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct {
        uint8_t *items;
        size_t n, cap;
    } input = {0};
    if (!f) {
        fprintf(stderr, "%s cannot be read\n", path);
        return -1;
    }
    for (int c; (c = getc(f)) != EOF;) ARRAY_PUSH(input, (uint8_t)c);
    fclose(f);
    printf("%s: %zu bytes\n", path,
           input.n); /* before: of a crash, the last line names the input */
    fflush(stdout);
    uint8_t *exact = mem_calloc(input.n, 1); /* no byte more: sanitizers see a read behind it */
    if (input.n) memcpy(exact, input.items, input.n);
    LLVMFuzzerTestOneInput(exact, input.n);
    free(exact);
    free(input.items);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int run_folder(const char *folder, int *n)
{
    DIR *d = opendir(folder);
    struct {
        char **items;
        size_t n, cap;
    } paths = {0};
    if (!d) return 0; /* a target without past crashes */
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.') ARRAY_PUSH(paths, mem_printf("%s/%s", folder, f->d_name));
    closedir(d);
    if (paths.n) qsort(paths.items, paths.n, sizeof *paths.items, by_name);
    int rc = 0;
    for (size_t i = 0; i < paths.n; i++) {
        if (run_file(paths.items[i]) < 0) rc = -1;
        free(paths.items[i]);
        (*n)++;
    }
    free(paths.items);
    return rc;
}

int main(int argc, char **argv)
{
    int n = 0, rc = 0;
    for (int i = 1; i < argc; i++)
        if (run_folder(argv[i], &n) < 0) rc = 1;
    printf("%d inputs\n", n);
    return n > 0 ? rc : 1; /* without inputs nothing was shown */
}
