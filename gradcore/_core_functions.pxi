# Part of _core.pyx: functions of plain arrays, random numbers.


cdef size_t bytes_of(object array) except? 0:
    return cnp.PyArray_NBYTES(<cnp.ndarray>array)


# The data of `value`, an array like `model` in element type and shape.
cdef void *same(object value, str name, object model, int typenum, bint writable) except? NULL:
    cdef cnp.ndarray array = model
    return exact(value, name, typenum, cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), writable)


# `out` may be `source` itself but not overlap it otherwise.
cdef int refuse_partial_overlap(object out, object source, str name) except -1:
    cdef char *a = <char *>cnp.PyArray_DATA(<cnp.ndarray>out)
    cdef char *b = <char *>cnp.PyArray_DATA(<cnp.ndarray>source)
    if a != b and overlap(a, bytes_of(out), b, bytes_of(source)):
        raise errors.ArgumentError(f"out: expected {name} itself or memory apart from it, got a partial overlap")
    return 0


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


# A factor of soap: (2 order, order), order being that of a side of the matrix.
cdef void *factor(object value, str name, int typenum, int64_t order, bint writable) except? NULL:
    cdef cnp.npy_intp dims[2]
    dims[0], dims[1] = 2 * order, order
    return exact(value, name, typenum, 2, dims, writable)


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
                raise errors.DTypeError(f"slots: expected {SLOTS} arrays or None, got {len(slots)}")
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


cdef dict ACTIVATIONS = {name: i for i, name in enumerate(names("activation"))}


cdef int activation_index(object name) except -1:
    found = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise (errors.ArgumentError if isinstance(name, str) else errors.DTypeError)(
            f"activation: expected one of {', '.join(ACTIVATIONS)}, got {shown(name)}")
    return found


def activation_forward(name, x, out, alpha, threads=0):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int index = activation_index(name)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef double c_alpha = real(alpha, "alpha")
    cdef int typenum = float_type(x, "x"), dtype = c_dtype(typenum)
    cdef const void *c_x = same(x, "x", x, typenum, False)
    if out is None:
        out = empty_like(x, typenum)
    cdef void *c_out = same(out, "out", x, typenum, True)
    refuse_partial_overlap(out, x, "x")
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    error.message[0] = 0
    with nogil:
        status = gradcore_activation(index, dtype, c_alpha, n, c_x, NULL, c_out, c_threads, &error)
    check(status, &error)
    return out


def activation_backward(name, x, d_y, out, alpha, threads=0):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef int index = activation_index(name)
    cdef int32_t c_threads = integer(threads, "threads", 0, INT32_MAX)
    cdef double c_alpha = real(alpha, "alpha")
    cdef int typenum = float_type(x, "x"), dtype = c_dtype(typenum)
    cdef const void *c_x = same(x, "x", x, typenum, False)
    cdef const void *c_d_y = same(d_y, "d_y", x, typenum, False)
    if out is None:
        out = empty_like(x, typenum)
    cdef void *c_out = same(out, "out", x, typenum, True)
    refuse_partial_overlap(out, d_y, "d_y")
    if overlap(c_out, bytes_of(out), c_x, bytes_of(x)):
        raise errors.ArgumentError("out: expected memory apart from x, got an overlap")
    cdef int64_t n = cnp.PyArray_SIZE(<cnp.ndarray>x)
    error.message[0] = 0
    with nogil:
        status = gradcore_activation(index, dtype, c_alpha, n, c_x, c_d_y, c_out, c_threads, &error)
    check(status, &error)
    return out


def loss(name, z, target, gradient, options=None, threads=0):
    cdef gradcore_error error
    cdef gradcore_loss_options c_options
    cdef gradcore_status status
    cdef list keep = []
    cdef const char *c_name = text(name, "name", keep)
    cdef int typenum = float_type(z, "z"), dtype = c_dtype(typenum)
    cdef const void *c_target
    cdef void *c_d = NULL
    cdef cnp.ndarray d = None
    cdef bint wanted = truth(gradient, "gradient")
    cdef gradcore_loss_call call
    if z.ndim != 2:
        refuse_shape(z, "z", "shape (rows, outputs)")
    cdef int64_t rows = z.shape[0], cols = z.shape[1]
    cdef const void *c_z = same(z, "z", z, typenum, False)
    set_loss_options(options, keep, &c_options)
    cdef cnp.npy_intp dims[2]
    dims[0], dims[1] = rows, target_columns(c_name, cols, &c_options)
    if dims[1] == 0:
        c_target = vector(target, "target", cnp.NPY_INT32, rows)
    else:
        c_target = exact(target, "target", typenum, 2, dims, False)
    cdef cnp.ndarray losses = empty(cnp.NPY_FLOAT64, 1, 1, rows)
    cdef double *c_losses = <double *>cnp.PyArray_DATA(losses)
    if wanted:
        d = empty_like(z, typenum)
        c_d = cnp.PyArray_DATA(d)
    memset(&call, 0, sizeof(call))
    call.size, call.loss, call.dtype = sizeof(call), names("loss").index(name), dtype
    call.threads = integer(threads, "threads", 0, INT32_MAX)
    call.rows, call.cols, call.z, call.target, call.losses, call.d = rows, cols, c_z, c_target, c_losses, c_d
    call.label_type, call.label_stride, call.options = GRADCORE_INT32, sizeof(int32_t), &c_options
    error.message[0] = 0
    with nogil:
        status = gradcore_loss_of(&call, &error)
    check(status, &error)
    return losses, d


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
