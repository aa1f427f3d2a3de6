/* The model file: a strict reader and an atomic writer of the safetensors container.
 * docs/file-format.md describes the format; here is the contract of the calls.
 *
 * Every call that can fail returns a GRC_IO_ status and, where `error` is not NULL, says why. Output
 * arguments are set on success only. Strings are UTF-8, NUL-terminated, and hold no U+0000.
 * Nothing here keeps state between calls; any number of threads may call anything, except that one
 * grc_io_file is closed once and not used afterwards.
 */
#ifndef GRC_IO_H
#define GRC_IO_H

#include <stddef.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"

struct stat;

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

typedef gradcore_allocator grc_allocator;

enum {
    GRC_IO_OK = 0,
    GRC_IO_NOT_FOUND = 1, /* no such file or folder */
    GRC_IO_SYSTEM = 2,    /* the operating system refused; grc_io_error.code is its errno */
    GRC_IO_FORMAT = 3,    /* the bytes are not a well-formed file */
    GRC_IO_NO_MEMORY = 4,
    GRC_IO_ARGUMENT = 5   /* the caller passed something that no file may hold */
};

typedef struct grc_io_error {
    int32_t code;      /* errno where the operating system gave one, else 0 */
    char message[508]; /* what was expected, what was found, where */
} grc_io_error;

enum {
    GRC_IO_MAX_HEADER = 100000000, /* bytes, as the safetensors library has it */
    GRC_IO_MAX_ITEMS = 1 << 20,    /* tensors, and metadata pairs */
    GRC_IO_MAX_NAME = 255,         /* bytes of a tensor's name or a metadata key, at least 1 */
    GRC_IO_MAX_NDIM = 4,
    GRC_IO_ALIGNMENT = 64
};

/* Element types: the name in the file and the bytes of one element. Append at the end. */
#define GRC_IO_DTYPES(X) \
    X(F32, 4)            \
    X(F64, 8)            \
    X(I32, 4) X(I64, 8) X(U8, 1) X(U64, 8) X(U32, 4) X(I16, 2) X(U16, 2) X(I8, 1) X(BOOL, 1) X(F16, 2) X(BF16, 2)
#define GRC_IO_DTYPE_ENUM(name, size) GRC_IO_##name,
enum grc_io_dtype { GRC_IO_DTYPES(GRC_IO_DTYPE_ENUM) GRC_IO_DTYPE_COUNT };

/* NULL for a number that is no dtype. */
const char *grc_io_dtype_name(uint32_t dtype);
/* GRC_IO_DTYPE_COUNT for a name that is none. */
uint32_t grc_io_dtype_named(const char *name);
/* 0 for a number that is no dtype. */
size_t grc_io_dtype_size(uint32_t dtype);

/* Row-major data of `bytes` = product of shape times the size of an element; a scalar has ndim 0. */
typedef struct grc_io_tensor {
    const char *name;
    uint32_t dtype;
    uint32_t ndim;
    uint64_t shape[GRC_IO_MAX_NDIM];
    const void *data; /* may be NULL where bytes is 0 */
    uint64_t bytes;
} grc_io_tensor;

typedef struct grc_io_pair {
    const char *key, *value;
} grc_io_pair;

/* The operating system as the file calls see it, so that tests can make any call fail. Every function
 * returns what its POSIX namesake returns and sets errno with -1. */
typedef struct grc_io_system {
    void *context;
    int (*open_file)(void *context, const char *path, int flags, unsigned mode);
    int (*close_file)(void *context, int fd);
    ptrdiff_t (*read_file)(void *context, int fd, void *bytes, size_t n);
    ptrdiff_t (*write_file)(void *context, int fd, const void *bytes, size_t n);
    int (*sync_file)(void *context, int fd); /* files and folders */
    int (*set_mode)(void *context, int fd, unsigned mode);
    int (*stat_file)(void *context, int fd, struct stat *out);
    int (*stat_path)(void *context, const char *path, struct stat *out);
    ptrdiff_t (*read_link)(void *context, const char *path, char *out, size_t capacity);
    int (*rename_path)(void *context, const char *from, const char *to);
    int (*unlink_path)(void *context, const char *path);
    /* May be NULL. Mark a new file as one that is being written, until what is returned is closed: a descriptor;
     * -1 where that cannot be, GRC_IO_SWEPT where the file has been removed before. */
    int (*hold_file)(void *context, int fd);
    /* May be NULL. Remove the new files in a folder that are not marked, whose writers have been killed. */
    void (*sweep_folder)(void *context, const char *folder);
} grc_io_system;
/* The real one. */
const grc_io_system *grc_io_posix(void);

/* Writes n tensors and n_meta pairs to `path`, whole or not at all: to a new file beside it, synced, renamed over
 * it, folder synced. What killed processes left in the folder is removed before. When it fails the old file is as
 * it was, with one exception: where only the last step fails, the new file is in place and the message says so.
 * Symbolic links are followed; an existing file must be a regular, writable one and keeps its permission bits. */
int grc_io_write(const char *path, const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta,
                 grc_io_error *error);
int grc_io_write_with(const grc_io_system *system, const grc_allocator *allocator, const char *path,
                      const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta,
                      grc_io_error *error);

/* The bytes that the same file takes in memory; then the file itself into `out` of `capacity` bytes,
 * at least as many. allocator NULL: aligned malloc, everywhere in this header. */
int grc_io_size(const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta, uint64_t *size,
                grc_io_error *error);
int grc_io_write_memory(void *out, uint64_t capacity, const grc_allocator *allocator, const grc_io_tensor *tensors,
                        size_t n, const grc_io_pair *meta, size_t n_meta, grc_io_error *error);

/* A file that was read and checked as a whole. It owns copies of everything. */
typedef struct grc_io_file grc_io_file;
int grc_io_open(const char *path, const grc_allocator *allocator, grc_io_file **out, grc_io_error *error);
int grc_io_open_with(const grc_io_system *system, const grc_allocator *allocator, const char *path, grc_io_file **out,
                     grc_io_error *error);
int grc_io_parse(const void *bytes, size_t n, const grc_allocator *allocator, grc_io_file **out, grc_io_error *error);
/* NULL is fine. */
void grc_io_close(grc_io_file *file);

/* Tensors in the order of their data, each 64-byte aligned (data NULL where bytes is 0); pairs in the
 * order of the header. All live until grc_io_close. NULL: index past the end, or no such name. */
size_t grc_io_tensor_count(const grc_io_file *file);
const grc_io_tensor *grc_io_tensor_at(const grc_io_file *file, size_t index);
const grc_io_tensor *grc_io_tensor_named(const grc_io_file *file, const char *name);
size_t grc_io_pair_count(const grc_io_file *file);
const grc_io_pair *grc_io_pair_at(const grc_io_file *file, size_t index);
const char *grc_io_metadata(const grc_io_file *file, const char *key);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
