/* The bytes of a model file: checks what it is to hold, lays out the data, writes the header. */
#include <stdio.h>
#include <string.h>

#include "io_internal.h"

enum { WIDEST = 8 }; /* bytes of the largest element */

/* ---- Checks ---- */

static int check_text(const char *text, const char *what, size_t index, size_t limit, grc_io_error *error)
{
    if (!text)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "%s %zu: expected a string, got NULL", what, index);
    size_t length = strlen(text), at = 0;
    if (limit && (length == 0 || length > limit))
        return grc_io_fail(error, GRC_IO_ARGUMENT, "%s %zu: expected 1 to %zu bytes, got %zu", what, index, limit,
                           length);
    while (at < length) {
        size_t step = grc_io_utf8(text + at, length - at);
        if (step == 0)
            return grc_io_fail(error, GRC_IO_ARGUMENT, "%s %zu: expected UTF-8, got byte 0x%02x at %zu", what, index,
                               (unsigned)(unsigned char)text[at], at);
        at += step;
    }
    return GRC_IO_OK;
}

static int check_tensor(const grc_io_tensor *t, size_t index, grc_io_error *error)
{
    int status = check_text(t->name, "name of tensor", index, GRC_IO_MAX_NAME, error);
    if (status)
        return status;
    uint64_t bytes = 0;
    char quoted[GRC_IO_QUOTE];
    grc_io_quote(t->name, quoted);
    if (strcmp(t->name, GRC_IO_METADATA) == 0)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: the format reserves this name", quoted);
    if (t->dtype >= GRC_IO_DTYPE_COUNT)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: expected a dtype below %d, got %lu", quoted,
                           GRC_IO_DTYPE_COUNT, (unsigned long)t->dtype);
    if (t->ndim > GRC_IO_MAX_NDIM)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: expected at most %d dimensions, got %lu", quoted,
                           GRC_IO_MAX_NDIM, (unsigned long)t->ndim);
    if (!grc_io_shape_bytes(t->dtype, t->ndim, t->shape, &bytes))
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: expected less than 2^63 bytes", quoted);
    if (bytes != t->bytes)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: expected %llu bytes from its dtype and shape, got %llu",
                           quoted, (unsigned long long)bytes, (unsigned long long)t->bytes);
    if (bytes && !t->data)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensor %s: expected data, got NULL", quoted);
    return GRC_IO_OK;
}

static int check_items(const grc_io_content *c, grc_io_error *error)
{
    int status = GRC_IO_OK;
    if ((c->n && !c->tensors) || (c->n_meta && !c->meta))
        return grc_io_fail(error, GRC_IO_ARGUMENT, "tensors and meta: expected pointers, got NULL");
    if (c->n > GRC_IO_MAX_ITEMS || c->n_meta > GRC_IO_MAX_ITEMS)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "expected at most %d tensors and pairs, got %zu and %zu",
                           GRC_IO_MAX_ITEMS, c->n, c->n_meta);
    for (size_t i = 0; i < c->n && status == GRC_IO_OK; i++)
        status = check_tensor(&c->tensors[i], i, error);
    for (size_t i = 0; i < c->n_meta && status == GRC_IO_OK; i++) {
        status = check_text(c->meta[i].key, "metadata key", i, GRC_IO_MAX_NAME, error);
        if (status == GRC_IO_OK)
            status = check_text(c->meta[i].value, "metadata value", i, 0, error);
    }
    return status;
}

int grc_io_check_distinct(const grc_io_content *c, const grc_allocator *allocator, grc_io_error *error)
{
    size_t larger = c->n > c->n_meta ? c->n : c->n_meta, bytes = 2 * larger * sizeof(uint32_t), duplicate;
    if (larger == 0)
        return GRC_IO_OK;
    uint32_t *order = grc_io_allocate(allocator, bytes);
    if (!order)
        return grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for %zu bytes", bytes);
    const grc_io_strings names = {c->tensors, sizeof *c->tensors}, keys = {c->meta, sizeof *c->meta};
    const char *twice = NULL;
    if (grc_io_sort_strings(order, order + larger, c->n, &names, &duplicate))
        twice = c->tensors[duplicate].name;
    else if (grc_io_sort_strings(order, order + larger, c->n_meta, &keys, &duplicate))
        twice = c->meta[duplicate].key;
    grc_io_release(allocator, order, bytes);
    char quoted[GRC_IO_QUOTE];
    if (twice)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "expected distinct names, got %s twice",
                           grc_io_quote(twice, quoted));
    return GRC_IO_OK;
}

/* ---- The header ---- */

/* Text that is written, or only measured where out is NULL. */
typedef struct text {
    char *out;
    uint64_t at;
} text;

static void put(text *t, const char *bytes, size_t n)
{
    if (t->out)
        memcpy(t->out + t->at, bytes, n);
    t->at += n;
}

static void put_plain(text *t, const char *string)
{
    put(t, string, strlen(string));
}

static void put_integer(text *t, uint64_t value)
{
    char digits[24];
    put(t, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value));
}

static void put_quoted(text *t, const char *string)
{
    put_plain(t, "\"");
    for (; *string; string++) {
        unsigned char byte = (unsigned char)*string;
        char escape[8];
        if (byte == '"' || byte == '\\')
            put(t, "\\", 1);
        if (byte >= 0x20)
            put(t, string, 1);
        else
            put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)byte));
    }
    put_plain(t, "\"");
}

