"""CoreNetwork: a network of the core, its parameters and what it predicts; who may use it now."""

cimport cython
cimport numpy as cnp
from cpython.pythread cimport PyThread_get_thread_ident
from libc.math cimport NAN
from libc.stdint cimport INT32_MAX, INT64_MAX, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset
from posix.unistd cimport getpid

from gradcore._core.arrays cimport Matrix, empty, exact, matrix, overlap, plain_matrix, vector
from gradcore._core.checks cimport (
    calloc_or_raise, check, integer, optional_text, real, shown, text, text_from, truth,
)
from gradcore._core.losses cimport HeadLosses, data_from, heads_from, set_loss_options, target_columns
from gradcore.gradcore cimport *

import numpy as np

from gradcore import errors
from gradcore._core.registry import constants

cnp.import_array()

# A layer's switch: its bit, and the value of the switch that sets it.
cdef dict SWITCHES = {
    name.removeprefix("no_"): (bit, not name.startswith("no_"))
    for name, bit in constants("GRADCORE_LAYER_").items()
}


cdef int layer_from(object spec, str name, gradcore_layer *layer, list keep) except -1:
    if not isinstance(spec, dict):
        raise errors.DTypeError(f"{name}: expected a dict, got {shown(spec)}")
    layer.size = sizeof(gradcore_layer)
    layer.alpha = NAN
    layer.kind = text(spec.get("kind"), f"{name}['kind']", keep)
    for key, value in spec.items():
        if key == "activation":
            layer.activation = optional_text(value, f"{name}['activation']", keep)
        elif key == "units":
            layer.units = integer(value, f"{name}['units']", -INT64_MAX, INT64_MAX)
        elif key == "name":
            layer.name = text(value, f"{name}['name']", keep)
        elif key == "pieces":
            layer.pieces = integer(value, f"{name}['pieces']", -INT64_MAX, INT64_MAX)
        elif key == "alpha":
            layer.alpha = real(value, f"{name}['alpha']")
        elif key == "rate":
            layer.rate = real(value, f"{name}['rate']")
        elif key == "eps":
            layer.eps = real(value, f"{name}['eps']")
        elif key == "std":
            layer.std = real(value, f"{name}['std']")
        elif key == "column":
            layer.column = integer(value, f"{name}['column']", -INT64_MAX, INT64_MAX)
        elif key == "width":
            layer.width = integer(value, f"{name}['width']", -INT64_MAX, INT64_MAX)
        elif key == "initial":
            layer.initial = real(value, f"{name}['initial']")
        elif key == "momentum":
            layer.momentum = real(value, f"{name}['momentum']")
        elif key in SWITCHES:
            bit, means = SWITCHES[key]
            if truth(value, f"{name}['{key}']") == means:
                layer.flags |= <uint32_t>bit
        elif key != "kind":
            raise errors.ArgumentError(
                f"{name}: expected keys kind, activation, units, pieces, alpha, rate, eps, momentum, "
                f"initial, std, column, width, name, {', '.join(SWITCHES)}, "
                f"got {shown(key)}")
    return 0


cdef gradcore_network *create_network(object layers, gradcore_network_options *options,
                                      list keep) except NULL:
    cdef gradcore_network *handle = NULL
    cdef gradcore_error error
    cdef gradcore_layer *array
    cdef Py_ssize_t i
    try:
        specs = list(layers)
    except TypeError:
        raise errors.DTypeError(f"layers: expected a sequence of dicts, got {shown(layers)}") from None
    array = <gradcore_layer *>calloc_or_raise(len(specs), sizeof(gradcore_layer))
    error.message[0] = 0
    try:
        for i, spec in enumerate(specs):
            layer_from(spec, f"layers[{i}]", &array[i], keep)
        check(gradcore_network_create(options, array, len(specs), &handle, &error), &error)
    finally:
        free(array)
    return handle


cdef dict dict_from(object arrays):
    try:
        return dict(arrays)
    except (TypeError, ValueError):
        raise errors.DTypeError(f"arrays: expected a mapping, got {shown(arrays)}") from None


cdef list heads_of(gradcore_network *handle):
    cdef gradcore_head_info info
    cdef int64_t i
    cdef list found = []
    memset(&info, 0, sizeof(info))
    info.size = sizeof(info)
    for i in range(gradcore_network_heads(handle)):
        gradcore_network_head(handle, i, &info)
        found.append((text_from(info.name), info.column, info.width))
    return found


cdef class Steps:
    def __cinit__(self):
        self.waiting = set()

    def begin_step(self):
        raise NotImplementedError


