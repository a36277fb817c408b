#include "report/output.h"

#include "base/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int output_begin(struct output *o, const char *path, FILE *out, struct err *e)
{
    *o = (struct output){.file = out};
    if (!path || strcmp(path, "-") == 0) return 0;
    o->path = mem_strdup(path);
    o->tmp = mem_printf("%s.tmp", path);
    o->file = fopen(o->tmp, "wb");
    if (o->file) return 0;
    err_set(e, "cannot write %s: %s", path, strerror(errno));
    free(o->path);
    free(o->tmp);
    *o = (struct output){0};
    return -1;
}

static int unwritten(const struct output *o, struct err *e)
{
    err_set(e, "cannot write %s: %s", o->path ? o->path : "the output", strerror(errno));
    return OUTPUT_UNWRITTEN;
}

int output_check(const struct output *o, struct err *e)
{
    return ferror(o->file) ? unwritten(o, e) : 0;
}

static int finish(struct output *o, struct err *e)
{
    bool written = fflush(o->file) == 0 && !ferror(o->file);
    if (written && o->tmp) written = fsync(fileno(o->file)) == 0;
    if (o->tmp && fclose(o->file) != 0) written = false;
    if (written && o->tmp) written = rename(o->tmp, o->path) == 0;
    return written ? 0 : unwritten(o, e);
}

int output_end(struct output *o, int rc, struct err *e)
{
    if (rc == 0)
        rc = finish(o, e);
    else if (o->tmp)
        fclose(o->file);
    if (rc < 0 && o->tmp) unlink(o->tmp);
    free(o->path);
    free(o->tmp);
    *o = (struct output){0};
    return rc;
}
