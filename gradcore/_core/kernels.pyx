"""Activations, softmax and losses of plain arrays."""

cimport numpy as cnp
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.string cimport memset

from gradcore._core.arrays cimport (
    c_dtype, empty, empty_like, exact, float_type, overlap, refuse_shape, same, vector,
)
from gradcore._core.checks cimport check, integer, real, shown, text, truth
from gradcore._core.losses cimport set_loss_options, target_columns
from gradcore._core.registry cimport listed
from gradcore.gradcore cimport *

from gradcore import errors

cnp.import_array()


# ---- Arguments that are what the core takes, quickly ----
#
# Each function returns None, having done nothing, where an argument takes a closer look: the caller's business, which
# converts or refuses it. Names come as their index in names().


cdef enum:
    HELD = 8192  # elements up to which the GIL is not worth giving away


# The number of the element type of an ndarray that needs no conversion: float32 or float64, contiguous. Else -1.
cdef inline int plain_type(object value) noexcept:
    cdef int typenum
    if not cnp.PyArray_CheckExact(value) or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>value):
        return -1
    typenum = cnp.PyArray_TYPE(<cnp.ndarray>value)
    return typenum if typenum == cnp.NPY_FLOAT32 or typenum == cnp.NPY_FLOAT64 else -1


cdef inline bint is_plain(object value, int typenum, int ndim, const cnp.npy_intp *dims, bint writable) noexcept:
    cdef int i
    if (not cnp.PyArray_CheckExact(value) or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>value)
            or cnp.PyArray_TYPE(<cnp.ndarray>value) != typenum or cnp.PyArray_NDIM(<cnp.ndarray>value) != ndim
            or (writable and not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>value))):
        return False
    for i in range(ndim):
        if cnp.PyArray_DIMS(<cnp.ndarray>value)[i] != dims[i]:
            return False
    return True


cdef inline bint arrays_overlap(object a, object b) noexcept:
    return overlap(cnp.PyArray_DATA(<cnp.ndarray>a), cnp.PyArray_NBYTES(<cnp.ndarray>a),
                   cnp.PyArray_DATA(<cnp.ndarray>b), cnp.PyArray_NBYTES(<cnp.ndarray>b))


cdef inline bint overlap_in_part(object a, object b) noexcept:
    return (cnp.PyArray_DATA(<cnp.ndarray>a) != cnp.PyArray_DATA(<cnp.ndarray>b)) and arrays_overlap(a, b)


# f(x), or f'(x) d_y where d_y is not None.
def activation(int index, double alpha, object x, object d_y, object out, int threads):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int typenum = plain_type(x), ndim, dtype
    cdef int64_t n
    cdef const cnp.npy_intp *dims
    cdef const void *c_x
    cdef const void *c_d_y = NULL
    cdef void *c_out
    if typenum < 0:
        return None
    ndim, dims = cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x)
    if d_y is not None:
        if not is_plain(d_y, typenum, ndim, dims, False):
            return None
        c_d_y = cnp.PyArray_DATA(<cnp.ndarray>d_y)
    if out is None:
        out = empty_like(x, typenum)
    elif not is_plain(out, typenum, ndim, dims, True):
        return None
    elif overlap_in_part(out, x if d_y is None else d_y) or (d_y is not None and arrays_overlap(out, x)):
        return None
    n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    c_x, c_out, dtype = cnp.PyArray_DATA(<cnp.ndarray>x), cnp.PyArray_DATA(<cnp.ndarray>out), c_dtype(typenum)
    if n <= HELD:
        status = gradcore_activation(index, dtype, alpha, n, c_x, c_d_y, c_out, threads, &error)
    else:
        with nogil:
            status = gradcore_activation(index, dtype, alpha, n, c_x, c_d_y, c_out, threads, &error)
    return out if status == GRADCORE_OK else None


def softmax(object z, object out, int threads):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int typenum = plain_type(z), dtype
    cdef int64_t rows, cols
    cdef const void *c_z
    cdef void *c_out
    if typenum < 0 or cnp.PyArray_NDIM(<cnp.ndarray>z) != 2 or cnp.PyArray_SIZE(<cnp.ndarray>z) == 0:
        return None
    if out is None:
        out = empty_like(z, typenum)
    elif (not is_plain(out, typenum, 2, cnp.PyArray_DIMS(<cnp.ndarray>z), True)) or overlap_in_part(out, z):
        return None
    rows, cols = cnp.PyArray_DIMS(<cnp.ndarray>z)[0], cnp.PyArray_DIMS(<cnp.ndarray>z)[1]
    c_z, c_out, dtype = cnp.PyArray_DATA(<cnp.ndarray>z), cnp.PyArray_DATA(<cnp.ndarray>out), c_dtype(typenum)
    if rows * cols <= HELD:
        status = gradcore_softmax(dtype, rows, cols, c_z, c_out, threads, &error)
    else:
        with nogil:
            status = gradcore_softmax(dtype, rows, cols, c_z, c_out, threads, &error)
    return out if status == GRADCORE_OK else None


