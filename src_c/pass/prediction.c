/* Prediction and evaluation: rows in blocks, each thread its own, any number of callers at a time. */
#include <math.h>
#include <string.h>

#include "../base/sums.h"
#include "forward_backward.h"
#include "tasks.h"

#define GRC_PREDICT_ROWS ((size_t)GRC_KC)
#define GRC_SPLIT_ROWS ((size_t)32) /* two tiles of a product and more */

typedef struct predict_call {
    gradcore_network *net;
    grc_plan *plan;
    const gradcore_data *data;
    void *y;           /* predictions, or NULL: evaluate */
    int64_t y_stride;
    const grc_task *tasks; /* evaluation: losses, values and data */
    int task_count;
    double *sums;      /* (blocks, tasks, 4): weighted loss, weighted right, weight, divisor */
    double *total;     /* (tasks, 4) */
    grc_intrusion intrusion;
} predict_call;

/* Threads' shares are whole units. Sums over rows are made of blocks of fixed size; a row's outputs stand alone. */
static size_t unit_of(const predict_call *c)
{
    return c->y ? GRC_SPLIT_ROWS : GRC_PREDICT_ROWS;
}

static void evaluate_rows(predict_call *c, int index, size_t lane, size_t first, size_t rows)
{
    grc_plan *plan = c->plan;
    const gradcore_network *n = c->net;
    const grc_value *v = &n->values[c->tasks[index].value];
    const gradcore_data *d = &c->tasks[index].data;
    const grc_loss *loss = &c->tasks[index].loss;
    const size_t stride = loss->labels ? 1 : (size_t)d->target_stride;
    int32_t labels[GRC_PREDICT_ROWS];
    for (size_t r = 0; r < rows && loss->labels; r++)
        labels[r] = grc_take_label(loss, d->target, (int64_t)(first + r), &c->intrusion);
    const void *target = loss->labels ? (const void *)labels : grc_at(n, d->target, first * stride);
    const size_t step = stride * (loss->labels ? sizeof *labels : n->item);
    n->kernels->loss[loss->kind](rows, v->width, grc_row(&plan->view, plan->view.value, c->tasks[index].value, lane),
                                 v->ld, target, stride, NULL, NULL, plan->row_loss + lane, plan->row_right + lane,
                                 &loss->args);
    double weight[GRC_PREDICT_ROWS], mass[GRC_PREDICT_ROWS], right[GRC_PREDICT_ROWS];
    for (size_t r = 0; r < rows; r++) {
        weight[r] = grc_loss_weigh(loss, n->kernels, d->weight ? d->weight[first + r] : 1,
                                   (const char *)target + r * step, mass + r);
        if (weight[r] == 0 && !isfinite(plan->row_loss[lane + r])) /* it does not count: 0 times NaN is 0 here */
            plan->row_loss[lane + r] = plan->row_right[lane + r] = 0;
        right[r] = plan->row_right[lane + r];
    }
    double *sum = c->sums + 4 * (first / GRC_PREDICT_ROWS * (size_t)c->task_count + (size_t)index);
    sum[0] = grc_weighted_sum(rows, weight, plan->row_loss + lane);
    sum[1] = grc_weighted_sum(rows, weight, right);
    sum[2] = grc_sum(rows, weight);
    sum[3] = grc_sum(rows, mass);
}

static void predict_rows(predict_call *c, size_t lane, size_t first, size_t rows)
{
    grc_plan *plan = c->plan;
    const gradcore_network *n = c->net;
    const int last = n->value_count - 1;
    const size_t width = n->values[last].width;
    const char *in = (const char *)c->data->x + (size_t)((int64_t)first * c->data->x_stride) * n->item;
    grc_load_rows(&plan->view, lane, rows, in, (size_t)c->data->x_stride);
    grc_forward(&plan->view, lane, rows);
    if (c->y) {
        for (size_t r = 0; r < rows; r++)
            memcpy((char *)c->y + (size_t)((int64_t)(first + r) * c->y_stride) * n->item,
                   grc_row(&plan->view, plan->view.value, last, lane + r), width * n->item);
        return;
    }
    for (int i = 0; i < c->task_count; i++)
        evaluate_rows(c, i, lane, first, rows);
}