static void put_tensor(text *t, const grc_io_tensor *tensor, uint64_t begin)
{
    put_quoted(t, tensor->name);
    put_plain(t, ":{\"dtype\":\"");
    put_plain(t, grc_io_dtype_name(tensor->dtype));
    put_plain(t, "\",\"shape\":[");
    for (uint32_t d = 0; d < tensor->ndim; d++) {
        put_plain(t, d ? "," : "");
        put_integer(t, tensor->shape[d]);
    }
    put_plain(t, "],\"data_offsets\":[");
    put_integer(t, begin);
    put_plain(t, ",");
    put_integer(t, begin + tensor->bytes);
    put_plain(t, "]}");
}

int grc_io_visit(const grc_io_content *c, grc_io_visitor *visit, void *state)
{
    int status = GRC_IO_OK;
    for (size_t size = WIDEST; size > 0; size /= 2)
        for (size_t i = 0; i < c->n && status == GRC_IO_OK; i++)
            if (grc_io_dtype_size(c->tensors[i].dtype) == size)
                status = visit(state, &c->tensors[i]);
    return status;
}

typedef struct header_state {
    text *t;
    uint64_t data; /* bytes of the tensors so far */
    int overflow;
} header_state;

static int header_visitor(void *state, const grc_io_tensor *tensor)
{
    header_state *h = state;
    if (h->t->at > 1)
        put_plain(h->t, ",");
    put_tensor(h->t, tensor, h->data);
    h->overflow |= __builtin_add_overflow(h->data, tensor->bytes, &h->data) || h->data > INT64_MAX;
    return GRC_IO_OK;
}

/* The JSON text without padding. */
static header_state put_header(text *t, const grc_io_content *c)
{
    header_state state = {t, 0, 0};
    put_plain(t, "{");
    for (size_t i = 0; i < c->n_meta; i++) {
        put_plain(t, i ? "," : "\"" GRC_IO_METADATA "\":{");
        put_quoted(t, c->meta[i].key);
        put_plain(t, ":");
        put_quoted(t, c->meta[i].value);
    }
    put_plain(t, c->n_meta ? "}" : "");
    grc_io_visit(c, header_visitor, &state);
    put_plain(t, "}");
    return state;
}

int grc_io_measure(grc_io_content *c, grc_io_error *error)
{
    int status = check_items(c, error);
    if (status)
        return status;
    text t = {NULL, 0};
    header_state state = put_header(&t, c);
    uint64_t begin = (GRC_IO_PREFIX + t.at + GRC_IO_ALIGNMENT - 1) / GRC_IO_ALIGNMENT * GRC_IO_ALIGNMENT;
    c->header_bytes = begin - GRC_IO_PREFIX;
    if (c->header_bytes > GRC_IO_MAX_HEADER)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "expected names and metadata of at most %d bytes, got %llu",
                           GRC_IO_MAX_HEADER, (unsigned long long)c->header_bytes);
    if (state.overflow || state.data > INT64_MAX - begin)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "expected tensors of less than 2^63 bytes in all");
    c->size = begin + state.data;
    return GRC_IO_OK;
}

void grc_io_write_front(char *out, const grc_io_content *c)
{
    for (int i = 0; i < GRC_IO_PREFIX; i++)
        out[i] = (char)(c->header_bytes >> 8 * i & 0xff);
    text t = {out + GRC_IO_PREFIX, 0};
    put_header(&t, c);
    memset(t.out + t.at, ' ', (size_t)(c->header_bytes - t.at));
}

/* ---- To memory ---- */

int grc_io_size(const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta, uint64_t *size,
                grc_io_error *error)
{
    grc_io_content c = {.tensors = tensors, .n = n, .meta = meta, .n_meta = n_meta};
    int status = size ? grc_io_measure(&c, error) : grc_io_fail(error, GRC_IO_ARGUMENT, "size: got NULL");
    if (status == GRC_IO_OK)
        *size = c.size;
    return status;
}

static int copy_visitor(void *state, const grc_io_tensor *tensor)
{
    unsigned char **to = state;
    if (tensor->bytes)
        memcpy(*to, tensor->data, (size_t)tensor->bytes);
    *to += tensor->bytes;
    return GRC_IO_OK;
}

int grc_io_write_memory(void *out, uint64_t capacity, const grc_allocator *allocator, const grc_io_tensor *tensors,
                        size_t n, const grc_io_pair *meta, size_t n_meta, grc_io_error *error)
{
    grc_io_content c = {.tensors = tensors, .n = n, .meta = meta, .n_meta = n_meta};
    int status = grc_io_measure(&c, error);
    if (status == GRC_IO_OK)
        status = grc_io_check_distinct(&c, allocator ? allocator : grc_io_default_allocator(), error);
    if (status)
        return status;
    if (!out || capacity < c.size)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "out: expected room for %llu bytes, got %llu",
                           (unsigned long long)c.size, (unsigned long long)(out ? capacity : 0));
    grc_io_write_front(out, &c);
    unsigned char *to = (unsigned char *)out + GRC_IO_PREFIX + c.header_bytes;
    return grc_io_visit(&c, copy_visitor, &to);
}