# The number of an integer type as the core has it, or -1.
cdef inline int integer_type(cnp.ndarray array) noexcept:
    cdef int typenum = cnp.PyArray_TYPE(array), size = <int>cnp.PyArray_ITEMSIZE(array)
    if not cnp.PyTypeNum_ISINTEGER(typenum):
        return -1
    if cnp.PyTypeNum_ISUNSIGNED(typenum):
        return (GRADCORE_UINT8 if size == 1 else GRADCORE_UINT16 if size == 2
                else GRADCORE_UINT32 if size == 4 else GRADCORE_UINT64)
    return (GRADCORE_INT8 if size == 1 else GRADCORE_INT16 if size == 2
            else GRADCORE_INT32 if size == 4 else GRADCORE_INT64)


# 'l', 'v' or 'h' of each loss: what its targets are.
cdef char LOSS_TARGETS[64]
memset(LOSS_TARGETS, 0, sizeof(LOSS_TARGETS))


cdef int note_loss_targets() except -1:
    cdef int i = 0
    cdef const char *name = gradcore_list("loss", 0)
    while name is not NULL:
        LOSS_TARGETS[i] = gradcore_describe("loss", name, "target")[0]
        i += 1
        name = gradcore_list("loss", i)
    return 0


note_loss_targets()


# Puts the target into the call. 1: it is what the core takes; 0: it takes a closer look.
cdef int plain_target(object target, int typenum, gradcore_loss_call *call, bint *soft) noexcept:
    cdef cnp.ndarray array
    cdef cnp.npy_intp dims[2]
    cdef char kind = LOSS_TARGETS[call.loss]
    soft[0] = False
    if not cnp.PyArray_CheckExact(target) or cnp.PyArray_NDIM(<cnp.ndarray>target) == 0:
        return 0
    array = <cnp.ndarray>target
    call.target = cnp.PyArray_DATA(array)
    if kind == b"l":
        call.label_type = integer_type(array)
        if call.label_type >= 0:
            call.label_stride = cnp.PyArray_STRIDES(array)[0]
            return (cnp.PyArray_ISBEHAVED_RO(array) and cnp.PyArray_DIMS(array)[0] == call.rows
                    and (cnp.PyArray_NDIM(array) == 1
                         or (cnp.PyArray_NDIM(array) == 2 and cnp.PyArray_DIMS(array)[1] == 1)))
        soft[0] = True
    dims[0], dims[1] = call.rows, call.cols // 2 if kind == b"h" else call.cols
    if is_plain(target, typenum, 2, dims, False):
        return 1
    return dims[1] == 1 and not soft[0] and is_plain(target, typenum, 1, dims, False)


# Losses of the rows, with `gradient` a pair of them and the gradient. options: a dict as set_loss_options takes it.
def loss_of(int index, object z, object target, object out, object gradient, object options, int threads):
    cdef gradcore_error error
    cdef gradcore_loss_call call
    cdef gradcore_loss_options c_options
    cdef gradcore_status status
    cdef int typenum = plain_type(z)
    cdef bint soft
    cdef object losses = out, d = None
    cdef list keep
    if (typenum < 0 or cnp.PyArray_NDIM(<cnp.ndarray>z) != 2 or cnp.PyArray_SIZE(<cnp.ndarray>z) == 0
            or (gradient is not True and gradient is not False)):
        return None
    memset(&call, 0, sizeof(call))
    call.size, call.loss, call.dtype, call.threads = sizeof(call), index, c_dtype(typenum), threads
    call.rows, call.cols = cnp.PyArray_DIMS(<cnp.ndarray>z)[0], cnp.PyArray_DIMS(<cnp.ndarray>z)[1]
    call.z = cnp.PyArray_DATA(<cnp.ndarray>z)
    call.check_values = True
    if not plain_target(target, typenum, &call, &soft):
        return None
    if options is not None or soft:
        keep = []
        set_loss_options(options, keep, &c_options)
        if soft:
            c_options.flags |= GRADCORE_LOSS_PROBABILITIES
        call.options = &c_options
    if gradient is True and out is not None:
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            return None
        losses, d = out
    if losses is None:
        losses = empty(cnp.NPY_FLOAT64, 1, 1, call.rows)
    elif (not is_plain(losses, cnp.NPY_FLOAT64, 1, <const cnp.npy_intp *>&call.rows, True) or arrays_overlap(losses, z)
          or arrays_overlap(losses, target)):
        return None
    if gradient is True:
        if d is None:
            d = empty_like(z, typenum)
        elif (not is_plain(d, typenum, 2, cnp.PyArray_DIMS(<cnp.ndarray>z), True) or overlap_in_part(d, z)
              or arrays_overlap(d, target) or arrays_overlap(d, losses)):
            return None
        call.d = cnp.PyArray_DATA(<cnp.ndarray>d)
    call.losses = <double *>cnp.PyArray_DATA(<cnp.ndarray>losses)
    if call.rows * call.cols <= HELD:
        status = gradcore_loss_of(&call, &error)
    else:
        with nogil:
            status = gradcore_loss_of(&call, &error)
    if status != GRADCORE_OK:
        return None
    return (losses, d) if gradient is True else losses


