/* Kernels that are compiled with -fsanitize=thread (SPECREJ_EMULATION_RACES) call the functions
 * below at each access to memory: of the compiler's interface only what it calls, not its library.
 * Every byte keeps its last write and its last two reads by different threads, with when and where
 * they were; the four of a word together, as long as all accesses are to all of them.  What orders
 * two threads is __syncthreads and, inside a warp, __syncwarp: shuffles, votes and the tensor core
 * order nothing.  Atomics are never part of a race. */
#include "races.h"
#include "device.h"

#include <gpu/launch.h>

#include <algorithm>
#include <dlfcn.h>
#include <memory>
#include <unordered_map>

namespace
{

struct access {
    gpu::moment at;
    const void *caller; /* NULL: none yet */
};

struct history {
    access write, reads[2];
};

const uintptr_t WORD_BYTES = 4;

struct word {
    uint64_t launch; /* that all this is of */
    bool is_split;
    history whole;
    std::unique_ptr<history[]> bytes; /* where it is split */
};

const uintptr_t PAGE_WORDS = 256;
std::unordered_map<uintptr_t, std::unique_ptr<word[]>> pages;
uint64_t current_launch;
bool is_watching;

const size_t MAX_PAGES = 1024; /* kept from one launch to the next: 30 MiB, 140 if all is split */
uintptr_t last_number;         /* of the page asked for last, which is often the next too */
word *last;                    /* its words; NULL: none */

word &word_of(uintptr_t address)
{
    uintptr_t place = address / WORD_BYTES, number = place / PAGE_WORDS;
    if (!last || number != last_number) {
        std::unique_ptr<word[]> &found = pages[number];
        if (!found) found = std::make_unique<word[]>(PAGE_WORDS);
        last_number = number;
        last = found.get();
    }
    word &w = last[place % PAGE_WORDS];
    if (w.launch != current_launch) {
        w.launch = current_launch;
        w.is_split = false;
        w.whole = {};
    }
    return w;
}

void split(word &w)
{
    if (w.is_split) return;
    if (!w.bytes) w.bytes = std::make_unique<history[]>(WORD_BYTES);
    std::fill_n(w.bytes.get(), WORD_BYTES, w.whole);
    w.is_split = true;
}

bool is_ordered(const gpu::moment &before, const gpu::moment &now, const unsigned *seen,
                bool orders_blocks)
{
    if (before.block != now.block) return orders_blocks;
    if (before.thread == now.thread || before.block_clock < now.block_clock) return true;
    return before.thread / 32 == now.thread / 32 && before.warp_clock < seen[before.thread % 32];
}

/* For addr2line: the module and the place in it. */
struct place {
    const char *module;
    uintptr_t offset;
};

place place_of(const void *caller)
{
    Dl_info info;
    if (!dladdr(caller, &info)) return {"?", 0};
    return {info.dli_fname,
            reinterpret_cast<uintptr_t>(caller) - reinterpret_cast<uintptr_t>(info.dli_fbase)};
}

[[noreturn]] void report_race(const access &before, bool was_write, const access &now,
                              bool is_write, uintptr_t address)
{
    place there = place_of(before.caller), here = place_of(now.caller);
    gpu::fail("race: %s the byte at %p, which thread %u of block %llu %s, with no barrier between\n"
              "  now:    addr2line -fie %s 0x%zx\n"
              "  before: addr2line -fie %s 0x%zx",
              is_write ? "writes" : "reads", reinterpret_cast<void *>(address), before.at.thread,
              static_cast<unsigned long long>(before.at.block), was_write ? "wrote" : "read",
              here.module, here.offset - 1, there.module, there.offset - 1);
}

/* An access that is being made. */
struct attempt {
    access now;
    const unsigned *seen;
    bool orders_blocks, is_write;
};

bool is_race(const access &before, const attempt &a)
{
    return before.caller && !is_ordered(before.at, a.now.at, a.seen, a.orders_blocks);
}

void add(history &h, const attempt &a, uintptr_t address)
{
    if (is_race(h.write, a)) report_race(h.write, true, a.now, a.is_write, address);
    if (!a.is_write) {
        bool is_again = h.reads[0].caller && h.reads[0].at.thread == a.now.at.thread &&
                        h.reads[0].at.block == a.now.at.block;
        if (!is_again) h.reads[1] = h.reads[0];
        h.reads[0] = a.now;
        return;
    }
    for (const access &read : h.reads)
        if (is_race(read, a)) report_race(read, false, a.now, true, address);
    h.write = a.now;
    h.reads[0] = h.reads[1] = {};
}

} // namespace

namespace gpu
{

bool races_watch()
{
    return is_watching;
}

void races_begin()
{
    current_launch++;
    if (pages.size() < MAX_PAGES) return;
    pages.clear();
    last = nullptr;
}

void races_access(const moment &at, const unsigned *seen, bool orders_blocks, const void *p,
                  uint64_t bytes, bool is_write, const void *caller)
{
    uintptr_t begin = reinterpret_cast<uintptr_t>(p), end = begin + bytes;
    const attempt a = {{at, caller}, seen, orders_blocks, is_write};
    for (uintptr_t address = begin, next; address < end; address = next) {
        next = address - address % WORD_BYTES + WORD_BYTES;
        word &w = word_of(address);
        if (!w.is_split && address % WORD_BYTES == 0 && next <= end) {
            add(w.whole, a, address);
            continue;
        }
        split(w);
        for (; address < next && address < end; address++)
            add(w.bytes[address % WORD_BYTES], a, address);
    }
}

} // namespace gpu

/* ---- what the compiler calls, as it declares it ---- */

extern "C" {
#define RACES_CALL(name, bytes, is_write)                                                          \
    void __tsan_##name(void *p)                                                                    \
    {                                                                                              \
        gpu::note_access(p, bytes, is_write, __builtin_return_address(0));                         \
    }
#define RACES_CALLS(bytes)                                                                         \
    RACES_CALL(read##bytes, bytes, false)                                                          \
    RACES_CALL(write##bytes, bytes, true)                                                          \
    RACES_CALL(unaligned_read##bytes, bytes, false)                                                \
    RACES_CALL(unaligned_write##bytes, bytes, true)                                                \
    RACES_CALL(volatile_read##bytes, bytes, false)                                                 \
    RACES_CALL(volatile_write##bytes, bytes, true)                                                 \
    RACES_CALL(unaligned_volatile_read##bytes, bytes, false)                                       \
    RACES_CALL(unaligned_volatile_write##bytes, bytes, true)
RACES_CALLS(1)
RACES_CALLS(2)
RACES_CALLS(4)
RACES_CALLS(8)
RACES_CALLS(16)

void __tsan_read_range(void *p, long bytes)
{
    gpu::note_access(p, static_cast<size_t>(bytes), false, __builtin_return_address(0));
}

void __tsan_write_range(void *p, long bytes)
{
    gpu::note_access(p, static_cast<size_t>(bytes), true, __builtin_return_address(0));
}

void __tsan_vptr_update(void *, void *) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void *) {}
/* By each object that calls the others, when it is loaded. */
void __tsan_init(void)
{
    is_watching = true;
}
}
