cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t

from gradcore.gradcore cimport GRADCORE_FLOAT32, GRADCORE_FLOAT64

cdef enum:
    WITHOUT_GIL = 1 << 14  # elements from which on a conversion lets other threads run

# A matrix argument as C takes it; stride in elements.
cdef struct Matrix:
    void *data
    int64_t rows
    int64_t stride


cdef str dtype_name(int typenum)
cdef int refuse_dtype(object value, str name, str wanted) except -1
cdef int refuse_shape(object value, str name, str wanted) except -1


cdef inline bint has_type(object value, int typenum) noexcept:
    return (cnp.PyArray_Check(value) and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>value)
            and (cnp.PyArray_TYPE(<cnp.ndarray>value) == typenum
                 or cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(<cnp.ndarray>value), typenum)))


# value must be a (rows, cols) array, rows >= 1, whose columns are contiguous and whose rows advance by
# whole elements, not backwards. A single row or column may have any stride: NumPy gives it no meaning.
cdef int matrix(object value, str name, int typenum, int64_t cols, Matrix *out) except -1

# The data of a C-contiguous array of exactly this shape; dims is (rows), (rows, cols) ... by ndim.
cdef void *exact(object value, str name, int typenum, int ndim, const cnp.npy_intp *dims,
                 bint writable) except? NULL


cdef inline void *vector(object value, str name, int typenum, cnp.npy_intp n) except? NULL:
    if (has_type(value, typenum) and cnp.PyArray_NDIM(<cnp.ndarray>value) == 1
            and cnp.PyArray_DIMS(<cnp.ndarray>value)[0] == n
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>value)):
        return cnp.PyArray_DATA(<cnp.ndarray>value)
    return exact(value, name, typenum, 1, &n, False)


# Rates of scheduled layers, (steps, layers).
cdef const double *rates_from(object value) except NULL
# The number of the element type of a C-contiguous float32 or float64 array, or an error.
cdef int float_type(object value, str name) except -1
# The data of `value`, an array like `model` in element type and shape.
cdef void *same(object value, str name, object model, int typenum, bint writable) except? NULL
# A factor of soap: (2 order, order), order being that of a side of the matrix.
cdef void *factor(object value, str name, int typenum, int64_t order, bint writable) except? NULL
# An uninitialised C-contiguous array; ndim 1 has `cols` elements.
cdef cnp.ndarray empty(int typenum, int ndim, int64_t rows, int64_t cols)
cdef cnp.ndarray empty_like(object value, int typenum)
# `value`, a plain array of (rows, cols) or, where there is one column, of (rows,), as a matrix that the core
# reads: itself if it is one; None where it is not plain. cols < 0: any number.
cdef object plain_matrix(object value, int typenum, cnp.npy_intp cols, bint flat)


cdef inline int c_dtype(int typenum) noexcept:
    return GRADCORE_FLOAT32 if typenum == cnp.NPY_FLOAT32 else GRADCORE_FLOAT64


cdef inline bint overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) noexcept:
    return <uintptr_t>a < <uintptr_t>b + b_bytes and <uintptr_t>b < <uintptr_t>a + a_bytes
