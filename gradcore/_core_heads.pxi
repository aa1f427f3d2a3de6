# Part of _core.pyx: networks with several outputs.


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


# The losses of heads as C takes them: what holds them, and the columns of their targets.
@cython.final
cdef class HeadLosses:
    cdef gradcore_head_loss *losses
    cdef gradcore_loss_options *options
    cdef list keep, columns

    def __cinit__(self, Network network, losses):
        cdef Py_ssize_t i
        self.keep, self.columns = [], []
        items = list(losses)
        if len(items) != len(network.heads) or not items:
            raise errors.ShapeError(f"heads: expected {len(network.heads)} losses, got {len(items)}")
        self.losses = <gradcore_head_loss *>calloc_or_raise(len(items), sizeof(gradcore_head_loss))
        self.options = <gradcore_loss_options *>calloc_or_raise(len(items), sizeof(gradcore_loss_options))
        for i, (name, options, weight) in enumerate(items):
            self.losses[i].size = sizeof(gradcore_head_loss)
            self.losses[i].loss = text(name, f"heads[{i}]", self.keep)
            self.losses[i].weight = real(weight, f"heads[{i}].weight")
            set_loss_options(options, self.keep, &self.options[i])
            self.losses[i].options = &self.options[i]
            self.columns.append(target_columns(self.losses[i].loss, network.heads[i][2], &self.options[i]))

    def __dealloc__(self):
        free(self.losses)
        free(self.options)


# x, and an iterable of a target for each head, and one of weights (each may be None) or None, as C takes
# them. Returns what has to live as long as `out`.
cdef object heads_from(Network network, list columns, object x, object target, object weight, gradcore_data *out):
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
        data_from(network, columns[i], x, targets[i], weights[i], &one)
        heads[i].size = sizeof(gradcore_head_data)
        heads[i].target = one.target
        heads[i].target_stride = one.target_stride
        heads[i].weight = one.weight
    data_from(network, -1, x, None, None, out)
    out.target = heads
    return held, targets, weights


cdef list evaluate_heads(Network network, object losses, object x, object target, object weight):
    cdef gradcore_error error
    cdef gradcore_status status
    cdef gradcore_data data
    cdef gradcore_score *scores
    cdef Py_ssize_t i, count
    network.require()
    cdef HeadLosses held = HeadLosses(network, losses)
    live = heads_from(network, held.columns, x, target, weight, &data)
    count = len(held.columns)
    scores = <gradcore_score *>calloc_or_raise(count, sizeof(gradcore_score))
    for i in range(count):
        scores[i].size = sizeof(gradcore_score)
    error.message[0] = 0
    try:
        with nogil:
            status = gradcore_network_evaluate_heads(network.handle, held.losses, &data, scores, &error)
        check(status, &error)
        return [(scores[i].loss, scores[i].accuracy, scores[i].divisor, scores[i].weight) for i in range(count)]
    finally:
        free(scores)


# Data of a trainer of any kind; what is returned has to live through the call, and goes to raise_from then.
cdef object trainer_data(Trainer trainer, object x, object target, object weight, gradcore_data *data):
    if trainer.head_columns is not None:
        return heads_from(trainer.network, trainer.head_columns, x, target, weight, data)
    data_from(trainer.network, trainer.columns, x, target, weight, data)
    return loss_call(trainer, target, data)


cdef double *head_reports(Trainer trainer, object value, int64_t steps) except? NULL:
    cdef cnp.npy_intp dims[2]
    if value is None:
        return NULL
    if trainer.head_columns is None:
        raise errors.ArgumentError("heads: expected None for a trainer without heads, got an array")
    dims[0], dims[1] = steps, 3 * len(trainer.head_columns) + 2
    return <double *>exact(value, "heads", cnp.NPY_FLOAT64, 2, dims, True)
