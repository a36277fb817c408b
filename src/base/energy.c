#include "base/energy.h"

#include "base/mem.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct package {
    char *counter;        /* path of its energy_uj, owned */
    uint64_t last, range; /* microjoules: when last read; the counter's largest value */
};

struct energy {
    struct {
        struct package *items;
        size_t n, cap;
    } packages;
    double joules;
};

static bool read_number(const char *path, uint64_t *out)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    bool ok = fscanf(f, "%" SCNu64, out) == 1;
    fclose(f);
    return ok;
}

/* "intel-rapl:0": a package.  "intel-rapl:0:1" is a part of it, "intel-rapl-mmio:0" the same
 * package by another way. */
static bool is_package(const char *name)
{
    static const char prefix[] = "intel-rapl:";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return false;
    const char *number = name + sizeof prefix - 1;
    return *number && number[strspn(number, "0123456789")] == 0;
}

static bool add_package(struct energy *e, const char *root, const char *name)
{
    struct package p = {.counter = mem_printf("%s/%s/energy_uj", root, name)};
    char *range = mem_printf("%s/%s/max_energy_range_uj", root, name);
    bool ok = read_number(p.counter, &p.last) && read_number(range, &p.range);
    free(range);
    if (ok)
        ARRAY_PUSH(e->packages, p);
    else
        free(p.counter);
    return ok;
}

struct energy *energy_open(const char *root)
{
    DIR *d = opendir(root);
    if (!d) return NULL;
    struct energy *e = mem_calloc(1, sizeof *e);
    bool all = true;
    for (const struct dirent *entry; (entry = readdir(d));)
        if (is_package(entry->d_name)) all = add_package(e, root, entry->d_name) && all;
    closedir(d);
    if (all && e->packages.n > 0) return e;
    energy_close(e); /* part of the packages would look like the whole */
    return NULL;
}

void energy_close(struct energy *e)
{
    if (!e) return;
    for (size_t i = 0; i < e->packages.n; i++) free(e->packages.items[i].counter);
    free(e->packages.items);
    free(e);
}

double energy_read(struct energy *e)
{
    if (!e) return NAN;
    for (size_t i = 0; i < e->packages.n; i++) {
        struct package *p = &e->packages.items[i];
        uint64_t now;
        if (!read_number(p->counter, &now)) return NAN;
        uint64_t used = now >= p->last ? now - p->last : p->range - p->last + now;
        e->joules += (double)used * 1e-6;
        p->last = now;
    }
    return e->joules;
}
