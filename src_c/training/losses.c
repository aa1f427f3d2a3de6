/* A trainer's losses: one of the network's output, or one for each head. What they weigh, read and write in a
 * batch, and what comes of it. */
#include <math.h>
#include <string.h>

#include "slice.h"

/* ---- as objects ---- */

size_t grc_target_bytes(const grc_task *task, const gradcore_network *n)
{
    return task->loss.labels ? sizeof(int32_t) : task->loss.target_width * n->item;
}

grc_status grc_check_head_losses(const gradcore_network *n, const gradcore_head_loss *losses, int64_t count,
                                 gradcore_error *error)
{
    if (!n->head_count)
        return grc_fail(error, GRADCORE_INVALID, "heads: expected a network with heads, got one without");
    if (!losses || count != n->head_count)
        return grc_fail(error, GRADCORE_SHAPE, "heads: expected %d losses, one for each head, got %lld",
                        n->head_count, losses ? (long long)count : 0);
    for (int i = 0; i < n->head_count; i++) {
        if (losses[i].size != sizeof *losses)
            return grc_fail(error, GRADCORE_INVALID, "heads[%d].size: expected %zu, got %u", i, sizeof *losses,
                            losses[i].size);
        if (!(losses[i].weight >= 0 && losses[i].weight <= 1e30))
            return grc_fail(error, GRADCORE_INVALID, "heads[%d].weight: expected a number from 0 to 1e30, got %g", i,
                            losses[i].weight);
    }
    return GRADCORE_OK;
}

static grc_status open_heads(gradcore_trainer *t, const gradcore_trainer_options *o, gradcore_error *error)
{
    const gradcore_network *n = t->net;
    const int uncertain = n->parameter_count
                          && strcmp(n->parameters[n->parameter_count - 1].role, "log_variance") == 0;
    grc_status status = grc_check_head_losses(n, o->heads, o->head_count, error);
    if (status == GRADCORE_OK && (o->loss || o->loss_options || o->loss_function))
        status = grc_fail(error, GRADCORE_INVALID, "loss: expected NULL with a loss for each head");
    for (int i = 0; i < n->head_count && status == GRADCORE_OK; i++) {
        const gradcore_head_loss *h = &o->heads[i];
        grc_task *task = &t->tasks[i];
        task->value = n->heads[i].value;
        task->weight = h->weight;
        status = grc_loss_open(&task->loss, &n->allocator, h->loss, h->options, n->dtype,
                               n->values[task->value].width, error);
        if (status == GRADCORE_OK && uncertain)
            task->factor = grc_loss_classifies(task->loss.kind) ? 1 : 0.5;
    }
    return status;
}

static grc_status open_one(gradcore_trainer *t, const gradcore_trainer_options *o, gradcore_error *error)
{
    const gradcore_network *n = t->net;
    grc_task *task = t->tasks;
    task->value = n->value_count - 1;
    task->weight = 1;
    const size_t outputs = n->values[task->value].width;
    if (!o->loss_function)
        return grc_loss_open(&task->loss, &n->allocator, o->loss, o->loss_options, n->dtype, outputs, error);
    if (o->loss || o->loss_options)
        return grc_fail(error, GRADCORE_INVALID, "loss: expected NULL with a loss_function, got '%.40s'",
                        o->loss ? o->loss : "options");
    task->loss = (grc_loss){.kind = GRC_NONE, .outputs = outputs, .allocator = &n->allocator};
    return GRADCORE_OK;
}

grc_status grc_open_tasks(gradcore_trainer *t, const gradcore_trainer_options *o, gradcore_error *error)
{
    const gradcore_network *n = t->net;
    const int count = o->heads || o->head_count ? n->head_count : 1;
    if (o->head_flags & ~(uint32_t)GRADCORE_GRADIENT_SURGERY || (o->head_flags && !o->heads))
        return grc_fail(error, GRADCORE_INVALID, "head_flags: expected known bits, with a loss for each head, got 0x%x",
                        o->head_flags);
    t->tasks_size = ((size_t)count + 1) * sizeof *t->tasks;
    t->tasks = grc_allocate(&n->allocator, t->tasks_size);
    if (!t->tasks)
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its losses, got none");
    t->task_count = count;
    for (int i = 0; i < count; i++)
        t->tasks[i].loss = (grc_loss){.kind = GRC_NONE, .allocator = &n->allocator};
    return o->heads || o->head_count ? open_heads(t, o, error) : open_one(t, o, error);
}

