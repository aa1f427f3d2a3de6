/* Reading a model file: everything is checked against the size of the file before the memory for it is
 * asked for, first the header's length, then the header, then the cover of the data. */
#include "posix.h"

#include <string.h>

#include "io_internal.h"

enum { READ_CHUNK = 1 << 30, SMALLEST_FILE = GRC_IO_PREFIX + 2 };

/* The bytes of a file, in memory or behind a descriptor, read once from front to back. */
typedef struct source {
    const grc_io_system *system; /* NULL: memory */
    int fd;
    const unsigned char *memory;
    uint64_t at, size;
} source;

/* Reads exactly n bytes; the caller has checked that the file has them. */
static int read_exactly(source *s, void *out, size_t n, grc_io_error *error)
{
    if (!s->system) {
        if (n)
            memcpy(out, s->memory + s->at, n);
        s->at += n;
        return GRC_IO_OK;
    }
    unsigned char *to = out;
    while (n) {
        ptrdiff_t got = s->system->read_file(s->system->context, s->fd, to, n < READ_CHUNK ? n : READ_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return grc_io_fail_system(error, errno, "read the file");
        if (got == 0)
            return grc_io_fail(error, GRC_IO_FORMAT,
                               "the file shrank while it was read: expected %llu bytes, it ended at %llu",
                               (unsigned long long)s->size, (unsigned long long)s->at);
        to += got;
        n -= (size_t)got;
        s->at += (uint64_t)got;
    }
    return GRC_IO_OK;
}

static int compare_begin(const void *context, uint32_t left, uint32_t right)
{
    const grc_io_entry *entries = context, *l = &entries[left], *r = &entries[right];
    if (l->begin != r->begin)
        return l->begin < r->begin ? -1 : 1;
    return (l->end > r->end) - (l->end < r->end);
}

/* Fills the three orders; refuses names and keys that occur twice. */
static int build_orders(grc_io_file *file, grc_io_error *error)
{
    size_t n = file->n_entries, m = file->n_pairs, larger = n > m ? n : m, duplicate;
    if (larger == 0)
        return GRC_IO_OK;
    size_t bytes = (2 * n + m) * sizeof(uint32_t), scratch_bytes = larger * sizeof(uint32_t);
    char quoted[GRC_IO_QUOTE];
    file->by_data = grc_io_allocate(&file->allocator, bytes);
    uint32_t *scratch = grc_io_allocate(&file->allocator, scratch_bytes);
    int status = GRC_IO_OK;
    if (!file->by_data || !scratch) {
        status = grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for %zu bytes of index", bytes);
    } else {
        file->by_name = file->by_data + n;
        file->by_key = file->by_name + n;
        for (size_t i = 0; i < n; i++)
            file->by_data[i] = (uint32_t)i;
        grc_io_sort(file->by_data, scratch, n, compare_begin, file->entries);
        const grc_io_strings names = {file->entries, sizeof *file->entries};
        const grc_io_strings keys = {file->pairs, sizeof *file->pairs};
        if (grc_io_sort_strings(file->by_name, scratch, n, &names, &duplicate))
            status = grc_io_fail(error, GRC_IO_FORMAT, "expected distinct tensor names, found %s twice",
                                 grc_io_quote(file->entries[duplicate].tensor.name, quoted));
        else if (grc_io_sort_strings(file->by_key, scratch, m, &keys, &duplicate))
            status = grc_io_fail(error, GRC_IO_FORMAT, "expected distinct metadata keys, found %s twice",
                                 grc_io_quote(file->pairs[duplicate].key, quoted));
    }
    grc_io_release(&file->allocator, scratch, scratch_bytes);
    return status;
}

/* The tensors must cover the data without hole or overlap, from its first byte to its last. */
static int check_cover(const grc_io_file *file, uint64_t data_bytes, grc_io_error *error)
{
    uint64_t at = 0;
    char quoted[GRC_IO_QUOTE];
    for (size_t i = 0; i < file->n_entries; i++) {
        const grc_io_entry *entry = &file->entries[file->by_data[i]];
        if (entry->begin != at || entry->end > data_bytes)
            return grc_io_fail(error, GRC_IO_FORMAT,
                               "tensor %s: expected its data at offset %llu and inside the %llu bytes of "
                               "data, found offsets %llu to %llu",
                               grc_io_quote(entry->tensor.name, quoted), (unsigned long long)at,
                               (unsigned long long)data_bytes, (unsigned long long)entry->begin,
                               (unsigned long long)entry->end);
        at = entry->end;
    }
    if (at != data_bytes)
        return grc_io_fail(error, GRC_IO_FORMAT,
                           "expected the tensors to cover the %llu bytes of data behind the header, "
                           "found %llu covered",
                           (unsigned long long)data_bytes, (unsigned long long)at);
    return GRC_IO_OK;
}

/* One allocation for all tensors, each at a multiple of 64 bytes, wherever it lies in the file. */
static int read_data(grc_io_file *file, source *s, grc_io_error *error)
{
    uint64_t total = 0;
    for (size_t i = 0; i < file->n_entries; i++) {
        uint64_t bytes = file->entries[i].tensor.bytes;
        /* No overflow: all sizes add up to the file's, and 2^20 paddings are below 2^27. */
        total += (bytes + GRC_IO_ALIGNMENT - 1) / GRC_IO_ALIGNMENT * GRC_IO_ALIGNMENT;
    }
    if (total == 0)
        return GRC_IO_OK;
    file->data = total > SIZE_MAX ? NULL : grc_io_allocate(&file->allocator, (size_t)total);
    if (!file->data)
        return grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for %llu bytes of tensors", (unsigned long long)total);
    file->data_bytes = (size_t)total;

    size_t at = 0;
    for (size_t i = 0; i < file->n_entries; i++) {
        grc_io_tensor *tensor = &file->entries[file->by_data[i]].tensor;
        size_t bytes = (size_t)tensor->bytes;
        size_t room = (bytes + GRC_IO_ALIGNMENT - 1) / GRC_IO_ALIGNMENT * GRC_IO_ALIGNMENT;
        if (bytes == 0)
            continue;
        int status = read_exactly(s, file->data + at, bytes, error);
        if (status)
            return status;
        memset(file->data + at + bytes, 0, room - bytes);
        tensor->data = file->data + at;
        at += room;
    }
    return GRC_IO_OK;
}

static int read_header(grc_io_file *file, source *s, grc_io_error *error)
{
    unsigned char prefix[GRC_IO_PREFIX];
    if (s->size < SMALLEST_FILE)
        return grc_io_fail(error, GRC_IO_FORMAT, "expected at least %d bytes, found a file of %llu", SMALLEST_FILE,
                           (unsigned long long)s->size);
    if (s->size > INT64_MAX)
        return grc_io_fail(error, GRC_IO_FORMAT, "expected less than 2^63 bytes");
    int status = read_exactly(s, prefix, sizeof prefix, error);
    if (status)
        return status;
    uint64_t length = 0;
    for (int i = GRC_IO_PREFIX; i-- > 0;)
        length = length << 8 | prefix[i];
    uint64_t room = s->size - GRC_IO_PREFIX;
    uint64_t limit = room < GRC_IO_MAX_HEADER ? room : GRC_IO_MAX_HEADER;
    if (length < 2 || length > limit)
        return grc_io_fail(error, GRC_IO_FORMAT,
                           "expected a header length of 2 to %llu in the first 8 bytes, found %llu",
                           (unsigned long long)limit, (unsigned long long)length);
    file->header = grc_io_allocate(&file->allocator, (size_t)length);
    if (!file->header)
        return grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for a header of %llu bytes", (unsigned long long)length);
    file->header_bytes = (size_t)length;
    return read_exactly(s, file->header, file->header_bytes, error);
}

static int load(source *s, const grc_allocator *allocator, grc_io_file **out, grc_io_error *error)
{
    if (!allocator)
        allocator = grc_io_default_allocator();
    grc_io_file *file = grc_io_allocate(allocator, sizeof *file);
    if (!file)
        return grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for %zu bytes", sizeof *file);
    memset(file, 0, sizeof *file);
    file->allocator = *allocator;

    int status = read_header(file, s, error);
    if (status == GRC_IO_OK)
        status = grc_io_parse_header(file, error);
    if (status == GRC_IO_OK)
        status = build_orders(file, error);
    if (status == GRC_IO_OK)
        status = check_cover(file, s->size - s->at, error);
    if (status == GRC_IO_OK)
        status = read_data(file, s, error);
    if (status == GRC_IO_OK)
        *out = file;
    else
        grc_io_close(file);
    return status;
}

int grc_io_open_with(const grc_io_system *system, const grc_allocator *allocator, const char *path, grc_io_file **out,
                     grc_io_error *error)
{
    if (!path || !out)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "path and out: expected pointers, got NULL");
    source s = {.system = system, .fd = -1};
    struct stat info;
    do /* O_NONBLOCK: a pipe must be refused below, not waited for */
        s.fd = system->open_file(system->context, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    while (s.fd < 0 && errno == EINTR);
    if (s.fd < 0)
        return grc_io_fail_system(error, errno, "open the file");

    int status;
    if (system->stat_file(system->context, s.fd, &info) != 0) {
        status = grc_io_fail_system(error, errno, "ask for the size of the file");
    } else if (!S_ISREG(info.st_mode)) {
        status = grc_io_fail(error, GRC_IO_ARGUMENT, "path: expected a regular file, found %s",
                             S_ISDIR(info.st_mode) ? "a folder" : "a device, pipe or socket");
    } else {
        s.size = (uint64_t)info.st_size;
        status = load(&s, allocator, out, error);
    }
    system->close_file(system->context, s.fd); /* it was only read: nothing can be lost */
    return status;
}

int grc_io_open(const char *path, const grc_allocator *allocator, grc_io_file **out, grc_io_error *error)
{
    return grc_io_open_with(grc_io_posix(), allocator, path, out, error);
}

int grc_io_parse(const void *bytes, size_t n, const grc_allocator *allocator, grc_io_file **out, grc_io_error *error)
{
    if ((!bytes && n) || !out)
        return grc_io_fail(error, GRC_IO_ARGUMENT, "bytes and out: expected pointers, got NULL");
    source s = {.fd = -1, .memory = bytes, .size = n};
    return load(&s, allocator, out, error);
}

void grc_io_close(grc_io_file *file)
{
    if (!file)
        return;
    const grc_allocator allocator = file->allocator;
    size_t orders = (2 * file->n_entries + file->n_pairs) * sizeof(uint32_t);
    grc_io_release(&allocator, file->data, file->data_bytes);
    grc_io_release(&allocator, file->by_data, orders);
    grc_io_release(&allocator, file->pairs, file->pair_capacity * sizeof *file->pairs);
    grc_io_release(&allocator, file->entries, file->entry_capacity * sizeof *file->entries);
    grc_io_release(&allocator, file->header, file->header_bytes);
    grc_io_release(&allocator, file, sizeof *file);
}

/* ---- Accessors ---- */

/* Position in `order` of the string `key`, or n. */
static size_t find(const uint32_t *order, size_t n, const void *base, size_t stride, const char *key)
{
    const grc_io_strings strings = {base, stride};
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int sign = strcmp(grc_io_string_at(&strings, order[middle]), key);
        if (sign == 0)
            return middle;
        if (sign < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return n;
}

size_t grc_io_tensor_count(const grc_io_file *file)
{
    return file->n_entries;
}

const grc_io_tensor *grc_io_tensor_at(const grc_io_file *file, size_t index)
{
    return index < file->n_entries ? &file->entries[file->by_data[index]].tensor : NULL;
}

const grc_io_tensor *grc_io_tensor_named(const grc_io_file *file, const char *name)
{
    size_t i = find(file->by_name, file->n_entries, file->entries, sizeof *file->entries, name);
    return i < file->n_entries ? &file->entries[file->by_name[i]].tensor : NULL;
}

size_t grc_io_pair_count(const grc_io_file *file)
{
    return file->n_pairs;
}

const grc_io_pair *grc_io_pair_at(const grc_io_file *file, size_t index)
{
    return index < file->n_pairs ? &file->pairs[index] : NULL;
}

const char *grc_io_metadata(const grc_io_file *file, const char *key)
{
    size_t i = find(file->by_key, file->n_pairs, file->pairs, sizeof *file->pairs, key);
    return i < file->n_pairs ? file->pairs[file->by_key[i]].value : NULL;
}
