/* A result file as a person means it: the rows, the job that made them, the dataset's rows and the
 * texts.  The dataset and the generator's tokenizer are read when first asked for; they may be
 * gone. */
#pragma once

#include "job/dataset.h"
#include "text/tokenizer.h"
#include "trace/reader.h"

struct result {
    const char *path;          /* borrowed */
    struct trace_reader *file; /* owned */
    struct job job;            /* of the file's job_yaml */
    int64_t *order;            /* owned [n_prompts] rows of /prompts by prompt_index, ascending */
    int64_t n_prompts;

    bool dataset_tried;
    struct dataset dataset;
    int64_t *dataset_row; /* owned [n_prompts] place in dataset.prompts by row of /prompts, or -1 */
    struct err dataset_error;

    bool tokenizer_tried;
    struct tokenizer *tokenizer;
    struct err tokenizer_error;
};

/* -1 with *e; release *r with result_close in both cases. */
int result_open(struct result *r, const char *path, struct err *e);
void result_close(struct result *r);

/* The row of /prompts with this prompt_index, or -1. */
int64_t result_find(const struct result *r, int64_t prompt_index);

/* The dataset's row behind a row of /prompts; borrowed.  NULL when the dataset cannot be read or
 * says something else there by now: *why then tells. */
const struct prompt *result_dataset_row(struct result *r, int64_t row, struct err *why);

/* What the user asks in that row: the last message, or what prompt_ids decode to.  NULL when
 * neither can be had.  Caller frees. */
char *result_instruction(struct result *r, const struct prompt *p);

/* Whether the job ran without texts: the generator's folder is there and has no tokenizer.  -1 with
 * *e when that cannot be told. */
int result_is_ids_only(const struct result *r, bool *ids_only, struct err *e);

/* A candidate's tokens, the end token left out; caller frees *ids. */
int result_ids(struct result *r, const struct candidate_row *c, int32_t **ids, int64_t *n,
               struct err *e);

/* Append a candidate's response as UTF-8: as recorded, else its tokens decoded, the end token and
 * other special ones left out.  -1 with *e when there is no text and no tokenizer. */
int result_response(struct result *r, const struct candidate_row *c, struct bytes *out,
                    struct err *e);
