/* Fibers: stacks of their own that one thread of the host changes between. */
#pragma once

#include <cstddef>

#ifndef __x86_64__
#include <ucontext.h>
#endif

struct fiber {
#ifdef __x86_64__
    void *stack_pointer;
#else
    ucontext_t context;
#endif
    void (*entry)();   /* NULL: the host's own */
    const void *stack; /* lowest byte and size */
    size_t stack_bytes;
    void *fake_stack;
};

const size_t MOST_FIBERS = 1024;

/* entry must not return.  The stack lives as long as the program: fibers are used again. */
void fiber_create(struct fiber *f, void (*entry)());

/* Leaves `from`, which is running, for `to`; returns when something changes back. */
void fiber_switch(struct fiber *from, struct fiber *to);
