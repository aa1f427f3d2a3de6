"""Tensors and metadata, to and from files and bytes."""

cimport cython
cimport numpy as cnp
from libc.stdlib cimport free
from libc.string cimport memcpy

from gradcore._core.arrays cimport has_type, refuse_dtype, refuse_shape
from gradcore._core.checks cimport calloc_or_raise, check, shown, text, text_from
from gradcore.gradcore cimport *

from gradcore import errors

cnp.import_array()

cdef dict FILE_TYPES = {
    "F32": cnp.NPY_FLOAT32, "F64": cnp.NPY_FLOAT64, "I32": cnp.NPY_INT32, "I64": cnp.NPY_INT64,
    "U8": cnp.NPY_UINT8, "U64": cnp.NPY_UINT64,
}


# The C descriptions of tensors and metadata; they live as long as this object.
@cython.internal
@cython.final
cdef class Contents:
    cdef gradcore_tensor *tensors
    cdef gradcore_pair *pairs
    cdef size_t tensor_count, pair_count
    cdef list keep

    def __dealloc__(self):
        free(self.tensors)
        free(self.pairs)

    cdef int add_tensor(self, object name, object value) except -1:
        cdef gradcore_tensor *tensor = &self.tensors[self.tensor_count]
        cdef cnp.ndarray array
        cdef int axis
        cdef str label = f"tensors[{shown(name)}]"
        tensor.name = text(name, label, self.keep)
        for code, typenum in FILE_TYPES.items():
            if has_type(value, typenum):
                tensor.dtype = text(code, label, self.keep)
        if tensor.dtype is NULL:
            refuse_dtype(value, label, "an array of float32, float64, int32, int64, uint8 or uint64")
        array = <cnp.ndarray>value
        if cnp.PyArray_NDIM(array) > 4 or not cnp.PyArray_ISCARRAY_RO(array):
            refuse_shape(value, label, "at most four dimensions, C-contiguous")
        tensor.ndim = cnp.PyArray_NDIM(array)
        for axis in range(tensor.ndim):
            tensor.shape[axis] = cnp.PyArray_DIMS(array)[axis]
        tensor.data, tensor.bytes = cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array)
        self.keep.append(array)
        self.tensor_count += 1
        return 0


cdef Contents contents_from(object tensors, object metadata):
    cdef Contents contents = Contents.__new__(Contents)
    contents.keep = []
    try:
        items = [(name, value) for name, value in tensors]
    except (TypeError, ValueError):
        raise errors.DTypeError(f"tensors: expected (name, array) pairs, got {shown(tensors)}") from None
    try:
        pairs = dict(metadata).items()
    except (TypeError, ValueError):
        raise errors.DTypeError(f"metadata: expected a mapping of strings, got {shown(metadata)}") from None
    contents.tensors = <gradcore_tensor *>calloc_or_raise(len(items), sizeof(gradcore_tensor))
    contents.pairs = <gradcore_pair *>calloc_or_raise(len(pairs), sizeof(gradcore_pair))
    for name, value in items:
        contents.add_tensor(name, value)
    for key, value in pairs:
        contents.pairs[contents.pair_count].key = text(key, "metadata", contents.keep)
        contents.pairs[contents.pair_count].value = text(value, f"metadata[{key!r}]", contents.keep)
        contents.pair_count += 1
    return contents


def save_file(path, tensors, metadata):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef Contents contents = contents_from(tensors, metadata)
    cdef bytes held = path_from(path)
    cdef const char *c_path = held
    error.message[0] = 0
    with nogil:
        status = gradcore_file_save(c_path, contents.tensors, contents.tensor_count, contents.pairs,
                                    contents.pair_count, &error)
    check(status, &error)


def encode(tensors, metadata):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef Contents contents = contents_from(tensors, metadata)
    cdef void *data = NULL
    cdef size_t size = 0
    error.message[0] = 0
    with nogil:
        status = gradcore_file_encode(contents.tensors, contents.tensor_count, contents.pairs,
                                      contents.pair_count, &data, &size, &error)
    check(status, &error)
    try:
        return (<const char *>data)[:size]
    finally:
        gradcore_free(data)


def load_file(path):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef gradcore_file *file = NULL
    cdef bytes held = path_from(path)
    cdef const char *c_path = held
    error.message[0] = 0
    with nogil:
        status = gradcore_file_open(c_path, &file, &error)
    check(status, &error)
    return taken_from(file)


def decode(data):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef gradcore_file *file = NULL
    if not isinstance(data, bytes):
        raise errors.DTypeError(f"data: expected bytes, got {shown(data)}")
    cdef bytes held = data
    cdef const char *c_data = held
    cdef size_t size = len(held)
    error.message[0] = 0
    with nogil:
        status = gradcore_file_decode(c_data, size, &file, &error)
    check(status, &error)
    return taken_from(file)


cdef bytes path_from(object path):
    if not isinstance(path, bytes):
        raise errors.DTypeError(f"path: expected bytes, got {shown(path)}")
    if b"\0" in path:
        raise errors.ArgumentError("path: expected no NUL bytes, got one")
    return path


# Copies everything out of an open file and closes it.
cdef tuple taken_from(gradcore_file *file):
    cdef gradcore_tensor tensor
    cdef gradcore_pair pair
    cdef size_t i
    cdef dict tensors = {}, metadata = {}
    try:
        for i in range(gradcore_file_tensors(file)):
            if gradcore_file_tensor(file, i, &tensor) == GRADCORE_OK:
                tensors[text_from(tensor.name)] = array_from(&tensor)
        for i in range(gradcore_file_pairs(file)):
            if gradcore_file_pair(file, i, &pair) == GRADCORE_OK:
                metadata[text_from(pair.key)] = text_from(pair.value)
    finally:
        gradcore_file_close(file)
    return tensors, metadata


cdef cnp.ndarray array_from(const gradcore_tensor *tensor):
    cdef cnp.npy_intp dims[4]
    cdef cnp.ndarray array
    cdef int axis
    cdef str code = text_from(tensor.dtype)
    if code not in FILE_TYPES or not 0 <= tensor.ndim <= 4:
        raise errors.FormatError(f"{text_from(tensor.name)}: expected a known element type, got {code}")
    for axis in range(tensor.ndim):
        dims[axis] = tensor.shape[axis]
    try:
        array = cnp.PyArray_EMPTY(tensor.ndim, dims, FILE_TYPES[code], 0)
    except (MemoryError, ValueError):
        raise errors.MemoryLimitError(f"{text_from(tensor.name)}: no memory for its values") from None
    if cnp.PyArray_NBYTES(array) != tensor.bytes:
        raise errors.FormatError(f"{text_from(tensor.name)}: expected {cnp.PyArray_NBYTES(array)} bytes, "
                                 f"got {tensor.bytes}")
    memcpy(cnp.PyArray_DATA(array), tensor.data, tensor.bytes)
    return array
