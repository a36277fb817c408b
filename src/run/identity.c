#include "run/identity.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file's bytes; a missing one counts as empty. */
static int add_file(struct hash *h, const char *folder, const char *name, struct err *e)
{
    char *path = mem_printf("%s/%s", folder, name), block[65536];
    bool exists;
    int rc = file_exists(path, &exists, e), fd = -1;
    hash_add_text(h, name);
    if (rc == 0 && exists) rc = fd = file_open(path, NULL, e);
    for (int64_t n = 1; fd >= 0 && n > 0;) {
        n = file_read_start(fd, block, sizeof block);
        if (n < 0) rc = err_set(e, "%s: %s", path, strerror(errno));
        if (n > 0) hash_add(h, block, (size_t)n);
    }
    if (fd >= 0) close(fd);
    free(path);
    return rc < 0 ? -1 : 0;
}

static int add_model(struct hash *h, const struct model_ref *m, struct err *e)
{
    if (!m->path || strcmp(m->path, "self") == 0) return 0;
    TRY(add_file(h, m->path, "config.json", e));
    TRY(add_file(h, m->path, "generation_config.json", e));
    TRY(add_file(h, m->path, "tokenizer.json", e));
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
    return rc < 0 ? err_context(e, "judge.path: ") : 0;
}
