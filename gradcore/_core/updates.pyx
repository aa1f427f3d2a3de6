"""Updates of plain arrays by an optimizer, and running averages of them."""

cimport numpy as cnp
from libc.stdint cimport INT32_MAX, INT64_MAX, UINT32_MAX, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from gradcore._core.arrays cimport WITHOUT_GIL, c_dtype, factor, float_type, same, vector
from gradcore._core.checks cimport calloc_or_raise, check, integer, real, shown, text, unsigned64
from gradcore.gradcore cimport *

from gradcore import errors

cnp.import_array()


def optimizer_update(optimizer, flags, step, hypers, w, g, slots):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef list keep = []
    cdef void *c_slots[4]
    cdef const char *c_optimizer = text(optimizer, "optimizer", keep)
    cdef uint32_t c_flags = integer(flags, "flags", 0, UINT32_MAX)
    cdef uint64_t c_step = unsigned64(step, "step")
    cdef const double *c_hypers = <const double *>vector(hypers, "hypers", cnp.NPY_FLOAT64, GRADCORE_HYPERS)
    cdef int typenum = float_type(w, "w"), dtype = c_dtype(typenum)
    cdef int i
    cdef void *c_w = same(w, "w", w, typenum, True)
    cdef const void *c_g = same(g, "g", w, typenum, False)
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>w)
    if not isinstance(slots, (list, tuple)) or len(slots) > 4:
        raise errors.DTypeError(f"slots: expected a list of up to four arrays or None, got {shown(slots)}")
    for i in range(4):
        slot = slots[i] if i < len(slots) else None
        keep.append(slot)
        c_slots[i] = NULL if slot is None else same(slot, f"slots[{i}]", w, typenum, True)
    error.message[0] = 0
    with nogil:
        status = gradcore_optimizer_update(c_optimizer, dtype, c_flags, c_step, c_hypers, n, c_w, c_g,
                                           c_slots, &error)
    check(status, &error)


def average(kind, every, start, step, rate, w, mean):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef list keep = []
    cdef const char *c_kind = text(kind, "kind", keep)
    cdef int64_t c_every = integer(every, "every", 1, INT64_MAX), c_start = integer(start, "start", 0, INT64_MAX)
    cdef uint64_t c_step = unsigned64(step, "step")
    cdef double c_rate = real(rate, "rate")
    cdef int typenum = float_type(w, "w"), dtype = c_dtype(typenum)
    cdef void *c_w = same(w, "w", w, typenum, True)
    cdef void *c_mean = same(mean, "mean", w, typenum, True)
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>w)
    error.message[0] = 0
    with nogil:
        status = gradcore_average(c_kind, c_every, c_start, c_step, c_rate, dtype, n, c_w, c_mean, &error)
    check(status, &error)


def optimizer_slots(optimizer, flags):
    cdef list keep = []
    return gradcore_optimizer_slots(text(optimizer, "optimizer", keep), integer(flags, "flags", 0, UINT32_MAX))


