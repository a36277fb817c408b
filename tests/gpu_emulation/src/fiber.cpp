/* Changing stacks.  On x86-64 by hand: swapcontext asks the kernel for the signal mask at each
 * change, a hundred times the cost.
 *
 * All fibers' stacks lie in one piece of memory, which the address sanitizer takes for one stack:
 * it is told when the host's is left and entered again.  Only where it keeps frames after their
 * return does it need to know of each change. */
#include "fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
extern "C" int __asan_option_detect_stack_use_after_return;
#endif

namespace
{

#ifdef __SANITIZE_ADDRESS__
const size_t STACK_BYTES = 256 << 10; /* frames hold red zones */
#else
const size_t STACK_BYTES = 64 << 10;
#endif

struct fiber *left, *entered; /* of the change that is under way, or was last */

char *stacks; /* of all fibers, a page without access below each */
size_t page, stacks_bytes;
unsigned n_fibers;

#ifdef __SANITIZE_ADDRESS__
bool is_host(const struct fiber *f)
{
    return !f->entry;
}

bool is_told()
{
    return is_host(left) || is_host(entered) || __asan_option_detect_stack_use_after_return;
}

void leaving()
{
    if (!is_told()) return;
    if (is_host(entered))
        __sanitizer_start_switch_fiber(&left->fake_stack, entered->stack, entered->stack_bytes);
    else
        __sanitizer_start_switch_fiber(&left->fake_stack, stacks, stacks_bytes);
}

/* First thing on arrival. */
void arrived()
{
    const void *stack;
    size_t bytes;
    if (!is_told()) return;
    __sanitizer_finish_switch_fiber(entered->fake_stack, &stack, &bytes);
    if (!is_host(left)) return;
    left->stack = stack;
    left->stack_bytes = bytes;
}
#else
void leaving() {}
void arrived() {}
#endif

void start()
{
    arrived();
    entered->entry();
    abort();
}

} // namespace

#ifdef __x86_64__
/* Keeps what a called function must keep, on the stack; the rest its caller has saved. */
extern "C" void gpu_swap_stacks(void **from, void *to);
asm(R"(
    .text
    .p2align 4
    .type gpu_swap_stacks, @function
    .hidden gpu_swap_stacks
    .globl gpu_swap_stacks
gpu_swap_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size gpu_swap_stacks, . - gpu_swap_stacks
)");
#endif

/* Room for all, of which the system gives what is used. */
static void map_stacks()
{
    page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    stacks_bytes = MOST_FIBERS * (page + STACK_BYTES);
    void *map = mmap(nullptr, stacks_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        perror("gpu_emulation: no stacks for the threads of a block");
        abort();
    }
    stacks = static_cast<char *>(map);
}

void fiber_create(struct fiber *f, void (*entry)())
{
    if (!stacks) map_stacks();
    char *below = stacks + n_fibers * (page + STACK_BYTES);
    if (n_fibers >= MOST_FIBERS || mprotect(below, page, PROT_NONE) != 0) {
        perror("gpu_emulation: no stack for a thread of a block");
        abort();
    }
    /* Tops at the same place of a page would lie in the same few sets of the first cache. */
    size_t top_bytes = STACK_BYTES - n_fibers++ % 8 * 512;
    f->stack = below + page;
    f->stack_bytes = STACK_BYTES;
    f->fake_stack = nullptr;
    f->entry = entry;
#ifdef __x86_64__
    void **top = reinterpret_cast<void **>(below + page + top_bytes);
    top[-1] = nullptr; /* start returns to nowhere */
    top[-2] = reinterpret_cast<void *>(start);
    for (int i = 3; i <= 8; i++) top[-i] = nullptr; /* the registers that gpu_swap_stacks loads */
    f->stack_pointer = top - 8;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = below + page;
    f->context.uc_stack.ss_size = top_bytes;
    f->context.uc_link = nullptr;
    makecontext(&f->context, start, 0);
#endif
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    left = from;
    entered = to;
    leaving();
#ifdef __x86_64__
    gpu_swap_stacks(&from->stack_pointer, to->stack_pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
    arrived();
}
