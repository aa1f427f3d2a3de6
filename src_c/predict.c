/* Prediction and evaluation: rows in blocks, each thread its own, any number of callers at a time. */
#include <math.h>
#include <string.h>

#include "loss.h"

#define GRC_PREDICT_ROWS ((size_t)GRC_KC)

typedef struct predict_call {
    gradcore_network *net;
    grc_exec *x;
    const gradcore_data *data;
    void *y;           /* predictions, or NULL: evaluate */
    int64_t y_stride;
    const grc_loss *loss;
    double *sums;      /* evaluation: (blocks, 4): weighted loss, weighted right, weight, divisor */
    double total[4];
} predict_call;

static void predict_rows(const predict_call *c, size_t lane, size_t first, size_t rows)
{
    grc_exec *x = c->x;
    const gradcore_network *n = c->net;
    const int last = n->value_count - 1;
    const size_t width = n->values[last].width, ld = n->values[last].ld;
    const char *in = (const char *)c->data->x + (size_t)((int64_t)first * c->data->x_stride) * n->item;
    grc_load_rows(x, lane, rows, in, (size_t)c->data->x_stride, NULL);
    grc_forward(x, lane, rows);
    if (c->y) {
        for (size_t r = 0; r < rows; r++)
            memcpy((char *)c->y + (size_t)((int64_t)(first + r) * c->y_stride) * n->item,
                   grc_row(x, x->value, last, lane + r), width * n->item);
        return;
    }
    const gradcore_data *d = c->data;
    const grc_loss *loss = c->loss;
    const size_t stride = loss->labels ? 1 : (size_t)d->target_stride;
    const void *target = (const char *)d->target + first * stride * (loss->labels ? sizeof(int32_t) : n->item);
    n->kernels->loss[loss->kind](rows, width, grc_row(x, x->value, last, lane), ld, target, stride,
                                 NULL, NULL, x->row_loss + lane, x->row_right + lane, &loss->args);
    double weight[GRC_PREDICT_ROWS], mass[GRC_PREDICT_ROWS], right[GRC_PREDICT_ROWS];
    for (size_t r = 0; r < rows; r++) {
        weight[r] = grc_loss_weigh(loss, n, d, (int64_t)(first + r), mass + r);
        right[r] = x->row_right[lane + r];
    }
    double *sum = c->sums + 4 * (first / GRC_PREDICT_ROWS);
    sum[0] = grc_weighted_sum(rows, weight, x->row_loss + lane);
    sum[1] = grc_weighted_sum(rows, weight, right);
    sum[2] = grc_sum(rows, weight);
    sum[3] = grc_sum(rows, mass);
}

static void predict_team(void *context, grc_team *team, int t, int count)
{
    const predict_call *c = context;
    size_t row, end;
    (void)team;
    grc_rows_of((size_t)c->data->rows, GRC_PREDICT_ROWS, t, count, &row, &end);
    for (; row < end; row += GRC_PREDICT_ROWS)
        predict_rows(c, (size_t)t * GRC_PREDICT_ROWS, row, grc_min(GRC_PREDICT_ROWS, end - row));
}

/* Runs c on a workspace: the idle one if it is free and large enough, else a new one. */
static grc_status run(predict_call *c, gradcore_error *error)
{
    gradcore_network *n = c->net;
    const size_t rows = (size_t)c->data->rows;
    const int wanted = grc_threads_for(n, 1, rows, 0);
    const size_t blocks = (rows + GRC_PREDICT_ROWS - 1) / GRC_PREDICT_ROWS;
    int threads = wanted;
    while (threads > 1 && (size_t)threads > blocks) /* as grc_threads_for halves, so that few pools are made */
        threads /= 2;
    const size_t capacity = threads > 1 ? (size_t)threads * GRC_PREDICT_ROWS : grc_min(rows, GRC_PREDICT_ROWS);

    c->x = atomic_exchange(&n->spare, NULL);
    if (c->x && c->x->capacity < capacity) {
        grc_exec_destroy(c->x);
        c->x = NULL;
    }
    if (!c->x) {
        const grc_status status = grc_exec_create(n, GRC_EXEC_PREDICT, capacity, 0, 0, 0, &c->x, error);
        if (status != GRADCORE_OK)
            return status;
    }
    c->x->training = 0;
    grc_team_run(threads, n->flush_denormals, &predict_team, c);
    grc_exec_destroy(atomic_exchange(&n->spare, c->x));
    return GRADCORE_OK;
}

static grc_status check(const gradcore_network *n, const gradcore_data *d, gradcore_error *error)
{
    if (!d->x || d->rows < 1)
        return grc_fail(error, d->x ? GRADCORE_SHAPE : GRADCORE_INVALID, "x: expected at least 1 row, got %lld",
                        d->x ? (long long)d->rows : 0);
    if (d->rows > 1 && (d->x_stride < 0 || d->x_stride > INT64_MAX / 16 / d->rows))
        return grc_fail(error, GRADCORE_SHAPE, "x: expected a row stride of at least 0 (inputs: %zu), got %lld",
                        n->values[0].width, (long long)d->x_stride);
    return GRADCORE_OK;
}

