"""Arrays as the core takes them: those that are it already, or an error; and users' arrays, converted."""

cimport numpy as cnp
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport fabs, fabsf, floor
from libc.stdint cimport INT32_MAX, INT32_MIN
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from gradcore._core.checks cimport shown

import numpy as np

from gradcore import errors

cnp.import_array()


# ---- Arrays that are as the core takes them ----


cdef str dtype_name(int typenum):
    return str(cnp.PyArray_DescrFromType(typenum))


cdef int refuse_dtype(object value, str name, str wanted) except -1:
    note = ""
    if isinstance(value, np.ndarray):
        if not value.flags.aligned:
            note = ", not aligned"
        elif not value.dtype.isnative:
            note = ", not in native byte order"
    raise errors.DTypeError(f"{name}: expected {wanted}, got {shown(value)}{note}")


cdef int refuse_shape(object value, str name, str wanted) except -1:
    raise errors.ShapeError(f"{name}: expected {wanted}, got {shown(value)}, strides {value.strides}")


cdef int matrix(object value, str name, int typenum, int64_t cols, Matrix *out) except -1:
    cdef cnp.ndarray array
    cdef cnp.npy_intp item, stride
    if not has_type(value, typenum):
        return refuse_dtype(value, name, f"a {dtype_name(typenum)} array of shape (rows, {cols})")
    array = <cnp.ndarray>value
    item = cnp.PyArray_ITEMSIZE(array)
    if (cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_DIMS(array)[1] != cols
            or cnp.PyArray_DIMS(array)[0] < 1):
        return refuse_shape(value, name, f"shape (rows, {cols}) with at least one row")
    out.data = cnp.PyArray_DATA(array)
    out.rows = cnp.PyArray_DIMS(array)[0]
    out.stride = cols
    if cols > 1 and cnp.PyArray_STRIDES(array)[1] != item:
        return refuse_shape(value, name, "contiguous columns")
    if out.rows > 1:
        stride = cnp.PyArray_STRIDES(array)[0]
        if stride < 0 or stride % item != 0:
            return refuse_shape(value, name, f"a row stride that is a non-negative multiple of {item} bytes")
        out.stride = stride // item
    return 0


cdef void *exact(object value, str name, int typenum, int ndim, const cnp.npy_intp *dims,
                 bint writable) except? NULL:
    cdef cnp.ndarray array
    cdef int i
    cdef bint fits
    if not has_type(value, typenum):
        refuse_dtype(value, name, f"a {dtype_name(typenum)} array")
    array = <cnp.ndarray>value
    fits = cnp.PyArray_NDIM(array) == ndim
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIMS(array)[i] == dims[i]
    if not fits or not cnp.PyArray_ISCARRAY_RO(array):
        wanted = ", ".join([str(dims[i]) for i in range(ndim)])
        refuse_shape(value, name, f"shape ({wanted}{',' if ndim == 1 else ''}), C-contiguous")
    if writable and not cnp.PyArray_ISWRITEABLE(array):
        raise errors.ArgumentError(f"{name}: expected a writable array, got a read-only one")
    return cnp.PyArray_DATA(array)


cdef const double *rates_from(object value) except NULL:
    cdef cnp.npy_intp dims[2]
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        refuse_dtype(value, "rates", "a float64 array of shape (steps, layers)")
    dims[0], dims[1] = value.shape[0], value.shape[1]
    if dims[0] == 0:
        refuse_shape(value, "rates", "at least one step")
    return <const double *>exact(value, "rates", cnp.NPY_FLOAT64, 2, dims, False)


cdef int float_type(object value, str name) except -1:
    cdef int typenum
    for typenum in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64):
        if has_type(value, typenum):
            return typenum
    return refuse_dtype(value, name, "a float32 or float64 array")


cdef void *same(object value, str name, object model, int typenum, bint writable) except? NULL:
    cdef cnp.ndarray array = model
    return exact(value, name, typenum, cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), writable)


cdef void *factor(object value, str name, int typenum, int64_t order, bint writable) except? NULL:
    cdef cnp.npy_intp dims[2]
    dims[0], dims[1] = 2 * order, order
    return exact(value, name, typenum, 2, dims, writable)


