/* What a result file belongs to: the job's hash, and the contents of the models that it names; and
 * whose rewards a judge's are. */
#pragma once

#include "job/job.h"

/* Hash of job_hash(), config.json, tokenizer.json and the tensor headers of both models.  Reads
 * files; rank 0 only. */
int job_identity(const struct job *j, char out[HASH_HEX], struct err *e);

/* The same of the judge and its template alone; "" without a judge. */
int judge_identity(const struct job *j, char out[HASH_HEX], struct err *e);
