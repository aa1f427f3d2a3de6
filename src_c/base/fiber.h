/* Stacks that a thread can step onto and off again, and another thread onto after it. */
#ifndef GRC_FIBER_H
#define GRC_FIBER_H

#include <stddef.h>

#if (defined(__x86_64__) && !defined(__ILP32__)) || defined(__aarch64__)
#define GRC_FIBERS 1 /* fiber.c knows how */
#else
#define GRC_FIBERS 0
#endif

typedef struct grc_fiber {
    void *sp;               /* of whoever has stepped off */
    void *stack;            /* NULL: a thread's own */
    size_t size;            /* of the stack and the page below it that nobody may touch */
    const void *bottom;     /* for AddressSanitizer */
    size_t height;
    void *watched;          /* for ThreadSanitizer */
} grc_fiber;

/* `from` is where the caller is; returns when somebody steps back there, and says from where. */
grc_fiber *grc_fiber_step(grc_fiber *from, grc_fiber *to);
/* A fiber that begins with begin(context, who stepped onto it), which never returns. 1, or 0 without memory. */
typedef void grc_fiber_begin(void *context, grc_fiber *from);
int grc_fiber_open(grc_fiber *f, size_t size, grc_fiber_begin *begin, void *context);
void grc_fiber_close(grc_fiber *f);
/* The caller's own stack, before it steps off it for the first time. */
void grc_fiber_here(grc_fiber *f);

#endif
