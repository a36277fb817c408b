/* One block at a time: its threads are fibers that run, one after another and in an order drawn
 * anew each time, until each waits for others or has ended.  When none can go on and not all have
 * ended, the kernel has a barrier or a collective that some threads never reach: the program ends
 * and says who waits where.
 *
 * All of this is the state of one device, used by one thread of the host.  It is compiled without
 * sanitizers, which would only make each change of threads dear: what is read and written for a
 * kernel is copy_16's and include/gpu's doing. */
#include "device.h"
#include "fiber.h"
#include "races.h"

#include <gpu/launch.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace
{

const unsigned MAX_THREADS = MOST_FIBERS;

enum thread_state { RUNS, IN_COLLECTIVE, AT_BARRIER, ENDED };

struct pending_copy {
    void *shared;
    const void *global;
    int bytes, group;
};

/* The first lines are all that most changes need. */
struct alignas(64) thread {
    struct fiber fiber;
    uint3 index;
    unsigned warp, lane;
    thread_state state;
    /* where it waits, in a collective with whom and with what */
    gpu::site where;
    unsigned mask;
    void *slot;
    std::vector<pending_copy> copies;
    int open_group;
    unsigned warp_clock, seen[32]; /* races.h */
};

struct warp {
    unsigned lanes; /* that there are */
    unsigned ready; /* can go on, and do not run now */
    unsigned meeting;
};

struct block {
    const gpu::kernel_launch *launch; /* NULL: none runs */
    struct fiber host;
    thread threads[MAX_THREADS]; /* used by all blocks */
    unsigned n_threads, n_warps;
    warp warps[MAX_THREADS / 32];
    unsigned ready_warps;
    thread *running;
    unsigned n_ended, n_at_barrier;
    int tally, result; /* of the barrier under way; of the last */
    uint64_t number;   /* in its launch, from 1 on */
    unsigned clock;    /* barriers passed */
    bool has_atomics;
    unsigned char *dynamic_shared;
    unsigned restlessness; /* of 8 changes, how many go to any warp instead of the same */
    uint64_t random;
} the;

/* In [0, n): xorshift64*. */
unsigned draw(unsigned n)
{
    the.random ^= the.random >> 12;
    the.random ^= the.random << 25;
    the.random ^= the.random >> 27;
    return static_cast<unsigned>((the.random * 0x2545f4914f6cdd1dULL >> 32) * n >> 32);
}

/* The place of one of the set bits: the next from a random place on. */
unsigned draw_bit(unsigned bits)
{
    unsigned from = draw(32);
    unsigned rotated = bits >> from | bits << ((32 - from) & 31);
    return (static_cast<unsigned>(__builtin_ctz(rotated)) + from) & 31;
}

void make_ready(unsigned w, unsigned lanes)
{
    for (unsigned bits = lanes; bits; bits &= bits - 1)
        the.threads[w * 32 + static_cast<unsigned>(__builtin_ctz(bits))].state = RUNS;
    the.warps[w].ready |= lanes;
    the.ready_warps |= 1u << w;
}

/* NULL: none can go on. */
thread *pick()
{
    if (!the.ready_warps) return nullptr;
    unsigned w = the.running ? the.running->warp : 0;
    if (!the.running || !(the.ready_warps >> w & 1) || draw(8) < the.restlessness)
        w = draw_bit(the.ready_warps);
    warp &chosen = the.warps[w];
    unsigned lane = draw_bit(chosen.ready);
    chosen.ready &= ~(1u << lane);
    if (!chosen.ready) the.ready_warps &= ~(1u << w);
    return &the.threads[w * 32 + lane];
}

void run(struct fiber *from, thread *next)
{
    the.running = next;
    threadIdx = next->index;
    fiber_switch(from, &next->fiber);
}

bool is_same_place(const thread &a, const thread &b)
{
    auto is_same = [](const char *x, const char *y) { return x == y || strcmp(x, y) == 0; };
    return a.where.line == b.where.line && is_same(a.where.file, b.where.file) &&
           is_same(a.where.what, b.where.what);
}

bool is_same_wait(const thread &a, const thread &b)
{
    if (a.state != b.state || a.state == ENDED) return a.state == b.state;
    return is_same_place(a, b) && (a.state == AT_BARRIER || a.mask == b.mask);
}

void print_head()
{
    fprintf(stderr, "gpu_emulation: kernel %s, block (%u, %u, %u), SPECREJ_EMULATION_SEED=%llu: ",
            the.launch->name, blockIdx.x, blockIdx.y, blockIdx.z,
            static_cast<unsigned long long>(gpu::seed()));
}

/* Who waits where, like threads together; then the end. */
[[noreturn]] void fail_stuck(const char *why)
{
    print_head();
    fprintf(stderr, "%s\n", why);
    for (unsigned first = 0, next; first < the.n_threads; first = next) {
        const thread &t = the.threads[first];
        next = first + 1;
        while (next < the.n_threads && is_same_wait(t, the.threads[next])) next++;
        fprintf(stderr, "  threads %u-%u ", first, next - 1);
        if (t.state == ENDED)
            fprintf(stderr, "have ended\n");
        else if (t.state == RUNS)
            fprintf(stderr, "run\n");
        else if (t.state == AT_BARRIER)
            fprintf(stderr, "wait in %s, %s:%d\n", t.where.what, t.where.file, t.where.line);
        else
            fprintf(stderr, "wait in %s, mask 0x%08x, %s:%d\n", t.where.what, t.mask, t.where.file,
                    t.where.line);
    }
    abort();
}

/* Leaves the running thread for one that can go on, itself perhaps. */
void go_on()
{
    thread *left = the.running, *next = pick();
    if (next == left) return;
    if (next)
        run(&left->fiber, next);
    else if (the.n_ended == the.n_threads)
        fiber_switch(&left->fiber, &the.host);
    else
        fail_stuck("no thread can go on");
}

void thread_main()
{
    for (;;) {
        the.launch->thread();
        the.running->state = ENDED;
        the.n_ended++;
        go_on();
    }
}

bool is_shared(const void *p, size_t bytes)
{
    const unsigned char *begin = static_cast<const unsigned char *>(p), *end = begin + bytes;
    return (begin >= the.dynamic_shared && end <= the.dynamic_shared + the.launch->shared_bytes) ||
           (begin >= the.launch->shared_begin && end <= the.launch->shared_end);
}

/* Accesses on behalf of the running thread that its own code does not make. */
void note_copy(const pending_copy &copy)
{
    const void *caller = reinterpret_cast<const void *>(the.launch->kernel);
    if (copy.bytes) gpu::note_access(copy.global, 16, false, caller);
    gpu::note_access(copy.shared, 16, true, caller);
}

void finish_copy(const pending_copy &copy)
{
    note_copy(copy);
    gpu::copy_16(copy.shared, copy.bytes ? copy.global : nullptr);
}

/* Eight bytes at a time, as shared.ld aligns both ends; not memset, which the sanitizer would stop
 * at the red zones between the variables. */
void poison(unsigned char *begin, unsigned char *end)
{
#ifdef __x86_64__
    size_t n = static_cast<size_t>(end - begin) / 8;
    asm volatile("rep stosq" : "+D"(begin), "+c"(n) : "a"(~uint64_t(0)) : "memory");
#else
    for (unsigned char *p = begin; p < end; p += 8)
        *reinterpret_cast<volatile uint64_t *>(p) = ~uint64_t(0);
#endif
}

/* As many threads as the launch has, each with its place. */
void arrange_threads(const gpu::kernel_launch &launch)
{
    the.n_threads = launch.block.x * launch.block.y * launch.block.z;
    the.n_warps = (the.n_threads + 31) / 32;
    for (unsigned i = 0; i < the.n_threads; i++) {
        thread &t = the.threads[i];
        if (!t.fiber.entry) fiber_create(&t.fiber, thread_main);
        t.index = {i % launch.block.x, i / launch.block.x % launch.block.y,
                   i / launch.block.x / launch.block.y};
        t.warp = i / 32;
        t.lane = i % 32;
    }
}

void run_block()
{
    const unsigned restlessness[4] = {0, 1, 4, 8};
    the.restlessness = restlessness[draw(4)];
    the.n_ended = the.n_at_barrier = 0;
    the.tally = 0;
    the.number++;
    the.clock = 0;
    the.has_atomics = false;
    for (unsigned i = 0; i < the.n_threads; i++) {
        thread &t = the.threads[i];
        t.copies.clear();
        t.open_group = 0;
        t.warp_clock = 0;
        memset(t.seen, 0, sizeof t.seen);
    }
    for (unsigned w = 0; w < the.n_warps; w++) {
        unsigned lanes = std::min(the.n_threads - w * 32, 32u);
        the.warps[w] = {~0u >> (32 - lanes), 0, 0};
        make_ready(w, the.warps[w].lanes);
    }
    poison(the.launch->shared_begin, the.launch->shared_end);
    if (the.dynamic_shared) memset(the.dynamic_shared, 0xff, the.launch->shared_bytes);
    run(&the.host, pick());
    the.running = nullptr;
}

} // namespace

