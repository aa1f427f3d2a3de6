"""Pass: forward and backward by hand."""

cimport cython
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from posix.unistd cimport getpid

from gradcore._core.arrays cimport Matrix, empty, matrix, rates_from, refuse_shape
from gradcore._core.checks cimport check, integer, text_from, truth, unsigned64
from gradcore._core.network cimport CoreNetwork, network_from
from gradcore.gradcore cimport *

from gradcore import errors

cnp.import_array()


@cython.no_gc_clear
cdef class Pass:
    def __init__(self, network, capacity):
        cdef gradcore_error error
        cdef gradcore_pass *handle = NULL
        cdef CoreNetwork owner = network_from(network)
        cdef int64_t c_capacity = integer(capacity, "capacity", 1, INT64_MAX)
        if self.handle is not NULL:
            raise errors.StateError("pass: it is initialised already")
        error.message[0] = 0
        check(gradcore_pass_create(owner.handle, c_capacity, &handle, &error), &error)
        self.handle, self.network, self.capacity = handle, owner, c_capacity

    def __dealloc__(self):
        gradcore_pass_destroy(self.handle)

    # Claims the pass for one method; the caller sets user to 0 again. In a forked child the claims of the parent's
    # threads are void.
    cdef int claim(self) except -1:
        if self.handle is NULL:
            raise errors.StateError("pass: expected an initialised pass")
        cdef int64_t me = getpid()
        if self.user == me:
            raise errors.BusyError("pass: another thread is using it")
        if self.user != 0:
            self.rows = 0
        self.user = me
        return 0

    cdef int require_forward(self) except -1:
        if self.rows == 0:
            raise errors.StateError("pass: expected a forward before this call")
        return 0

    def forward(self, x, training, seed, step):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef Matrix m
        cdef int32_t c_training = truth(training, "training")
        cdef uint64_t c_seed = unsigned64(seed, "seed"), c_step = unsigned64(step, "step")
        cdef cnp.ndarray y
        cdef void *data
        self.claim()
        try:
            matrix(x, "x", self.network.typenum, self.network.inputs, &m)
            y = empty(self.network.typenum, 2, m.rows, self.network.outputs)
            data = cnp.PyArray_DATA(y)
            error.message[0] = 0
            with nogil:
                status = gradcore_pass_forward(self.handle, m.data, m.stride, m.rows, c_training, c_seed,
                                               c_step, data, self.network.outputs, &error)
            check(status, &error)
            self.rows = m.rows
        finally:
            self.user = 0
        return y

    def set_rates(self, first, rates):
        cdef gradcore_error error
        cdef uint64_t c_first = unsigned64(first, "first")
        cdef const double *data
        self.claim()
        try:
            data = rates_from(rates)
            error.message[0] = 0
            check(gradcore_pass_set_rates(self.handle, c_first, len(rates), rates.shape[1], data, &error), &error)
        finally:
            self.user = 0

    def backward(self, d_out):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef Matrix m
        cdef cnp.ndarray d_x
        cdef void *data
        self.claim()
        try:
            self.require_forward()
            matrix(d_out, "d_out", self.network.typenum, self.network.outputs, &m)
            if m.rows != self.rows:
                refuse_shape(d_out, "d_out", f"shape ({self.rows}, {self.network.outputs})")
            d_x = empty(self.network.typenum, 2, m.rows, self.network.inputs)
            data = cnp.PyArray_DATA(d_x)
            error.message[0] = 0
            with nogil:
                status = gradcore_pass_backward(self.handle, m.data, m.stride, data, self.network.inputs,
                                                &error)
            check(status, &error)
        finally:
            self.user = 0
        return d_x

    def gradient(self, index):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i = 0
        cdef cnp.ndarray array
        cdef void *data
        self.claim()
        try:
            array = self.network.array_for(index, True, &i)
            data = cnp.PyArray_DATA(array)
            error.message[0] = 0
            with nogil:
                status = gradcore_pass_gradient(self.handle, i, data, &error)
            check(status, &error)
        finally:
            self.user = 0
        return array

    def activations(self):
        cdef gradcore_error error
        cdef const char *name
        cdef int64_t i, width
        cdef cnp.ndarray array
        cdef dict found = {}
        self.claim()
        try:
            self.require_forward()
            error.message[0] = 0
            for i in range(self.network.layer_count):
                name, width = NULL, 0
                check(gradcore_pass_activation(self.handle, i, &width, &name, NULL, &error), &error)
                array = empty(self.network.typenum, 2, self.rows, width)
                check(gradcore_pass_activation(self.handle, i, &width, &name, cnp.PyArray_DATA(array),
                                               &error), &error)
                found[text_from(name)] = array
        finally:
            self.user = 0
        return found
