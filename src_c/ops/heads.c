/* Several named outputs from one value: "heads" opens, each "head" begins a branch that starts from the value
 * before the heads, "end_heads" closes. The last value has the outputs of all heads side by side. A trainer
 * with a loss for each head reads and writes the branches' own last values instead (x->tips). */
#include <stdio.h>
#include <string.h>

#include "ops.h"

typedef struct heads_end {
    size_t log_variance; /* offset in the parameter vector */
} heads_end;

/* ---- description ---- */

static int is_empty(const grc_builder *b) /* the branch that is open */
{
    const gradcore_network *n = b->net;
    return n->head_count == 0 || n->ops[n->op_count - 1].class == &grc_op_head;
}

grc_status grc_check_heads(const grc_builder *b, const char *kind)
{
    const int opens = strcmp(kind, "heads") == 0, begins = strcmp(kind, "head") == 0;
    const int closes = strcmp(kind, "end_heads") == 0, inside = b->heads == GRC_HEADS_OPEN;
    if (b->heads == GRC_HEADS_CLOSED)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected the heads last, got '%s' behind them", kind);
    if (opens && (inside || b->depth))
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers: expected heads only as the last layer of a network, "
                        "got them inside a block");
    if ((begins || closes) && !(inside && b->depth == 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected open heads, got '%s'", kind);
    if (inside && b->depth == 1 && strcmp(kind, "end") == 0)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected 'end_heads' to close heads, got 'end'");
    if (inside && b->net->head_count == 0 && !begins)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected 'head' behind 'heads', got '%s'", kind);
    if (b->net->head_count > 0 && (begins || closes) && is_empty(b))
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected at least one layer in head '%s', got none",
                        b->net->heads[b->net->head_count - 1].name);
    return GRADCORE_OK;
}

static grc_status describe_fork(grc_builder *b)
{
    grc_add_op(b, &grc_op_heads, grc_value_width(b));
    b->heads = GRC_HEADS_OPEN;
    return GRADCORE_OK;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-";

static grc_status check_name(const grc_builder *b, const char *name)
{
    const gradcore_network *n = b->net;
    size_t length = 0;
    while (name && length <= GRADCORE_HEAD_NAME && name[length] && strchr(length ? rest : letters, name[length]))
        length++;
    if (!length || name[length] || length > GRADCORE_HEAD_NAME)
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers.name: expected 1 to %d letters, digits, '_' or '-', no digit or '-' first, for a "
                        "head, got '%.40s'",
                        GRADCORE_HEAD_NAME, name ? name : "(null)");
    for (int i = 0; i < n->head_count; i++)
        if (strcmp(n->heads[i].name, name) == 0)
            return grc_fail(b->error, GRADCORE_INVALID, "layers.name: expected names that differ, got '%s' twice",
                            name);
    if (n->head_count == GRADCORE_MOST_HEADS)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected at most %d heads", GRADCORE_MOST_HEADS);
    return GRADCORE_OK;
}

/* What trains inside one head is no reason to take another's gradient back to the trunk. */
static void close_branch(grc_builder *b)
{
    gradcore_network *n = b->net;
    if (n->head_count > 0)
        n->heads[n->head_count - 1].value = b->value;
    b->heads_train |= b->trains;
}

static grc_status describe_head(grc_builder *b)
{
    gradcore_network *n = b->net;
    const int fork = b->open_fork[b->depth - 1];
    const grc_status status = check_name(b, b->layer->name);
    if (status != GRADCORE_OK)
        return status;
    close_branch(b);
    b->value = n->ops[fork].out;
    b->trains = n->ops[fork].trains_before;
    snprintf(n->heads[n->head_count++].name, sizeof n->heads->name, "%s", b->layer->name);
    grc_add_op(b, &grc_op_head, grc_value_width(b));
    return GRADCORE_OK;
}

