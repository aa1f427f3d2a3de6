"""Products of plain arrays, and the gradients of a dense layer.

`product` and `dense_backward` have a way for what most calls are made of, exact arrays that need no conversion, and
answer None where it is anything else; the Python layer then looks closer.
"""

cimport cython
cimport numpy as cnp
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset, strlen

from gradcore._core.arrays cimport c_dtype, dtype_name, empty, exact, has_type, refuse_dtype, refuse_shape, vector
from gradcore._core.checks cimport calloc_or_raise, check, integer, optional_text
from gradcore.gradcore cimport *

import numpy as np

from gradcore import errors

cnp.import_array()

cdef extern from "Python.h":
    bint PyLong_CheckExact(object value)
    long PyLong_AsLongAndOverflow(object value, int *overflow) except? -1
    bint PyUnicode_IS_ASCII(object value)
    const char *PyUnicode_AsUTF8(object value) except NULL

# Multiplications below which a product keeps the interpreter's lock: to let go of it would take longer.
cdef enum:
    BRIEF = 30000


# A two-dimensional operand of a product; strides in elements, which may be anything.
cdef struct Operand:
    const char *data
    int64_t sizes[2]
    int64_t strides[2]
    bint packed


cdef inline void describe_operand(cnp.ndarray array, Operand *out) noexcept:
    cdef int axis
    cdef cnp.npy_intp item = cnp.PyArray_ITEMSIZE(array)
    out.data = <const char *>cnp.PyArray_DATA(array)
    out.packed = False
    for axis in range(2):
        out.sizes[axis] = cnp.PyArray_DIMS(array)[axis]
        if out.sizes[axis] > 1:
            out.strides[axis] = cnp.PyArray_STRIDES(array)[axis] // item
        else: # NumPy gives it no meaning
            out.strides[axis] = 1 if axis else cnp.PyArray_DIMS(array)[1]


cdef inline bint whole_strides(cnp.ndarray array) noexcept:
    cdef int axis
    cdef cnp.npy_intp item = cnp.PyArray_ITEMSIZE(array)
    for axis in range(2):
        if cnp.PyArray_DIMS(array)[axis] > 1 and cnp.PyArray_STRIDES(array)[axis] % item != 0:
            return False
    return True


# Is `value` an exact array that serves as it is?
cdef inline bint plain(object value, int typenum, Operand *out) noexcept:
    cdef cnp.ndarray array
    if not cnp.PyArray_CheckExact(value):
        return False
    array = <cnp.ndarray>value
    if (cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_TYPE(array) != typenum or not cnp.PyArray_ISBEHAVED_RO(array)
            or cnp.PyArray_DIMS(array)[0] < 1 or cnp.PyArray_DIMS(array)[1] < 1 or not whole_strides(array)):
        return False
    describe_operand(array, out)
    return True


cdef inline bint plain_vector(object value, int typenum, int64_t n) noexcept:
    cdef cnp.ndarray array
    if not cnp.PyArray_CheckExact(value):
        return False
    array = <cnp.ndarray>value
    return (cnp.PyArray_NDIM(array) == 1 and cnp.PyArray_TYPE(array) == typenum and cnp.PyArray_DIMS(array)[0] == n
            and cnp.PyArray_ISCARRAY_RO(array))


# The same of a result: (rows, cols), or (cols) where rows is 0.
cdef inline bint plain_result(object value, int typenum, int64_t rows, int64_t cols) noexcept:
    cdef cnp.ndarray array
    cdef int ndim = 2 if rows else 1
    if not cnp.PyArray_CheckExact(value):
        return False
    array = <cnp.ndarray>value
    if cnp.PyArray_NDIM(array) != ndim or cnp.PyArray_TYPE(array) != typenum or not cnp.PyArray_ISCARRAY(array):
        return False
    return cnp.PyArray_DIMS(array)[ndim - 1] == cols and (not rows or cnp.PyArray_DIMS(array)[0] == rows)


# Does the memory between the first and last element of an array, whatever its strides, meet that of a contiguous one?
cdef inline bint meets(object value, cnp.ndarray result) noexcept:
    cdef cnp.ndarray array
    cdef char *low
    cdef char *high
    cdef char *start = <char *>cnp.PyArray_DATA(result)
    cdef cnp.npy_intp reach
    cdef int axis
    if not cnp.PyArray_Check(value):
        return False
    array = <cnp.ndarray>value
    low = <char *>cnp.PyArray_DATA(array)
    high = low + cnp.PyArray_ITEMSIZE(array)
    for axis in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIMS(array)[axis] - 1) * cnp.PyArray_STRIDES(array)[axis]
        if reach < 0:
            low += reach
        else:
            high += reach
    return low < start + cnp.PyArray_NBYTES(result) and start < high


