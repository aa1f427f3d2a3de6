/* The public file calls over io.h. */
#include <stdlib.h>
#include <string.h>

#include "../base/base.h"
#include "io.h"

struct gradcore_file {
    grc_io_file *io;
};

static grc_status translate(int status, const grc_io_error *from, gradcore_error *error)
{
    static const grc_status statuses[] = {[GRC_IO_OK] = GRADCORE_OK,
                                          [GRC_IO_NOT_FOUND] = GRADCORE_NOT_FOUND,
                                          [GRC_IO_SYSTEM] = GRADCORE_IO,
                                          [GRC_IO_FORMAT] = GRADCORE_FORMAT,
                                          [GRC_IO_NO_MEMORY] = GRADCORE_NO_MEMORY,
                                          [GRC_IO_ARGUMENT] = GRADCORE_INVALID};
    return status == GRC_IO_OK ? GRADCORE_OK : grc_fail(error, statuses[status], "%s", from->message);
}

/* The public tensors and pairs as io.h has them, in one allocation of *size bytes. */
static grc_status convert(const gradcore_tensor *t, size_t n, const gradcore_pair *m, size_t n_m,
                          grc_io_tensor **tensors, grc_io_pair **pairs, size_t *size, gradcore_error *error)
{
    if ((n && !t) || (n_m && !m) || n > SIZE_MAX / 1024 || n_m > SIZE_MAX / 1024)
        return grc_fail(error, GRADCORE_INVALID, "tensors: expected arrays of %zu tensors and %zu pairs", n, n_m);
    *size = n * sizeof **tensors + n_m * sizeof **pairs + 1;
    grc_io_tensor *out = grc_allocate(&grc_default_allocator, *size);
    if (!out)
        return grc_fail(error, GRADCORE_NO_MEMORY, "tensors: expected %zu bytes, got none", *size);
    *tensors = out;
    *pairs = (grc_io_pair *)(out + n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t dtype = t[i].dtype ? grc_io_dtype_named(t[i].dtype) : GRC_IO_DTYPE_COUNT;
        int bad = dtype == GRC_IO_DTYPE_COUNT || t[i].ndim < 0 || t[i].ndim > 4 || t[i].bytes < 0;
        out[i] = (grc_io_tensor){.name = t[i].name,
                                 .dtype = dtype,
                                 .ndim = (uint32_t)t[i].ndim,
                                 .data = t[i].data,
                                 .bytes = (uint64_t)t[i].bytes};
        for (int d = 0; !bad && d < t[i].ndim; d++) {
            bad = t[i].shape[d] < 0;
            out[i].shape[d] = (uint64_t)t[i].shape[d];
        }
        if (bad) {
            grc_release(&grc_default_allocator, out, *size);
            return grc_fail(error, GRADCORE_INVALID, "tensors[%zu]: expected a known dtype and up to 4 dimensions", i);
        }
    }
    for (size_t i = 0; i < n_m; i++)
        (*pairs)[i] = (grc_io_pair){m[i].key, m[i].value};
    return GRADCORE_OK;
}

grc_status gradcore_file_save(const char *path, const gradcore_tensor *tensors, size_t n, const gradcore_pair *metadata,
                              size_t n_metadata, gradcore_error *error)
{
    grc_io_tensor *t;
    grc_io_pair *m;
    grc_io_error io = {0, ""};
    size_t size;
    if (!path)
        return grc_fail(error, GRADCORE_INVALID, "path: expected a string, got NULL");
    grc_status status = convert(tensors, n, metadata, n_metadata, &t, &m, &size, error);
    if (status != GRADCORE_OK)
        return status;
    status = translate(grc_io_write(path, t, n, m, n_metadata, &io), &io, error);
    grc_release(&grc_default_allocator, t, size);
    return status;
}

