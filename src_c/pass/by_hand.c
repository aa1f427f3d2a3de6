/* Forward and backward by hand, one batch at a time. */
#include <string.h>

#include "forward_backward.h"
#include "gradients.h"

struct gradcore_pass {
    gradcore_network *net;
    grc_plan *plan;
    int ready;         /* 1: forward done; 2: backward done; 0: nothing */
    uint64_t version;  /* of the weights that forward used */
    grc_lock lock;
};

/* What the threads of one call share. */
typedef struct pass_call {
    gradcore_pass *pass;
    const void *in;
    size_t in_stride;
    void *out;         /* may be NULL */
    size_t out_stride;
    int refresh;
} pass_call;

static grc_status enter(gradcore_pass *p, gradcore_error *error)
{
    if (!p)
        return grc_fail(error, GRADCORE_INVALID, "pass: expected a pass, got NULL");
    switch (grc_lock_take(&p->lock, GRC_KEEPING)) {
    case GRC_TAKEN_BY_OTHERS: return grc_busy(error, "pass");
    case GRC_TAKEN_OVER: /* in the middle of a call */
        p->ready = 0;
        p->plan->version = UINT64_MAX;
        return GRADCORE_OK;
    default: return GRADCORE_OK;
    }
}

static void leave(gradcore_pass *p)
{
    grc_lock_drop(&p->lock, GRC_KEEPING);
}

grc_status gradcore_pass_create(gradcore_network *n, int64_t capacity, gradcore_pass **out, gradcore_error *error)
{
    if (!n || !out)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "out" : "network");
    if (capacity < 1 || capacity > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "capacity: expected 1 to 2147483647 rows, got %lld",
                        (long long)capacity);
    gradcore_pass *p = grc_allocate(&n->allocator, sizeof *p);
    if (!p)
        return grc_fail(error, GRADCORE_NO_MEMORY, "pass: expected memory for it, got none");
    p->net = n;
    grc_lock_open(&p->lock);
    const grc_status status = grc_plan_create(n, GRC_PLAN_PASS, (size_t)capacity, 0, 0, 0, &p->plan, error);
    if (status != GRADCORE_OK) {
        grc_release(&n->allocator, p, sizeof *p);
        return status;
    }
    *out = p;
    return GRADCORE_OK;
}

void gradcore_pass_destroy(gradcore_pass *p)
{
    if (!p)
        return;
    gradcore_network *n = p->net;
    grc_plan_destroy(p->plan);
    grc_release(&n->allocator, p, sizeof *p);
}