# A count of threads from a plain call: 0 for None, -1 where it needs a closer look.
cdef inline int32_t plain_threads(object threads) noexcept:
    cdef int over = 0
    cdef long count
    if threads is None:
        return 0
    if not PyLong_CheckExact(threads):
        return -1
    count = PyLong_AsLongAndOverflow(threads, &over)
    return <int32_t>count if not over and 1 <= count <= 1024 else -1


cdef inline const char *plain_text(object value) except? NULL:
    cdef const char *found
    if not isinstance(value, str) or not PyUnicode_IS_ASCII(value):
        return NULL
    found = PyUnicode_AsUTF8(value)
    return found if strlen(found) == <size_t>len(value) else NULL


@cython.final
cdef class Packed:
    """A matrix that products take as their second factor, in the order in which they read it: see `kernels.pack`."""

    cdef char *memory # what was allocated
    cdef char *data
    cdef int typenum
    cdef bint panels # else row-major: it is narrower than a vector
    cdef int64_t rows, cols

    def __cinit__(self, w):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef Operand from_
        cdef int64_t size, item
        cdef int32_t dtype
        if not has_type(w, cnp.NPY_FLOAT32) and not has_type(w, cnp.NPY_FLOAT64):
            refuse_dtype(w, "w", "a float32 or float64 array of two dimensions")
        self.typenum = cnp.NPY_FLOAT32 if has_type(w, cnp.NPY_FLOAT32) else cnp.NPY_FLOAT64
        if cnp.PyArray_NDIM(<cnp.ndarray>w) != 2 or not whole_strides(<cnp.ndarray>w):
            refuse_shape(w, "w", "two dimensions, and strides of whole elements")
        describe_operand(<cnp.ndarray>w, &from_)
        dtype = c_dtype(self.typenum)
        self.rows, self.cols = from_.sizes[0], from_.sizes[1]
        item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>w)
        self.panels = self.cols * item > 16
        size = (gradcore_packed_size(dtype, self.rows, self.cols) if self.panels
                else self.rows * self.cols * item)
        if self.rows < 1 or self.cols < 1 or size < 0:
            refuse_shape(w, "w", "shape (rows, cols), from 1 to 2**31 - 1 of each")
        self.memory = <char *>calloc_or_raise(size + 64, 1)
        self.data = self.memory + (64 - <uintptr_t>self.memory % 64)
        if not self.panels:
            rows = np.ascontiguousarray(w)
            memcpy(self.data, cnp.PyArray_DATA(<cnp.ndarray>rows), size)
            return
        error.message[0] = 0
        with nogil:
            status = gradcore_pack(dtype, self.rows, self.cols, from_.data, from_.strides[0], from_.strides[1],
                                   self.data, &error)
        check(status, &error)

    def __dealloc__(self):
        free(self.memory)

    @property
    def shape(self):
        return (self.rows, self.cols)

    @property
    def dtype(self):
        return np.dtype(np.float32 if self.typenum == cnp.NPY_FLOAT32 else np.float64)

    def unpack(self):
        cdef cnp.ndarray out = empty(self.typenum, 2, self.rows, self.cols)
        cdef char *to = <char *>cnp.PyArray_DATA(out)
        cdef int64_t item = cnp.PyArray_ITEMSIZE(out), width = 64 // item, row, col, columns
        if not self.panels:
            memcpy(to, self.data, cnp.PyArray_NBYTES(out))
            return out
        for col in range(0, self.cols, width):
            columns = min(width, self.cols - col)
            for row in range(self.rows):
                memcpy(to + (row * self.cols + col) * item, self.data + (col * self.rows * item + row * 64),
                       columns * item)
        return out

    def __repr__(self):
        return f"Packed(shape={self.shape}, dtype={self.dtype})"

    def __reduce__(self):
        return Packed, (self.unpack(),)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef inline void describe_packed(Packed packed, Operand *out) noexcept:
    out.data = packed.data
    out.sizes[0], out.sizes[1] = packed.rows, packed.cols
    out.strides[0], out.strides[1] = packed.cols, 1
    out.packed = packed.panels


