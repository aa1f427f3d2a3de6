/* A trainer's losses: one of the network's output, or one for each head. What they weigh, read and write in a
 * batch, and what comes of it. */
#include <math.h>
#include <string.h>

#include "../base/sums.h"
#include "gradient_surgery.h"
#include "losses.h"

/* The first task has the plan's own arrays. Nothing changes while it measures. */
static void lay_out(gradcore_trainer *trainer, size_t capacity, grc_arena *a)
{
    grc_task measured;
    for (int i = 1; i < trainer->task_count; i++) {
        grc_task *to = a->base ? &trainer->tasks[i] : &measured;
        to->target = grc_take(a, capacity, grc_target_bytes(&trainer->tasks[i], trainer->net));
        to->row_weight = grc_take(a, capacity, sizeof(double));
        to->row_scale = grc_take(a, capacity, sizeof(double));
        to->row_loss = grc_take(a, capacity, sizeof(double));
        to->row_correct = grc_take(a, capacity, sizeof(double));
        to->row_right = grc_take(a, capacity, sizeof(int32_t));
    }
    grc_uncertain *uncertain = grc_take(a, (size_t)trainer->task_count, sizeof *uncertain);
    if (a->base)
        trainer->uncertain = uncertain;
}

grc_status grc_make_room(gradcore_trainer *trainer, grc_plan *plan, gradcore_error *error)
{
    const gradcore_allocator *allocator = &trainer->net->allocator;
    grc_task *task = trainer->tasks;
    const int tips = task->value != trainer->net->value_count - 1;
    grc_arena arena = {NULL, 0, 0};
    if (tips) {
        lay_out(trainer, plan->view.capacity, &arena);
        arena.base = arena.overflow ? NULL : grc_allocate(allocator, arena.used);
        if (!arena.base)
            return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for the rows of its heads, got none");
    }
    task->target = plan->target;
    task->row_weight = plan->row_weight;
    task->row_scale = plan->row_scale;
    task->row_loss = plan->row_loss;
    task->row_correct = plan->row_correct;
    task->row_right = plan->row_right;
    plan->view.tips = tips;
    if (!tips)
        return GRADCORE_OK;
    grc_release(allocator, trainer->rows_block, trainer->rows_size);
    trainer->rows_block = arena.base;
    trainer->rows_size = arena.used;
    arena.used = 0;
    lay_out(trainer, plan->view.capacity, &arena);
    for (int i = 0; i < trainer->task_count; i++)
        trainer->uncertain[i] = (grc_uncertain){trainer->tasks[i].row_scale, trainer->tasks[i].row_loss, 0};
    plan->view.uncertain = task->factor > 0 ? trainer->uncertain : NULL;
    return GRADCORE_OK;
}

/* ---- a batch ---- */

void grc_place_tasks(gradcore_trainer *trainer, const gradcore_data *data)
{
    for (int i = 0; i < trainer->task_count; i++)
        trainer->tasks[i].data = trainer->plan->view.tips ? grc_head_data(data, i) : *data;
}

int grc_divisors_differ(const gradcore_trainer *trainer, const gradcore_data *d)
{
    int differ = 0;
    for (int i = 0; i < trainer->task_count && trainer->plan->view.tips; i++)
        differ |= grc_head_data(d, i).weight || !grc_loss_is_plain(&trainer->tasks[i].loss);
    return differ;
}

/* Is it at work in this pass? */
static int is_on(const grc_plan *plan, int task)
{
    return !plan->view.only || plan->view.only == task + 1;
}

int64_t grc_row_at(slice *s, int64_t at)
{
    if (!s->order)
        return at;
    const int64_t row = ((const volatile int64_t *)s->order)[at];
    if (row >= 0 && row < s->data->rows)
        return row;
    grc_note_intrusion(&s->intrusion, "order", at, row, s->data->rows - 1);
    return 0;
}

/* Of the row at position `at` of the data's order. */
static double weigh_row(slice *s, const grc_task *task, int64_t at, double *mass)
{
    const gradcore_network *n = s->trainer->net;
    const gradcore_data *d = &task->data;
    const int64_t row = grc_row_at(s, at);
    const int reads = !grc_loss_is_plain(&task->loss), labels = reads && task->loss.labels;
    const int32_t label = labels ? grc_take_label(&task->loss, d->target, row, &s->intrusion) : 0;
    const void *target = labels  ? (const void *)&label
                         : reads ? grc_at(n, d->target, (size_t)(row * d->target_stride))
                                 : NULL;
    return grc_loss_weigh(&task->loss, n->kernels, d->weight ? d->weight[row] : 1, target, mass);
}