/* The first task has the pass's own arrays. */
static void lay_out(gradcore_trainer *t, grc_arena *a)
{
    const gradcore_network *n = t->net;
    const grc_exec *x = t->x;
    for (int i = 1; i < t->task_count; i++) {
        grc_task *task = &t->tasks[i];
        task->target = grc_take(a, x->capacity, grc_target_bytes(task, n));
        task->row_weight = grc_take(a, x->capacity, sizeof(double));
        task->row_scale = grc_take(a, x->capacity, sizeof(double));
        task->row_loss = grc_take(a, x->capacity, sizeof(double));
        task->row_correct = grc_take(a, x->capacity, sizeof(double));
        task->row_right = grc_take(a, x->capacity, sizeof(int32_t));
    }
    t->uncertain = grc_take(a, (size_t)t->task_count, sizeof *t->uncertain);
}

grc_status grc_make_room(gradcore_trainer *t, gradcore_error *error)
{
    grc_exec *x = t->x;
    grc_task *task = t->tasks;
    task->target = x->target;
    task->row_weight = x->row_weight;
    task->row_scale = x->row_scale;
    task->row_loss = x->row_loss;
    task->row_correct = x->row_correct;
    task->row_right = x->row_right;
    x->tips = task->value != t->net->value_count - 1;
    if (!x->tips)
        return GRADCORE_OK;
    grc_arena arena = {NULL, 0, 0};
    lay_out(t, &arena);
    t->rows_size = arena.used;
    t->rows_block = arena.base = arena.overflow ? NULL : grc_allocate(&t->net->allocator, t->rows_size);
    if (!arena.base)
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for the rows of its heads, got none");
    arena.used = 0;
    lay_out(t, &arena);
    for (int i = 0; i < t->task_count; i++)
        t->uncertain[i] = (grc_uncertain){t->tasks[i].row_scale, t->tasks[i].row_loss, 0};
    x->uncertain = task->factor > 0 ? t->uncertain : NULL;
    return GRADCORE_OK;
}

void grc_close_tasks(gradcore_trainer *t)
{
    for (int i = 0; i < t->task_count; i++)
        grc_loss_close(&t->tasks[i].loss);
    grc_release(&t->net->allocator, t->rows_block, t->rows_size);
    grc_release(&t->net->allocator, t->tasks, t->tasks_size);
}

/* ---- a batch ---- */

grc_status grc_check_head_data(const gradcore_data *d, int heads, gradcore_error *error)
{
    const gradcore_head_data *h = d->target;
    if (!h || d->weight)
        return grc_fail(error, GRADCORE_INVALID, "%s", d->weight
                            ? "weight: expected NULL with heads, which have their own, got weights"
                            : "target: expected a pointer, got NULL");
    for (int i = 0; i < heads; i++)
        if (h[i].size != sizeof *h)
            return grc_fail(error, GRADCORE_INVALID, "target[%d].size: expected %zu, got %u", i, sizeof *h, h[i].size);
    return GRADCORE_OK;
}

gradcore_data grc_head_data(const gradcore_data *d, int index)
{
    const gradcore_head_data *h = (const gradcore_head_data *)d->target + index;
    gradcore_data own = *d;
    own.target = h->target;
    own.target_stride = h->target_stride;
    own.weight = h->weight;
    return own;
}

void grc_place_tasks(gradcore_trainer *t, const gradcore_data *data)
{
    for (int i = 0; i < t->task_count; i++)
        t->tasks[i].data = t->x->tips ? grc_head_data(data, i) : *data;
}

int grc_divisors_differ(const gradcore_trainer *t, const gradcore_data *d)
{
    int differ = 0;
    for (int i = 0; i < t->task_count && t->x->tips; i++)
        differ |= grc_head_data(d, i).weight || !grc_loss_is_plain(&t->tasks[i].loss);
    return differ;
}

/* Is it at work in this pass? */
static int is_on(const grc_exec *x, int task)
{
    return !x->only || x->only == task + 1;
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
    const gradcore_network *n = s->t->net;
    const gradcore_data *d = &task->data;
    const int64_t row = grc_row_at(s, at);
    const int reads = !grc_loss_is_plain(&task->loss), labels = reads && task->loss.labels;
    const int32_t label = labels ? grc_take_label(&task->loss, d->target, row, &s->intrusion) : 0;
    const void *target = labels  ? (const void *)&label
                         : reads ? grc_at(n, d->target, (size_t)(row * d->target_stride))
                                 : NULL;
    return grc_loss_weigh(&task->loss, n->kernels, d->weight ? d->weight[row] : 1, target, mass);
}

/* weight factor exp(-log variance), by the kernels' exp: the same bits everywhere. */
static double share_of(const gradcore_trainer *t, int index)
{
    const gradcore_network *n = t->net;
    const grc_task *task = &t->tasks[index];
    double room[GRC_PANEL_BYTES / sizeof(double)] = {0};
    if (!(task->factor > 0))
        return task->weight;
    grc_set(n, room, 0, -grc_get(n, n->w, n->ops[n->op_count - 1].bias + (size_t)index));
    n->kernels->act_forward[GRC_ACT_exponential](1, 1, room, room, n->kernels->panel, 0);
    return task->weight * (task->factor * grc_get(n, room, 0));
}