static void predict_team(void *context, grc_team *team, int t, int count)
{
    predict_call *c = context;
    size_t row, end;
    (void)team;
    grc_rows_of((size_t)c->data->rows, unit_of(c), t, count, &row, &end);
    for (; row < end; row += GRC_PREDICT_ROWS)
        predict_rows(c, (size_t)t * GRC_PREDICT_ROWS, row, grc_min(GRC_PREDICT_ROWS, end - row));
}

/* Runs c on a workspace: the idle one if it is free and large enough, else a new one. */
static grc_status run(predict_call *c, gradcore_error *error)
{
    gradcore_network *n = c->net;
    const size_t rows = (size_t)c->data->rows, units = (rows + unit_of(c) - 1) / unit_of(c);
    int threads = grc_threads_for(n, 1, rows);
    while (threads > 1 && (size_t)threads > units) /* as grc_threads_for halves, so that few pools are made */
        threads /= 2;
    const size_t capacity = threads > 1 ? (size_t)threads * GRC_PREDICT_ROWS : grc_min(rows, GRC_PREDICT_ROWS);

    c->plan = (grc_plan *)atomic_exchange(&n->spare, NULL); /* it is the first field */
    if (c->plan && c->plan->view.capacity < capacity) {
        grc_plan_destroy(c->plan);
        c->plan = NULL;
    }
    if (!c->plan) {
        const grc_status status = grc_plan_create(n, GRC_PLAN_PREDICT, capacity, 0, 0, 0, &c->plan, error);
        if (status != GRADCORE_OK)
            return status;
    }
    c->plan->view.training = 0;
    grc_team_for(n, threads, &predict_team, c);
    grc_spare *other = atomic_exchange(&n->spare, &c->plan->spare);
    if (other)
        other->destroy(other);
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
        return grc_network_refused(n, error);
    predict_call c = {.net = n, .data = &data, .y = y, .y_stride = y_stride};
    status = grc_check_codes(n, x, x_stride, NULL, 0, rows, error);
    if (status == GRADCORE_OK)
        status = run(&c, error);
    grc_unlock_read(n);
    return status;
}

static void add_up(void *context, grc_team *team, int t, int count)
{
    predict_call *c = context;
    const size_t blocks = ((size_t)c->data->rows + GRC_PREDICT_ROWS - 1) / GRC_PREDICT_ROWS;
    const size_t numbers = 4 * (size_t)c->task_count;
    (void)team, (void)t, (void)count;
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < numbers; i++)
            c->total[i] += c->sums[numbers * b + i];
}

