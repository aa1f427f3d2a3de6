/* Embedding: column `column` of the input, which holds integer codes as floating-point numbers, is replaced by the
 * row of a learned table that the code names; the other columns stay, in order. Codes are checked before a call
 * begins (grc_check_codes); one that names no row all the same, NaN included, gives NaN. */
#include <math.h>
#include <stdio.h>

#include "ops.h"

typedef struct embedding {
    size_t column, codes, width; /* of the input; rows and columns of the table */
    size_t table;                /* offset in the parameter vector */
} embedding;

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    const size_t width = grc_value_width(b);
    if (l->column < 0 || (size_t)l->column >= width)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].column: expected 0 to %zu, got %lld", b->name, width - 1,
                        (long long)l->column);
    if (l->units < 1 || l->units > GRC_MOST_CODES)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].units: expected 1 to %d codes, got %lld", b->name,
                        GRC_MOST_CODES, (long long)l->units);
    if (l->width < 1 || l->width > INT32_MAX)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].width: expected 1 to 2147483647, got %lld", b->name,
                        (long long)l->width);
    grc_op *op = grc_add_op(b, &grc_op_embedding, width - 1 + (size_t)l->width);
    embedding *own = op->own;
    own->column = (size_t)l->column;
    own->codes = (size_t)l->units;
    own->width = (size_t)l->width;
    char position[sizeof b->name];
    memcpy(position, b->name, sizeof position);
    const int used = snprintf(b->name, sizeof b->name, "%.20s.%zu", position, own->column);
    own->table = grc_add_matrix(b, op, "table", 0, own->codes, own->width);
    memcpy(b->name, position, sizeof position);
    return own->table == SIZE_MAX || used < 0 ? GRADCORE_NO_MEMORY : GRADCORE_OK;
}

static int is_code(const grc_op *op, double code)
{
    const embedding *own = op->own;
    return code >= 0 && code < (double)own->codes && code == floor(code);
}

/* The table's row for input row `row`, or SIZE_MAX. */
static size_t code_of(const grc_op *op, const grc_view *x, size_t row)
{
    const embedding *own = op->own;
    const double code = grc_get(x->net, grc_row(x, x->value, op->in, row), own->column);
    return is_code(op, code) ? (size_t)code : SIZE_MAX;
}

/* What the op meets in its column where the input has `value`: the same, or what standardize in front makes of it. */
static double arriving(const gradcore_network *n, const grc_op *op, double value)
{
    const embedding *own = op->own;
    const grc_standardize *first = n->ops->own;
    if (n->ops->class != &grc_op_standardize)
        return value;
    const double mean = grc_get(n, n->w, first->mean + own->column);
    const double scale = grc_get(n, n->w, first->inverse_std + own->column);
    return n->dtype == GRC_F32 ? (double)(((float)value - (float)mean) * (float)scale) : (value - mean) * scale;
}

static const char *table_name(const gradcore_network *n, int op)
{
    int i = 0;
    while (i < n->parameter_count - 1 && n->parameters[i].op != op)
        i++;
    return n->parameters[i].name;
}

grc_status grc_check_codes(const gradcore_network *n, const void *x, int64_t stride, const int64_t *order,
                           int64_t begin, int64_t end, gradcore_error *error)
{
    for (int i = n->ops[0].class == &grc_op_standardize; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_embedding)
            break; /* they come first, or behind standardize */
        const embedding *own = op->own;
        for (int64_t at = begin; at < end; at++) {
            const int64_t row = order ? order[at] : at;
            const double code = grc_get(n, grc_at(n, x, (size_t)(row * stride)), own->column);
            if (!is_code(op, arriving(n, op, code)))
                return grc_fail(error, GRADCORE_INVALID,
                                "x[%lld, %zu]: expected a code from 0 to %zu, a row of the table %s (%zu rows), "
                                "got %.9g",
                                (long long)row, own->column, own->codes - 1, table_name(n, i), own->codes, code);
        }
    }
    return GRADCORE_OK;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const embedding *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, c = own->column, width = own->width;
    const size_t behind = n->values[op->in].width - c - 1;
    for (size_t r = row; r < row + rows; r++) {
        const void *in = grc_row(x, x->value, op->in, r);
        void *out = grc_row(x, x->value, op->out, r);
        const size_t code = code_of(op, x, r);
        memcpy(out, in, c * n->item);
        memcpy(grc_at(n, out, c + width), grc_at(n, in, c + 1), behind * n->item);
        if (code == SIZE_MAX)
            for (size_t j = 0; j < width; j++)
                grc_set(n, out, c + j, (double)NAN);
        else
            for (size_t j = 0; j < width; j += pw)
                memcpy(grc_at(n, out, c + j), grc_at(n, n->w, own->table + (j / pw * own->codes + code) * pw),
                       grc_min(pw, width - j) * n->item);
    }
}

/* The other columns pass; the derivative by a code is 0. */
static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const embedding *own = op->own;
    const gradcore_network *n = x->net;
    const size_t c = own->column, behind = n->values[op->in].width - c - 1;
    if (!x->delta[op->in])
        return;
    grc_clear_padding(x, x->delta, op->in, row, rows);
    for (size_t r = row; r < row + rows; r++) {
        const void *d = grc_row(x, x->delta, op->out, r);
        void *to = grc_row(x, x->delta, op->in, r);
        memcpy(to, d, c * n->item);
        grc_set(n, to, c, 0);
        memcpy(grc_at(n, to, c + 1), grc_at(n, d, c + own->width), behind * n->item);
    }
}

/* Nothing by blocks of rows: finish goes through the whole batch in order. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const gradcore_network *n = x->net;
    (void)op, (void)row, (void)rows;
    for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
        memset(grc_at(n, out, (panel * p->rows + r.row) * n->kernels->panel), 0, r.rows * GRC_PANEL_BYTES);
}

static void finish(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, void *out)
{
    const embedding *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    for (size_t row = 0; row < x->rows; row++) {
        const size_t code = code_of(op, x, row);
        if (code < r.row || code >= r.row + r.rows)
            continue;
        const void *d = grc_at(n, grc_row(x, x->delta, op->out, row), own->column);
        for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
            n->kernels->accumulate(grc_min(pw, own->width - panel * pw), grc_at(n, d, panel * pw),
                                   grc_at(n, out, (panel * p->rows + code) * pw));
    }
}

const grc_op_class grc_op_embedding = {.describe = &describe,
                                       .forward = &forward,
                                       .backward = &backward,
                                       .gradient = &gradient,
                                       .finish = &finish,
                                       .delta = GRC_DELTA_OWN,
                                       .own_size = sizeof(embedding)};