@cython.no_gc_clear
cdef class CoreNetwork:
    def __init__(self, layers, inputs, *, dtype="float32", threads=0, isa=None, flush_denormals=False):
        cdef gradcore_network_options options
        cdef gradcore_network_info info
        cdef gradcore_network *handle
        cdef list keep = []
        if self.handle is not NULL:
            raise errors.StateError("network: it is initialised already")
        if dtype not in ("float32", "float64"):
            raise errors.ArgumentError(f"dtype: expected 'float32' or 'float64', got {shown(dtype)}")
        memset(&options, 0, sizeof(options))
        options.size = sizeof(options)
        options.flags = GRADCORE_FLUSH_DENORMALS if truth(flush_denormals, "flush_denormals") else 0
        options.inputs = integer(inputs, "inputs", -INT64_MAX, INT64_MAX)
        options.dtype = GRADCORE_FLOAT32 if dtype == "float32" else GRADCORE_FLOAT64
        options.threads = integer(threads, "threads", 0, INT32_MAX)
        options.isa = optional_text(isa, "isa", keep)
        handle = create_network(layers, &options, keep)
        if self.handle is not NULL:
            gradcore_network_destroy(handle)
            raise errors.StateError("network: it is initialised already")
        self.handle = handle
        memset(&info, 0, sizeof(info))
        info.size = sizeof(info)
        gradcore_network_get_info(handle, &info)
        self.typenum = cnp.NPY_FLOAT32 if info.dtype == GRADCORE_FLOAT32 else cnp.NPY_FLOAT64
        self.dtype = np.dtype(dtype)
        self.inputs, self.outputs, self.elements = info.inputs, info.outputs, info.elements
        self.parameter_count, self.layer_count = info.parameters, info.layers
        self.threads, self.isa = info.threads, text_from(info.isa)
        self.parameters = [self.parameter_dict(i) for i in range(info.parameters)]
        self.heads = heads_of(handle)

    # A twin of the core's own around `handle`, which is one of this network's.
    cdef CoreNetwork twin(self, gradcore_network *handle):
        cdef CoreNetwork twin = CoreNetwork.__new__(CoreNetwork)
        twin.handle, twin.typenum, twin.dtype = handle, self.typenum, self.dtype
        twin.inputs, twin.outputs, twin.elements = self.inputs, self.outputs, self.elements
        twin.parameter_count, twin.layer_count = self.parameter_count, self.layer_count
        twin.threads, twin.isa = self.threads, self.isa
        twin.parameters, twin.heads = self.parameters, self.heads
        return twin

    def branch(self):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_network *handle = NULL
        self.require()
        error.message[0] = 0
        with nogil:
            status = gradcore_network_branch(self.handle, &handle, &error)
        check(status, &error)
        return self.twin(handle)

    def __dealloc__(self):
        gradcore_network_destroy(self.handle)

    cdef int require(self) except -1:
        if self.handle is NULL or self.parameters is None:
            raise errors.StateError("network: expected an initialised network")
        return 0

    # Whether a fit of another thread has it; a forked child has no other threads.
    cdef bint foreign(self) noexcept:
        return (self.owner != 0 and self.owner != PyThread_get_thread_ident()
                and self.owner_process == getpid())

    # For calls that change it, or its trainers.
    cdef int may_change(self) except -1:
        self.require()
        if self.foreign():
            raise errors.BusyError(
                "network: expected no other thread to use it now, got one whose fit trains it: until that ends its "
                "callbacks alone may change it; clone() makes a copy of your own")
        return 0

    # Around calls that train it.
    cdef int enter(self) except -1:
        self.may_change()
        if self.runs == 0:
            self.runner = PyThread_get_thread_ident()
        self.runs += 1
        return 0

    cdef void leave(self) noexcept:
        self.runs -= 1

    def own(self):
        self.may_change()
        if self.owner != 0 and not self.foreign() and self.owner_process == getpid():
            return False
        self.owner_process, self.owner = getpid(), PyThread_get_thread_ident()
        return True

    def disown(self):
        self.owner = 0

    def require_free(self):
        self.may_change()

    @property
    def owned_elsewhere(self):
        return self.foreign()

    @property
    def training(self):
        return self.runs > 0

    @property
    def inside(self):
        return self.runs > 0 and self.runner == PyThread_get_thread_ident()

    # The checked number of parameter `index`; `index` is converted once, here.
    cdef int64_t parameter(self, object index, gradcore_parameter_info *info) except -1:
        cdef int64_t i = integer(index, "index", 0, self.parameter_count - 1)
        memset(info, 0, sizeof(info[0]))
        info.size = sizeof(info[0])
        if gradcore_network_parameter(self.handle, i, info) != GRADCORE_OK:
            raise errors.ArgumentError(f"index: expected a parameter's index, got {i}")
        return i

    cdef dict parameter_dict(self, object index):
        cdef gradcore_parameter_info info
        cdef tuple shape
        self.parameter(index, &info)
        if info.ndim == 2:
            shape = (info.rows, info.cols)
        else:
            shape = (info.cols,)
        return {
            "name": text_from(info.name), "role": text_from(info.role), "trainable": bool(info.trainable),
            "shape": shape,
            "activation": text_from(info.activation) or "identity", "alpha": info.alpha,
        }

    # An array for parameter `index`, with its checked number in *at.
    cdef cnp.ndarray array_for(self, object index, bint trainable, int64_t *at):
        cdef gradcore_parameter_info info
        at[0] = self.parameter(index, &info)
        if trainable and not info.trainable:
            raise errors.ArgumentError(
                f"index: expected a trainable parameter, got {at[0]} ({text_from(info.name)})")
        return empty(self.typenum, info.ndim, info.rows, info.cols)

    # The data of `value`, which must be an array that parameter `index` can be set from; its number in *at.
    cdef const void *source_for(self, object index, object value, str name, int64_t *at) except? NULL:
        cdef gradcore_parameter_info info
        cdef cnp.npy_intp dims[2]
        at[0] = self.parameter(index, &info)
        if name is None:
            name = text_from(info.name)
        dims[0] = info.rows if info.ndim == 2 else info.cols
        dims[1] = info.cols
        return exact(value, name, self.typenum, info.ndim, dims, False)

    def read(self, index):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i = 0
        self.require()
        cdef cnp.ndarray array = self.array_for(index, False, &i)
        cdef void *data = cnp.PyArray_DATA(array)
        error.message[0] = 0
        with nogil:
            status = gradcore_network_read(self.handle, i, data, &error)
        check(status, &error)
        return array

    # A pointer for each parameter to the data of those that `arrays` has by number, else NULL; to be freed.
    cdef const void **sources_from(self, dict arrays) except NULL:
        cdef const void **sources
        cdef const void *data
        cdef int64_t i = 0
        sources = <const void **>calloc_or_raise(self.parameter_count, sizeof(void *))
        try:
            for index, value in arrays.items():
                data = self.source_for(index, value, None, &i)
                sources[i] = data
        except BaseException:
            free(sources)
            raise
        return sources

    def write(self, arrays):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef const void **sources
        self.may_change()
        held = dict_from(arrays)
        sources = self.sources_from(held)
        error.message[0] = 0
        try:
            with nogil:
                status = gradcore_network_write(self.handle, sources, &error)
            check(status, &error)
        finally:
            free(sources)

    def set_penalty(self, index, l1, l2):
        cdef gradcore_error error
        cdef gradcore_parameter_info info
        self.may_change()
        cdef int64_t i = self.parameter(index, &info)
        cdef double c_l1 = real(l1, "l1"), c_l2 = real(l2, "l2")
        error.message[0] = 0
        check(gradcore_network_set_penalty(self.handle, i, c_l1, c_l2, &error), &error)

    def schedule_penalty(self, index):
        cdef gradcore_error error
        cdef gradcore_parameter_info info
        self.may_change()
        cdef int64_t i = self.parameter(index, &info)
        error.message[0] = 0
        check(gradcore_network_schedule_penalty(self.handle, i, &error), &error)

    def penalty(self):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef double value = 0
        self.require()
        error.message[0] = 0
        with nogil:
            status = gradcore_network_penalty(self.handle, &value, &error)
        check(status, &error)
        return value

    # The part of `flat` that parameter `index` has, which begins at element `at`; *size: its elements.
    cdef char *part(self, void *flat, int64_t index, int64_t at, int64_t *size, bint *trainable) noexcept:
        cdef gradcore_parameter_info info
        memset(&info, 0, sizeof(info))
        info.size = sizeof(info)
        gradcore_network_parameter(self.handle, index, &info)
        trainable[0] = info.trainable != 0
        size[0] = info.rows * info.cols if trainable[0] else 0
        return <char *>flat + at * (4 if self.typenum == cnp.NPY_FLOAT32 else 8)

    def read_flat(self):
        cdef gradcore_error error
        cdef int64_t i, at = 0, size = 0
        cdef bint trainable = False
        cdef char *data
        self.require()
        cdef cnp.ndarray flat = empty(self.typenum, 1, 1, self.elements)
        error.message[0] = 0
        for i in range(self.parameter_count):
            data = self.part(cnp.PyArray_DATA(flat), i, at, &size, &trainable)
            if trainable:
                check(gradcore_network_read(self.handle, i, data, &error), &error)
            at += size
        return flat

    def write_flat(self, flat):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i, at = 0, size = 0
        cdef bint trainable = False
        cdef const void **sources
        cdef char *data
        self.may_change()
        cdef void *start = vector(flat, "flat", self.typenum, self.elements)
        sources = <const void **>calloc_or_raise(self.parameter_count, sizeof(void *))
        error.message[0] = 0
        for i in range(self.parameter_count):
            data = self.part(start, i, at, &size, &trainable)
            sources[i] = data if trainable else NULL
            at += size
        with nogil:
            status = gradcore_network_write(self.handle, sources, &error)
        free(sources)
        check(status, &error)

    def predict(self, x, out=None):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef cnp.npy_intp dims[2]
        cdef Matrix m
        cdef void *y
        cdef size_t item
        self.require()
        matrix(x, "x", self.typenum, self.inputs, &m)
        if out is None:
            out = empty(self.typenum, 2, m.rows, self.outputs)
        dims[0], dims[1] = m.rows, self.outputs
        y = exact(out, "out", self.typenum, 2, dims, True)
        item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x)
        if overlap(m.data, ((m.rows - 1) * m.stride + self.inputs) * item, y, m.rows * self.outputs * item):
            raise errors.ArgumentError("out: expected memory apart from x, got an overlap")
        error.message[0] = 0
        with nogil:
            status = gradcore_network_predict(self.handle, m.data, m.stride, m.rows, y, self.outputs, &error)
        check(status, &error)
        return out

    def plain(self, x):
        self.require()
        return plain_matrix(x, self.typenum, self.inputs, False)

    def predict_now(self, x, Steps turns):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef cnp.ndarray array, out
        cdef cnp.npy_intp rows, stride
        cdef const void *data
        cdef void *y
        self.require()
        if turns.stepper != 0 or turns.changer is not None:
            return None
        found = plain_matrix(x, self.typenum, self.inputs, False)
        if found is None or turns.stepper != 0 or turns.changer is not None:  # others may have run meanwhile
            return None
        array = <cnp.ndarray>found
        rows, stride = cnp.PyArray_DIM(array, 0), self.inputs
        if not cnp.PyArray_IS_C_CONTIGUOUS(array):
            stride = cnp.PyArray_STRIDE(array, 0) // cnp.PyArray_ITEMSIZE(array)
        out = empty(self.typenum, 2, rows, self.outputs)
        data, y = cnp.PyArray_DATA(array), cnp.PyArray_DATA(out)
        error.message[0] = 0
        with nogil:
            status = gradcore_network_predict(self.handle, data, stride, rows, y, self.outputs, &error)
        if status == GRADCORE_BUSY:
            return None
        check(status, &error)
        return out

    def evaluate(self, loss, x, target, weight=None, options=None):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef gradcore_score score
        cdef gradcore_loss_options c_options
        cdef list keep = []
        cdef const char *c_loss = text(loss, "loss", keep)
        self.require()
        set_loss_options(options, keep, &c_options)
        data_from(self.typenum, self.inputs, target_columns(c_loss, self.outputs, &c_options), x, target, weight, &data)
        memset(&score, 0, sizeof(score))
        score.size = sizeof(score)
        error.message[0] = 0
        with nogil:
            status = gradcore_network_evaluate_loss(self.handle, c_loss, &c_options, &data, &score, &error)
        check(status, &error)
        return score.loss, score.accuracy, score.divisor, score.weight

    def evaluate_heads(self, losses, x, target, weight=None):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef gradcore_score *scores
        cdef Py_ssize_t i, count
        self.require()
        cdef HeadLosses held = HeadLosses(self.heads, losses)
        live = heads_from(self.typenum, self.inputs, held.columns, x, target, weight, &data)
        count = len(held.columns)
        scores = <gradcore_score *>calloc_or_raise(count, sizeof(gradcore_score))
        for i in range(count):
            scores[i].size = sizeof(gradcore_score)
        error.message[0] = 0
        try:
            with nogil:
                status = gradcore_network_evaluate_heads(self.handle, held.losses, &data, scores, &error)
            check(status, &error)
            return [(scores[i].loss, scores[i].accuracy, scores[i].divisor, scores[i].weight) for i in range(count)]
        finally:
            free(scores)


cdef CoreNetwork network_from(object value):
    if not isinstance(value, CoreNetwork):
        raise errors.DTypeError(f"network: expected a Network, got {shown(value)}")
    (<CoreNetwork>value).require()
    return <CoreNetwork>value