cdef cnp.ndarray empty(int typenum, int ndim, int64_t rows, int64_t cols):
    cdef cnp.npy_intp dims[2]
    if ndim == 1:
        dims[0] = cols
    else:
        dims[0] = rows
        dims[1] = cols
    try:
        return cnp.PyArray_EMPTY(ndim, dims, typenum, 0)
    except (MemoryError, ValueError):
        raise errors.MemoryLimitError(f"no memory for an array of {rows} rows and {cols} columns") from None


cdef cnp.ndarray empty_like(object value, int typenum):
    cdef cnp.ndarray array = value
    try:
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), typenum, 0)
    except MemoryError:
        raise errors.MemoryLimitError(f"no memory for an array of shape {value.shape}") from None


# ---- Arrays of users, of any plain numeric type and strides, as the core takes them ----
#
# This is what most calls get, done here so that a small batch costs little more than its arithmetic. Whatever
# is not plain (other types, byte orders and classes, wrong shapes, values that are refused) is left to the
# Python layer, which knows more kinds of tables and has the messages: the functions return None for it.


ctypedef fused source_t:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

ctypedef fused target_t:
    float
    double

# (rows, cols) elements with steps in bytes as a contiguous array; whether a finite number became infinite.
cdef bint convert(const source_t *source, cnp.npy_intp rows, cnp.npy_intp cols, cnp.npy_intp row_step,
                  cnp.npy_intp col_step, target_t *out) noexcept nogil:
    cdef cnp.npy_intp i, j
    cdef const char *row
    cdef const source_t *line
    cdef source_t value
    cdef target_t converted
    cdef int lost = 0
    for i in range(rows):
        row = <const char *>source + i * row_step
        if col_step == sizeof(source_t):
            line = <const source_t *>row
            for j in range(cols):
                value = line[j]
                converted = <target_t>value
                if source_t is double and target_t is float:
                    lost |= <int>(fabsf(converted) > FLT_MAX) & <int>(fabs(value) <= DBL_MAX)
                out[j] = converted
        else:
            for j in range(cols):
                value = (<const source_t *>(row + j * col_step))[0]
                converted = <target_t>value
                if source_t is double and target_t is float:
                    lost |= <int>(fabsf(converted) > FLT_MAX) & <int>(fabs(value) <= DBL_MAX)
                out[j] = converted
        out += cols
    return lost


cdef bint convert_to(const source_t *source, cnp.npy_intp rows, cnp.npy_intp cols, cnp.npy_intp row_step,
                     cnp.npy_intp col_step, int typenum, void *out) noexcept nogil:
    if typenum == cnp.NPY_FLOAT32:
        return convert(source, rows, cols, row_step, col_step, <float *>out)
    return convert(source, rows, cols, row_step, col_step, <double *>out)


# The element types that are plain: NumPy's letter and the size.
cdef enum Plain:
    NOT_PLAIN, OF_DOUBLE, OF_FLOAT, OF_INT64, OF_INT32, OF_INT16, OF_INT8, OF_UINT64, OF_UINT32, OF_UINT16, OF_UINT8


cdef Plain source_type(cnp.ndarray array) noexcept:
    cdef char kind = array.descr.kind
    cdef cnp.npy_intp size = cnp.PyArray_ITEMSIZE(array)
    if kind == b"f":
        return OF_DOUBLE if size == 8 else OF_FLOAT if size == 4 else NOT_PLAIN
    if kind == b"i":
        return OF_INT64 if size == 8 else OF_INT32 if size == 4 else OF_INT16 if size == 2 else OF_INT8
    if kind == b"u":
        return OF_UINT64 if size == 8 else OF_UINT32 if size == 4 else OF_UINT16 if size == 2 else OF_UINT8
    return OF_UINT8 if kind == b"b" else NOT_PLAIN