static void weigh_task(slice *s, int index, int64_t first, size_t from, size_t to, int t)
{
    grc_task *task = &s->t->tasks[index];
    const size_t rows = s->t->x->rows;
    const double share = share_of(s->t, index);
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
    if (!s->t->uncertain)
        return;
    const gradcore_network *n = s->t->net;
    const double half = total > 0 ? task->weight / 2 : 0;
    s->t->uncertain[index].half = half;
    task->regret = task->factor > 0 ? half * grc_get(n, n->w, n->ops[n->op_count - 1].bias + (size_t)index) : 0;
}

void grc_weigh_rows(slice *s, int64_t first, size_t from, size_t to, int t)
{
    for (int i = 0; i < s->t->task_count; i++)
        if (is_on(s->t->x, i))
            weigh_task(s, i, first, from, to, t);
}

/* Real targets in order are read where they lie. Labels never: they are addresses. */
static int lies_ready(const slice *s, const grc_task *task)
{
    return !s->order && !task->loss.labels;
}

void grc_load_targets(slice *s, int64_t first, size_t row, size_t rows)
{
    const gradcore_network *n = s->t->net;
    for (int i = 0; i < s->t->task_count; i++) {
        const grc_task *task = &s->t->tasks[i];
        const size_t width = task->loss.target_width;
        const gradcore_data *d = &task->data;
        const int labels = task->loss.labels, idle = !is_on(s->t->x, i) || lies_ready(s, task);
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

static void forget_row(grc_exec *x, const grc_task *task, size_t r)
{
    const grc_value *v = &x->net->values[task->value];
    task->row_loss[r] = 0;
    task->row_right[r] = 0;
    memset(grc_row(x, x->delta, task->value, r), 0, v->width * x->net->item);
}

void grc_lose_rows(const slice *s, int64_t first, size_t row, size_t rows)
{
    grc_exec *x = s->t->x;
    const gradcore_network *n = s->t->net;
    for (int i = 0; i < s->t->task_count; i++) {
        const grc_task *task = &s->t->tasks[i];
        const grc_loss *loss = &task->loss;
        if (!is_on(x, i))
            continue;
        const int in_place = lies_ready(s, task);
        const size_t target_ld = in_place ? (size_t)task->data.target_stride : loss->target_width;
        const void *target = in_place ? grc_at(n, task->data.target, ((size_t)first + row) * target_ld)
                             : loss->labels ? (const void *)((int32_t *)task->target + row)
                                            : grc_at(n, task->target, row * target_ld);
        n->kernels->loss[loss->kind](rows, loss->outputs, grc_row(x, x->value, task->value, row),
                                     n->values[task->value].ld, target, target_ld, task->row_scale + row,
                                     grc_row(x, x->delta, task->value, row), task->row_loss + row,
                                     task->row_right + row, &loss->args);
        for (size_t r = row; r < row + rows; r++) {
            if (task->row_weight[r] == 0 && !isfinite(task->row_loss[r])) /* it does not count: 0 times NaN is 0 here */
                forget_row(x, task, r);
            task->row_correct[r] = task->row_right[r];
        }
    }
}

/* ---- what came of it ---- */

static double mean_loss(const grc_task *task, size_t rows)
{
    return task->divisor > 0 ? grc_weighted_sum(rows, task->row_weight, task->row_loss) / task->divisor : 0;
}

double grc_batch_loss(const gradcore_trainer *t, size_t rows)
{
    double loss = 0;
    if (!t->x->tips)
        return mean_loss(t->tasks, rows);
    for (int i = 0; i < t->task_count; i++)
        loss += t->tasks[i].share * mean_loss(&t->tasks[i], rows) + t->tasks[i].regret;
    return loss;
}

double grc_batch_correct(const gradcore_trainer *t, size_t rows)
{
    return t->x->tips ? 0 : grc_weighted_sum(rows, t->tasks->row_weight, t->tasks->row_correct);
}

double grc_batch_weight(const gradcore_trainer *t)
{
    double sum = 0;
    for (int i = 0; i < t->task_count; i++)
        sum += t->tasks[i].sum;
    return sum / t->task_count;
}

void grc_report_heads(const gradcore_trainer *t, size_t rows, double *out)
{
    for (int i = 0; i < t->net->head_count; i++) {
        const grc_task *task = &t->tasks[i];
        *out++ = mean_loss(task, rows);
        *out++ = grc_weighted_sum(rows, task->row_weight, task->row_correct);
        *out++ = task->sum;
    }
    out[0] = out[1] = (double)NAN;
    if (grc_projects(t))
        grc_surgery_report(t, out);
}
