/* Changing stacks.  On x86-64 by hand: swapcontext asks the kernel for the signal mask at each
 * change, a hundred times the cost.  The address sanitizer is told of every change. */
#include "fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace
{

#ifdef __SANITIZE_ADDRESS__
const size_t STACK_BYTES = 256 << 10; /* frames hold red zones */
#else
const size_t STACK_BYTES = 64 << 10;
#endif

struct fiber *left, *entered; /* of the change that is under way */

/* On arrival, first thing. */
void arrived(struct fiber *here)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(here->fake_stack, &left->stack, &left->stack_bytes);
#else
    (void)here;
#endif
}

void start()
{
    struct fiber *here = entered;
    arrived(here);
    here->entry();
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

void fiber_create(struct fiber *f, void (*entry)())
{
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    char *map = static_cast<char *>(mmap(nullptr, page + STACK_BYTES, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0) {
        perror("gpu_emulation: no stack for a thread of a block");
        abort();
    }
    f->stack = map + page;
    f->stack_bytes = STACK_BYTES;
    f->fake_stack = nullptr;
    f->entry = entry;
#ifdef __x86_64__
    void **top = reinterpret_cast<void **>(map + page + STACK_BYTES);
    top[-1] = nullptr; /* start returns to nowhere */
    top[-2] = reinterpret_cast<void *>(start);
    for (int i = 3; i <= 8; i++) top[-i] = nullptr; /* the registers that gpu_swap_stacks loads */
    f->stack_pointer = top - 8;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = map + page;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, start, 0);
#endif
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    left = from;
    entered = to;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#ifdef __x86_64__
    gpu_swap_stacks(&from->stack_pointer, to->stack_pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
    arrived(from);
}
