"""CoreTrainer: a trainer of the core, with its steps, reports and state; losses and factors that are Python's."""

cimport cython
cimport numpy as cnp
from cpython.pythread cimport PyThread_get_thread_ident
from libc.math cimport NAN
from libc.stdint cimport INT32_MAX, INT64_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from gradcore._core.arrays cimport (
    empty, exact, factor, plain_matrix, rates_from, refuse_dtype, refuse_shape, vector,
)
from gradcore._core.checks cimport (
    calloc_or_raise, check, integer, optional_text, real, shown, text, truth, unsigned64,
)
from gradcore._core.losses cimport HeadLosses, data_from, heads_from, set_loss_options, target_columns
from gradcore._core.network cimport CoreNetwork, Steps, dict_from, network_from
from gradcore.gradcore cimport *

import numpy as np

from gradcore import errors

cnp.import_array()

REPORT_DTYPE = np.dtype([("loss", "f8"), ("correct", "f8"), ("weight", "f8"), ("norm", "f8"),
                         ("scale", "f8"), ("applied", "i4"), ("rows", "i4")])
if REPORT_DTYPE.itemsize != sizeof(gradcore_report):
    raise ImportError("gradcore_report and REPORT_DTYPE differ")


# What the core asks for the factor of a step; NaN ends the run, and `finish` raises what was raised here.
cdef double ask_scale(void *context, double norm) noexcept with gil:
    cdef CoreTrainer trainer = <CoreTrainer>context
    cdef uint64_t step = 0
    gradcore_trainer_get_progress(trainer.handle, &step, NULL)
    try:
        return trainer.scale_rule(norm, step)
    except BaseException as raised:
        trainer.scale_error = raised
        return NAN


# One call of the core with a Python function for its loss: what gradcore_data.target points at.
@cython.internal
@cython.final
cdef class LossCall:
    cdef object function, target, error
    cdef int typenum


cdef LossCall loss_call(CoreTrainer trainer, object target, gradcore_data *data):
    cdef LossCall call
    if trainer.loss_function is None:
        return None
    if not isinstance(target, np.ndarray) or target.ndim < 1 or len(target) != data.rows:
        refuse_dtype(target, "target", f"an array of {data.rows} rows")
    call = LossCall()
    call.function, call.target, call.typenum = trainer.loss_function, target, trainer.network.typenum
    data.target = <void *>call
    return call


cdef int raise_from(object call) except -1:
    if type(call) is LossCall and (<LossCall>call).error is not None:
        raise (<LossCall>call).error
    return 0


# gradcore_loss_function: function(output, target) -> (loss, d_output), both of the network's element type.
cdef gradcore_status call_loss(void *context, const gradcore_loss_batch *b, double *loss,
                               gradcore_error *error) noexcept with gil:
    cdef LossCall call = <LossCall>b.target
    cdef cnp.npy_intp dims[2]
    cdef size_t width
    cdef int64_t r
    cdef cnp.ndarray output, rows
    cdef const char *d
    try:
        output = empty(call.typenum, 2, b.rows, b.outputs)
        width = b.outputs * cnp.PyArray_ITEMSIZE(output)
        for r in range(b.rows):
            memcpy(<char *>cnp.PyArray_DATA(output) + r * width,
                   <const char *>b.output + r * b.output_stride * cnp.PyArray_ITEMSIZE(output), width)
        if b.order is NULL:
            target = call.target[b.first:b.first + b.rows]
        else:
            rows = empty(cnp.NPY_INT64, 1, 1, b.rows)
            memcpy(cnp.PyArray_DATA(rows), b.order, b.rows * sizeof(int64_t))
            target = call.target[rows]
        value, slope = call.function(output, target)
        dims[0], dims[1] = b.rows, b.outputs
        d = <const char *>exact(slope, "d_output", call.typenum, 2, dims, False)
        for r in range(b.rows):
            memcpy(<char *>b.d_output + r * b.d_output_stride * cnp.PyArray_ITEMSIZE(output), d + r * width, width)
        loss[0] = value
        return GRADCORE_OK
    except BaseException as caught:
        call.error = caught
        return GRADCORE_INVALID


# Data of a trainer of any kind; what is returned has to live through the call, and goes to raise_from then.
cdef object trainer_data(CoreTrainer trainer, object x, object target, object weight, gradcore_data *data):
    cdef CoreNetwork network = trainer.network
    if trainer.head_columns is not None:
        return heads_from(network.typenum, network.inputs, trainer.head_columns, x, target, weight, data)
    data_from(network.typenum, network.inputs, trainer.columns, x, target, weight, data)
    return loss_call(trainer, target, data)


