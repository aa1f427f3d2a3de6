# The extension types, for other Cython modules: `from gradcore._core cimport Network`.
cimport numpy as cnp
from libc.stdint cimport int64_t

from gradcore.gradcore cimport (
    gradcore_error, gradcore_network, gradcore_parameter_info, gradcore_pass, gradcore_report,
    gradcore_status, gradcore_trainer,
)

cdef class Steps:
    cdef public unsigned long stepper  # the thread that is in a single step, or 0
    cdef public object changer         # (process, thread) of who changes the network in slices, or None
    cdef readonly set waiting          # (process, thread) of those who wait to read it

cdef class Network:
    cdef gradcore_network *handle  # NULL until __init__ succeeded
    cdef int typenum               # NumPy's number of the element type
    cdef int64_t parameter_count, layer_count
    cdef readonly int64_t inputs, outputs, elements
    cdef readonly int threads
    cdef readonly str isa
    cdef readonly object dtype
    cdef readonly list parameters
    cdef readonly list heads  # (name, first column, columns) of each
    cdef unsigned long owner  # the thread whose fit it belongs to; 0: nobody's
    cdef int owner_process
    cdef int runs             # calls that train it, and the thread of the first of them
    cdef unsigned long runner
    cdef object __weakref__

    cdef int require(self) except -1
    cdef bint foreign(self) noexcept
    cdef int may_change(self) except -1
    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef int64_t parameter(self, object index, gradcore_parameter_info *info) except -1
    cdef dict parameter_dict(self, object index)
    cdef cnp.ndarray array_for(self, object index, bint trainable, int64_t *at)
    cdef char *part(self, void *flat, int64_t index, int64_t at, int64_t *size, bint *trainable) noexcept
    cdef const void **sources_from(self, dict arrays) except NULL
    cdef const void *source_for(self, object index, object value, str name, int64_t *at) except? NULL

cdef class Pass:
    cdef gradcore_pass *handle
    cdef int64_t rows  # of the last forward, 0 before it
    cdef int64_t user  # the process in which a method is running, or 0; rows must not change under another one
    cdef readonly int64_t capacity
    cdef readonly Network network

    cdef int claim(self) except -1
    cdef int require_forward(self) except -1

cdef class Trainer:
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
    cdef readonly Network network
    cdef object scale_rule   # called with the norm of each step, or None
    cdef object scale_error  # what it raised

    cdef int require(self) except -1
    cdef int finish(self, gradcore_status status, gradcore_error *error) except -1
