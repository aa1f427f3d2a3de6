/* Errors, allocation, the arena. */
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define GRC_HAVE_MMAP 1
#endif

#include "base.h"
#include "format.h"

grc_status grc_fail(gradcore_error *error, grc_status status, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        error->status = (int32_t)status;
        grc_format(error->message, sizeof error->message, format, args);
        va_end(args);
    }
    return status;
}

/* From here on whole pages come straight from the system: zeroed without being touched, and asked to be huge.
 */
#define GRC_LARGE ((size_t)1 << 20)

static void *default_allocate(void *context, size_t size, size_t alignment)
{
    void *p = NULL;
    (void)context;
#ifdef GRC_HAVE_MMAP
    if (size >= GRC_LARGE) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
#ifdef MADV_HUGEPAGE
        madvise(p, size, MADV_HUGEPAGE);
#endif
        return p;
    }
#endif
    return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

static void default_release(void *context, void *pointer, size_t size)
{
    (void)context;
#ifdef GRC_HAVE_MMAP
    if (size >= GRC_LARGE) {
        munmap(pointer, size);
        return;
    }
#endif
    free(pointer);
}

const gradcore_allocator grc_default_allocator = {&default_allocate, &default_release, NULL};

void *grc_allocate(const gradcore_allocator *allocator, size_t size)
{
    void *p = allocator->allocate(allocator->context, size, GRC_PANEL_BYTES);
    GRC_ASSERT((uintptr_t)p % GRC_PANEL_BYTES == 0);
    const int fresh_pages = allocator->allocate == &default_allocate && size >= GRC_LARGE;
    if (p && !fresh_pages)
        memset(p, 0, size);
    return p;
}

void *grc_copy(const gradcore_allocator *allocator, const void *block, size_t size)
{
    void *p = allocator->allocate(allocator->context, size, GRC_PANEL_BYTES);
    return p ? memcpy(p, block, size) : NULL;
}

void grc_release(const gradcore_allocator *allocator, void *pointer, size_t size)
{
    if (pointer)
        allocator->release(allocator->context, pointer, size);
}

void *grc_take(grc_arena *arena, size_t count, size_t item)
{
    size_t bytes, end;
    const size_t start = grc_round_up(arena->used, GRC_PANEL_BYTES);
    if (__builtin_mul_overflow(count, item, &bytes) || __builtin_add_overflow(start, bytes, &end)
        || end > SIZE_MAX / 4) {
        arena->overflow = 1;
        return NULL;
    }
    arena->used = end;
    return arena->base ? arena->base + start : NULL;
}
