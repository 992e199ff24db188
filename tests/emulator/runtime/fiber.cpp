// Fibers: stacks and the switch between them.
#include "processor.h"
#include <sys/mman.h>

namespace emulator {

#if defined(__x86_64__)
asm(R"(
.text
.globl kamacite_emulator_switch
.type kamacite_emulator_switch,@function
kamacite_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size kamacite_emulator_switch,.-kamacite_emulator_switch
)");
void* fresh_stack(char* top, void (*entry)()) {
    void** s = (void**)((uintptr_t)top & ~(uintptr_t)15);
    *--s = nullptr; // keeps the stack aligned as after a call
    *--s = (void*)entry;
    for (int i = 0; i < 6; i++) *--s = nullptr;
    return s;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl kamacite_emulator_switch
.type kamacite_emulator_switch,%function
kamacite_emulator_switch:
    sub sp,sp,#160
    stp x19,x20,[sp]
    stp x21,x22,[sp,#16]
    stp x23,x24,[sp,#32]
    stp x25,x26,[sp,#48]
    stp x27,x28,[sp,#64]
    stp x29,x30,[sp,#80]
    stp d8,d9,[sp,#96]
    stp d10,d11,[sp,#112]
    stp d12,d13,[sp,#128]
    stp d14,d15,[sp,#144]
    mov x9,sp
    str x9,[x0]
    mov sp,x1
    ldp x19,x20,[sp]
    ldp x21,x22,[sp,#16]
    ldp x23,x24,[sp,#32]
    ldp x25,x26,[sp,#48]
    ldp x27,x28,[sp,#64]
    ldp x29,x30,[sp,#80]
    ldp d8,d9,[sp,#96]
    ldp d10,d11,[sp,#112]
    ldp d12,d13,[sp,#128]
    ldp d14,d15,[sp,#144]
    add sp,sp,#160
    ret
)");
void* fresh_stack(char* top, void (*entry)()) {
    char* s = (char*)((uintptr_t)top & ~(uintptr_t)15) - 160;
    memset(s, 0, 160);
    *(void**)(s + 88) = (void*)entry;
    return s;
}
#else
#error "write kamacite_emulator_switch for this CPU"
#endif

// Every fiber's main function: run the thread to be started, then others as long as none of them has a stack of its own.
static void fiber_main() {
    Processor& p = *processor; // read once: a later launch on this processor may come from another host thread
    for (;;) {
        FullThread* thread = p.starting;
        Fiber* self = p.fiber;
        while (thread && !thread->fiber) {
            p.enter(*thread);
            thread->fiber = self;
            p.launch.kernel->run(p.launch.arguments);
            p.finish(*thread);
            thread = p.next();
        }
        p.free_fibers.push_back(self);
        if (thread) {
            p.enter(*thread);
            p.fiber = thread->fiber;
            kamacite_emulator_switch(&self->stack_pointer, thread->fiber->stack_pointer);
        } else {
            if (p.live) p.deadlock();
            kamacite_emulator_switch(&self->stack_pointer, p.launcher);
        }
    }
}

Fiber* Processor::take_fiber() {
    if (free_fibers.empty()) {
        Fiber* f = new Fiber;
        f->stack = (char*)mmap(nullptr, Limits::stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f->stack == MAP_FAILED) fault("no memory for the stack of a thread");
        mprotect(f->stack, 4096, PROT_NONE);
        // Tops at different distances from the page's end: else all compete for the same lines of the cache.
        f->top = f->stack + Limits::stack - all_fibers.size() % 16 * 256;
        f->stack_pointer = fresh_stack(f->top, fiber_main);
        all_fibers.push_back(f);
        return f;
    }
    Fiber* f = free_fibers.back();
    free_fibers.pop_back();
    return f;
}

// After a fault fibers stop somewhere in the kernel: all start anew.
void Processor::reset_fibers() {
    free_fibers = all_fibers;
    for (Fiber* f : all_fibers) f->stack_pointer = fresh_stack(f->top, fiber_main);
}

} // namespace emulator
