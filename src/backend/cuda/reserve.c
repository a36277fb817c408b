/* Device memory that ops take for themselves, all at once. */
#include "cuda.h"

size_t cuda_workspace_bytes(const struct workload *w, int n)
{
    return workload_bytes(w, n);
}

int cuda_reserve(struct backend *b, const struct workload *w, struct err *e)
{
    struct cuda *cuda = cuda_of(b);
    size_t bytes[WORK_PARTS];
    struct cuda_buffer *const buffers[WORK_PARTS] = {
        [WORK_BATCH] = cuda_batch_memory(b), [WORK_DRAWN] = cuda_drawn_memory(b),
        [WORK_SLOTS] = &cuda->slots,         [WORK_GATHER] = &cuda->gather,
        [WORK_ROWS] = &cuda->rows,           [WORK_BIASED] = &cuda->sum,
        [WORK_SAMPLE] = &cuda->sample,       [WORK_DRAW_IO] = &cuda->sample_io,
        [WORK_EXCHANGE] = &cuda->exchange,
    };
    workload_parts(w, bytes);
    if (!cuda->reproducible) bytes[WORK_GATHER] = 0; /* NCCL adds */
    for (int p = 0; p < WORK_PARTS; p++) {
        if (bytes[p] == 0) continue;
        buffers[p]->is_reserved = false;
        if (!cuda_try_need(b, buffers[p], bytes[p]))
            return err_set(e,
                           "cannot have %.1f MiB of device memory for the workspace of %lld rows; "
                           "use fewer ranks per device, or set a smaller budget_tokens",
                           (double)workload_bytes(w, 1) / (1 << 20), (long long)w->max_rows);
        buffers[p]->is_reserved = true;
    }
    if (b->dtype == DTYPE_ID_FP8)
        cuda->sum.is_reserved = false; /* its products took theirs with the weights (weight.c) */
    return 0;
}