# The same for a source of one of these types.
cdef bint convert_from(Plain kind, const void *source, cnp.npy_intp rows, cnp.npy_intp cols, cnp.npy_intp row_step,
                       cnp.npy_intp col_step, int typenum, void *out) noexcept nogil:
    if kind == OF_DOUBLE:
        return convert_to(<const double *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_FLOAT:
        return convert_to(<const float *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_INT64:
        return convert_to(<const int64_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_INT32:
        return convert_to(<const int32_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_INT16:
        return convert_to(<const int16_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_INT8:
        return convert_to(<const int8_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_UINT64:
        return convert_to(<const uint64_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_UINT32:
        return convert_to(<const uint32_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_UINT16:
        return convert_to(<const uint16_t *>source, rows, cols, row_step, col_step, typenum, out)
    if kind == OF_UINT8:
        return convert_to(<const uint8_t *>source, rows, cols, row_step, col_step, typenum, out)
    return True


cdef object plain_matrix(object value, int typenum, cnp.npy_intp cols, bint flat):
    cdef cnp.ndarray array, made
    cdef cnp.npy_intp rows, width, item, row_step, col_step
    cdef cnp.npy_intp *dims
    cdef cnp.npy_intp *strides
    cdef int ndim
    cdef bint lost
    cdef Plain kind
    cdef void *source
    cdef void *out
    if not cnp.PyArray_CheckExact(value) or not cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>value):
        return None
    array = <cnp.ndarray>value
    kind, ndim = source_type(array), cnp.PyArray_NDIM(array)
    dims, strides = cnp.PyArray_DIMS(array), cnp.PyArray_STRIDES(array)
    item = cnp.PyArray_ITEMSIZE(array)
    if ndim == 2:
        width, col_step = dims[1], strides[1]
    elif ndim == 1 and flat:
        width, col_step = 1, item
    else:
        return None
    rows, row_step = dims[0], strides[0]
    if kind == NOT_PLAIN or rows < 1 or width < 1 or (cols >= 0 and width != cols):
        return None
    if kind == (OF_FLOAT if typenum == cnp.NPY_FLOAT32 else OF_DOUBLE) and ndim == 2 and (
            cnp.PyArray_IS_C_CONTIGUOUS(array)
            or (col_step == item and row_step % item == 0 and row_step >= width * item)):
        return value
    try:
        made = empty(typenum, 2, rows, width)
    except errors.MemoryLimitError:
        return None
    source, out = cnp.PyArray_DATA(array), cnp.PyArray_DATA(made)
    if rows * width < WITHOUT_GIL:
        lost = convert_from(kind, source, rows, width, row_step, col_step, typenum, out)
    else:
        with nogil:
            lost = convert_from(kind, source, rows, width, row_step, col_step, typenum, out)
    return None if lost else made


cdef bint finite_row(const target_t *data, cnp.npy_intp count) noexcept nogil:
    cdef cnp.npy_intp i
    cdef int good = 1
    for i in range(count):
        if target_t is float:
            good &= <int>(fabsf(data[i]) <= FLT_MAX)
        else:
            good &= <int>(fabs(data[i]) <= DBL_MAX)
    return good


# Whether a contiguous array of float32 or float64 has neither NaN nor infinities; None for another array.
def all_finite(value):
    cdef cnp.ndarray array
    cdef cnp.npy_intp count
    cdef const char *data
    cdef bint single, good
    if not cnp.PyArray_CheckExact(value):
        return None
    array = <cnp.ndarray>value
    single = has_type(array, cnp.NPY_FLOAT32)
    if not cnp.PyArray_IS_C_CONTIGUOUS(array) or not (single or has_type(array, cnp.NPY_FLOAT64)):
        return None
    data, count = <const char *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array)
    with nogil:
        if single:
            good = finite_row(<const float *>data, count)
        else:
            good = finite_row(<const double *>data, count)
    return good


# Whether all elements of a row are in [low, high], and whole numbers where that is asked for.
cdef bint all_within(const target_t *data, cnp.npy_intp count, double low, double high, bint whole) noexcept nogil:
    cdef cnp.npy_intp i
    cdef int good = 1
    for i in range(count):
        good &= <int>(data[i] >= low) & <int>(data[i] <= high)
    if whole and good:
        for i in range(count):
            good &= <int>(floor(data[i]) == data[i])
    return good


def plain_targets(y, dtype, low=None, high=None, whole=False):
    cdef int typenum = (<cnp.dtype>dtype).type_num
    cdef double c_low, c_high
    cdef bint c_whole, good
    cdef cnp.npy_intp i, width, step
    cdef const char *data
    made = plain_matrix(y, typenum, -1, True)
    if made is None or low is None:
        return made
    c_low, c_high, c_whole = low, high, whole
    data, step = <const char *>cnp.PyArray_DATA(<cnp.ndarray>made), cnp.PyArray_STRIDE(<cnp.ndarray>made, 0)
    width = cnp.PyArray_DIM(<cnp.ndarray>made, 1)
    for i in range(cnp.PyArray_DIM(<cnp.ndarray>made, 0)):
        if typenum == cnp.NPY_FLOAT32:
            good = all_within(<const float *>(data + i * step), width, c_low, c_high, c_whole)
        else:
            good = all_within(<const double *>(data + i * step), width, c_low, c_high, c_whole)
        if not good:
            return None
    return made


# `count` class ids as int32; False where one is neither from 0 to classes - 1 nor `ignored`.
cdef bint labels_from(const source_t *source, cnp.npy_intp count, cnp.npy_intp step, int64_t classes,
                      int64_t ignored, int32_t *out) noexcept nogil:
    cdef cnp.npy_intp i
    cdef source_t label
    cdef int64_t whole
    for i in range(count):
        label = (<const source_t *>(<const char *>source + i * step))[0]
        if source_t is float or source_t is double:
            if not (label > -2147483649.0 and label < 2147483648.0):
                return False
        elif source_t is int64_t:
            if label < INT32_MIN or label > INT32_MAX:
                return False
        elif source_t is uint32_t or source_t is uint64_t:
            if label > <uint32_t>INT32_MAX:
                return False
        whole = <int64_t>label
        if source_t is float or source_t is double:
            if <source_t>whole != label:
                return False
        if (whole < 0 or whole >= classes) and whole != ignored:
            return False
        out[i] = <int32_t>whole
    return True


def plain_labels(y, int64_t classes, ignored=None):
    cdef cnp.ndarray array, made
    cdef cnp.npy_intp count, step
    cdef int64_t skip = 0 if ignored is None else ignored  # 0 is a class anyway
    cdef Plain kind
    cdef bint good
    cdef const void *source
    cdef int32_t *out
    if not cnp.PyArray_CheckExact(y) or not cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>y):
        return None
    array = <cnp.ndarray>y
    if cnp.PyArray_NDIM(array) == 2:
        if cnp.PyArray_DIM(array, 1) != 1:
            return None
    elif cnp.PyArray_NDIM(array) != 1:
        return None
    elif cnp.PyArray_TYPE(array) == cnp.NPY_INT and cnp.PyArray_IS_C_CONTIGUOUS(array):
        return y  # the core checks their range
    count, step = cnp.PyArray_DIM(array, 0), cnp.PyArray_STRIDE(array, 0)
    try:
        made = empty(cnp.NPY_INT32, 1, 1, count)
    except errors.MemoryLimitError:
        return None
    kind, source, out = source_type(array), cnp.PyArray_DATA(array), <int32_t *>cnp.PyArray_DATA(made)
    if kind == OF_DOUBLE:
        good = labels_from(<const double *>source, count, step, classes, skip, out)
    elif kind == OF_FLOAT:
        good = labels_from(<const float *>source, count, step, classes, skip, out)
    elif kind == OF_INT64:
        good = labels_from(<const int64_t *>source, count, step, classes, skip, out)
    elif kind == OF_INT32:
        good = labels_from(<const int32_t *>source, count, step, classes, skip, out)
    elif kind == OF_INT16:
        good = labels_from(<const int16_t *>source, count, step, classes, skip, out)
    elif kind == OF_INT8:
        good = labels_from(<const int8_t *>source, count, step, classes, skip, out)
    elif kind == OF_UINT64:
        good = labels_from(<const uint64_t *>source, count, step, classes, skip, out)
    elif kind == OF_UINT32:
        good = labels_from(<const uint32_t *>source, count, step, classes, skip, out)
    elif kind == OF_UINT16:
        good = labels_from(<const uint16_t *>source, count, step, classes, skip, out)
    elif kind == OF_UINT8:
        good = labels_from(<const uint8_t *>source, count, step, classes, skip, out)
    else:
        good = False
    return made if good else None
