/* Encoding of words.  Short words merge in a small array; long ones (a text without spaces may be
 * one word of megabytes) in a linked list with a heap of candidate pairs. */
#include "text/bpe.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_WORD 64 /* symbols; above, the quadratic loop loses to the heap */
#define NO_RANK    UINT32_MAX
#define NO_NODE    UINT32_MAX

struct bpe_node {
    int32_t id;
    uint32_t rank;       /* of the pair with the next node; NO_RANK: does not merge */
    int32_t merged;      /* what that pair becomes */
    uint32_t prev, next; /* NO_NODE at the ends */
};

/* Tokens of a character that is none itself: its bytes when all of them are tokens. */
static bool push_fallback(const struct bpe *b, const char *bytes, size_t n, struct ids *out)
{
    if (!b->has_fallback) return false;
    for (size_t k = 0; k < n; k++)
        if (b->fallback[(unsigned char)bytes[k]] < 0) return false;
    for (size_t k = 0; k < n; k++) ARRAY_PUSH(*out, b->fallback[(unsigned char)bytes[k]]);
    return true;
}

static int32_t symbol_id(const struct bpe *b, const char *bytes, size_t n)
{
    return n == 1 ? b->symbol[(unsigned char)bytes[0]] : vocab_find(&b->words, bytes, n);
}

/* The word's smallest symbols.  A pending unknown is written late because a run of them may be
 * fused; that it comes after bytes which fell back in between is what the reference implementation
 * does. */
static void load_symbols(const struct bpe *b, const char *word, size_t n, struct ids *out)
{
    bool is_pending = false;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        size_t width = b->is_byte_level ? 1 : utf8_width(word[i]);
        int32_t id = symbol_id(b, word + i, width);
        if (id >= 0) {
            if (is_pending) ARRAY_PUSH(*out, b->unknown);
            is_pending = false;
            ARRAY_PUSH(*out, id);
        } else if (!push_fallback(b, word + i, width, out) && b->unknown >= 0) {
            if (is_pending && !b->fuse_unknown) ARRAY_PUSH(*out, b->unknown);
            is_pending = true;
        }
        i += width;
    }
    if (is_pending) ARRAY_PUSH(*out, b->unknown);
}

static void find_pair(const struct bpe *b, int32_t left, int32_t right, uint32_t *rank,
                      int32_t *merged)
{
    const struct merge *m = bpe_slot(b, bpe_pair(left, right));
    *rank = m->pair == NO_PAIR ? NO_RANK : m->rank;
    *merged = m->id;
}

/* Merge id[0..n) in place, n <= SHORT_WORD; returns how many are left. */
static size_t merge_short(const struct bpe *b, int32_t *id, size_t n)
{
    uint32_t rank[SHORT_WORD]; /* of the pair (i, i + 1) */
    int32_t merged[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++) find_pair(b, id[i], id[i + 1], &rank[i], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NO_RANK) break;

        id[best] = merged[best];
        size_t rest = n - best - 2; /* symbols behind the pair */
        memmove(id + best + 1, id + best + 2, rest * sizeof *id);
        memmove(rank + best, rank + best + 1, rest * sizeof *rank);
        memmove(merged + best, merged + best + 1, rest * sizeof *merged);
        n--;
        if (best + 1 < n) find_pair(b, id[best], id[best + 1], &rank[best], &merged[best]);
        if (best > 0) find_pair(b, id[best - 1], id[best], &rank[best - 1], &merged[best - 1]);
    }
    return n;
}

/* Heap of rank << 32 | position: the least is the leftmost pair of the lowest rank. */
static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    uint64_t v = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (v <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = v;
}

static uint64_t heap_pop(struct bpe_scratch *s)
{
    uint64_t least = s->heap.items[0];
    s->heap.items[0] = s->heap.items[--s->heap.n];
    if (s->heap.n) sift_down(s->heap.items, s->heap.n, 0);
    return least;
}

