/* The header of a model file: a strict parser for the one JSON shape that it may have,
 *
 *     {"__metadata__": {text: text, ...}, name: {"dtype": D, "shape": [...], "data_offsets": [b, e]}, ...}
 *
 * The grammar is fixed, so nothing recurses and no depth can be exhausted. Strings are decoded in place,
 * which works because no escape is shorter than what it stands for. Every byte is looked at once.
 */
#include <stdio.h>
#include <string.h>

#include "io_internal.h"

typedef struct cursor {
    char *text;
    size_t at, end;
    grc_io_error *error;
} cursor;

/* ---- Bytes ---- */

static int peek(const cursor *c)
{
    return c->at < c->end ? (unsigned char)c->text[c->at] : -1;
}

static int skip_space(cursor *c)
{
    int byte = peek(c);
    while (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') {
        c->at++;
        byte = peek(c);
    }
    return byte;
}

/* "header, byte 17 of the file: expected ':', found '}'" */
static int unexpected(const cursor *c, const char *expected)
{
    int byte = peek(c);
    char found[24];
    if (byte < 0)
        snprintf(found, sizeof found, "its end");
    else if (byte >= 0x20 && byte < 0x7f)
        snprintf(found, sizeof found, "'%c'", byte);
    else
        snprintf(found, sizeof found, "byte 0x%02x", (unsigned)byte);
    return grc_io_fail(c->error, GRC_IO_FORMAT, "header, byte %zu of the file: expected %s, found %s",
                       GRC_IO_PREFIX + c->at, expected, found);
}

static int expect(cursor *c, char byte, const char *expected)
{
    if (skip_space(c) != byte)
        return unexpected(c, expected);
    c->at++;
    return GRC_IO_OK;
}

/* After an item of a list that `close` ends: *more tells whether another item follows. */
static int separator(cursor *c, char close, const char *expected, int *more)
{
    int byte = skip_space(c);
    if (byte != ',' && byte != close)
        return unexpected(c, expected);
    *more = byte == ',';
    c->at++;
    return GRC_IO_OK;
}

/* ---- Strings ---- */

static int parse_hex4(cursor *c, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int byte = peek(c);
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return unexpected(c, "a hexadecimal digit");
        value = value * 16 + (uint32_t)digit;
        c->at++;
    }
    *out = value;
    return GRC_IO_OK;
}

