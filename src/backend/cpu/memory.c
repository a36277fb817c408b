/* Memory of the CPU backend. */
#include "backend/cpu/cpu.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void *scratch_need(struct scratch *s, size_t bytes)
{
    if (bytes > s->bytes) {
        free(s->p);
        s->p = mem_try_aligned(bytes);
        if (!s->p) quit("out of memory: %zu bytes of scratch", bytes);
        s->bytes = bytes;
    }
    return s->p;
}

void *cpu_alloc(struct backend *b, size_t bytes)
{
    (void)b;
    return mem_try_aligned(bytes);
}

void cpu_free(struct backend *b, void *p)
{
    (void)b;
    free(p);
}

void cpu_copy(struct backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b;
    memcpy(dst, src, bytes);
}

size_t cpu_workspace_bytes(const struct workload *w, int n)
{
    (void)w;
    (void)n;
    return 0;
}

int cpu_reserve(struct backend *b, const struct workload *w, struct err *e)
{
    (void)b;
    (void)w;
    (void)e;
    return 0;
}

size_t cpu_free_bytes(struct backend *b)
{
    return host_free_bytes(b->ranks_on_device);
}

double cpu_energy_j(struct backend *b)
{
    return energy_read(cpu_of(b)->energy) / b->ranks_on_device;
}
