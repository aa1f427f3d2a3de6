/* What every file of the core begins with: statuses and errors, memory, small helpers.
 *
 * Words. A *status* says how a call ended, and 0 is well; a call that fails writes why into the caller's error. An
 * *arena* hands out regions of one allocation: the same layout function runs twice, first to measure, then to assign.
 * An *item* is an element's size in bytes. Sizes are counted in elements unless they are called bytes. */
#ifndef GRC_BASE_H
#define GRC_BASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "elements.h"

/* Multiply and add must not fuse behind our back: every fused operation is written as one. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define GRC_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* What a reader must believe where it stands: looked at in builds with -DGRC_DEBUG alone, as the C tests' are. */
#ifdef GRC_DEBUG
#include <assert.h>
#define GRC_ASSERT(belief) assert(belief)
#else
#define GRC_ASSERT(belief) ((void)0)
#endif

typedef gradcore_status grc_status;

enum { GRC_NONE = -1 };
#define GRC_MOST_ELEMENTS (INT64_MAX / 16) /* of an array: no size in bytes overflows */

/* Writes the reason into error, which may be NULL, and returns the status. */
GRC_PRINTF(3, 4) grc_status grc_fail(gradcore_error *error, grc_status status, const char *format, ...);

extern const gradcore_allocator grc_default_allocator;
/* Zeroed, 64-byte aligned; NULL when there is no memory. */
void *grc_allocate(const gradcore_allocator *allocator, size_t size);
/* A copy of a block; NULL when there is no memory. */
void *grc_copy(const gradcore_allocator *allocator, const void *block, size_t size);
/* Where `at`, in a block that begins at `from`, lies in its copy at `to`; NULL is not in it. */
static inline void *grc_moved(const void *from, void *to, const void *at)
{
    return at ? (char *)to + ((const char *)at - (const char *)from) : NULL;
}
void grc_release(const gradcore_allocator *allocator, void *pointer, size_t size);

/* With base NULL it measures, with the allocation it assigns. overflow sticks. */
typedef struct grc_arena {
    char *base;
    size_t used;
    int overflow;
} grc_arena;
void *grc_take(grc_arena *arena, size_t count, size_t item); /* 64-byte aligned region of count items */

static inline size_t grc_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline size_t grc_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t grc_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