/* Where the log variances lie: the last parameter. */
static size_t log_variance_at(const gradcore_network *n)
{
    return n->parameters[n->parameter_count - 1].offset;
}

/* weight factor exp(-log variance), by the kernels' exp: the same bits everywhere. */
static double share_of(const gradcore_trainer *trainer, int index)
{
    const gradcore_network *n = trainer->net;
    const grc_task *task = &trainer->tasks[index];
    double room[GRC_PANEL_BYTES / sizeof(double)] = {0};
    if (!(task->factor > 0))
        return task->weight;
    grc_set(n, room, 0, -grc_get(n, n->w, log_variance_at(n) + (size_t)index));
    n->kernels->act_forward[GRC_ACT_exponential](1, 1, room, room, n->kernels->panel, 0);
    return task->weight * (task->factor * grc_get(n, room, 0));
}

static void weigh_task(slice *s, int index, int64_t first, size_t from, size_t to, int t)
{
    grc_task *task = &s->trainer->tasks[index];
    const size_t rows = s->trainer->plan->view.rows;
    const double share = share_of(s->trainer, index);
    double weight[8] = {0}, divisor[8] = {0}, mass, sum = (double)rows, total = (double)rows;
    if (!task->data.weight && grc_loss_is_plain(&task->loss)) {
        for (size_t r = from; r < to; r++) {
            task->row_weight[r] = 1;
            task->row_scale[r] = share / (double)rows;
        }
    } else {
        for (size_t r = 0; r < rows; r++) { /* as grc_sum folds */
            weight[r % 8] += weigh_row(s, task, first + (int64_t)r, &mass);
            divisor[r % 8] += mass;
        }
        sum = grc_fold_lanes(weight);
        total = grc_fold_lanes(divisor);
        for (size_t r = from; r < to; r++) {
            task->row_weight[r] = weigh_row(s, task, first + (int64_t)r, &mass);
            task->row_scale[r] = total > 0 ? share * task->row_weight[r] / total : 0;
        }
    }
    if (t)
        return;
    task->sum = sum;
    task->divisor = total;
    task->share = share;
    if (!s->trainer->uncertain)
        return;
    const gradcore_network *n = s->trainer->net;
    const double half = total > 0 ? task->weight / 2 : 0;
    s->trainer->uncertain[index].half = half;
    task->regret = task->factor > 0 ? half * grc_get(n, n->w, log_variance_at(n) + (size_t)index) : 0;
}

void grc_weigh_rows(slice *s, int64_t first, size_t from, size_t to, int t)
{
    for (int i = 0; i < s->trainer->task_count; i++)
        if (is_on(s->trainer->plan, i))
            weigh_task(s, i, first, from, to, t);
}

/* Real targets in order are read where they lie. Labels never: they are addresses. */
static int lies_ready(const slice *s, const grc_task *task)
{
    return !s->order && !task->loss.labels;
}

void grc_load_targets(slice *s, int64_t first, size_t row, size_t rows)
{
    const gradcore_network *n = s->trainer->net;
    for (int i = 0; i < s->trainer->task_count; i++) {
        const grc_task *task = &s->trainer->tasks[i];
        const size_t width = task->loss.target_width;
        const gradcore_data *d = &task->data;
        const int labels = task->loss.labels, idle = !is_on(s->trainer->plan, i) || lies_ready(s, task);
        for (size_t r = row; r < row + rows && !idle; r++) {
            const int64_t source = grc_row_at(s, first + (int64_t)r);
            if (labels)
                ((int32_t *)task->target)[r] = grc_take_label(&task->loss, d->target, source, &s->intrusion);
            else
                memcpy(grc_at(n, task->target, r * width),
                       (const char *)d->target + (size_t)(source * d->target_stride) * n->item, width * n->item);
        }
    }
}

static void forget_row(grc_plan *plan, const grc_task *task, size_t r)
{
    const grc_value *v = &plan->view.net->values[task->value];
    task->row_loss[r] = 0;
    task->row_right[r] = 0;
    memset(grc_row(&plan->view, plan->view.delta, task->value, r), 0, v->width * plan->view.net->item);
}