static grc_status describe_end(grc_builder *b)
{
    gradcore_network *n = b->net;
    const gradcore_layer *l = b->layer;
    size_t width = 0;
    if (l->flags & ~(uint32_t)GRADCORE_LAYER_UNCERTAIN)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    close_branch(b);
    for (int i = 0; i < n->head_count; i++) {
        n->heads[i].column = width;
        if (__builtin_add_overflow(width, n->values[n->heads[i].value].width, &width) || width > INT32_MAX)
            return grc_fail(b->error, GRADCORE_SHAPE,
                            "layers[%s]: expected heads of at most 2147483647 outputs together", b->name);
    }
    b->heads = GRC_HEADS_CLOSED;
    b->trains = b->heads_train;
    grc_op *op = grc_add_op(b, &grc_op_heads_end, width);
    heads_end *own = op->own;
    if (l->flags & GRADCORE_LAYER_UNCERTAIN)
        own->log_variance = grc_add_vector(b, op, "log_variance", 1, 0, (size_t)n->head_count);
    return own->log_variance == SIZE_MAX ? GRADCORE_NO_MEMORY : GRADCORE_OK;
}

/* ---- the pass ---- */

static void forward_fork(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    (void)op, (void)x, (void)row, (void)rows; /* the branches read the same buffer */
}

static void backward_fork(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    (void)op, (void)x, (void)row, (void)rows; /* the heads have added up its delta */
}

/* The trunk's delta is the last head's, plus that of the one before it, and so on to the first. */
static void backward_head(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->in];
    const void *from = grc_row(x, x->delta, op->out, row);
    void *to;
    if (!x->delta[op->in])
        return;
    to = grc_row(x, x->delta, op->in, row);
    if (op->head == n->head_count || x->only)
        memcpy(to, from, ((rows - 1) * v->ld + grc_panels(n, v->width) * n->kernels->panel) * n->item);
    else
        n->kernels->add(rows, v->width, from, v->ld, to, v->ld);
}

static void forward_end(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->head_count && !x->tips; i++) {
        const grc_head *h = &n->heads[i];
        for (size_t r = row; r < row + rows; r++)
            memcpy(grc_at(n, grc_row(x, x->value, op->out, r), h->column), grc_row(x, x->value, h->value, r),
                   n->values[h->value].width * n->item);
    }
}

static void backward_end(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->head_count && !x->tips; i++) {
        const grc_head *h = &n->heads[i];
        for (size_t r = row; r < row + rows; r++)
            memcpy(grc_row(x, x->delta, h->value, r), grc_at(n, grc_row(x, x->delta, op->out, r), h->column),
                   n->values[h->value].width * n->item);
        grc_clear_padding(x, x->delta, h->value, row, rows);
    }
}

/* Head i's share of the loss is w f exp(-s) L + w s / 2 with s = log_variance[i]: its derivative is
 * w / 2 - w f exp(-s) L, where the product is a sum over rows. */
static void gradient_end(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                         void *out)
{
    const gradcore_network *n = x->net;
    (void)op, (void)r;
    for (int i = 0; i < n->head_count; i++) {
        const int counts = x->uncertain && (!x->only || x->only == i + 1);
        double slope = 0;
        if (counts) {
            const grc_uncertain *u = &x->uncertain[i];
            slope = (row ? 0 : u->half) - grc_weighted_sum(rows, u->row_scale + row, u->row_loss + row);
        }
        grc_set(n, out, (size_t)i, slope);
    }
    grc_zero_tail(n, p, out);
}

const grc_op_class grc_op_heads = {.describe = &describe_fork,
                                   .forward = &forward_fork,
                                   .backward = &backward_fork,
                                   .delta = GRC_DELTA_SHARED,
                                   .shares_value = 1};
const grc_op_class grc_op_head = {.describe = &describe_head,
                                  .forward = &forward_fork,
                                  .backward = &backward_head,
                                  .delta = GRC_DELTA_SUM,
                                  .shares_value = 1};
const grc_op_class grc_op_heads_end = {.describe = &describe_end,
                                       .forward = &forward_end,
                                       .backward = &backward_end,
                                       .gradient = &gradient_end,
                                       .delta = GRC_DELTA_TIPS,
                                       .own_size = sizeof(heads_end)};
