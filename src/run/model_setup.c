#include "run/model_setup.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>

int setup_arch(struct model *m, struct backend *b, const char *folder, struct err *e)
{
    m->backend = b;
    TRY(arch_open(&m->arch, folder, e));
    int P = comm_size(b->tensor), rank = comm_rank(b->tensor);
    if (shard_make(&m->shard, &m->arch, P, rank, e) < 0) return err_context(e, "%s: ", folder);
    return 0;
}

int setup_tokenizer(struct tokenizer **out, const char *folder, struct err *e)
{
    bool exists;
    *out = NULL;
    TRY(file_exists_in(folder, "tokenizer.json", &exists, e));
    *out = exists ? tokenizer_open(folder, e) : NULL;
    return exists && !*out ? -1 : 0;
}

/* ArmoRM's gate opens at the end of the user's turn; ids of a tokenizer that is not there are those
 * of Llama 3. */
int setup_gate(struct scorer *s, const struct arch *a, const struct tokenizer *t, struct err *e)
{
    static const char text[] = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
    static const int32_t llama3[] = {128009, 128006, 78191, 128007, 271};
    if (a->head != HEAD_GATED) return 0;
    if (!t) {
        scorer_set_gate_pattern(s, llama3, sizeof llama3 / sizeof *llama3);
        return 0;
    }
    struct ids ids = {0};
    int rc = tokenizer_encode(t, text, sizeof text - 1, TOKENIZE_PIECE, &ids, e);
    if (rc == 0) scorer_set_gate_pattern(s, ids.items, (int64_t)ids.n);
    free(ids.items);
    return rc;
}

size_t setup_page_bytes(const struct model *m)
{
    return m->backend->ops->kv_page_bytes(m->backend, model_kv_shape(m));
}