namespace gpu
{

uint64_t seed()
{
    return environment_number("SPECREJ_EMULATION_SEED", 0);
}

void run_grid(const kernel_launch &launch)
{
    static uint64_t n_launches;
    the.random = (seed() + 1) * 0x9e3779b97f4a7c15ULL ^ ++n_launches * 0xbf58476d1ce4e5b9ULL;
    if (the.random == 0) the.random = 1;
    for (int i = 0; i < 8; i++) draw(1);
    the.launch = &launch;
    the.number = 0;
    races_begin();
    gridDim = launch.grid;
    blockDim = launch.block;
    arrange_threads(launch);
    the.dynamic_shared = nullptr;
    if (launch.shared_bytes) {
        void *p;
        if (posix_memalign(&p, 128, launch.shared_bytes) != 0) {
            perror("gpu_emulation: no memory for a block");
            abort();
        }
        the.dynamic_shared = static_cast<unsigned char *>(p);
    }

    size_t n_blocks = static_cast<size_t>(launch.grid.x) * launch.grid.y * launch.grid.z;
    static std::vector<size_t> order; /* its memory serves all launches */
    order.resize(n_blocks);
    std::iota(order.begin(), order.end(), size_t(0));
    for (size_t i = n_blocks; i > 1; i--)
        std::swap(order[i - 1], order[draw(static_cast<unsigned>(std::min(i, size_t(~0u))))]);
    for (size_t i : order) {
        blockIdx = {static_cast<unsigned>(i % launch.grid.x),
                    static_cast<unsigned>(i / launch.grid.x % launch.grid.y),
                    static_cast<unsigned>(i / launch.grid.x / launch.grid.y)};
        run_block();
    }
    free(the.dynamic_shared);
    the.launch = nullptr;
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (the.launch) {
        print_head();
        fprintf(stderr, "thread (%u, %u, %u): ", threadIdx.x, threadIdx.y, threadIdx.z);
    } else {
        fprintf(stderr, "gpu_emulation: no kernel runs: ");
    }
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    abort();
}

void *dynamic_shared()
{
    return the.dynamic_shared;
}

unsigned lane()
{
    return the.running->lane;
}

void perhaps_yield()
{
    if (!the.running) return;
    the.has_atomics = true;
    if (draw(8)) return;
    make_ready(the.running->warp, 1u << the.running->lane);
    go_on();
}

int block_barrier(site where, reduction r, bool predicate)
{
    thread &t = *the.running;
    t.state = AT_BARRIER;
    t.where = where;
    the.tally += predicate;
    if (++the.n_at_barrier == the.n_threads) {
        for (unsigned i = 0; i < the.n_threads; i++)
            if (!is_same_place(t, the.threads[i])) fail_stuck("threads meet at different barriers");
        the.result = the.tally;
        the.tally = 0;
        the.n_at_barrier = 0;
        the.clock++;
        for (unsigned w = 0; w < the.n_warps; w++) make_ready(w, the.warps[w].lanes);
    }
    go_on();
    if (r == REDUCE_AND) return the.result == static_cast<int>(the.n_threads);
    return r == REDUCE_OR ? the.result > 0 : the.result;
}

void note_access(const void *p, size_t bytes, bool is_write, const void *caller)
{
    if (!the.running || !races_watch()) return;
    thread &t = *the.running;
    const char *stack = static_cast<const char *>(t.fiber.stack);
    if (p >= stack && p < stack + t.fiber.stack_bytes) return;
    unsigned number = t.warp * 32 + t.lane;
    bool orders_blocks = the.has_atomics || is_shared(p, bytes); /* each block has its own */
    races_access({the.number, number, the.clock, t.warp_clock}, t.seen, orders_blocks, p, bytes,
                 is_write, caller);
}

/* The lanes of the mask have seen what each of them has done and seen. */
void order_memory(unsigned warp, unsigned mask)
{
    unsigned seen[32] = {};
    for (unsigned i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        thread &t = the.threads[warp * 32 + i];
        for (unsigned j = 0; j < 32; j++) seen[j] = std::max(seen[j], t.seen[j]);
        seen[i] = ++t.warp_clock;
    }
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1) memcpy(the.threads[warp * 32 + i].seen, seen, sizeof seen);
}