cdef double *head_reports(CoreTrainer trainer, object value, int64_t steps) except? NULL:
    cdef cnp.npy_intp dims[2]
    if value is None:
        return NULL
    if trainer.head_columns is None:
        raise errors.ArgumentError("heads: expected None for a trainer without heads, got an array")
    dims[0], dims[1] = steps, 3 * len(trainer.head_columns) + 2
    return <double *>exact(value, "heads", cnp.NPY_FLOAT64, 2, dims, True)


@cython.no_gc_clear
cdef class CoreTrainer:
    def __init__(self, network, *, loss, optimizer, flags, clip, nonfinite, capacity, seed, loss_options=None,
                 heads=None, surgery=False):
        cdef gradcore_error error
        cdef gradcore_loss_options c_loss_options
        cdef gradcore_trainer_options options
        cdef gradcore_trainer *handle = NULL
        cdef list keep = []
        cdef CoreNetwork owner = network_from(network)
        memset(&options, 0, sizeof(options))
        options.size = sizeof(options)
        options.flags = integer(flags, "flags", 0, UINT32_MAX)
        options.optimizer = text(optimizer, "optimizer", keep)
        options.clip = optional_text(clip, "clip", keep)
        options.nonfinite = text(nonfinite, "nonfinite", keep)
        options.capacity = integer(capacity, "capacity", 1, INT64_MAX)
        options.seed = unsigned64(seed, "seed")
        cdef int64_t columns = -1
        cdef HeadLosses head_losses = None
        if heads is not None:
            head_losses = HeadLosses(owner.heads, heads)
            options.heads, options.head_count = head_losses.losses, len(head_losses.columns)
            options.head_flags = GRADCORE_GRADIENT_SURGERY if truth(surgery, "surgery") else 0
            options.loss = optional_text(loss, "loss", keep)
        elif callable(loss):
            options.loss = NULL
            options.loss_function = &call_loss
        else:
            options.loss = text(loss, "loss", keep)
            set_loss_options(loss_options, keep, &c_loss_options)
            options.loss_options = &c_loss_options
            columns = target_columns(options.loss, owner.outputs, &c_loss_options)
        if self.handle is not NULL:
            raise errors.StateError("trainer: it is initialised already")
        error.message[0] = 0
        check(gradcore_trainer_create(owner.handle, &options, &handle, &error), &error)
        self.handle, self.network, self.columns = handle, owner, columns
        self.loss_function = loss if columns < 0 and head_losses is None else None
        self.head_columns = None if head_losses is None else head_losses.columns
        self.capacity, self.slots = options.capacity, gradcore_trainer_state_slots(handle)

    def __dealloc__(self):
        gradcore_trainer_destroy(self.handle)

    cdef inline int require(self) except -1:
        if self.handle is NULL:
            raise errors.StateError("trainer: expected an initialised trainer")
        return 0

    @property
    def step(self):
        cdef uint64_t step = 0, updates = 0
        self.require()
        gradcore_trainer_get_progress(self.handle, &step, &updates)
        return step

    @property
    def updates(self):
        cdef uint64_t step = 0, updates = 0
        self.require()
        gradcore_trainer_get_progress(self.handle, &step, &updates)
        return updates

    def set_progress(self, step, updates):
        cdef gradcore_error error
        cdef uint64_t new_step = unsigned64(step, "step"), new_updates = unsigned64(updates, "updates")
        self.require()
        self.network.may_change()
        error.message[0] = 0
        check(gradcore_trainer_set_progress(self.handle, new_step, new_updates, &error), &error)

    def reserve(self, rows):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t c_rows = integer(rows, "rows", 1, INT64_MAX)
        self.require()
        self.network.may_change()
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_reserve(self.handle, c_rows, &error)
        check(status, &error)
        self.capacity = max(self.capacity, c_rows)

    # Twins: (CoreNetwork, CoreTrainer). The rule of set_scale, a function with a state, is not taken along.
    def branch(self):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_network *network = NULL
        cdef gradcore_trainer *handle = NULL
        cdef CoreTrainer twin = CoreTrainer.__new__(CoreTrainer)
        self.require()
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_branch(self.handle, &network, &handle, &error)
        check(status, &error)
        twin.handle = handle
        twin.network = self.network.twin(network)
        twin.columns, twin.loss_function = self.columns, self.loss_function
        twin.head_columns, twin.capacity, twin.slots = self.head_columns, self.capacity, self.slots
        twin.head_means, twin.accumulates = self.head_means, self.accumulates
        twin.report, twin.reported = self.report, self.reported
        return twin.network, twin

    # Like check, but what the rule of set_scale raised comes first.
    cdef int finish(self, gradcore_status status, gradcore_error *error) except -1:
        if status == GRADCORE_STATE and self.scale_error is not None:
            raised, self.scale_error = self.scale_error, None
            raise raised
        return check(status, error)

    def set_rates(self, first, rates):
        cdef gradcore_error error
        cdef uint64_t c_first = unsigned64(first, "first")
        self.require()
        self.network.may_change()
        cdef const double *data = rates_from(rates)
        error.message[0] = 0
        check(gradcore_trainer_set_rates(self.handle, c_first, len(rates), rates.shape[1], data, &error), &error)

    def set_scale(self, rule):
        self.require()
        self.network.may_change()
        if rule is not None and not callable(rule):
            raise errors.DTypeError(f"rule: expected a function of norm and step or None, got {shown(rule)}")
        self.scale_rule = rule

    # keep: arrays by the number of their parameter, which the weights are multiplied by after all rules
    def set_rules(self, rules, keep=None):
        cdef gradcore_error error
        cdef const void **kept = NULL
        cdef const void *data
        cdef int64_t index = 0
        cdef list held = []
        cdef gradcore_rule *array
        cdef Py_ssize_t i
        cdef bytes mask
        self.require()
        self.network.may_change()
        items = list(rules)
        array = <gradcore_rule *>calloc_or_raise(len(items) + 1, sizeof(gradcore_rule))
        error.message[0] = 0
        try:
            if keep:
                kept = <const void **>calloc_or_raise(self.network.parameter_count, sizeof(void *))
                for at, value in dict(keep).items():
                    data = self.network.source_for(at, value, f"keep[{at}]", &index)
                    kept[index] = data
                array[len(items)].size = sizeof(gradcore_rule)
                array[len(items)].name = b"mask"
                array[len(items)].order = 2.0
                array[len(items)].keep = kept
            for i, (name, limit, other, order, scheduled, applies) in enumerate(items):
                array[i].size = sizeof(gradcore_rule)
                array[i].name = text(name, f"rules[{i}].name", held)
                array[i].limit = real(limit, f"rules[{i}].limit")
                array[i].other = real(other, f"rules[{i}].other")
                array[i].order = real(order, f"rules[{i}].order")
                array[i].scheduled = truth(scheduled, f"rules[{i}].scheduled")
                mask = bytes(applies)
                if len(mask) != self.network.parameter_count:
                    raise errors.ShapeError(f"rules[{i}]: expected {self.network.parameter_count} flags, "
                                            f"got {len(mask)}")
                held.append(mask)
                array[i].mask = <const uint8_t *><const char *>mask
            check(gradcore_trainer_set_rules(self.handle, array, len(items) + (kept is not NULL), &error),
                  &error)
        finally:
            free(array)
            free(kept)

    def ledger(self):
        cdef gradcore_error error
        self.require()
        cdef cnp.ndarray array = empty(cnp.NPY_FLOAT64, 2, self.network.parameter_count, 3)
        error.message[0] = 0
        check(gradcore_trainer_ledger(self.handle, <double *>cnp.PyArray_DATA(array), &error), &error)
        return array

    def conflicts(self):
        cdef gradcore_error error
        self.require()
        cdef Py_ssize_t n = len(self.network.heads)
        cdef cnp.ndarray array = empty(cnp.NPY_FLOAT64, 2, n, 3 * n)
        error.message[0] = 0
        check(gradcore_trainer_conflicts(self.handle, <double *>cnp.PyArray_DATA(array), &error), &error)
        return array.reshape(n, n, 3)

    # The structs live on the stack, not in self: another thread may be in the same call without the GIL.
    def train_step(self, x, target, weight, hypers):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef object call
        cdef gradcore_run run
        cdef gradcore_report report
        self.require()
        call = trainer_data(self, x, target, weight, &data)
        run.size = sizeof(gradcore_run)
        run.reserved = 0
        run.data = &data
        run.order = NULL
        run.begin = 0
        run.end = run.batch = data.rows
        run.steps = 1
        run.hypers = <const double *>vector(hypers, "hypers", cnp.NPY_FLOAT64, GRADCORE_HYPERS)
        run.reports = &report
        run.done = 0
        run.scale = NULL
        if self.scale_rule is not None:
            run.scale = ask_scale
        run.scale_context = <void *>self
        run.heads = run.ledger = NULL
        error.message[0] = 0
        self.network.enter()
        with nogil:
            status = gradcore_trainer_run(self.handle, &run, &error)
        self.network.leave()
        if run.done == 1:
            self.report = report
            self.reported = True
        raise_from(call)
        self.finish(status, &error)
        return report.loss

    # train_step of plain arrays without weights, announced to other threads; None, and nothing done, where x is
    # not plain.
    def step_now(self, x, target, hypers, Steps turns):
        cdef unsigned long me = PyThread_get_thread_ident()
        x = self.plain(x)
        if x is None:
            return None
        turns.stepper = me
        try:
            if turns.waiting:
                turns.begin_step()
            return self.train_step(x, target, None, hypers)
        finally:
            if turns.stepper == me:
                turns.stepper = 0

    def plain(self, x):
        cdef object found
        self.require()
        found = plain_matrix(x, self.network.typenum, self.network.inputs, False)
        if found is None or cnp.PyArray_DIM(<cnp.ndarray>found, 0) > self.capacity:
            return None
        return found

    def last_report(self):
        cdef gradcore_report r = self.report
        if not self.reported:
            raise errors.StateError("trainer: expected a train_step before last_report")
        return r.loss, r.correct, r.weight, r.norm, r.scale, bool(r.applied), r.rows

    def run(self, x, target, weight, order, begin, end, batch, hypers, reports, heads=None, ledger=None):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef object call
        cdef gradcore_run run
        cdef cnp.npy_intp dims[2]
        cdef int64_t length
        self.require()
        call = trainer_data(self, x, target, weight, &data)
        memset(&run, 0, sizeof(run))
        run.size = sizeof(gradcore_run)
        run.data = &data
        length = data.rows
        if order is not None:
            if not isinstance(order, np.ndarray) or order.ndim != 1:
                refuse_dtype(order, "order", "an int64 array of shape (n,)")
            length = len(order)
            run.order = <const int64_t *>vector(order, "order", cnp.NPY_INT64, length)
        run.end = integer(end, "end", 0, length)
        run.begin = integer(begin, "begin", 0, run.end)
        run.batch = integer(batch, "batch", 1, INT64_MAX)
        if not isinstance(hypers, np.ndarray) or hypers.ndim != 2:
            refuse_dtype(hypers, "hypers", f"a float64 array of shape (steps, {GRADCORE_HYPERS})")
        run.steps = dims[0] = len(hypers)
        dims[1] = GRADCORE_HYPERS
        run.hypers = <const double *>exact(hypers, "hypers", cnp.NPY_FLOAT64, 2, dims, False)
        run.reports = reports_from(reports, run.steps)
        run.heads = head_reports(self, heads, run.steps)
        run.ledger = NULL
        if ledger is not None:
            dims[0], dims[1] = self.network.parameter_count, 3
            run.ledger = <double *>exact(ledger, "ledger", cnp.NPY_FLOAT64, 2, dims, True)
        run.scale = NULL
        if self.scale_rule is not None:
            run.scale = ask_scale
        run.scale_context = <void *>self
        error.message[0] = 0
        self.network.enter()
        with nogil:
            status = gradcore_trainer_run(self.handle, &run, &error)
        self.network.leave()
        raise_from(call)
        self.finish(status, &error)
        return run.done

    def gradients(self, x, target, weight):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef object call
        cdef gradcore_report report
        self.require()
        call = trainer_data(self, x, target, weight, &data)
        error.message[0] = 0
        self.network.enter()
        with nogil:
            status = gradcore_trainer_gradients(self.handle, &data, &report, &error)
        self.network.leave()
        raise_from(call)
        check(status, &error)
        return report.loss

    def gradient(self, index):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i = 0
        self.require()
        cdef cnp.ndarray array = self.network.array_for(index, True, &i)
        cdef void *data = cnp.PyArray_DATA(array)
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_gradient(self.handle, i, data, &error)
        check(status, &error)
        return array

    def flat_gradients(self, x, target, weight, out):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef gradcore_data data
        cdef object call
        cdef gradcore_report report
        cdef int64_t i, at = 0, size = 0
        cdef bint trainable = False
        cdef char *part
        cdef cnp.npy_intp elements
        self.require()
        elements = self.network.elements
        cdef void *flat = exact(out, "out", self.network.typenum, 1, &elements, True)
        call = trainer_data(self, x, target, weight, &data)
        error.message[0] = 0
        self.network.enter()
        with nogil:
            status = gradcore_trainer_gradients(self.handle, &data, &report, &error)
        self.network.leave()
        raise_from(call)
        check(status, &error)
        for i in range(self.network.parameter_count):
            part = self.network.part(flat, i, at, &size, &trainable)
            if trainable:
                check(gradcore_trainer_gradient(self.handle, i, part, &error), &error)
            at += size
        return report.loss, report.correct, report.weight

    def norms(self):
        cdef gradcore_error error
        cdef gradcore_status status
        self.require()
        cdef cnp.ndarray array = empty(cnp.NPY_FLOAT64, 2, self.network.parameter_count, 2)
        cdef double *data = <double *>cnp.PyArray_DATA(array)
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_norms(self.handle, data, &error)
        check(status, &error)
        return array

    def running_read(self):
        cdef gradcore_error error
        self.require()
        cdef cnp.ndarray array = empty(cnp.NPY_FLOAT64, 1, 1, GRADCORE_RUNNING)
        error.message[0] = 0
        check(gradcore_trainer_running_read(self.handle, <double *>cnp.PyArray_DATA(array), &error), &error)
        return array

    def running_write(self, value):
        cdef gradcore_error error
        self.require()
        self.network.may_change()
        cdef const double *data = <const double *>vector(value, "running", cnp.NPY_FLOAT64, GRADCORE_RUNNING)
        error.message[0] = 0
        check(gradcore_trainer_running_write(self.handle, data, &error), &error)

    def add_average(self, kind, every, start):
        cdef gradcore_error error
        cdef list keep = []
        self.require()
        self.network.may_change()
        cdef int64_t c_every = integer(every, "every", 1, INT64_MAX), c_start = integer(start, "start", 0, INT64_MAX)
        error.message[0] = 0
        check(gradcore_trainer_add_average(self.handle, text(kind, "kind", keep), c_every, c_start, &error), &error)
        cdef int before = self.slots
        self.slots = gradcore_trainer_state_slots(self.handle)
        self.head_means += self.slots - before - 1
        self.accumulates = self.accumulates or kind == "accumulate"

    def accumulated_read(self):
        cdef gradcore_error error
        self.require()
        cdef cnp.ndarray array = empty(cnp.NPY_FLOAT64, 1, 1, 1 + len(self.head_columns or (0,)))
        error.message[0] = 0
        check(gradcore_trainer_accumulated_read(self.handle, <double *>cnp.PyArray_DATA(array), &error), &error)
        return array

    def accumulated_write(self, value):
        cdef gradcore_error error
        self.require()
        cdef int64_t numbers = 1 + len(self.head_columns or (0,))
        cdef const double *data = <const double *>vector(value, "accumulated", cnp.NPY_FLOAT64, numbers)
        error.message[0] = 0
        check(gradcore_trainer_accumulated_write(self.handle, data, &error), &error)

    def set_group(self, index, lr_factor, weight_decay, frozen):
        cdef gradcore_error error
        cdef gradcore_parameter_info info
        self.require()
        self.network.may_change()
        cdef int64_t i = self.network.parameter(index, &info)
        cdef double c_factor = real(lr_factor, "lr_factor"), c_decay = real(weight_decay, "weight_decay")
        cdef int32_t c_frozen = truth(frozen, "frozen")
        error.message[0] = 0
        check(gradcore_trainer_set_group(self.handle, i, c_factor, c_decay, c_frozen, &error), &error)

    # mask: a flag for each parameter
    def set_matrices(self, mask, largest):
        cdef gradcore_error error
        cdef bytes flags = bytes(mask)
        cdef int64_t c_largest = integer(largest, "largest", 0, INT64_MAX)
        self.require()
        self.network.may_change()
        if len(flags) != self.network.parameter_count:
            raise errors.ShapeError(f"mask: expected {self.network.parameter_count} flags, got {len(flags)}")
        error.message[0] = 0
        check(gradcore_trainer_set_matrices(self.handle, <const uint8_t *><const char *>flags, c_largest, &error),
              &error)

    def factor_order(self, index, side):
        self.require()
        return gradcore_trainer_factor_order(self.handle, integer(index, "index", 0, INT32_MAX),
                                             integer(side, "side", 0, 1))

    def factor_read(self, index, side):
        cdef gradcore_error error
        cdef int64_t order = self.factor_order(index, side), i = index
        cdef int32_t c_side = side
        cdef cnp.ndarray array = empty(self.network.typenum, 2, 2 * order, order)
        error.message[0] = 0
        check(gradcore_trainer_factor_read(self.handle, i, c_side, cnp.PyArray_DATA(array), &error), &error)
        return array

    def factor_write(self, index, side, value):
        cdef gradcore_error error
        cdef int64_t order = self.factor_order(index, side), i = index
        cdef int32_t c_side = side
        cdef const void *data = factor(value, "value", self.network.typenum, order, False)
        self.network.may_change()
        error.message[0] = 0
        check(gradcore_trainer_factor_write(self.handle, i, c_side, data, &error), &error)

    def write(self, network, arrays):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef const void **sources
        cdef CoreNetwork owner = network_from(network)
        self.require()
        owner.may_change()
        held = dict_from(arrays)
        sources = owner.sources_from(held)
        error.message[0] = 0
        try:
            with nogil:
                status = gradcore_trainer_write(self.handle, owner.handle, sources, &error)
            check(status, &error)
        finally:
            free(sources)

    def state_read(self, slot, index):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i = 0
        self.require()
        cdef int32_t c_slot = integer(slot, "slot", 0, self.slots - 1)
        cdef cnp.ndarray array = self.network.array_for(index, True, &i)
        cdef void *data = cnp.PyArray_DATA(array)
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_state_read(self.handle, c_slot, i, data, &error)
        check(status, &error)
        return array

    def state_write(self, slot, index, value):
        cdef gradcore_error error
        cdef gradcore_status status
        cdef int64_t i = 0
        self.require()
        self.network.may_change()
        cdef int32_t c_slot = integer(slot, "slot", 0, self.slots - 1)
        cdef const void *data = self.network.source_for(index, value, "value", &i)
        error.message[0] = 0
        with nogil:
            status = gradcore_trainer_state_write(self.handle, c_slot, i, data, &error)
        check(status, &error)


