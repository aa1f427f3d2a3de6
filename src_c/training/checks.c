/* What a slice of training steps is given, checked before anything changes. */
#include "averages.h"
#include "checks.h"
#include "rules.h"

static grc_status check_target(const grc_task *task, const gradcore_data *d, gradcore_error *error)
{
    if (!d->target && task->loss.kind != GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "target: expected a pointer, got NULL");
    if (!task->loss.labels && d->rows > 1 && (d->target_stride < 0 || d->target_stride > INT64_MAX / 16 / d->rows))
        return grc_fail(error, GRADCORE_SHAPE, "target: expected a row stride of at least 0 (outputs: %zu), got %lld",
                        task->loss.target_width, (long long)d->target_stride);
    return GRADCORE_OK;
}

static grc_status check_heads(const gradcore_trainer *trainer, const gradcore_data *d, gradcore_error *error)
{
    grc_status status = grc_check_head_data(d, trainer->task_count, error);
    for (int i = 0; i < trainer->task_count && status == GRADCORE_OK; i++) {
        const gradcore_data own = grc_head_data(d, i);
        status = check_target(&trainer->tasks[i], &own, error);
    }
    return status;
}

grc_status grc_check_data(const gradcore_trainer *trainer, const gradcore_data *d, gradcore_error *error)
{
    const int64_t inputs = (int64_t)trainer->net->values[0].width;
    if (!d || d->size != sizeof *d)
        return grc_fail(error, GRADCORE_INVALID, "data: expected a gradcore_data with its size set");
    if (trainer->loss_function && d->weight)
        return grc_fail(error, GRADCORE_INVALID, "weight: expected NULL with a loss_function, got weights");
    if (!d->x || (!d->target && !trainer->loss_function))
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", d->x ? "target" : "x");
    if (d->rows < 1)
        return grc_fail(error, GRADCORE_SHAPE, "x: expected at least 1 row, got %lld", (long long)d->rows);
    if (d->rows > 1 && (d->x_stride < 0 || d->x_stride > INT64_MAX / 16 / d->rows))
        return grc_fail(error, GRADCORE_SHAPE, "x: expected a row stride of at least 0 (inputs: %lld), got %lld",
                        (long long)inputs, (long long)d->x_stride);
    return trainer->plan->view.tips ? check_heads(trainer, d, error) : check_target(trainer->tasks, d, error);
}

static grc_status check_task(const grc_task *task, const gradcore_data *d, const int64_t *order, int64_t begin,
                             int64_t end, gradcore_error *error)
{
    const grc_loss *loss = &task->loss;
    grc_status status = GRADCORE_OK;
    for (int64_t p = begin; p < end; p++) {
        const int64_t row = order ? order[p] : p;
        if (row < 0 || row >= d->rows)
            return grc_fail(error, GRADCORE_INVALID, "order[%lld]: expected 0 to %lld, got %lld", (long long)p,
                            (long long)d->rows - 1, (long long)row);
        if (loss->labels)
            status = grc_loss_check_label(loss, ((const int32_t *)d->target)[row], row, error);
        if (status != GRADCORE_OK)
            return status;
        if (d->weight && !(d->weight[row] >= 0 && d->weight[row] <= GRC_MOST_WEIGHT))
            return grc_fail(error, GRADCORE_INVALID, "weight[%lld]: expected a number from 0 to %g, got %g",
                            (long long)row, GRC_MOST_WEIGHT, d->weight[row]);
    }
    return GRADCORE_OK;
}

grc_status grc_check_rows(const gradcore_trainer *trainer, const gradcore_data *d, const int64_t *order, int64_t begin,
                          int64_t end, gradcore_error *error)
{
    grc_status status = GRADCORE_OK;
    for (int i = 0; i < trainer->task_count && status == GRADCORE_OK; i++) {
        const gradcore_data own = trainer->plan->view.tips ? grc_head_data(d, i) : *d;
        status = check_task(&trainer->tasks[i], &own, order, begin, end, error);
    }
    return status;
}

grc_status grc_check_step(const gradcore_trainer *trainer, const double *h, gradcore_error *error)
{
    const int clipped = grc_clip_is_scheduled(trainer);
    grc_status status = grc_check_hypers(trainer->optimizer, trainer->net->dtype, clipped, h, error);
    for (int j = 0; j < trainer->average_count && status == GRADCORE_OK; j++)
        status = grc_check_rate(&trainer->averages[j], h[GRADCORE_AVERAGE + j], error);
    return status;
}

grc_status grc_check_run(const gradcore_trainer *trainer, gradcore_run *r, gradcore_error *error)
{
    /* The sizes that the struct has had. */
    if (!r
        || (r->size != sizeof *r && r->size != offsetof(gradcore_run, ledger)
            && r->size != offsetof(gradcore_run, heads)))
        return grc_fail(error, GRADCORE_INVALID, "run: expected a gradcore_run with its size set");
    r->done = 0;
    if (!r->hypers || !r->reports)
        return grc_fail(error, GRADCORE_INVALID, "run: expected a gradcore_run with size, hypers and reports");
    grc_status status = grc_check_data(trainer, r->data, error);
    if (status != GRADCORE_OK)
        return status;
    if (r->batch < 1 || (size_t)r->batch > trainer->plan->view.capacity)
        return grc_fail(error, GRADCORE_SHAPE, "batch: expected 1 to %zu rows, got %lld", trainer->plan->view.capacity,
                        (long long)r->batch);
    if (r->begin < 0 || r->end <= r->begin || (!r->order && r->end > r->data->rows))
        return grc_fail(error, GRADCORE_SHAPE, "begin, end: expected 0 <= begin < end <= %lld, got %lld and %lld",
                        (long long)r->data->rows, (long long)r->begin, (long long)r->end);
    const int64_t batches = (r->end - r->begin - 1) / r->batch + 1;
    if (r->steps < 1 || r->steps > batches)
        return grc_fail(error, GRADCORE_SHAPE, "steps: expected 1 to %lld, got %lld", (long long)batches,
                        (long long)r->steps);
    const uint64_t done = atomic_load(&trainer->step);
    if ((uint64_t)r->steps > GRC_MOST_STEPS - done)
        return grc_fail(error, GRADCORE_STATE, "steps: expected at most 2^48 in all, got %lld more after %llu",
                        (long long)r->steps, (unsigned long long)done);
    for (int64_t i = 0; i < r->steps && status == GRADCORE_OK; i++)
        status = grc_check_step(trainer, r->hypers + i * GRADCORE_HYPERS, error);
    return status;
}