/* The cursor stands behind "\u". A high surrogate must be followed by an escaped low one. */
static int parse_unicode(cursor *c, uint32_t *out)
{
    uint32_t high = 0, low = 0;
    int status = parse_hex4(c, &high);
    if (status)
        return status;
    *out = high;
    if (high < 0xd800 || high > 0xdfff)
        return high ? GRC_IO_OK : unexpected(c, "no U+0000 before this");
    if (high > 0xdbff)
        return unexpected(c, "no low surrogate without a high one before this");
    for (const char *mark = "\\u"; *mark; mark++, c->at++)
        if (peek(c) != *mark)
            return unexpected(c, "an escaped low surrogate");
    status = parse_hex4(c, &low);
    if (status)
        return status;
    if (low < 0xdc00 || low > 0xdfff)
        return unexpected(c, "a low surrogate before this");
    *out = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return GRC_IO_OK;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* The cursor stands on the backslash; the decoded bytes go to *to, which is never ahead of it. */
static int parse_escape(cursor *c, char **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    c->at++;
    int byte = peek(c);
    if (byte == 'u') {
        uint32_t code = 0;
        c->at++;
        int status = parse_unicode(c, &code);
        if (status == GRC_IO_OK)
            *to = put_utf8(*to, code);
        return status;
    }
    const char *name = byte > 0 ? strchr(names, byte) : NULL;
    if (!name)
        return unexpected(c, "one of \"\\/bfnrtu after a backslash");
    *(*to)++ = values[name - names];
    c->at++;
    return GRC_IO_OK;
}

/* *out: the decoded, NUL-terminated text inside the header. */
static int parse_string(cursor *c, const char *expected, char **out, size_t *length)
{
    int status = expect(c, '"', expected);
    if (status)
        return status;
    char *start = c->text + c->at, *to = start;
    for (int byte = peek(c); byte != '"'; byte = peek(c)) {
        if (byte == '\\') {
            status = parse_escape(c, &to);
            if (status)
                return status;
            continue;
        }
        if (byte < 0x20) /* the end of the header too */
            return unexpected(c, "the end of a string, or an escape for a control character");
        size_t n = grc_io_utf8(c->text + c->at, c->end - c->at);
        if (n == 0)
            return unexpected(c, "valid UTF-8");
        while (n--)
            *to++ = c->text[c->at++];
    }
    c->at++;
    *to = '\0';
    *out = start;
    *length = (size_t)(to - start);
    return GRC_IO_OK;
}

/* A tensor's name or a metadata key, with the colon behind it. */
static int parse_name(cursor *c, const char *expected, char **out)
{
    size_t at = skip_space(c) < 0 ? c->end : c->at, length;
    int status = parse_string(c, expected, out, &length);
    if (status)
        return status;
    if (length == 0 || length > GRC_IO_MAX_NAME)
        return grc_io_fail(c->error, GRC_IO_FORMAT,
                           "header, byte %zu of the file: expected a name of 1 to %d bytes, found %zu",
                           GRC_IO_PREFIX + at, GRC_IO_MAX_NAME, length);
    return expect(c, ':', "':'");
}

/* ---- Numbers ---- */

/* A decimal integer without sign, leading zero, fraction or exponent. */
static int parse_integer(cursor *c, uint64_t *out)
{
    int byte = skip_space(c);
    if (byte < '0' || byte > '9')
        return unexpected(c, "an integer of 0 or more");
    uint64_t value = 0;
    int zero = byte == '0';
    for (size_t digits = 0; byte >= '0' && byte <= '9'; digits++) {
        if (zero && digits > 0)
            return unexpected(c, "no digit after a leading zero");
        if (__builtin_mul_overflow(value, (uint64_t)10, &value)
            || __builtin_add_overflow(value, (uint64_t)(byte - '0'), &value))
            return unexpected(c, "an integer below 2^64");
        c->at++;
        byte = peek(c);
    }
    *out = value;
    return GRC_IO_OK;
}

/* [a, b, ...] of at most `limit` integers. */
static int parse_integers(cursor *c, uint64_t *out, uint32_t limit, uint32_t *count)
{
    int status = expect(c, '[', "'['");
    if (status)
        return status;
    *count = 0;
    if (skip_space(c) == ']') {
        c->at++;
        return GRC_IO_OK;
    }
    for (int more = 1; more;) {
        if (*count == limit)
            return unexpected(c, limit == 2 ? "two offsets and no more" : "at most 4 dimensions");
        status = parse_integer(c, &out[(*count)++]);
        if (status == GRC_IO_OK)
            status = separator(c, ']', "',' or ']'", &more);
        if (status)
            return status;
    }
    return GRC_IO_OK;
}

/* ---- The header's own shape ---- */

/* Makes room for one more item: doubles *capacity. */
static int grow(cursor *c, const grc_allocator *allocator, void **array, size_t *capacity, size_t count,
                size_t item_bytes)
{
    if (count < *capacity)
        return GRC_IO_OK;
    if (count >= GRC_IO_MAX_ITEMS)
        return unexpected(c, "no more than 2^20 tensors or metadata pairs");
    size_t larger = *capacity ? *capacity * 2 : 16;
    void *fresh = grc_io_allocate(allocator, larger * item_bytes);
    if (!fresh)
        return grc_io_fail(c->error, GRC_IO_NO_MEMORY, "no memory for %zu bytes of index", larger * item_bytes);
    if (*array)
        memcpy(fresh, *array, count * item_bytes);
    grc_io_release(allocator, *array, *capacity * item_bytes);
    *array = fresh;
    *capacity = larger;
    return GRC_IO_OK;
}

static int parse_metadata(cursor *c, grc_io_file *file)
{
    int status = expect(c, '{', "'{' of the metadata");
    if (status)
        return status;
    if (skip_space(c) == '}') {
        c->at++;
        return GRC_IO_OK;
    }
    for (int more = 1; more;) {
        char *key, *value;
        size_t length;
        void *pairs = file->pairs;
        status = grow(c, &file->allocator, &pairs, &file->pair_capacity, file->n_pairs, sizeof(grc_io_pair));
        file->pairs = pairs;
        if (status == GRC_IO_OK)
            status = parse_name(c, "a metadata key in quotes", &key);
        if (status == GRC_IO_OK)
            status = parse_string(c, "a metadata value in quotes", &value, &length);
        if (status == GRC_IO_OK)
            status = separator(c, '}', "',' or '}'", &more);
        if (status)
            return status;
        file->pairs[file->n_pairs++] = (grc_io_pair){key, value};
    }
    return GRC_IO_OK;
}

enum { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

/* One of the three fields of a tensor, its name already read. */
static int parse_field(cursor *c, const char *field, grc_io_entry *entry, unsigned *seen)
{
    unsigned bit = strcmp(field, "dtype") == 0          ? FIELD_DTYPE
                   : strcmp(field, "shape") == 0        ? FIELD_SHAPE
                   : strcmp(field, "data_offsets") == 0 ? FIELD_OFFSETS
                                                        : 0;
    if (bit == 0 || *seen & bit)
        return unexpected(c, "one dtype, one shape and one data_offsets, no other field before this");
    *seen |= bit;
    if (bit == FIELD_SHAPE)
        return parse_integers(c, entry->tensor.shape, GRC_IO_MAX_NDIM, &entry->tensor.ndim);
    if (bit == FIELD_OFFSETS) {
        uint64_t offsets[2];
        uint32_t count;
        int status = parse_integers(c, offsets, 2, &count);
        if (status)
            return status;
        if (count != 2)
            return unexpected(c, "two offsets before this");
        entry->begin = offsets[0];
        entry->end = offsets[1];
        return GRC_IO_OK;
    }
    char *name;
    size_t length;
    int status = parse_string(c, "a dtype in quotes", &name, &length);
    if (status)
        return status;
    entry->tensor.dtype = grc_io_dtype_named(name);
    if (entry->tensor.dtype == GRC_IO_DTYPE_COUNT)
        return unexpected(c, "a dtype of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL before this");
    return GRC_IO_OK;
}

static int parse_tensor(cursor *c, const char *name, grc_io_entry *entry)
{
    unsigned seen = 0;
    memset(entry, 0, sizeof *entry);
    entry->tensor.name = name;
    int status = expect(c, '{', "'{' of a tensor");
    for (int more = 1; status == GRC_IO_OK && more;) {
        char *field;
        status = parse_name(c, "a field in quotes", &field);
        if (status == GRC_IO_OK)
            status = parse_field(c, field, entry, &seen);
        if (status == GRC_IO_OK)
            status = separator(c, '}', "',' or '}'", &more);
    }
    if (status)
        return status;
    if (seen != FIELD_ALL)
        return unexpected(c, "dtype, shape and data_offsets before this");

    char quoted[GRC_IO_QUOTE];
    grc_io_tensor *t = &entry->tensor;
    grc_io_quote(name, quoted);
    if (!grc_io_shape_bytes(t->dtype, t->ndim, t->shape, &t->bytes))
        return grc_io_fail(c->error, GRC_IO_FORMAT, "tensor %s: expected a size below 2^63 bytes", quoted);
    if (entry->end < entry->begin || entry->end - entry->begin != t->bytes)
        return grc_io_fail(c->error, GRC_IO_FORMAT,
                           "tensor %s: expected %llu bytes from its dtype and shape, found offsets "
                           "%llu to %llu",
                           quoted, (unsigned long long)t->bytes, (unsigned long long)entry->begin,
                           (unsigned long long)entry->end);
    return GRC_IO_OK;
}

int grc_io_parse_header(grc_io_file *file, grc_io_error *error)
{
    cursor c = {file->header, 0, file->header_bytes, error};
    if (peek(&c) != '{')
        return unexpected(&c, "'{'");
    c.at++;
    int more = skip_space(&c) != '}', metadata_seen = 0;
    c.at += !more;
    while (more) {
        char *name;
        int status = parse_name(&c, "a tensor's name in quotes", &name);
        if (status)
            return status;
        if (strcmp(name, GRC_IO_METADATA) == 0) {
            if (metadata_seen++)
                return unexpected(&c, "one " GRC_IO_METADATA " and no second one");
            status = parse_metadata(&c, file);
        } else {
            void *entries = file->entries;
            status = grow(&c, &file->allocator, &entries, &file->entry_capacity, file->n_entries, sizeof(grc_io_entry));
            file->entries = entries;
            if (status == GRC_IO_OK)
                status = parse_tensor(&c, name, &file->entries[file->n_entries]);
            file->n_entries += status == GRC_IO_OK;
        }
        if (status == GRC_IO_OK)
            status = separator(&c, '}', "',' or '}'", &more);
        if (status)
            return status;
    }
    for (; c.at < c.end; c.at++)
        if (peek(&c) != ' ')
            return unexpected(&c, "only spaces behind the last '}'");
    return GRC_IO_OK;
}
