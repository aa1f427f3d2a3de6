/* What the C tests share: CHECK, its count, and an allocator that counts and can fail. */
#ifndef CHECK_H
#define CHECK_H

#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic long checks_passed, checks_failed; /* threads may check, too */

/* Counts one check; prints where it is, and the given text, when it fails. */
#define CHECK_NOTE(condition, ...)                                                  \
    do {                                                                            \
        if (condition) {                                                            \
            checks_passed++;                                                        \
        } else {                                                                    \
            checks_failed++;                                                        \
            fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                           \
            fputc('\n', stderr);                                                    \
        }                                                                           \
    } while (0)
#define CHECK(condition) CHECK_NOTE(condition, "in %s", __func__)

/* Before main, in every program: the locale that the environment asks for, as in a host. Where CI asks for the
 * German one, a missing locale must not pass for it. */
__attribute__((constructor)) static void check_locale(void)
{
    const char *wish = getenv("LC_ALL");
    setlocale(LC_ALL, "");
    if (wish && strncmp(wish, "de_DE", 5) == 0)
        CHECK_NOTE(strcmp(localeconv()->decimal_point, ",") == 0, "LC_ALL is %s", wish);
}

/* The last thing that main does: return check_report(); */
static inline int check_report(void)
{
    const long passed = checks_passed, failed = checks_failed;
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed != 0;
}

/* Allocates exactly what is asked for, so that a sanitizer sees one byte too many; without one, bytes behind every
 * block tell at its release. */
#if defined(__SANITIZE_ADDRESS__)
enum { CHECK_GUARD = 0 };
#else
enum { CHECK_GUARD = 256 };
#endif
typedef struct counter {
    long calls, fail_at; /* fail_at 0: never; else this call, counted from 1, gets NULL */
    long live;
    size_t live_bytes;
} counter;

static inline void *counter_allocate(void *context, size_t size, size_t alignment)
{
    counter *c = context;
    void *pointer = NULL;
    if (++c->calls == c->fail_at || posix_memalign(&pointer, alignment, size + CHECK_GUARD) != 0)
        return NULL;
    memset(pointer, 0xa5, size + CHECK_GUARD);
    c->live++;
    c->live_bytes += size;
    return pointer;
}

static inline void counter_release(void *context, void *pointer, size_t size)
{
    counter *c = context;
    for (size_t i = size; i < size + CHECK_GUARD; i++)
        if (((const unsigned char *)pointer)[i] != 0xa5) {
            CHECK_NOTE(0, "byte %zu of a block of %zu was written to", i, size);
            break;
        }
    c->live--;
    c->live_bytes -= size;
    free(pointer);
}

#endif