void grc_compute_losses(const slice *s, int64_t first, size_t row, size_t rows)
{
    grc_plan *plan = s->trainer->plan;
    GRC_ASSERT(rows > 0 && row + rows <= plan->view.rows);
    const gradcore_network *n = s->trainer->net;
    for (int i = 0; i < s->trainer->task_count; i++) {
        const grc_task *task = &s->trainer->tasks[i];
        const grc_loss *loss = &task->loss;
        if (!is_on(plan, i))
            continue;
        const int in_place = lies_ready(s, task);
        const size_t target_ld = in_place ? (size_t)task->data.target_stride : loss->target_width;
        const void *target = in_place       ? grc_at(n, task->data.target, ((size_t)first + row) * target_ld)
                             : loss->labels ? (const void *)((int32_t *)task->target + row)
                                            : grc_at(n, task->target, row * target_ld);
        n->kernels->loss[loss->kind](rows, loss->outputs, grc_row(&plan->view, plan->view.value, task->value, row),
                                     n->values[task->value].ld, target, target_ld, task->row_scale + row,
                                     grc_row(&plan->view, plan->view.delta, task->value, row), task->row_loss + row,
                                     task->row_right + row, &loss->args);
        for (size_t r = row; r < row + rows; r++) {
            if (task->row_weight[r] == 0 && !isfinite(task->row_loss[r])) /* it does not count: 0 times NaN is 0 here */
                forget_row(plan, task, r);
            task->row_correct[r] = task->row_right[r];
        }
    }
}

grc_status grc_call_loss_function(slice *s, int64_t first)
{
    grc_plan *plan = s->trainer->plan;
    const gradcore_network *n = plan->view.net;
    const int last = n->value_count - 1;
    const size_t width = n->values[last].width, ld = n->values[last].ld;
    const size_t padded = grc_panels(n, width) * n->kernels->panel;
    const gradcore_loss_batch batch = {.size = sizeof batch,
                                       .rows = (int64_t)plan->view.rows,
                                       .outputs = (int64_t)width,
                                       .order = s->order ? s->order + first : NULL,
                                       .first = first,
                                       .target = s->data->target,
                                       .output = grc_row(&plan->view, plan->view.value, last, 0),
                                       .output_stride = (int64_t)ld,
                                       .d_output = grc_row(&plan->view, plan->view.delta, last, 0),
                                       .d_output_stride = (int64_t)ld};
    const grc_status status = s->trainer->loss_function(s->trainer->loss_context, &batch, &s->own_loss, s->error);
    for (size_t r = 0; r < plan->view.rows; r++) {
        memset(grc_at(n, grc_row(&plan->view, plan->view.delta, last, r), width), 0, (padded - width) * n->item);
        plan->row_correct[r] = 0;
    }
    return status;
}

/* ---- what came of it ---- */

static double mean_loss(const grc_task *task, size_t rows)
{
    return task->divisor > 0 ? grc_weighted_sum(rows, task->row_weight, task->row_loss) / task->divisor : 0;
}

double grc_batch_loss(const gradcore_trainer *trainer, size_t rows)
{
    double loss = 0;
    if (!trainer->plan->view.tips)
        return mean_loss(trainer->tasks, rows);
    for (int i = 0; i < trainer->task_count; i++)
        loss += trainer->tasks[i].share * mean_loss(&trainer->tasks[i], rows) + trainer->tasks[i].regret;
    return loss;
}

double grc_batch_correct(const gradcore_trainer *trainer, size_t rows)
{
    return trainer->plan->view.tips ? 0
                                    : grc_weighted_sum(rows, trainer->tasks->row_weight, trainer->tasks->row_correct);
}

double grc_batch_weight(const gradcore_trainer *trainer)
{
    double sum = 0;
    for (int i = 0; i < trainer->task_count; i++)
        sum += trainer->tasks[i].sum;
    return sum / trainer->task_count;
}

void grc_report_heads(const gradcore_trainer *trainer, size_t rows, double *out)
{
    for (int i = 0; i < trainer->net->head_count; i++) {
        const grc_task *task = &trainer->tasks[i];
        *out++ = mean_loss(task, rows);
        *out++ = grc_weighted_sum(rows, task->row_weight, task->row_correct);
        *out++ = task->sum;
    }
    out[0] = out[1] = (double)NAN;
    if (grc_projects(trainer))
        grc_surgery_report(trainer, out);
}
