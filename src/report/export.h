/* The verb export: answers out of a result file, for other programs.
 *
 * jsonl        one object per line: prompt_index, the fields of the dataset's row, candidate,
 *              response, reward, logprob_sum, n_tokens, status.  A field of the row that is called
 *              like one of these comes as dataset_NAME.  A job without a tokenizer has no texts:
 *              response_ids, the end token left out, stand for the response.
 * alpaca_eval  one array of {instruction, output, generator, dataset, reward}
 * csv          RFC 4180, with a header; the same fields as jsonl
 *
 * best   the best candidate of each prompt
 * all    every candidate of the file, the rejected ones with what they had
 * pairs  best and worst complete candidate of each prompt that has two with different rewards:
 *        {prompt, chosen, rejected, chosen_reward, rejected_reward}
 *
 * Prompts come in the order of their index.  A reward that is not finite is null (empty in csv). */
#pragma once

#include "base/err.h"

#include <stdio.h>

struct export_options {
    const char *format; /* jsonl | alpaca_eval | csv; NULL: jsonl */
    const char *pick;   /* best | all | pairs; NULL: best */
    const char *output; /* a file, which appears when it is complete; NULL or "-": `out` */
};

/* -1 with *e: bad options or input; OUTPUT_UNWRITTEN (output.h) with *e.  Warns on the log when the
 * dataset can no longer be read and fields are left out. */
int export_file(const char *path, const struct export_options *o, FILE *out, struct err *e);
