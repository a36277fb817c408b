/* The CPU backend: own kernels, OpenMP, and MPI between ranks. */
#include "backend/cpu/cpu.h"

#include "base/mem.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cpu_destroy(struct backend *b)
{
    struct cpu *cpu = cpu_of(b);
    energy_close(cpu->energy);
    steps_free(cpu->steps);
    free(cpu->slabs.items);
    free(cpu->gemm.p);
    free(cpu->rounded.p);
    free(cpu->attention.p);
    free(cpu->rows.p);
    free(cpu->ranks.p);
    free(cpu->sample.p);
    free(cpu->cut.p);
    free(cpu);
    free(b);
}

/* Profilers of a processor know its functions by name. */
static void cpu_range(struct backend *b, const char *name)
{
    (void)b;
    (void)name;
}

static const struct backend_ops cpu_ops = {
    .name = "cpu",
    .destroy = cpu_destroy,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .host_alloc = cpu_alloc,
    .host_free = cpu_free,
    .free_bytes = cpu_free_bytes,
    .host_free_bytes = cpu_free_bytes,
    .weight_create = cpu_weight_create,
    .weight_fill = cpu_weight_fill,
    .weight_finish = cpu_weight_finish,
    .weight_destroy = cpu_weight_destroy,
    .weight_bytes = cpu_weight_bytes,
    .gemm = cpu_gemm,
    .batch_begin = cpu_batch_begin,
    .decode_begin = cpu_decode_begin,
    .decode_draw = cpu_decode_draw,
    .decode_advance = cpu_decode_advance,
    .decode_end = cpu_decode_end,
    .graph = cpu_graph,
    .embed = cpu_embed,
    .rmsnorm = cpu_rmsnorm,
    .residual_rmsnorm = cpu_residual_rmsnorm,
    .softcap = cpu_softcap,
    .glu = cpu_glu,
    .gather_rows = cpu_gather_rows,
    .workspace_bytes = cpu_workspace_bytes,
    .reserve = cpu_reserve,
    .kv_create = cpu_kv_create,
    .kv_destroy = cpu_kv_destroy,
    .kv_page_bytes = cpu_kv_page_bytes,
    .rope_kv_write = cpu_rope_kv_write,
    .attention = cpu_attention,
    .kv_copy = cpu_kv_copy,
    .kv_read = cpu_kv_read,
    .kv_write = cpu_kv_write,
    .kv_exchange = cpu_kv_exchange,
    .sum_ranks = cpu_sum_ranks,
    .sample = cpu_sample,
    .logprob = cpu_logprob,
    .energy_j = cpu_energy_j,
    .range = cpu_range,
};

/* "model name : X" of /proc/cpuinfo, where there is one.  One that cannot be read may not become
 * another name: a file is continued on the same device alone. */
static int read_device(char *out, size_t size, struct err *e)
{
    static const char path[] = "/proc/cpuinfo";
    char line[256];
    snprintf(out, size, "unknown processor");
    FILE *f = fopen(path, "r");
    if (!f && errno != ENOENT) return err_set(e, "%s: %s", path, strerror(errno));
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", value + 2);
        break;
    }
    int rc = f && ferror(f) ? err_set(e, "%s: %s", path, strerror(errno)) : 0;
    if (f) fclose(f);
    return rc;
}

struct backend *backend_cpu_create(struct comm *tensor, enum dtype dtype, int threads,
                                   struct err *e)
{
    if (dtype == DTYPE_ID_F16 || dtype == DTYPE_ID_FP8) {
        err_set(e,
                "dtype %s is not for the cpu backend, which multiplies f32 and bf16; set dtype: "
                "f32 or bf16%s",
                dtype_name(dtype),
                dtype == DTYPE_ID_FP8 ? ", or compute on a GPU of compute capability 8.9 or later"
                                      : "");
        return NULL;
    }
    enum isa isa;
    if (isa_most(&isa, e) < 0) return NULL;
    struct backend *b = mem_calloc(1, sizeof *b);
    struct cpu *cpu = mem_calloc(1, sizeof *cpu);
    cpu->threads = threads > 0 ? threads : omp_get_max_threads();
    cpu->tiles = tiles_choose(isa);
    cpu->energy = energy_open(ENERGY_ROOT);
    struct comm *host = comm_split_node(tensor);
    *b = (struct backend){.ops = &cpu_ops,
                          .tensor = tensor,
                          .impl = cpu,
                          .ranks_on_device = comm_size(host),
                          .activation = DTYPE_ID_F32,
                          .max_rows = 512,
                          .steps_ahead = 1};
    comm_destroy(host);
    b->threads = cpu->threads;
    b->dtype = dtype != DTYPE_NONE ? dtype : cpu->tiles.bf16 ? DTYPE_ID_BF16 : DTYPE_ID_F32;
    snprintf(b->isa, sizeof b->isa, "%s", isa_name(isa));
    snprintf(b->versions, sizeof b->versions, "gcc %s", __VERSION__);
    if (read_device(b->device, sizeof b->device, e) == 0) return b;
    backend_destroy(b);
    return NULL;
}