cdef int multiply(int typenum, const Operand *a, const Operand *b, const void *bias, void *c, int32_t threads,
                  const char *isa, const char *activation, double alpha) except -1:
    cdef gradcore_error error
    cdef gradcore_status status
    cdef gradcore_product product
    cdef double work = <double>a.sizes[0] * a.sizes[1] * b.sizes[1]
    product.size = sizeof(gradcore_product)
    product.dtype = c_dtype(typenum)
    product.m, product.k, product.n = a.sizes[0], a.sizes[1], b.sizes[1]
    product.a, product.a_row, product.a_col = a.data, a.strides[0], a.strides[1]
    product.b, product.b_row, product.b_col = b.data, b.strides[0], b.strides[1]
    product.packed, product.threads = b.packed, threads
    product.bias, product.c, product.ldc = bias, c, b.sizes[1]
    product.activation, product.alpha, product.isa = activation, alpha, isa
    error.message[0] = 0
    if work < BRIEF:
        status = gradcore_multiply(&product, &error)
    else:
        with nogil:
            status = gradcore_multiply(&product, &error)
    return check(status, &error)


# act(a b + bias) of plain arguments, else None. activation: a name and its alpha, or None.
def product(a, b, bias, out, threads, isa, activation=None, double alpha=0.0):
    cdef Operand left
    cdef Operand right
    cdef const void *c_bias = NULL
    cdef const char *c_isa = NULL
    cdef const char *c_activation = NULL
    cdef int32_t c_threads = plain_threads(threads)
    cdef int typenum
    if c_threads < 0 or not cnp.PyArray_CheckExact(a):
        return None
    typenum = cnp.PyArray_TYPE(<cnp.ndarray>a)
    if (typenum != cnp.NPY_FLOAT32 and typenum != cnp.NPY_FLOAT64) or not plain(a, typenum, &left):
        return None
    if type(b) is Packed:
        if (<Packed>b).typenum != typenum:
            return None
        describe_packed(<Packed>b, &right)
    elif not plain(b, typenum, &right):
        return None
    if right.sizes[0] != left.sizes[1]:
        return None
    if bias is not None:
        if not plain_vector(bias, typenum, right.sizes[1]):
            return None
        c_bias = cnp.PyArray_DATA(<cnp.ndarray>bias)
    if isa is not None:
        c_isa = plain_text(isa)
        if c_isa is NULL:
            return None
    if activation is not None:
        c_activation = plain_text(activation)
        if c_activation is NULL:
            return None
    if out is None:
        out = empty(typenum, 2, left.sizes[0], right.sizes[1])
    elif (not plain_result(out, typenum, left.sizes[0], right.sizes[1]) or meets(a, <cnp.ndarray>out)
            or meets(b, <cnp.ndarray>out) or meets(bias, <cnp.ndarray>out)):
        return None
    multiply(typenum, &left, &right, c_bias, cnp.PyArray_DATA(<cnp.ndarray>out), c_threads, c_isa, c_activation,
             alpha)
    return out


cdef int operand(object value, str name, int typenum, Operand *out) except -1:
    if not has_type(value, typenum):
        return refuse_dtype(value, name, f"a {dtype_name(typenum)} array of two dimensions")
    if cnp.PyArray_NDIM(<cnp.ndarray>value) != 2:
        return refuse_shape(value, name, "two dimensions")
    if not whole_strides(<cnp.ndarray>value):
        return refuse_shape(value, name, f"strides that are multiples of {value.itemsize} bytes")
    describe_operand(<cnp.ndarray>value, out)
    return 0