# ---- Every argument, with messages ----


cdef size_t bytes_of(object array) except? 0:
    return cnp.PyArray_NBYTES(<cnp.ndarray>array)


# `out` may be `source` itself but not overlap it otherwise.
cdef int refuse_partial_overlap(object out, object source, str name) except -1:
    cdef char *a = <char *>cnp.PyArray_DATA(<cnp.ndarray>out)
    cdef char *b = <char *>cnp.PyArray_DATA(<cnp.ndarray>source)
    if a != b and overlap(a, bytes_of(out), b, bytes_of(source)):
        raise errors.ArgumentError(f"out: expected {name} itself or memory apart from it, got a partial overlap")
    return 0


cdef dict ACTIVATIONS = {name: i for i, name in enumerate(listed("activation"))}


cdef int activation_index(object name) except -1:
    found = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise (errors.ArgumentError if isinstance(name, str) else errors.DTypeError)(
            f"activation: expected one of {', '.join(ACTIVATIONS)}, got {shown(name)}")
    return found


def activation_forward(name, x, out, alpha, threads=0):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int index = activation_index(name)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef double c_alpha = real(alpha, "alpha")
    cdef int typenum = float_type(x, "x"), dtype = c_dtype(typenum)
    cdef const void *c_x = same(x, "x", x, typenum, False)
    if out is None:
        out = empty_like(x, typenum)
    cdef void *c_out = same(out, "out", x, typenum, True)
    refuse_partial_overlap(out, x, "x")
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    error.message[0] = 0
    with nogil:
        status = gradcore_activation(index, dtype, c_alpha, n, c_x, NULL, c_out, c_threads, &error)
    check(status, &error)
    return out


def activation_backward(name, x, d_y, out, alpha, threads=0):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int index = activation_index(name)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef double c_alpha = real(alpha, "alpha")
    cdef int typenum = float_type(x, "x"), dtype = c_dtype(typenum)
    cdef const void *c_x = same(x, "x", x, typenum, False)
    cdef const void *c_d_y = same(d_y, "d_y", x, typenum, False)
    if out is None:
        out = empty_like(x, typenum)
    cdef void *c_out = same(out, "out", x, typenum, True)
    refuse_partial_overlap(out, d_y, "d_y")
    if overlap(c_out, bytes_of(out), c_x, bytes_of(x)):
        raise errors.ArgumentError("out: expected memory apart from x, got an overlap")
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    error.message[0] = 0
    with nogil:
        status = gradcore_activation(index, dtype, c_alpha, n, c_x, c_d_y, c_out, c_threads, &error)
    check(status, &error)
    return out


def loss(name, z, target, gradient, options=None, threads=0):
    cdef gradcore_error error
    cdef gradcore_loss_options c_options
    cdef gradcore_status status
    cdef list keep = []
    cdef const char *c_name = text(name, "name", keep)
    cdef int typenum = float_type(z, "z"), dtype = c_dtype(typenum)
    cdef const void *c_target
    cdef void *c_d = NULL
    cdef cnp.ndarray d = None
    cdef bint wanted = truth(gradient, "gradient")
    cdef gradcore_loss_call call
    if z.ndim != 2:
        refuse_shape(z, "z", "shape (rows, outputs)")
    cdef int64_t rows = z.shape[0], cols = z.shape[1]
    cdef const void *c_z = same(z, "z", z, typenum, False)
    set_loss_options(options, keep, &c_options)
    cdef cnp.npy_intp dims[2]
    dims[0], dims[1] = rows, target_columns(c_name, cols, &c_options)
    if dims[1] == 0:
        c_target = vector(target, "target", cnp.NPY_INT32, rows)
    else:
        c_target = exact(target, "target", typenum, 2, dims, False)
    cdef cnp.ndarray losses = empty(cnp.NPY_FLOAT64, 1, 1, rows)
    cdef double *c_losses = <double *>cnp.PyArray_DATA(losses)
    if wanted:
        d = empty_like(z, typenum)
        c_d = cnp.PyArray_DATA(d)
    memset(&call, 0, sizeof(call))
    call.size, call.loss, call.dtype = sizeof(call), listed("loss").index(name), dtype
    call.threads = integer(threads, "threads", 0, INT32_MAX)
    call.rows, call.cols, call.z, call.target, call.losses, call.d = rows, cols, c_z, c_target, c_losses, c_d
    call.label_type, call.label_stride, call.options = GRADCORE_INT32, sizeof(int32_t), &c_options
    error.message[0] = 0
    with nogil:
        status = gradcore_loss_of(&call, &error)
    check(status, &error)
    return losses, d
