#include "run/identity.h"

#include "base/mem.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file's bytes; a missing one counts as empty. */
static void add_file(struct hash *h, const char *folder, const char *name)
{
    char *path = mem_printf("%s/%s", folder, name), block[65536];
    FILE *f = fopen(path, "rb");
    hash_add_text(h, name);
    for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;) hash_add(h, block, n);
    if (f) fclose(f);
    free(path);
}

static int add_model(struct hash *h, const struct model_ref *m, struct err *e)
{
    if (!m->path || strcmp(m->path, "self") == 0) return 0;
    add_file(h, m->path, "config.json");
    add_file(h, m->path, "generation_config.json");
    add_file(h, m->path, "tokenizer.json");
    if (m->weights == WEIGHTS_RANDOM) return 0;
    struct safetensors *s = safetensors_open(m->path, e);
    if (!s) return -1;
    char tensors[33];
    safetensors_hash(s, tensors);
    hash_add_text(h, tensors);
    safetensors_close(s);
    return 0;
}

int job_identity(const struct job *j, char out[HASH_HEX], struct err *e)
{
    struct hash *h = hash_create();
    char job[HASH_HEX];
    job_hash(j, job);
    hash_add_text(h, job);
    int rc = add_model(h, &j->generator, e);
    if (rc == 0) rc = add_model(h, &j->reward, e);
    hash_finish(h, out);
    return rc;
}

int judge_identity(const struct job *j, char out[HASH_HEX], struct err *e)
{
    out[0] = 0;
    if (!j->judge.path) return 0;
    const char *chat = j->judge.chat_template, *slash = strrchr(chat, '/');
    struct hash *h = hash_create();
    hash_add_text(h, slash ? slash + 1 : chat); /* folders differ between machines */
    hash_add_text(h, j->judge.weights == WEIGHTS_RANDOM ? "random" : "checkpoint");
    int rc = add_model(h, &j->judge, e);
    hash_finish(h, out);
    return rc;
}