def gemm(a, b, bias, out, threads=0, isa=None, activation=None, double alpha=0.0):
    cdef Operand left
    cdef Operand right
    cdef cnp.npy_intp dims[2]
    cdef const void *c_bias = NULL
    cdef list keep = []
    cdef const char *c_isa = optional_text(isa, "isa", keep)
    cdef const char *c_activation = optional_text(activation, "activation", keep)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef int typenum = cnp.NPY_FLOAT64 if has_type(a, cnp.NPY_FLOAT64) else cnp.NPY_FLOAT32
    operand(a, "a", typenum, &left)
    if type(b) is Packed and (<Packed>b).typenum == typenum:
        describe_packed(<Packed>b, &right)
    else:
        operand(b, "b", typenum, &right)
    if right.sizes[0] != left.sizes[1]:
        refuse_shape(b, "b", f"shape ({left.sizes[1]}, n)")
    if bias is not None:
        c_bias = vector(bias, "bias", typenum, right.sizes[1])
    if out is None:
        out = empty(typenum, 2, left.sizes[0], right.sizes[1])
    else:
        dims[0], dims[1] = left.sizes[0], right.sizes[1]
        exact(out, "out", typenum, 2, dims, True)
        for name, value in (("a", a), ("b", b), ("bias", bias)):
            if meets(value, <cnp.ndarray>out):
                raise errors.ArgumentError(f"out: expected memory apart from {name}, got an overlap")
    multiply(typenum, &left, &right, c_bias, cnp.PyArray_DATA(<cnp.ndarray>out), c_threads, c_isa, c_activation,
             alpha)
    return out


# A row-major matrix of such a shape, and the elements from row to row.
cdef inline bint plain_rows(object value, int typenum, int64_t rows, int64_t cols, Operand *out) noexcept:
    return (plain(value, typenum, out) and out.sizes[0] == rows and out.sizes[1] == cols
            and (out.strides[1] == 1 or cols == 1) and (out.strides[0] >= cols or rows == 1))


# (d_x, d_w, d_b) of plain arguments, else None. results: three arrays or None; saved: z, or y where from_output.
def dense_backward(x, w, d_y, results, activation=None, double alpha=0.0, saved=None, bint from_output=False):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef gradcore_dense dense
    cdef Operand ops[4]
    cdef int typenum, i, j
    cdef list made
    if not cnp.PyArray_CheckExact(x):
        return None
    typenum = cnp.PyArray_TYPE(<cnp.ndarray>x)
    if (typenum != cnp.NPY_FLOAT32 and typenum != cnp.NPY_FLOAT64) or not plain(x, typenum, &ops[0]):
        return None
    if (not plain(w, typenum, &ops[1]) or ops[1].sizes[0] != ops[0].sizes[1]
            or not plain_rows(d_y, typenum, ops[0].sizes[0], ops[1].sizes[1], &ops[2])):
        return None
    memset(&dense, 0, sizeof(dense))
    dense.size = sizeof(gradcore_dense)
    dense.dtype = c_dtype(typenum)
    dense.m, dense.k, dense.n = ops[0].sizes[0], ops[0].sizes[1], ops[1].sizes[1]
    dense.x, dense.x_row, dense.x_col = ops[0].data, ops[0].strides[0], ops[0].strides[1]
    dense.w, dense.w_row, dense.w_col = ops[1].data, ops[1].strides[0], ops[1].strides[1]
    dense.d_y, dense.ldd = ops[2].data, max(ops[2].strides[0], dense.n)
    if activation is not None:
        dense.activation, dense.alpha = plain_text(activation), alpha
        if dense.activation is NULL or not plain_rows(saved, typenum, dense.m, dense.n, &ops[3]):
            return None
        if from_output:
            dense.y, dense.ldy = ops[3].data, ops[3].strides[0]
        else:
            dense.z, dense.ldz = ops[3].data, ops[3].strides[0]
    if results is None:
        made = [None, None, None]
    elif isinstance(results, (tuple, list)) and len(results) == 3:
        made = list(results)
    else:
        return None
    for i in range(3):
        if made[i] is None:
            if i < 2:
                made[i] = empty(typenum, 2, ops[i].sizes[0], ops[i].sizes[1])
            else:
                made[i] = empty(typenum, 1, 1, dense.n)
            continue
        if not plain_result(made[i], typenum, ops[i].sizes[0] if i < 2 else 0, ops[i].sizes[1]):
            return None
        for value in (x, w, d_y, saved):
            if meets(value, <cnp.ndarray>made[i]):
                return None
        for j in range(i):
            if meets(made[j], <cnp.ndarray>made[i]):
                return None
    dense.d_x = cnp.PyArray_DATA(<cnp.ndarray>made[0])
    dense.d_w = cnp.PyArray_DATA(<cnp.ndarray>made[1])
    dense.d_b = cnp.PyArray_DATA(<cnp.ndarray>made[2])
    error.message[0] = 0
    if <double>dense.m * dense.n * dense.k < BRIEF:
        status = gradcore_dense_backward(&dense, &error)
    else:
        with nogil:
            status = gradcore_dense_backward(&dense, &error)
    check(status, &error)
    return made[0], made[1], made[2]
