from libc.stdint cimport int64_t

from gradcore._core.network cimport CoreNetwork
from gradcore.gradcore cimport gradcore_error, gradcore_report, gradcore_status, gradcore_trainer


cdef class CoreTrainer:
    cdef gradcore_trainer *handle
    cdef int64_t columns  # of a target; 0: int32 labels; -1: the loss is a Python function
    cdef object loss_function
    cdef list head_columns  # of each head's target, or None
    cdef bint reported  # report holds a step
    cdef gradcore_report report
    cdef readonly int64_t capacity
    cdef readonly int slots
    cdef readonly int head_means  # of slots, the last ones
    cdef readonly bint accumulates
    cdef readonly CoreNetwork network
    cdef object scale_rule   # called with the norm of each step, or None
    cdef object scale_error  # what it raised

    cdef int require(self) except -1
    cdef int finish(self, gradcore_status status, gradcore_error *error) except -1