# What the first `done` of a run's reports add to an epoch's sums, in step order: the sums of loss * weight, correct,
# weight, norm and scale over applied steps, from those given; then how many those were, and how many were scaled.
def add_reports(reports, done, loss, correct, weight, norm, scale):
    cdef double c_loss = loss, c_correct = correct, c_weight = weight, c_norm = norm, c_scale = scale
    cdef Py_ssize_t i, steps = integer(done, "done", 0, INT64_MAX), applied = 0, scaled = 0
    cdef const gradcore_report *r
    if not isinstance(reports, np.ndarray) or reports.ndim != 1 or len(reports) < steps:
        refuse_dtype(reports, "reports", f"an array of {steps} reports or more")
    r = reports_from(reports, len(reports))
    for i in range(steps):
        if r[i].applied:
            c_loss += r[i].loss * r[i].weight
            c_correct += r[i].correct
            c_weight += r[i].weight
            c_norm += r[i].norm
            c_scale += r[i].scale
            applied += 1
            scaled += r[i].scale < 1.0
    return c_loss, c_correct, c_weight, c_norm, c_scale, applied, scaled


cdef gradcore_report *reports_from(object value, int64_t steps) except? NULL:
    cdef cnp.ndarray array
    if cnp.PyArray_Check(value):  # told without calls of Python
        array = <cnp.ndarray>value
        if (<object>cnp.PyArray_DESCR(array) is REPORT_DTYPE and cnp.PyArray_NDIM(array) == 1
                and cnp.PyArray_DIM(array, 0) == steps and cnp.PyArray_ISCARRAY(array)):
            return <gradcore_report *>cnp.PyArray_DATA(array)
    if not isinstance(value, np.ndarray) or value.dtype != REPORT_DTYPE or not value.flags.aligned:
        refuse_dtype(value, "reports", "an aligned array of REPORT_DTYPE")
    if value.shape != (steps,) or not value.flags.c_contiguous:
        refuse_shape(value, "reports", f"shape ({steps},), contiguous")
    if not value.flags.writeable:
        raise errors.ArgumentError("reports: expected a writable array, got a read-only one")
    return <gradcore_report *>cnp.PyArray_DATA(<cnp.ndarray>value)
