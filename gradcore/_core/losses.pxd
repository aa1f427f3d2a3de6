cimport cython
from libc.stdint cimport int64_t

from gradcore.gradcore cimport gradcore_data, gradcore_head_loss, gradcore_loss_options

# The columns of a loss's target for so many outputs; 0 where it takes labels.
cdef int64_t target_columns(const char *loss, int64_t outputs, const gradcore_loss_options *options) except -1
# LossOptions, a dict of losses.pyi, as C takes them; `keep` holds what they point at. None: the defaults.
cdef int set_loss_options(object value, list keep, gradcore_loss_options *out) except -1
# x, target (of so many columns; 0: labels) and weight of a data set or batch, as C takes them.
cdef int data_from(int typenum, int64_t inputs, int64_t columns, object x, object target, object weight,
                   gradcore_data *out) except -1


# The losses of heads as C takes them: what holds them, and the columns of their targets.
@cython.final
cdef class HeadLosses:
    cdef gradcore_head_loss *losses
    cdef gradcore_loss_options *options
    cdef list keep, columns

# x, and an iterable of a target for each head, and one of weights (each may be None) or None, as C takes
# them. Returns what has to live as long as `out`.
cdef object heads_from(int typenum, int64_t inputs, list columns, object x, object target, object weight,
                       gradcore_data *out)
