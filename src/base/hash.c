#include "base/hash.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct hash *hash_create(void)
{
    XXH3_state_t *s = XXH3_createState();
    if (!s) mem_exhausted("a hash");
    ENSURE(XXH3_128bits_reset(s) == XXH_OK);
    return (struct hash *)s;
}

void hash_add(struct hash *h, const void *bytes, size_t n)
{
    ENSURE(XXH3_128bits_update((XXH3_state_t *)h, bytes, n) == XXH_OK);
}

void hash_add_text(struct hash *h, const char *s)
{
    uint64_t n = strlen(s);
    hash_add(h, &n, sizeof n);
    hash_add(h, s, n);
}

static void hex(XXH128_hash_t v, char out[HASH_HEX])
{
    snprintf(out, HASH_HEX, "%016llx%016llx", (unsigned long long)v.high64,
             (unsigned long long)v.low64);
}

void hash_finish(struct hash *h, char out[HASH_HEX])
{
    hex(XXH3_128bits_digest((XXH3_state_t *)h), out);
    XXH3_freeState((XXH3_state_t *)h);
}

void hash_bytes(const void *bytes, size_t n, char out[HASH_HEX])
{
    hex(XXH3_128bits(bytes, n), out);
}
