/* Stepping from one stack to another: the registers that a function must keep are left on the old stack, its stack
 * pointer is put down, the other's taken up, and its registers are fetched from there. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_STACK */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fiber.h"

#if GRC_FIBERS

#if defined(__SANITIZE_ADDRESS__)
#define GRC_WATCH_ADDRESSES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRC_WATCH_ADDRESSES 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define GRC_WATCH_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GRC_WATCH_THREADS 1
#endif
#endif

#ifdef GRC_WATCH_ADDRESSES
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
#endif
#ifdef GRC_WATCH_THREADS
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

#ifdef __APPLE__
#define NAME(name) "_" #name
#define HIDDEN(name) ".private_extern _" #name "\n"
#else
#define NAME(name) #name
#define HIDDEN(name) ".hidden " #name "\n.type " #name ", %function\n"
#endif

/* Puts the stack pointer down at *sp and goes on at `to`; there, `news` is what the call returns. */
void *grc_fiber_swap(void **sp, void *to, void *news);
/* What a new stack returns to: begin(context, news). */
void grc_fiber_first(void);

#if defined(__x86_64__)

enum { SAVED = 6, CONTEXT = 3, BEGIN = 2 }; /* r15 r14 r13 r12 rbx rbp; the return address is above */
/* clang-format off */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl " NAME(grc_fiber_swap) "\n"
        HIDDEN(grc_fiber_swap)
        NAME(grc_fiber_swap) ":\n"
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\n"
        "movq %rdx, %rax\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
        "ret\n"
        ".p2align 4\n"
        ".globl " NAME(grc_fiber_first) "\n"
        HIDDEN(grc_fiber_first)
        NAME(grc_fiber_first) ":\n"
        ".cfi_startproc\n .cfi_undefined rip\n"
        "movq %r12, %rdi\n movq %rax, %rsi\n"
        "callq *%r13\n"
        "ud2\n"
        ".cfi_endproc\n");
/* clang-format on */

#else

enum { SAVED = 20, CONTEXT = 0, BEGIN = 1, RETURN = 11 }; /* x19 to x28, x29, x30, d8 to d15 */
/* clang-format off */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl " NAME(grc_fiber_swap) "\n"
        HIDDEN(grc_fiber_swap)
        NAME(grc_fiber_swap) ":\n"
        "sub sp, sp, #160\n"
        "stp x19, x20, [sp]\n stp x21, x22, [sp, #16]\n stp x23, x24, [sp, #32]\n stp x25, x26, [sp, #48]\n"
        "stp x27, x28, [sp, #64]\n stp x29, x30, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n"
        "mov x9, sp\n str x9, [x0]\n"
        "mov sp, x1\n"
        "mov x0, x2\n"
        "ldp x19, x20, [sp]\n ldp x21, x22, [sp, #16]\n ldp x23, x24, [sp, #32]\n ldp x25, x26, [sp, #48]\n"
        "ldp x27, x28, [sp, #64]\n ldp x29, x30, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\n ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"
        "add sp, sp, #160\n"
        "ret\n"
        ".p2align 4\n"
        ".globl " NAME(grc_fiber_first) "\n"
        HIDDEN(grc_fiber_first)
        NAME(grc_fiber_first) ":\n"
        ".cfi_startproc\n .cfi_undefined x30\n"
        "mov x1, x0\n mov x0, x19\n"
        "blr x20\n"
        "brk #1\n"
        ".cfi_endproc\n");
/* clang-format on */

#endif

grc_fiber *grc_fiber_step(grc_fiber *from, grc_fiber *to)
{
#ifdef GRC_WATCH_ADDRESSES
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, to->bottom, to->height);
#endif
#ifdef GRC_WATCH_THREADS
    __tsan_switch_to_fiber(to->watched, 0);
#endif
    grc_fiber *back = grc_fiber_swap(&from->sp, to->sp, from);
#ifdef GRC_WATCH_ADDRESSES
    __sanitizer_finish_switch_fiber(fake, &back->bottom, &back->height);
#endif
    return back;
}

typedef struct start { /* at the top of a new stack */
    grc_fiber_begin *begin;
    void *context;
} start;

static void arrive(void *context, void *from)
{
    const start s = *(const start *)context;
    grc_fiber *back = from;
#ifdef GRC_WATCH_ADDRESSES
    __sanitizer_finish_switch_fiber(NULL, &back->bottom, &back->height);
#endif
    s.begin(s.context, back);
}

int grc_fiber_open(grc_fiber *f, size_t size, grc_fiber_begin *begin, void *context)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    memset(f, 0, sizeof *f);
    size = (size + page - 1) / page * page + page;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return 0;
    if (mprotect(stack, page, PROT_NONE) != 0) {
        munmap(stack, size);
        return 0;
    }
    start *top = (start *)(stack + size) - 1;
    void **frame = (void **)((uintptr_t)top / 64 * 64) - SAVED;
    *top = (start){begin, context};
    void (*first)(void) = &grc_fiber_first;
    void (*then)(void *, void *) = &arrive;
#if defined(__x86_64__)
    frame -= 1; /* the return address: once it is fetched, the stack is a multiple of 16 bytes */
    memcpy(&frame[SAVED], &first, sizeof first);
#else
    memcpy(&frame[RETURN], &first, sizeof first);
#endif
    memcpy(&frame[BEGIN], &then, sizeof then);
    frame[CONTEXT] = top;
    f->sp = frame;
    f->stack = stack;
    f->size = size;
    f->bottom = stack + page;
    f->height = size - page;
#ifdef GRC_WATCH_THREADS
    f->watched = __tsan_create_fiber(0);
#endif
    return 1;
}

void grc_fiber_close(grc_fiber *f)
{
    if (!f->stack)
        return;
#ifdef GRC_WATCH_THREADS
    __tsan_destroy_fiber(f->watched);
#endif
    munmap(f->stack, f->size);
}

void grc_fiber_here(grc_fiber *f)
{
    memset(f, 0, sizeof *f);
#ifdef GRC_WATCH_THREADS
    f->watched = __tsan_get_current_fiber();
#endif
}

#else

typedef int grc_fiber_is_empty; /* a file that is not */

#endif