grc_status gradcore_pass_set_rates(gradcore_pass *p, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                                   gradcore_error *error)
{
    grc_status status = enter(p, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_set_rates(&p->plan->view.rates, p->net, first, steps, layers, rates, error);
    p->ready = 0; /* backward would look up other rates than forward did */
    leave(p);
    return status;
}

static size_t value_width(const gradcore_pass *p, int value)
{
    return p->net->values[value].width;
}

static void copy_out(const grc_plan *plan, void *const *data, int value, size_t row, size_t rows, void *out,
                     size_t stride)
{
    const gradcore_network *n = plan->view.net;
    for (size_t r = row; r < row + rows; r++)
        memcpy(grc_at(n, out, r * stride), grc_row(&plan->view, data, value, r), n->values[value].width * n->item);
}

static void forward_team(void *context, grc_team *team, int t, int count)
{
    const pass_call *c = context;
    grc_plan *plan = c->pass->plan;
    const int last = plan->view.net->value_count - 1;
    size_t row, end;
    grc_rows_of(plan->view.rows, 1, t, count, &row, &end);
    const size_t unit = plan->view.net->meets ? plan->view.rows : GRC_KC; /* all of the thread's rows, or a block */
    for (size_t first = row; first < end || (first == row && plan->view.net->meets); first += unit) {
        const size_t rows = grc_min(unit, end - first);
        grc_load_rows(&plan->view, first, rows, grc_at(plan->view.net, c->in, first * c->in_stride), c->in_stride);
        if (plan->view.net->meets)
            grc_forward_team(&plan->view, team, first, rows, t, count);
        else
            grc_forward(&plan->view, first, rows);
        if (c->out)
            copy_out(plan, plan->view.value, last, first, rows, c->out, c->out_stride);
    }
}

grc_status gradcore_pass_forward(gradcore_pass *p, const void *in, int64_t stride, int64_t rows, int32_t training,
                                 uint64_t seed, uint64_t step, void *out, int64_t out_stride, gradcore_error *error)
{
    grc_status status = enter(p, error);
    if (status != GRADCORE_OK)
        return status;
    grc_plan *plan = p->plan;
    if (!in)
        status = grc_fail(error, GRADCORE_INVALID, "x: expected a pointer, got NULL");
    else if (rows < 1 || (size_t)rows > plan->view.capacity)
        status = grc_fail(error, GRADCORE_SHAPE, "x: expected 1 to %zu rows, got %lld", plan->view.capacity,
                          (long long)rows);
    else if (rows > 1 && (stride < 0 || (out && out_stride < (int64_t)value_width(p, p->net->value_count - 1))))
        status = grc_fail(error, GRADCORE_SHAPE, "x, y: expected strides of at least 0 and %zu, got %lld and %lld",
                          value_width(p, p->net->value_count - 1), (long long)stride, (long long)out_stride);
    else if (!grc_lock_read(p->net))
        status = grc_network_refused(p->net, error);
    else if ((status = grc_check_codes(p->net, in, stride, NULL, 0, rows, error)) != GRADCORE_OK)
        grc_unlock_read(p->net);
    if (status == GRADCORE_OK) {
        pass_call c = {.pass = p, .in = in, .in_stride = (size_t)stride, .out = out, .out_stride = (size_t)out_stride};
        plan->view.rows = (size_t)rows;
        plan->view.training = training != 0;
        plan->view.seed = seed;
        plan->view.step = step;
        p->ready = 0;
        grc_team_for(p->net, grc_threads_for(p->net, 1, (size_t)rows), &forward_team, &c);
        p->ready = 1;
        p->version = atomic_load(&p->net->version);
        grc_unlock_read(p->net);
    }
    leave(p);
    return status;
}

static void load_delta(grc_plan *plan, size_t row, size_t rows, const void *from, size_t stride)
{
    const gradcore_network *n = plan->view.net;
    const int last = n->value_count - 1;
    const size_t width = n->values[last].width, padded = grc_panels(n, width) * n->kernels->panel;
    for (size_t r = row; r < row + rows; r++) {
        char *to = grc_row(&plan->view, plan->view.delta, last, r);
        memcpy(to, grc_at(n, from, r * stride), width * n->item);
        memset(to + width * n->item, 0, (padded - width) * n->item);
    }
}

static void backward_team(void *context, grc_team *team, int t, int count)
{
    const pass_call *c = context;
    grc_plan *plan = c->pass->plan;
    size_t row, end;
    if (c->refresh) {
        grc_refresh(&plan->view, t, count);
        grc_barrier(team);
    }
    grc_rows_of(plan->view.rows, 1, t, count, &row, &end);
    const size_t unit = plan->view.net->meets ? plan->view.rows : GRC_KC;
    for (size_t first = row; first < end || (first == row && plan->view.net->meets); first += unit) {
        const size_t rows = grc_min(unit, end - first);
        load_delta(plan, first, rows, c->in, c->in_stride);
        grc_backward_team(&plan->view, team, first, rows, t, count);
        if (c->out)
            copy_out(plan, plan->view.delta, 0, first, rows, c->out, c->out_stride);
    }
    grc_barrier(team);
    grc_gradients(plan, t, count);
}

grc_status gradcore_pass_backward(gradcore_pass *p, const void *d_out, int64_t stride, void *d_x, int64_t d_x_stride,
                                  gradcore_error *error)
{
    grc_status status = enter(p, error);
    if (status != GRADCORE_OK)
        return status;
    grc_plan *plan = p->plan;
    if (!d_out)
        status = grc_fail(error, GRADCORE_INVALID, "d_out: expected a pointer, got NULL");
    else if (plan->view.rows > 1 && (stride < 0 || (d_x && d_x_stride < (int64_t)value_width(p, 0))))
        status =
            grc_fail(error, GRADCORE_SHAPE, "d_out, d_x: expected strides of at least 0 and %zu, got %lld and %lld",
                     value_width(p, 0), (long long)stride, (long long)d_x_stride);
    else if (p->ready != 1)
        status = grc_fail(error, GRADCORE_STATE, "backward: expected a forward before it, got %s",
                          p->ready == 2 ? "a second backward" : "none");
    else if (!grc_lock_read(p->net))
        status = grc_network_refused(p->net, error);
    const uint64_t version = atomic_load(&p->net->version);
    if (status == GRADCORE_OK && version != p->version) {
        grc_unlock_read(p->net);
        status = grc_fail(error, GRADCORE_STATE, "backward: expected the weights that forward used, got changed ones");
    }
    if (status == GRADCORE_OK) {
        pass_call c = {.pass = p,
                       .in = d_out,
                       .in_stride = (size_t)stride,
                       .out = d_x,
                       .out_stride = (size_t)d_x_stride,
                       .refresh = plan->version != version};
        grc_team_for(p->net, grc_threads_for(p->net, 2, plan->view.rows), &backward_team, &c);
        plan->version = version;
        p->ready = 2;
        grc_unlock_read(p->net);
    }
    leave(p);
    return status;
}

grc_status gradcore_pass_gradient(gradcore_pass *p, int64_t index, void *dst, gradcore_error *error)
{
    grc_status status = enter(p, error);
    if (status != GRADCORE_OK)
        return status;
    const gradcore_network *n = p->net;
    if (index < 0 || index >= n->parameter_count || !n->parameters[index].trainable || !dst)
        status = grc_fail(error, GRADCORE_INVALID, "index: expected a trainable parameter, got %lld", (long long)index);
    else if (p->ready != 2)
        status = grc_fail(error, GRADCORE_STATE, "gradients: expected a backward before, got none");
    else {
        const grc_parameter *q = &n->parameters[index];
        grc_read_parameter(n, q, p->plan->grad, dst);
    }
    leave(p);
    return status;
}

grc_status gradcore_pass_activation(gradcore_pass *p, int64_t layer, int64_t *width, const char **name, void *dst,
                                    gradcore_error *error)
{
    grc_status status = enter(p, error);
    if (status != GRADCORE_OK)
        return status;
    const gradcore_network *n = p->net;
    if (layer < 0 || layer >= n->position_count)
        status = grc_fail(error, GRADCORE_INVALID, "layer: expected 0 to %d, got %lld", n->position_count - 1,
                          (long long)layer);
    else if (!p->ready)
        status = grc_fail(error, GRADCORE_STATE, "activations: expected a forward before, got none");
    else {
        const int value = n->positions[layer].value;
        if (width)
            *width = (int64_t)n->values[value].width;
        if (name)
            *name = n->positions[layer].name;
        if (dst)
            copy_out(p->plan, p->plan->view.value, value, 0, p->plan->view.rows, dst, n->values[value].width);
    }
    leave(p);
    return status;
}
