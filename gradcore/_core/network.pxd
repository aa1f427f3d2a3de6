cimport numpy as cnp
from libc.stdint cimport int64_t

from gradcore.gradcore cimport gradcore_network, gradcore_parameter_info


# Who is in a single step of a network, who changes it, and who waits for it; sharing.Turns has the rules.
cdef class Steps:
    cdef public unsigned long stepper  # the thread that is in a single step, or 0
    cdef public object changer         # (process, thread) of who changes the network in slices, or None
    cdef readonly set waiting          # (process, thread) of those who wait to read it


cdef class CoreNetwork:
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

    cdef CoreNetwork twin(self, gradcore_network *handle)
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

# An initialised one, or an error.
cdef CoreNetwork network_from(object value)
# A dict of its own, which keeps the arrays alive while the core reads them.
cdef dict dict_from(object arrays)