static grc_status check_targets(const grc_task *task, gradcore_error *error)
{
    const gradcore_data *d = &task->data;
    const int labels = task->loss.labels;
    grc_status status = GRADCORE_OK;
    int heavy = 0;
    if (!d->target)
        return grc_fail(error, GRADCORE_INVALID, "target: expected a pointer, got NULL");
    if (!labels && d->rows > 1 && (d->target_stride < 0 || d->target_stride > INT64_MAX / 16 / d->rows))
        return grc_fail(error, GRADCORE_SHAPE, "target: expected a row stride of at least 0, got %lld",
                        (long long)d->target_stride);
    for (int64_t r = 0; r < d->rows; r++) {
        if (labels)
            status = grc_loss_check_label(&task->loss, ((const int32_t *)d->target)[r], r, error);
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

static void score_task(const grc_task *task, const double total[4], gradcore_score *score)
{
    score->loss = total[3] > 0 ? total[0] / total[3] : 0;
    score->accuracy = (double)NAN;
    if (grc_loss_classifies(task->loss.kind) && total[2] > 0)
        score->accuracy = total[1] / total[2];
    if (score->size > offsetof(gradcore_score, weight)) {
        score->weight = total[2];
        score->divisor = total[3];
    }
}

/* The scores of checked data, one a task. */
static grc_status evaluate(gradcore_network *n, const gradcore_data *d, const grc_task *tasks, int count,
                           gradcore_score *scores, gradcore_error *error)
{
    const size_t blocks = ((size_t)d->rows + GRC_PREDICT_ROWS - 1) / GRC_PREDICT_ROWS;
    const size_t numbers = 4 * (size_t)count, size = numbers * (blocks + 1) * sizeof(double);
    predict_call c = {.net = n, .data = d, .tasks = tasks, .task_count = count};
    grc_status status = GRADCORE_OK;
    for (int i = 0; i < count && status == GRADCORE_OK; i++)
        status = check_targets(&tasks[i], error);
    if (status != GRADCORE_OK)
        return status;
    c.total = grc_allocate(&n->allocator, size);
    if (!c.total)
        return grc_fail(error, GRADCORE_NO_MEMORY, "evaluate: expected %zu bytes, got none", size);
    c.sums = c.total + numbers;
    if (grc_lock_read(n)) {
        status = grc_check_codes(n, d->x, d->x_stride, NULL, 0, d->rows, error);
        if (status == GRADCORE_OK)
            status = run(&c, error);
        grc_unlock_read(n);
    } else {
        status = grc_network_refused(n, error);
    }
    if (status == GRADCORE_OK)
        status = grc_report_intrusion(&c.intrusion, error);
    if (status == GRADCORE_OK) {
        grc_team_run(1, n->flush_denormals, &add_up, &c);
        for (int i = 0; i < count; i++)
            score_task(&tasks[i], c.total + 4 * i, &scores[i]);
    }
    grc_release(&n->allocator, c.total, size);
    return status;
}

static grc_status check_call(const gradcore_network *n, const gradcore_data *d, const gradcore_score *scores, int count,
                             gradcore_error *error)
{
    int fits = n && d && d->size == sizeof *d && scores;
    for (int i = 0; fits && i < count; i++)
        fits = scores[i].size == sizeof *scores || (count == 1 && scores[i].size == offsetof(gradcore_score, weight));
    if (!fits)
        return grc_fail(error, GRADCORE_INVALID, "evaluate: expected a network, data and score with their sizes set");
    return check(n, d, error);
}

grc_status gradcore_network_evaluate_loss(gradcore_network *n, const char *name, const gradcore_loss_options *options,
                                          const gradcore_data *d, gradcore_score *score, gradcore_error *error)
{
    grc_status status = check_call(n, d, score, 1, error);
    if (status != GRADCORE_OK)
        return status;
    grc_task task = {.value = n->value_count - 1, .data = *d};
    status = grc_loss_open(&task.loss, &n->allocator, name, options, n->dtype, n->values[task.value].width, error);
    if (status != GRADCORE_OK)
        return status;
    status = evaluate(n, d, &task, 1, score, error);
    grc_loss_close(&task.loss);
    return status;
}

grc_status gradcore_network_evaluate_heads(gradcore_network *n, const gradcore_head_loss *losses,
                                           const gradcore_data *d, gradcore_score *scores, gradcore_error *error)
{
    grc_task *tasks = NULL;
    int count = 0;
    grc_status status = check_call(n, d, scores, n ? n->head_count : 0, error);
    if (status == GRADCORE_OK)
        status = grc_check_head_data(d, n->head_count, error);
    if (status != GRADCORE_OK)
        return status;
    const gradcore_trainer_options o = {.heads = losses, .head_count = n->head_count};
    status = losses ? grc_open_tasks(n, &o, &tasks, &count, error) : grc_check_head_losses(n, NULL, 0, error);
    for (int i = 0; i < n->head_count && status == GRADCORE_OK; i++)
        tasks[i].data = grc_head_data(d, i);
    if (status == GRADCORE_OK)
        status = evaluate(n, d, tasks, count, scores, error);
    grc_close_tasks(n, tasks, count);
    return status;
}
