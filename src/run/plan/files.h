/* Where results go: can they be written, do they fit, and is that file system up to it. */
#pragma once

#include "job/job.h"
#include "run/plan/notes.h"

struct plan_output {
    char path[4096];      /* of the first point's file */
    char folder[4096];    /* the nearest one that exists */
    char file_system[32]; /* "ext4", "nfs", ..., or its number */
    double free_bytes;    /* that this user may still write there, -1: nothing can be written */
};

/* Looks at the folder of the job's output; what is wrong with it is in notes. */
void output_look(struct plan_output *o, const struct job *j, struct plan_notes *notes);

/* Bytes of a prompt's rows: `candidates` generated `tokens` tokens and were scored `texts` times in
 * `rounds` rounds and `steps` passes; of those `complete` with complete_tokens are complete. */
struct output_counts {
    int64_t candidates, tokens, complete, complete_tokens, texts, rounds, steps;
};
double output_prompt_bytes(const struct job *j, const struct output_counts *c);
double output_file_bytes(void); /* of a file without prompts */