void warp_meet(site where, unsigned mask, void *slot, exchange_fn exchange, bool orders)
{
    thread &t = *the.running;
    warp &w = the.warps[t.warp];
    if (!(mask >> t.lane & 1))
        fail("%s, %s:%d: the mask 0x%08x does not name the calling lane %u", where.what, where.file,
             where.line, mask, t.lane);
    if (mask & ~w.lanes)
        fail("%s, %s:%d: the mask 0x%08x names lanes that the block does not have", where.what,
             where.file, where.line, mask);
    t.state = IN_COLLECTIVE;
    t.where = where;
    t.mask = mask;
    t.slot = slot;
    w.meeting |= 1u << t.lane;
    if ((w.meeting & mask) == mask) {
        void *slots[32] = {};
        for (unsigned i = 0; i < 32; i++) {
            if (!(mask >> i & 1)) continue;
            thread &other = the.threads[t.warp * 32 + i];
            if (other.mask != mask || !is_same_place(t, other))
                fail_stuck("lanes of a warp meet in different collectives");
            slots[i] = other.slot;
        }
        the.running = nullptr; /* what it reads and writes is no thread's doing */
        exchange(slots, mask);
        the.running = &t;
        if (orders) order_memory(t.warp, mask);
        w.meeting &= ~mask;
        make_ready(t.warp, mask);
    }
    go_on();
}

void require_shared(const char *what, const void *p, size_t bytes)
{
    if (reinterpret_cast<uintptr_t>(p) % 16) fail("%s: %p is not aligned to 16 bytes", what, p);
    if (!is_shared(p, bytes)) fail("%s: %p is not in shared memory", what, p);
}

void copy_async(void *shared, const void *global, int bytes)
{
    require_shared("cp.async", shared, 16);
    if (reinterpret_cast<uintptr_t>(global) % 16)
        fail("cp.async: %p is not aligned to 16 bytes", global);
    thread &t = *the.running;
    pending_copy copy = {shared, global, bytes, t.open_group};
    note_copy(copy);
    if (draw(2))
        finish_copy(copy);
    else
        t.copies.push_back(copy);
}

void copy_commit()
{
    the.running->open_group++;
}

void copy_wait(int newest)
{
    thread &t = *the.running;
    size_t kept = 0;
    for (const pending_copy &copy : t.copies) {
        if (copy.group < t.open_group - newest)
            finish_copy(copy);
        else
            t.copies[kept++] = copy;
    }
    t.copies.resize(kept);
}

} // namespace gpu
