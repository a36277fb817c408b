/* 128-bit hashes (XXH3) for identities: jobs, points, arithmetic fingerprints.  Not cryptographic.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_HEX 33 /* bytes of a hash as text, NUL included */

struct hash; /* running hash */

struct hash *hash_create(void);
void hash_add(struct hash *h, const void *bytes, size_t n);
void hash_add_text(struct hash *h,
                   const char *s); /* with its length, so that "a","b" differs from "ab" */
/* Lower-case hexadecimal into out; h is destroyed. */
void hash_finish(struct hash *h, char out[HASH_HEX]);

/* A running sum of 64 bits for what ranks compare among themselves: order counts.  The finisher of
 * splitmix64. */
static inline uint64_t hash_mix(uint64_t sum, uint64_t x)
{
    x += sum + 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* One-shot. */
void hash_bytes(const void *bytes, size_t n, char out[HASH_HEX]);