static void heap_push(struct bpe_scratch *s, uint64_t v)
{
    ARRAY_PUSH(s->heap, v);
    size_t i = s->heap.n - 1;
    while (i > 0 && s->heap.items[(i - 1) / 2] > v) {
        s->heap.items[i] = s->heap.items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap.items[i] = v;
}

/* Look up the pair that starts at node i; true when it merges. */
static bool refresh(const struct bpe *b, struct bpe_node *nodes, uint32_t i)
{
    struct bpe_node *node = &nodes[i];
    node->rank = NO_RANK;
    if (node->next != NO_NODE)
        find_pair(b, node->id, nodes[node->next].id, &node->rank, &node->merged);
    return node->rank != NO_RANK;
}

static void fill_nodes(const struct bpe *b, struct bpe_scratch *s)
{
    size_t n = s->symbols.n;
    ARRAY_RESERVE(s->nodes, n);
    struct bpe_node *nodes = s->nodes.items;
    for (size_t i = 0; i < n; i++)
        nodes[i] = (struct bpe_node){.id = s->symbols.items[i],
                                     .prev = i ? (uint32_t)(i - 1) : NO_NODE,
                                     .next = i + 1 < n ? (uint32_t)(i + 1) : NO_NODE};
    s->heap.n = 0;
    for (size_t i = 0; i < n; i++)
        if (refresh(b, nodes, (uint32_t)i)) ARRAY_PUSH(s->heap, (uint64_t)nodes[i].rank << 32 | i);
    for (size_t i = s->heap.n / 2; i-- > 0;) sift_down(s->heap.items, s->heap.n, i);
}

static void merge_long(const struct bpe *b, struct bpe_scratch *s)
{
    fill_nodes(b, s);
    struct bpe_node *nodes = s->nodes.items;
    while (s->heap.n) {
        uint64_t top = heap_pop(s);
        uint32_t i = (uint32_t)top;
        struct bpe_node *left = &nodes[i];
        if (left->rank != top >> 32) continue; /* the pair is gone: a rank belongs to one pair */
        struct bpe_node *right = &nodes[left->next];
        left->id = left->merged;
        left->next = right->next;
        right->rank = NO_RANK;
        if (left->next != NO_NODE) nodes[left->next].prev = i;
        if (refresh(b, nodes, i)) heap_push(s, (uint64_t)left->rank << 32 | i);
        if (left->prev != NO_NODE && refresh(b, nodes, left->prev))
            heap_push(s, (uint64_t)nodes[left->prev].rank << 32 | left->prev);
    }
    s->symbols.n = 0;
    for (uint32_t i = 0; i != NO_NODE; i = nodes[i].next)
        s->symbols.items[s->symbols.n++] = nodes[i].id;
}

void bpe_merge(const struct bpe *b, struct bpe_scratch *s, const char *word, size_t n)
{
    load_symbols(b, word, n, &s->symbols);
    if (s->symbols.n <= SHORT_WORD)
        s->symbols.n = merge_short(b, s->symbols.items, s->symbols.n);
    else
        merge_long(b, s);
}

static void encode_word(const struct bpe *b, struct bpe_scratch *s, const char *word, size_t n,
                        struct ids *out)
{
    int32_t id = vocab_find(&b->words, word, n);
    if (id >= 0 && b->is_whole[id]) {
        ARRAY_PUSH(*out, id);
        return;
    }
    bpe_merge(b, s, word, n);
    if (s->symbols.n == 0) return; /* no character of it is a token, and none stands for them */
    ARRAY_RESERVE(*out, out->n + s->symbols.n);
    memcpy(out->items + out->n, s->symbols.items, s->symbols.n * sizeof *out->items);
    out->n += s->symbols.n;
}

static bool is_glue(const struct bpe *b, uint32_t c)
{
    size_t low = 0, high = b->n_glue;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (b->glue[mid] < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low < b->n_glue && b->glue[low] == c;
}

/* Where the piece that starts at `from` ends: before the next U+2581 that stays apart from what
 * precedes it. */
static size_t next_cut(const struct bpe *b, const char *word, size_t n, size_t from)
{
    for (size_t i = from + utf8_width(word[from]); i < n;) {
        const char *mark = memmem(word + i, n - i, MARK, MARK_N);
        if (!mark) return n;
        size_t at = (size_t)(mark - word), before = utf8_back(word, at);
        if (!is_glue(b, utf8_next(word, &before))) return at;
        i = at + MARK_N;
    }
    return n;
}

void bpe_encode(const struct bpe *b, struct bpe_scratch *s, const char *word, size_t n,
                struct ids *out)
{
    if (!b->can_cut) {
        encode_word(b, s, word, n, out);
        return;
    }
    for (size_t i = 0; i < n;) {
        size_t end = next_cut(b, word, n, i);
        encode_word(b, s, word + i, end - i, out);
        i = end;
    }
}

void bpe_scratch_free(struct bpe_scratch *s)
{
    free(s->symbols.items);
    free(s->nodes.items);
    free(s->heap.items);
    *s = (struct bpe_scratch){0};
}