grc_status gradcore_network_predict(gradcore_network *n, const void *x, int64_t x_stride, int64_t rows, void *y,
                                    int64_t y_stride, gradcore_error *error)
{
    const gradcore_data data = {.size = sizeof data, .x = x, .x_stride = x_stride, .rows = rows};
    if (!n || !y)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "y" : "network");
    grc_status status = check(n, &data, error);
    if (status == GRADCORE_OK && rows > 1 && y_stride < (int64_t)n->values[n->value_count - 1].width)
        status = grc_fail(error, GRADCORE_SHAPE, "y: expected a row stride of at least %zu, got %lld",
                          n->values[n->value_count - 1].width, (long long)y_stride);
    if (status != GRADCORE_OK)
        return status;
    if (!grc_lock_read(n))
        return grc_busy(error, "network");
    predict_call c = {.net = n, .data = &data, .y = y, .y_stride = y_stride};
    status = run(&c, error);
    grc_unlock_read(n);
    return status;
}

static void add_up(void *context, grc_team *team, int t, int count)
{
    predict_call *c = context;
    const size_t blocks = ((size_t)c->data->rows + GRC_PREDICT_ROWS - 1) / GRC_PREDICT_ROWS;
    (void)team, (void)t, (void)count;
    for (size_t b = 0; b < blocks; b++)
        for (int i = 0; i < 4; i++)
            c->total[i] += c->sums[4 * b + (size_t)i];
}

static grc_status check_targets(const predict_call *c, gradcore_error *error)
{
    const gradcore_data *d = c->data;
    const int labels = c->loss->labels;
    grc_status status = GRADCORE_OK;
    int heavy = 0;
    if (!d->target)
        return grc_fail(error, GRADCORE_INVALID, "target: expected a pointer, got NULL");
    if (!labels && d->rows > 1 && (d->target_stride < 0 || d->target_stride > INT64_MAX / 16 / d->rows))
        return grc_fail(error, GRADCORE_SHAPE, "target: expected a row stride of at least 0, got %lld",
                        (long long)d->target_stride);
    for (int64_t r = 0; r < d->rows; r++) {
        if (labels)
            status = grc_loss_check_label(c->loss, ((const int32_t *)d->target)[r], r, error);
        if (status != GRADCORE_OK)
            return status;
        if (d->weight && !(d->weight[r] >= 0 && d->weight[r] <= GRC_MOST_WEIGHT))
            return grc_fail(error, GRADCORE_INVALID, "weight[%lld]: expected a number from 0 to %g, got %g",
                            (long long)r, GRC_MOST_WEIGHT, d->weight[r]);
        heavy |= !d->weight || d->weight[r] > 0;
    }
    if (!heavy)
        return grc_fail(error, GRADCORE_INVALID, "weight: expected at least one above 0, got only zeros");
    return GRADCORE_OK;
}

grc_status gradcore_network_evaluate(gradcore_network *n, const char *loss, const gradcore_data *d,
                                     gradcore_score *score, gradcore_error *error)
{
    return gradcore_network_evaluate_loss(n, loss, NULL, d, score, error);
}

/* The scores of checked data. */
static grc_status evaluate(gradcore_network *n, const grc_loss *loss, const gradcore_data *d,
                           gradcore_score *score, gradcore_error *error)
{
    const size_t blocks = ((size_t)d->rows + GRC_PREDICT_ROWS - 1) / GRC_PREDICT_ROWS;
    const size_t size = 4 * blocks * sizeof(double);
    predict_call c = {.net = n, .data = d, .loss = loss};
    grc_status status = check_targets(&c, error);
    if (status != GRADCORE_OK)
        return status;
    c.sums = grc_allocate(&n->allocator, size);
    if (!c.sums)
        return grc_fail(error, GRADCORE_NO_MEMORY, "evaluate: expected %zu bytes, got none", size);
    if (grc_lock_read(n)) {
        status = run(&c, error);
        grc_unlock_read(n);
    } else {
        status = grc_busy(error, "network");
    }
    if (status == GRADCORE_OK) {
        grc_team_run(1, n->flush_denormals, &add_up, &c);
        score->loss = c.total[3] > 0 ? c.total[0] / c.total[3] : 0;
        score->accuracy = (double)NAN;
        if (grc_loss_classifies(loss->kind) && c.total[2] > 0)
            score->accuracy = c.total[1] / c.total[2];
        if (score->size > offsetof(gradcore_score, weight)) {
            score->weight = c.total[2];
            score->divisor = c.total[3];
        }
    }
    grc_release(&n->allocator, c.sums, size);
    return status;
}

grc_status gradcore_network_evaluate_loss(gradcore_network *n, const char *name,
                                          const gradcore_loss_options *options, const gradcore_data *d,
                                          gradcore_score *score, gradcore_error *error)
{
    grc_loss loss;
    if (!n || !d || d->size != sizeof *d || !score
        || (score->size != sizeof *score && score->size != offsetof(gradcore_score, weight)))
        return grc_fail(error, GRADCORE_INVALID,
                        "evaluate: expected a network, data and score with their sizes set");
    grc_status status = check(n, d, error);
    if (status == GRADCORE_OK)
        status = grc_loss_open(&loss, &n->allocator, name, options, n->dtype,
                               n->values[n->value_count - 1].width, error);
    if (status != GRADCORE_OK)
        return status;
    status = evaluate(n, &loss, d, score, error);
    grc_loss_close(&loss);
    return status;
}