grc_status gradcore_file_encode(const gradcore_tensor *tensors, size_t n, const gradcore_pair *metadata,
                                size_t n_metadata, void **bytes, size_t *bytes_size, gradcore_error *error)
{
    grc_io_tensor *t;
    grc_io_pair *m;
    grc_io_error io = {0, ""};
    size_t size;
    uint64_t needed;
    void *out = NULL;
    if (!bytes || !bytes_size)
        return grc_fail(error, GRADCORE_INVALID, "bytes: expected a pointer, got NULL");
    grc_status status = convert(tensors, n, metadata, n_metadata, &t, &m, &size, error);
    if (status != GRADCORE_OK)
        return status;
    status = translate(grc_io_size(t, n, m, n_metadata, &needed, &io), &io, error);
    if (status == GRADCORE_OK && !(out = malloc((size_t)needed)))
        status = grc_fail(error, GRADCORE_NO_MEMORY, "encode: expected %zu bytes, got none", (size_t)needed);
    if (status == GRADCORE_OK)
        status = translate(grc_io_write_memory(out, needed, NULL, t, n, m, n_metadata, &io), &io, error);
    grc_release(&grc_default_allocator, t, size);
    if (status != GRADCORE_OK) {
        free(out);
        return status;
    }
    *bytes = out;
    *bytes_size = (size_t)needed;
    return GRADCORE_OK;
}

void gradcore_free(void *bytes)
{
    free(bytes);
}

static grc_status wrap(int io_status, grc_io_file *io, const grc_io_error *why, gradcore_file **out,
                       gradcore_error *error)
{
    const grc_status status = translate(io_status, why, error);
    if (status != GRADCORE_OK)
        return status;
    gradcore_file *f = malloc(sizeof *f);
    if (!f) {
        grc_io_close(io);
        return grc_fail(error, GRADCORE_NO_MEMORY, "file: expected memory for it, got none");
    }
    f->io = io;
    *out = f;
    return GRADCORE_OK;
}

grc_status gradcore_file_open(const char *path, gradcore_file **out, gradcore_error *error)
{
    grc_io_file *io = NULL;
    grc_io_error why = {0, ""};
    if (!path || !out)
        return grc_fail(error, GRADCORE_INVALID, "path: expected a string, got NULL");
    const int status = grc_io_open(path, NULL, &io, &why);
    return wrap(status, io, &why, out, error);
}

grc_status gradcore_file_decode(const void *bytes, size_t size, gradcore_file **out, gradcore_error *error)
{
    grc_io_file *io = NULL;
    grc_io_error why = {0, ""};
    if (!bytes || !out)
        return grc_fail(error, GRADCORE_INVALID, "bytes: expected a pointer, got NULL");
    const int status = grc_io_parse(bytes, size, NULL, &io, &why);
    return wrap(status, io, &why, out, error);
}

void gradcore_file_close(gradcore_file *f)
{
    if (!f)
        return;
    grc_io_close(f->io);
    free(f);
}

size_t gradcore_file_tensors(const gradcore_file *f)
{
    return f ? grc_io_tensor_count(f->io) : 0;
}

grc_status gradcore_file_tensor(const gradcore_file *f, size_t index, gradcore_tensor *out)
{
    const grc_io_tensor *t = f ? grc_io_tensor_at(f->io, index) : NULL;
    if (!t || !out)
        return GRADCORE_INVALID;
    *out = (gradcore_tensor){.name = t->name,
                             .dtype = grc_io_dtype_name(t->dtype),
                             .ndim = (int32_t)t->ndim,
                             .data = t->data,
                             .bytes = (int64_t)t->bytes};
    for (uint32_t d = 0; d < t->ndim; d++)
        out->shape[d] = (int64_t)t->shape[d];
    return GRADCORE_OK;
}

size_t gradcore_file_pairs(const gradcore_file *f)
{
    return f ? grc_io_pair_count(f->io) : 0;
}

grc_status gradcore_file_pair(const gradcore_file *f, size_t index, gradcore_pair *out)
{
    const grc_io_pair *p = f ? grc_io_pair_at(f->io, index) : NULL;
    if (!p || !out)
        return GRADCORE_INVALID;
    *out = (gradcore_pair){p->key, p->value};
    return GRADCORE_OK;
}
