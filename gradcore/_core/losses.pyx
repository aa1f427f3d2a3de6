"""What a loss is given: its options, its targets, and a batch as C takes it, for one output or for several heads."""

cimport cython
cimport numpy as cnp
from libc.math cimport NAN
from libc.stdint cimport INT32_MAX, INT32_MIN, UINT32_MAX, int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from gradcore._core.arrays cimport Matrix, has_type, matrix, refuse_dtype, refuse_shape, vector
from gradcore._core.checks cimport calloc_or_raise, integer, real, shown, text, text_from
from gradcore._core.registry cimport listed
from gradcore.gradcore cimport *

from gradcore import errors

cnp.import_array()


cdef int64_t target_columns(const char *loss, int64_t outputs, const gradcore_loss_options *options) except -1:
    cdef const char *target = gradcore_describe("loss", loss, "target")
    if target is NULL:
        raise errors.ArgumentError(f"loss: expected one of {', '.join(listed('loss'))}, got {text_from(loss)!r}")
    if target[0] == b"l":
        return outputs if options.flags & GRADCORE_LOSS_PROBABILITIES else 0
    return max(1, outputs // 2) if target[0] == b"h" else outputs


cdef int set_loss_options(object value, list keep, gradcore_loss_options *out) except -1:
    cdef int i
    memset(out, 0, sizeof(gradcore_loss_options))
    out.size = sizeof(gradcore_loss_options)
    for i in range(GRADCORE_LOSS_PARAMETERS):
        out.parameters[i] = NAN
    if value is None:
        return 0
    if not isinstance(value, dict) or value.keys() - {"parameters", "flags", "vector", "ignore_index"}:
        raise errors.DTypeError(
            f"options: expected a dict of parameters, flags, vector and ignore_index, got {shown(value)}")
    parameters = value.get("parameters", ())
    if not isinstance(parameters, (tuple, list)) or len(parameters) > GRADCORE_LOSS_PARAMETERS:
        raise errors.DTypeError(
            f"parameters: expected at most {GRADCORE_LOSS_PARAMETERS} numbers, got {shown(parameters)}")
    for i, parameter in enumerate(parameters):
        out.parameters[i] = real(parameter, f"parameters[{i}]")
    out.flags = integer(value.get("flags", 0), "flags", 0, UINT32_MAX)
    out.ignore_index = integer(value.get("ignore_index", 0), "ignore_index", INT32_MIN, INT32_MAX)
    if value.get("vector") is not None:
        source = value["vector"]
        if not has_type(source, cnp.NPY_FLOAT64) or source.ndim != 1:
            refuse_dtype(source, "vector", "a float64 array of one dimension")
        keep.append(source)
        out.vector = <const double *>vector(source, "vector", cnp.NPY_FLOAT64, len(source))
        out.vector_size = len(source)
    return 0


cdef int data_from(int typenum, int64_t inputs, int64_t columns, object x, object target, object weight,
                   gradcore_data *out) except -1:
    cdef Matrix m
    matrix(x, "x", typenum, inputs, &m)
    out.size = sizeof(gradcore_data)
    out.reserved = 0
    out.x = m.data
    out.x_stride = m.stride
    out.rows = m.rows
    if columns < 0:
        out.target = NULL
        out.target_stride = 0
    elif columns == 0:
        out.target = vector(target, "target", cnp.NPY_INT32, out.rows)
        out.target_stride = 1
    else:
        matrix(target, "target", typenum, columns, &m)
        if m.rows != out.rows:
            return refuse_shape(target, "target", f"shape ({out.rows}, {columns})")
        out.target = m.data
        out.target_stride = m.stride
    out.weight = NULL
    if weight is not None:
        out.weight = <const double *>vector(weight, "weight", cnp.NPY_FLOAT64, out.rows)
    return 0


@cython.final
cdef class HeadLosses:
    def __cinit__(self, list heads, losses):
        cdef Py_ssize_t i
        self.keep, self.columns = [], []
        items = list(losses)
        if len(items) != len(heads) or not items:
            raise errors.ShapeError(f"heads: expected {len(heads)} losses, got {len(items)}")
        self.losses = <gradcore_head_loss *>calloc_or_raise(len(items), sizeof(gradcore_head_loss))
        self.options = <gradcore_loss_options *>calloc_or_raise(len(items), sizeof(gradcore_loss_options))
        for i, (name, options, weight) in enumerate(items):
            self.losses[i].size = sizeof(gradcore_head_loss)
            self.losses[i].loss = text(name, f"heads[{i}]", self.keep)
            self.losses[i].weight = real(weight, f"heads[{i}].weight")
            set_loss_options(options, self.keep, &self.options[i])
            self.losses[i].options = &self.options[i]
            self.columns.append(target_columns(self.losses[i].loss, heads[i][2], &self.options[i]))

    def __dealloc__(self):
        free(self.losses)
        free(self.options)


cdef object heads_from(int typenum, int64_t inputs, list columns, object x, object target, object weight,
                       gradcore_data *out):
    cdef gradcore_data one
    cdef gradcore_head_data *heads
    cdef Py_ssize_t i
    cdef list targets = list(target)
    cdef list weights = [None] * len(columns) if weight is None else list(weight)
    if len(targets) != len(columns) or len(weights) != len(columns):
        raise errors.ShapeError(f"target: expected {len(columns)} arrays, one for each head, got {len(targets)}")
    cdef bytearray held = bytearray(len(columns) * sizeof(gradcore_head_data))
    heads = <gradcore_head_data *><char *>held
    for i in range(len(columns)):
        data_from(typenum, inputs, columns[i], x, targets[i], weights[i], &one)
        heads[i].size = sizeof(gradcore_head_data)
        heads[i].target = one.target
        heads[i].target_stride = one.target_stride
        heads[i].weight = one.weight
    data_from(typenum, inputs, -1, x, None, None, out)
    out.target = heads
    return held, targets, weights
