/* What the files of this folder share. */
#ifndef GRC_IO_INTERNAL_H
#define GRC_IO_INTERNAL_H

#include "io.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "safetensors files are little-endian; this machine needs byte swaps that nobody has written"
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#define GRC_IO_PRINTF(text, rest) __attribute__((format(printf, text, rest)))
#else
#define GRC_IO_PRINTF(text, rest)
#endif

#define GRC_IO_METADATA "__metadata__"
enum { GRC_IO_PREFIX = 8, GRC_IO_QUOTE = 68 };

typedef struct grc_io_entry {
    grc_io_tensor tensor; /* first: the name is found at the entry's address */
    uint64_t begin, end;  /* its bytes, counted from the end of the header */
} grc_io_entry;

/* Names, keys and values point into `header`, where the parser decoded them in place. */
struct grc_io_file {
    grc_allocator allocator;
    char *header;
    size_t header_bytes;
    grc_io_entry *entries; /* in header order */
    size_t n_entries, entry_capacity;
    grc_io_pair *pairs;
    size_t n_pairs, pair_capacity;
    uint32_t *by_data, *by_name, *by_key; /* orders of entries, entries and pairs */
    unsigned char *data;
    size_t data_bytes;
};

/* Writes the reason (error may be NULL) and returns `status`. */
int grc_io_fail(grc_io_error *error, int status, const char *format, ...) GRC_IO_PRINTF(3, 4);
/* "cannot <what>: <text of errno>"; the status is NOT_FOUND for a missing file, else SYSTEM. */
int grc_io_fail_system(grc_io_error *error, int code, const char *what);
/* `text` shortened and in printable ASCII, for a message about a string from outside. Returns out. */
const char *grc_io_quote(const char *text, char out[GRC_IO_QUOTE]);

const grc_allocator *grc_io_default_allocator(void);
/* 64-byte aligned; NULL when there is none. bytes > 0. */
void *grc_io_allocate(const grc_allocator *allocator, size_t bytes);
/* NULL is fine. */
void grc_io_release(const grc_allocator *allocator, void *pointer, size_t bytes);

/* Bytes of one valid UTF-8 sequence at `text`, 0 if there is none within `available` bytes. */
size_t grc_io_utf8(const char *text, size_t available);
/* *bytes = product of shape times the size of dtype. False when that, with zeros counted as ones,
 * does not fit in an int64_t: then no array library could describe the tensor. */
int grc_io_shape_bytes(uint32_t dtype, uint32_t ndim, const uint64_t *shape, uint64_t *bytes);

/* Stable merge sort of order (0..n-1 on return permuted), scratch (n). Linear on sorted input. */
typedef int grc_io_compare(const void *context, uint32_t left, uint32_t right);
void grc_io_sort(uint32_t *order, uint32_t *scratch, size_t n, grc_io_compare *compare, const void *context);

/* An array of structs whose first field is a `const char *`. */
typedef struct grc_io_strings {
    const void *base;
    size_t stride;
} grc_io_strings;
const char *grc_io_string_at(const grc_io_strings *strings, size_t index);
/* Sorts 0..n-1 by string into order; true when two are equal, with *duplicate the later of them. */
int grc_io_sort_strings(uint32_t *order, uint32_t *scratch, size_t n, const grc_io_strings *strings, size_t *duplicate);

/* The content of one file, as the caller of the writer gave it. */
typedef struct grc_io_content {
    const grc_io_tensor *tensors;
    size_t n;
    const grc_io_pair *meta;
    size_t n_meta;
    uint64_t header_bytes; /* padding included, the 8 bytes before it not */
    uint64_t size;         /* of the whole file */
} grc_io_content;
/* Checks everything but names that occur twice; fills in header_bytes and size. */
int grc_io_measure(grc_io_content *content, grc_io_error *error);
/* Refuses names that occur twice. */
int grc_io_check_distinct(const grc_io_content *content, const grc_allocator *allocator, grc_io_error *error);
/* The first 8 + header_bytes bytes of the file, after grc_io_measure. */
void grc_io_write_front(char *out, const grc_io_content *content);
/* Calls visit(state, tensor) in the order of the data until one returns a status other than OK:
 * the caller's order, but wider elements first. The data begins at a multiple of 64, so that alone
 * aligns every tensor to its element. */
typedef int grc_io_visitor(void *state, const grc_io_tensor *tensor);
int grc_io_visit(const grc_io_content *content, grc_io_visitor *visit, void *state);

/* Names of new files begin so, and end in ".tmp". */
#define GRC_IO_TEMPORARY ".gradcore-held-"
enum { GRC_IO_SWEPT = -2 };
/* hold_file and sweep_folder of the real system. */
int grc_io_hold(void *context, int fd);
void grc_io_sweep(void *context, const char *folder);

/* Parses file->header into entries and pairs. Checks every entry by itself, nothing between entries. */
int grc_io_parse_header(grc_io_file *file, grc_io_error *error);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