# One update of a model: `arrays` holds (w, g, slots, lr_factor, weight_decay, rows) of each parameter.
def optimizer_step(optimizer, flags, step, hypers, running, arrays, threads=0):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef list keep = []
    cdef gradcore_array *c_arrays
    cdef gradcore_array *a
    cdef const char *c_optimizer = text(optimizer, "optimizer", keep)
    cdef uint32_t c_flags = integer(flags, "flags", 0, UINT32_MAX)
    cdef uint64_t c_step = unsigned64(step, "step")
    cdef const double *c_hypers = <const double *>vector(hypers, "hypers", cnp.NPY_FLOAT64, GRADCORE_HYPERS)
    cdef double *c_running = <double *>vector(running, "running", cnp.NPY_FLOAT64, GRADCORE_RUNNING)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef int64_t count = len(arrays), i
    cdef int typenum, slot
    c_arrays = <gradcore_array *>calloc_or_raise(count + 1, sizeof(gradcore_array))
    try:
        for i in range(count):
            w, g, slots, lr_factor, weight_decay, rows = arrays[i]
            a = &c_arrays[i]
            typenum = float_type(w, f"arrays[{i}]")
            a.dtype = c_dtype(typenum)
            a.n = cnp.PyArray_SIZE(<cnp.ndarray>w)
            a.rows = integer(rows, "rows", 0, INT32_MAX)
            a.w = same(w, "w", w, typenum, True)
            a.g = same(g, "g", w, typenum, False)
            if len(slots) != GRADCORE_SLOTS:
                raise errors.DTypeError(f"slots: expected {GRADCORE_SLOTS} arrays or None, got {len(slots)}")
            for slot in range(GRADCORE_SLOTS):
                a.slots[slot] = NULL
                if slots[slot] is None:
                    continue
                if a.rows > 0 and slot >= 2:
                    a.slots[slot] = factor(slots[slot], f"slots[{slot}]", typenum,
                                           a.rows if slot == 2 else a.n // a.rows, True)
                else:
                    a.slots[slot] = same(slots[slot], f"slots[{slot}]", w, typenum, True)
            a.lr_factor = real(lr_factor, "lr_factor")
            a.weight_decay = real(weight_decay, "weight_decay")
        error.message[0] = 0
        with nogil:
            status = gradcore_optimizer_step_on(c_threads, c_optimizer, c_flags, c_step, c_hypers, c_running, count,
                                                c_arrays, &error)
        check(status, &error)
    finally:
        free(c_arrays)


cdef enum:
    MOST_DIMENSIONS = 64  # of NumPy


# The data of an array like the one before; NULL: it is not.
cdef void *again_data(object value, const gradcore_array *like, int ndim, const cnp.npy_intp *dims,
                      bint writable) noexcept:
    cdef cnp.ndarray array
    cdef int i
    if not cnp.PyArray_CheckExact(value):
        return NULL
    array = <cnp.ndarray>value
    if not cnp.PyArray_ISCARRAY_RO(array) or (writable and not cnp.PyArray_ISWRITEABLE(array)):
        return NULL
    if cnp.PyArray_TYPE(array) != (cnp.NPY_FLOAT32 if like.dtype == GRADCORE_FLOAT32 else cnp.NPY_FLOAT64):
        return NULL
    if cnp.PyArray_NDIM(array) != ndim:
        return NULL
    for i in range(ndim):
        if cnp.PyArray_DIMS(array)[i] != dims[i]:
            return NULL
    return cnp.PyArray_DATA(array)


def _nothing():
    return None


# An update that was made before, of arrays of the same shapes: all that does not change from one to the next is
# checked once. Calling it returns False, and has done nothing, for arrays that are not as they were; the Python
# layer, which knows the messages, takes those.
cdef class UpdateAgain:
    cdef bytes optimizer
    cdef uint32_t flags
    cdef object running, slots
    cdef list keys  # of a dict; None: a list or tuple
    cdef gradcore_array *arrays
    cdef cnp.npy_intp *dims  # [array][MOST_DIMENSIONS]
    cdef int *ndims
    cdef int64_t count, elements
    cdef bint busy

    # arrays: as optimizer_step takes them, each w and g contiguous
    def __cinit__(self, str optimizer, uint32_t flags, running, list keys, arrays):
        cdef int64_t i
        cdef int slot, axis
        cdef cnp.ndarray w
        vector(running, "running", cnp.NPY_FLOAT64, GRADCORE_RUNNING)
        self.optimizer, self.flags, self.running, self.keys = optimizer.encode(), flags, running, keys
        self.slots = [slots for _, _, slots, _, _, _ in arrays]
        self.count = len(arrays)
        self.arrays = <gradcore_array *>calloc_or_raise(self.count + 1, sizeof(gradcore_array))
        self.ndims = <int *>calloc_or_raise(self.count + 1, sizeof(int))
        self.dims = <cnp.npy_intp *>calloc_or_raise(MOST_DIMENSIONS * (self.count + 1), sizeof(cnp.npy_intp))
        for i in range(self.count):
            w, _, slots, lr_factor, weight_decay, rows = arrays[i]
            self.arrays[i].dtype = c_dtype(float_type(w, "w"))
            self.arrays[i].n = cnp.PyArray_SIZE(w)
            self.arrays[i].rows, self.arrays[i].lr_factor, self.arrays[i].weight_decay = rows, lr_factor, weight_decay
            self.elements += self.arrays[i].n
            for slot in range(GRADCORE_SLOTS):
                if slots[slot] is not None:
                    self.arrays[i].slots[slot] = cnp.PyArray_DATA(<cnp.ndarray>slots[slot])
            self.ndims[i] = cnp.PyArray_NDIM(w)
            for axis in range(self.ndims[i]):
                self.dims[MOST_DIMENSIONS * i + axis] = cnp.PyArray_DIMS(w)[axis]

    def __dealloc__(self):
        free(self.arrays)
        free(self.ndims)
        free(self.dims)

    def __reduce__(self):
        return _nothing, ()  # a copy has slots of its own, which these pointers do not know

    # row(step - 1): the hyperparameters, looked at once it is certain that there will be an update. That is code of
    # users, which may call another update or change the list: it finds this one busy, and the arrays are held.
    def __call__(self, params, grads, uint64_t step, row):
        if self.busy:
            return False
        self.busy = True
        try:
            return self.update(params, grads, step, row)
        finally:
            self.busy = False

    cdef bint update(self, params, grads, uint64_t step, row) except -1:
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i
        cdef const double *c_hypers
        cdef double *c_running
        cdef const char *optimizer = self.optimizer
        cdef type wanted = list if self.keys is None else dict
        cdef list held = []
        if type(params) is not wanted or type(grads) is not wanted:
            return False
        if len(params) != self.count or len(grads) != self.count:
            return False
        for i in range(self.count):
            if self.keys is None:
                w, g = (<list>params)[i], (<list>grads)[i]
            else:
                w, g = (<dict>params).get(self.keys[i]), (<dict>grads).get(self.keys[i])
            held.append((w, g))
            self.arrays[i].w = again_data(w, &self.arrays[i], self.ndims[i], self.dims + MOST_DIMENSIONS * i, True)
            self.arrays[i].g = again_data(g, &self.arrays[i], self.ndims[i], self.dims + MOST_DIMENSIONS * i, False)
            if self.arrays[i].w == NULL or self.arrays[i].g == NULL:
                return False
        hypers = row(step - 1)
        c_hypers = <const double *>vector(hypers, "hypers", cnp.NPY_FLOAT64, GRADCORE_HYPERS)
        c_running = <double *>cnp.PyArray_DATA(<cnp.ndarray>self.running)
        error.message[0] = 0
        if self.elements < WITHOUT_GIL:
            status = gradcore_optimizer_step_on(0, optimizer, self.flags, step, c_hypers, c_running, self.count,
                                                self.arrays, &error)
        else:
            with nogil:
                status = gradcore_optimizer_step_on(0, optimizer, self.flags, step, c_hypers, c_running, self.count,
                                                    self.arrays, &error)
        check(status, &error)
        return True
