/* Host memory while a checkpoint is loaded: at most this rank's shard plus 256 MiB, on 1, 2 and 4
 * ranks of a group, with weights widened to f32 and kept in bf16.  The checkpoint, larger than the
 * allowance several times, is a header and a hole in a file: it reads as zeros and takes no disk.
 */
#include "base/mem.h"
#include "model/weights.h"
#include "ref/temp.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALLOWANCE ((size_t)256 << 20)

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": "
    "\"silu\","
    " \"rope_theta\": 10000.0, \"rms_norm_eps\": 1e-5, \"hidden_size\": 2048,"
    " \"intermediate_size\": 8192, \"num_hidden_layers\": 6, \"num_attention_heads\": 16,"
    " \"num_key_value_heads\": 4, \"max_position_embeddings\": 64, \"vocab_size\": 32000,"
    " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\", \"bos_token_id\": 1,"
    " \"eos_token_id\": 2}";

/* Appends a bf16 tensor [rows, cols] (cols 0: [rows]) to the header. */
static void declare(FILE *header, size_t *end, const char *name, int64_t rows, int64_t cols)
{
    size_t begin = *end;
    char shape[64];
    snprintf(shape, sizeof shape, cols ? "%lld, %lld" : "%lld", (long long)rows, (long long)cols);
    *end += (size_t)(rows * (cols ? cols : 1)) * 2;
    fprintf(header,
            "%s\"%s\": {\"dtype\": \"BF16\", \"shape\": [%s], \"data_offsets\": [%zu, %zu]}",
            begin ? ", " : "{", name, shape, begin, *end);
}

static void declare_layer(FILE *header, size_t *end, int layer)
{
    static const struct {
        const char *name;
        int64_t rows, cols;
    } tensors[] = {
        {"input_layernorm.weight", 2048, 0},     {"post_attention_layernorm.weight", 2048, 0},
        {"self_attn.q_proj.weight", 2048, 2048}, {"self_attn.k_proj.weight", 512, 2048},
        {"self_attn.v_proj.weight", 512, 2048},  {"self_attn.o_proj.weight", 2048, 2048},
        {"mlp.gate_proj.weight", 8192, 2048},    {"mlp.up_proj.weight", 8192, 2048},
        {"mlp.down_proj.weight", 2048, 8192}};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, tensors[i].name);
        declare(header, end, name, tensors[i].rows, tensors[i].cols);
    }
}

/* Writes the checkpoint; its size in bytes. */
static size_t make_checkpoint(const char *folder)
{
    char *text = NULL;
    size_t length = 0, end = 0;
    FILE *header = open_memstream(&text, &length);
    ENSURE(header);
    declare(header, &end, "model.embed_tokens.weight", 32000, 2048);
    declare(header, &end, "lm_head.weight", 32000, 2048);
    declare(header, &end, "model.norm.weight", 2048, 0);
    for (int layer = 0; layer < 6; layer++) declare_layer(header, &end, layer);
    fputs("}", header);
    ENSURE(fclose(header) == 0);

    uint64_t size = length; /* little-endian, as this machine */
    char *path = mem_printf("%s/model.safetensors", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ENSURE(fd >= 0);
    ENSURE(write(fd, &size, sizeof size) == sizeof size);
    ENSURE(write(fd, text, length) == (ssize_t)length);
    ENSURE(ftruncate(fd, (off_t)(sizeof size + length + end)) == 0);
    ENSURE(close(fd) == 0);
    temp_text(folder, "config.json", config);
    free(path);
    free(text);
    return end;
}

/* Bytes of this process's memory in use ("VmRSS"), or the most that ever were ("VmHWM"). */
static size_t process_bytes(const char *what)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    size_t n = strlen(what);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, what, n) && line[n] == ':') kib = strtoull(line + n + 1, NULL, 10);
    if (f) fclose(f);
    return (size_t)kib << 10;
}

/* The peak counts from here. */
static bool reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return false;
    bool ok = fputs("5", f) >= 0;
    return (fclose(f) == 0) && ok && process_bytes("VmHWM") > 0;
}

static void test_peak(struct comm *c, const char *folder, enum dtype dtype, size_t checkpoint)
{
    struct arch a;
    struct shard s;
    struct weights w;
    struct err e = {{0}};
    struct backend *b = backend_cpu_create(c, dtype, 1, &e);
    if (!b) DIE("%s", e.text);
    if (arch_open(&a, folder, &e) < 0 || shard_make(&s, &a, comm_size(c), comm_rank(c), &e) < 0)
        DIE("%s", e.text);
    malloc_trim(0); /* what the last test freed is no longer ours */
    ENSURE(reset_peak());
    size_t before = process_bytes("VmRSS");
    if (weights_open(&w, b, &a, &s, folder, NULL, &e) < 0) DIE("%s", e.text);
    size_t peak = process_bytes("VmHWM") - before, shard = w.bytes;
    printf("rank %d of %d, %s: shard %zu MiB, at most %zu MiB above it\n", comm_rank(c),
           comm_size(c), dtype_name(dtype), shard >> 20, (peak > shard ? peak - shard : 0) >> 20);
    /* the shard is what was said, and was really held */
    ENSURE(shard >= checkpoint / 2 * dtype_bytes(dtype) / (size_t)comm_size(c));
    ENSURE(peak >= shard);
    ENSURE(peak <= shard + ALLOWANCE);
    weights_close(&w, &a);
    backend_destroy(b);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    if (SANITIZED) {
        if (comm_rank(world) == 0) puts("skipped: the sanitizer's own memory would be counted");
        comm_stop(world);
        return 0;
    }
    char folder[256] = "";
    size_t checkpoint = 0;
    if (comm_rank(world) == 0) {
        char *made = temp_folder();
        snprintf(folder, sizeof folder, "%s", made);
        checkpoint = make_checkpoint(made);
        free(made);
    }
    comm_bcast(world, folder, sizeof folder, 0);
    comm_bcast(world, &checkpoint, sizeof checkpoint, 0);
    test_peak(world, folder, DTYPE_ID_F32, checkpoint);
    comm_barrier(world);
    test_peak(world, folder, DTYPE_ID_BF16, checkpoint);
    comm_barrier(world);
    if (comm_rank(world) == 0) temp_remove(mem_printf("%s", folder));
    comm_stop(world);
    return 0;
}
