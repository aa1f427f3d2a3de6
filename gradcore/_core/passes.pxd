from libc.stdint cimport int64_t

from gradcore._core.network cimport CoreNetwork
from gradcore.gradcore cimport gradcore_pass


cdef class Pass:
    cdef gradcore_pass *handle
    cdef int64_t rows  # of the last forward, 0 before it
    cdef int64_t user  # the process in which a method is running, or 0; rows must not change under another one
    cdef readonly int64_t capacity
    cdef readonly CoreNetwork network

    cdef int claim(self) except -1
    cdef int require_forward(self) except -1
