"""Random numbers and orders, the same on every machine."""

cimport numpy as cnp
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint32_t, uint64_t

from gradcore._core.arrays cimport empty
from gradcore._core.checks cimport check, integer, real, text, unsigned64
from gradcore.gradcore cimport *

cnp.import_array()


def fill(kind, seed, stream, rows, cols, a, b):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef list keep = []
    cdef const char *c_kind = text(kind, "kind", keep)
    cdef uint64_t c_seed = unsigned64(seed, "seed")
    cdef uint32_t c_stream = integer(stream, "stream", 0, UINT32_MAX)
    cdef int64_t c_rows = integer(rows, "rows", 0, INT64_MAX), c_cols = integer(cols, "cols", 0, INT64_MAX)
    cdef double c_a = real(a, "a"), c_b = real(b, "b")
    cdef cnp.ndarray out = empty(cnp.NPY_FLOAT64, 2, c_rows, c_cols)
    cdef double *c_out = <double *>cnp.PyArray_DATA(out)
    error.message[0] = 0
    with nogil:
        status = gradcore_fill(c_kind, c_seed, c_stream, c_rows, c_cols, c_a, c_b, c_out, &error)
    check(status, &error)
    return out


def shuffle(seed, epoch, n):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef uint64_t c_seed = unsigned64(seed, "seed"), c_epoch = unsigned64(epoch, "epoch")
    cdef int64_t c_n = integer(n, "n", 0, INT64_MAX)
    cdef cnp.ndarray order = empty(cnp.NPY_INT64, 1, 1, c_n)
    cdef int64_t *c_order = <int64_t *>cnp.PyArray_DATA(order)
    error.message[0] = 0
    with nogil:
        status = gradcore_shuffle(c_seed, c_epoch, c_n, c_order, &error)
    check(status, &error)
    return order
