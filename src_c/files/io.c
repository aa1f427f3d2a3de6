/* The model file: what its reader and writer share, and the operating system behind them. */
#include "posix.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../base/format.h"
#include "io_internal.h"

/* ---- Element types ---- */

#define DTYPE_NAME(name, size) #name,
#define DTYPE_SIZE(name, size) size,
static const char *const dtype_names[] = {GRC_IO_DTYPES(DTYPE_NAME)};
static const unsigned char dtype_sizes[] = {GRC_IO_DTYPES(DTYPE_SIZE)};

const char *grc_io_dtype_name(uint32_t dtype)
{
    return dtype < GRC_IO_DTYPE_COUNT ? dtype_names[dtype] : NULL;
}

uint32_t grc_io_dtype_named(const char *name)
{
    uint32_t dtype = 0;
    while (dtype < GRC_IO_DTYPE_COUNT && strcmp(name, dtype_names[dtype]) != 0)
        dtype++;
    return dtype;
}

size_t grc_io_dtype_size(uint32_t dtype)
{
    return dtype < GRC_IO_DTYPE_COUNT ? dtype_sizes[dtype] : 0;
}

int grc_io_shape_bytes(uint32_t dtype, uint32_t ndim, const uint64_t *shape, uint64_t *bytes)
{
    uint64_t product = grc_io_dtype_size(dtype);
    int empty = 0;
    for (uint32_t i = 0; i < ndim; i++) {
        if (shape[i] == 0)
            empty = 1;
        else if (__builtin_mul_overflow(product, shape[i], &product))
            return 0;
    }
    if (product > INT64_MAX)
        return 0;
    *bytes = empty ? 0 : product;
    return 1;
}

/* ---- Errors ---- */

int grc_io_fail(grc_io_error *error, int status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->code = 0;
        grc_format(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

int grc_io_fail_system(grc_io_error *error, int code, const char *what)
{
    char text[128];
    if (strerror_r(code, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", code);
    int status = code == ENOENT || code == ENOTDIR ? GRC_IO_NOT_FOUND : GRC_IO_SYSTEM;
    grc_io_fail(error, status, "cannot %s: %s", what, text);
    if (error)
        error->code = code;
    return status;
}

const char *grc_io_quote(const char *text, char out[GRC_IO_QUOTE])
{
    size_t n = 0;
    out[n++] = '\'';
    for (; *text && n < GRC_IO_QUOTE - 5; text++)
        out[n++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
    memcpy(out + n, *text ? "...'" : "'", *text ? 5 : 2);
    return out;
}

/* ---- Memory ---- */

static void *default_allocate(void *context, size_t size, size_t alignment)
{
    (void)context;
    if (size > SIZE_MAX - alignment)
        return NULL;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void default_release(void *context, void *pointer, size_t size)
{
    (void)context;
    (void)size;
    free(pointer);
}

const grc_allocator *grc_io_default_allocator(void)
{
    static const grc_allocator allocator = {default_allocate, default_release, NULL};
    return &allocator;
}

void *grc_io_allocate(const grc_allocator *allocator, size_t bytes)
{
    return allocator->allocate(allocator->context, bytes, GRC_IO_ALIGNMENT);
}

void grc_io_release(const grc_allocator *allocator, void *pointer, size_t bytes)
{
    if (pointer)
        allocator->release(allocator->context, pointer, bytes);
}

/* ---- Text ---- */

size_t grc_io_utf8(const char *text, size_t available)
{
    const unsigned char *s = (const unsigned char *)text;
    if (available == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || available < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    int overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    int surrogate = s[0] == 0xed && s[1] > 0x9f;
    int too_large = s[0] == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : n;
}

/* ---- Orders ---- */

void grc_io_sort(uint32_t *order, uint32_t *scratch, size_t n, grc_io_compare *compare, const void *context)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low + width < n; low += 2 * width) {
            size_t middle = low + width;
            size_t high = n - middle < width ? n : middle + width;
            if (compare(context, order[middle - 1], order[middle]) <= 0)
                continue;
            memcpy(scratch, order + low, width * sizeof *order);
            size_t left = 0, right = middle, to = low;
            while (left < width && right < high) {
                int take_right = compare(context, scratch[left], order[right]) > 0;
                order[to++] = take_right ? order[right++] : scratch[left++];
            }
            memcpy(order + to, scratch + left, (width - left) * sizeof *order);
        }
    }
}

const char *grc_io_string_at(const grc_io_strings *strings, size_t index)
{
    return *(const char *const *)((const char *)strings->base + index * strings->stride);
}

static int compare_strings(const void *context, uint32_t left, uint32_t right)
{
    return strcmp(grc_io_string_at(context, left), grc_io_string_at(context, right));
}

int grc_io_sort_strings(uint32_t *order, uint32_t *scratch, size_t n, const grc_io_strings *strings, size_t *duplicate)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    grc_io_sort(order, scratch, n, compare_strings, strings);
    for (size_t i = 1; i < n; i++) {
        if (compare_strings(strings, order[i - 1], order[i]) == 0) {
            *duplicate = order[i];
            return 1;
        }
    }
    return 0;
}

/* ---- The operating system ---- */

static int real_open(void *context, const char *path, int flags, unsigned mode)
{
    (void)context;
    return open(path, flags, (mode_t)mode);
}

static int real_close(void *context, int fd)
{
    (void)context;
    return close(fd);
}

static ptrdiff_t real_read(void *context, int fd, void *bytes, size_t n)
{
    (void)context;
    return read(fd, bytes, n);
}

static ptrdiff_t real_write(void *context, int fd, const void *bytes, size_t n)
{
    (void)context;
    return write(fd, bytes, n);
}

static int real_sync(void *context, int fd)
{
    (void)context;
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) /* there, fsync alone leaves the data in the drive's cache */
        return 0;
#endif
    return fsync(fd);
}

static int real_set_mode(void *context, int fd, unsigned mode)
{
    (void)context;
    return fchmod(fd, (mode_t)mode);
}

static int real_stat_file(void *context, int fd, struct stat *out)
{
    (void)context;
    return fstat(fd, out);
}

static int real_stat_path(void *context, const char *path, struct stat *out)
{
    (void)context;
    return stat(path, out);
}

static ptrdiff_t real_read_link(void *context, const char *path, char *out, size_t capacity)
{
    (void)context;
    return readlink(path, out, capacity);
}

static int real_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to);
}

static int real_unlink(void *context, const char *path)
{
    (void)context;
    return unlink(path);
}

const grc_io_system *grc_io_posix(void)
{
    static const grc_io_system system = {
        NULL,           real_open,      real_close,     real_read,   real_write,  real_sync,   real_set_mode,
        real_stat_file, real_stat_path, real_read_link, real_rename, real_unlink, grc_io_hold, grc_io_sweep,
    };
    return &system;
}
