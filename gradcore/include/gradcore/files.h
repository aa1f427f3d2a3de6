/* A part of gradcore.h, which includes it: model files. */
#ifndef GRADCORE_H
#error "include gradcore/gradcore.h"
#endif
#ifndef GRADCORE_FILES_H
#define GRADCORE_FILES_H

/* ---- Files: the safetensors container ---- */

typedef struct gradcore_tensor {
    const char *name;
    const char *dtype;   /* "F32", "F64", "I32", "I64", "U8", "U64" */
    int32_t ndim;
    int32_t reserved;
    int64_t shape[4];
    const void *data;
    int64_t bytes;
} gradcore_tensor;
typedef struct gradcore_pair {
    const char *key, *value;
} gradcore_pair;
typedef struct gradcore_file gradcore_file;

/* Writes beside `path`, syncs, renames over it, syncs the folder: whole or not at all. */
GRADCORE_API gradcore_status gradcore_file_save(const char *path, const gradcore_tensor *tensors, size_t n,
                                                const gradcore_pair *metadata, size_t n_metadata,
                                                gradcore_error *error);
GRADCORE_API gradcore_status gradcore_file_open(const char *path, gradcore_file **out, gradcore_error *error);
/* The same from and to memory: *bytes is malloc'ed for the caller's gradcore_free. */
GRADCORE_API gradcore_status gradcore_file_encode(const gradcore_tensor *tensors, size_t n,
                                                  const gradcore_pair *metadata, size_t n_metadata, void **bytes,
                                                  size_t *size, gradcore_error *error);
GRADCORE_API gradcore_status gradcore_file_decode(const void *bytes, size_t size, gradcore_file **out,
                                                  gradcore_error *error);
GRADCORE_API void gradcore_free(void *bytes);
GRADCORE_API size_t gradcore_file_tensors(const gradcore_file *file);
GRADCORE_API gradcore_status gradcore_file_tensor(const gradcore_file *file, size_t index, gradcore_tensor *out);
GRADCORE_API size_t gradcore_file_pairs(const gradcore_file *file);
GRADCORE_API gradcore_status gradcore_file_pair(const gradcore_file *file, size_t index, gradcore_pair *out);
GRADCORE_API void gradcore_file_close(gradcore_file *file);

#endif
