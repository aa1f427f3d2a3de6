/* Functions of plain arrays that take them element by element or row by row: activations, softmax, losses. */
#include <string.h>

#include "../pass/loss.h"
#include "ranges.h"

/* Microseconds of work on one thread, from nanoseconds a float with eight of them at a time. */
static double work_of(double each, size_t n, int32_t dtype)
{
    return 1e-3 * each * (double)n * (dtype == GRADCORE_FLOAT64 ? 3 : 1);
}

/* Elements that ranges are multiples of: a page of floats. */
enum { UNIT = 1024 };

/* ---- activations ---- */

typedef struct act_call {
    const grc_kernels *k;
    int activation;
    double alpha;
    size_t item;
    const char *x, *d_y;
    char *y;
} act_call;

static void forward_range(void *context, size_t first, size_t last)
{
    const act_call *c = context;
    const size_t at = first * c->item, n = last - first;
    if (c->activation != GRC_ACT_identity)
        c->k->act_forward[c->activation](1, n, c->x + at, c->y + at, n, c->alpha);
    else if (c->y != c->x)
        memcpy(c->y + at, c->x + at, n * c->item);
}

static void backward_range(void *context, size_t first, size_t last)
{
    const act_call *c = context;
    const size_t at = first * c->item;
    c->k->act_gradient[c->activation](last - first, c->x + at, c->d_y + at, c->y + at, c->alpha);
}

/* Nanoseconds an element, measured: comparisons, which wait for memory; a root or a quotient; what is made of exp. */
static double cost_of(int activation)
{
    switch (activation) {
    case GRC_ACT_identity:
        return 0; /* never shared: the C library copies large arrays past the caches, and pieces of them not */
    case GRC_ACT_relu:
    case GRC_ACT_leaky_relu:
    case GRC_ACT_hard_tanh:
    case GRC_ACT_relu6:
    case GRC_ACT_hard_swish:
    case GRC_ACT_hard_sigmoid:
    case GRC_ACT_softsign: return 0.2;
    case GRC_ACT_squareplus:
    case GRC_ACT_exponential: return 0.5;
    default: return 0.9;
    }
}

grc_status gradcore_activation(int32_t activation, int32_t dtype, double alpha, int64_t n, const void *x,
                               const void *d_y, void *y, int32_t threads, gradcore_error *error)
{
    act_call c = {.k = grc_plain_kernels(dtype, NULL, error),
                  .activation = activation,
                  .alpha = alpha,
                  .item = grc_item_size(dtype),
                  .x = x,
                  .d_y = d_y,
                  .y = y};
    if (!c.k || grc_check_threads(threads, error) != GRADCORE_OK)
        return GRADCORE_INVALID;
    if (activation < 0 || activation >= GRC_ACT_COUNT)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected 0 to %d, got %d", GRC_ACT_COUNT - 1, activation);
    if (!x || !y || n < 0 || n > GRC_MOST_ELEMENTS)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected pointers and n >= 0");
    if (!(alpha >= grc_lowest_alpha(activation) && alpha <= 1e6))
        return grc_fail(error, GRADCORE_INVALID, "alpha: expected a number from %g to 1e6, got %g",
                        grc_lowest_alpha(activation), alpha);
    grc_run_ranges(grc_threads_for_work(threads, work_of(cost_of(activation), (size_t)n, dtype)), (size_t)n, UNIT,
                   d_y ? &backward_range : &forward_range, &c);
    return GRADCORE_OK;
}

static grc_status by_name(const char *name, int32_t dtype, double alpha, int64_t n, const void *x, const void *d_y,
                          void *y, gradcore_error *error)
{
    char known[GRC_NAMES_LENGTH];
    const int found = grc_find_activation(name);
    if (found == GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected one of %s, got '%.40s'",
                        grc_names("activation", known, sizeof known), name ? name : "(null)");
    return gradcore_activation(found, dtype, alpha, n, x, d_y, y, 0, error);
}

grc_status gradcore_activation_forward(const char *name, int32_t dtype, double alpha, int64_t n, const void *x, void *y,
                                       gradcore_error *error)
{
    return by_name(name, dtype, alpha, n, x, NULL, y, error);
}

grc_status gradcore_activation_backward(const char *name, int32_t dtype, double alpha, int64_t n, const void *x,
                                        const void *d_y, void *d_x, gradcore_error *error)
{
    if (!d_y)
        return grc_fail(error, GRADCORE_INVALID, "d_y: expected a pointer, got NULL");
    return by_name(name, dtype, alpha, n, x, d_y, d_x, error);
}

/* ---- softmax ---- */

enum { ROWS = 16 }; /* that ranges of rows are multiples of: what kernels take at once */

typedef struct softmax_call {
    const grc_kernels *k;
    size_t cols, item;
    const char *z;
    char *y;
} softmax_call;

static void softmax_range(void *context, size_t first, size_t last)
{
    const softmax_call *c = context;
    const size_t at = first * c->cols * c->item;
    c->k->softmax(last - first, c->cols, c->z + at, c->cols, c->y + at, c->cols);
}

grc_status gradcore_softmax(int32_t dtype, int64_t rows, int64_t cols, const void *z, void *y, int32_t threads,
                            gradcore_error *error)
{
    softmax_call c = {
        .k = grc_plain_kernels(dtype, NULL, error), .cols = (size_t)cols, .item = grc_item_size(dtype), .z = z, .y = y};
    if (!c.k || grc_check_threads(threads, error) != GRADCORE_OK)
        return GRADCORE_INVALID;
    if (!z || !y || rows < 1 || cols < 1 || rows > GRC_MOST_ELEMENTS / cols)
        return grc_fail(error, GRADCORE_SHAPE, "z: expected at least 1 row and 1 column, got (%lld, %lld)",
                        (long long)rows, (long long)cols);
    const double work = work_of(0.9, (size_t)(rows * cols), dtype) + 0.02 * (double)rows;
    grc_run_ranges(grc_threads_for_work(threads, work), (size_t)rows, ROWS, &softmax_range, &c);
    return GRADCORE_OK;
}

/* ---- labels ---- */

enum { BLOCK = 64 }; /* rows whose labels are read at once */

/* Where the labels of a call lie, of any type and stride. */
typedef struct labels {
    const char *data;
    ptrdiff_t step; /* bytes */
    int32_t type;
} labels;

/* Labels first .. first + count - 1, each read once: the caller's other threads may write into them. */
static void read_labels(const labels *l, size_t first, size_t count, int64_t *out)
{
    const char *p = l->data + (ptrdiff_t)first * l->step;
#define GRC_READ(type)                               \
    for (size_t i = 0; i < count; i++, p += l->step) \
    out[i] = (int64_t)*(const volatile type *)p
    switch (l->type) {
    case GRADCORE_INT8: GRC_READ(int8_t); break;
    case GRADCORE_INT16: GRC_READ(int16_t); break;
    case GRADCORE_INT32: GRC_READ(int32_t); break;
    case GRADCORE_UINT8: GRC_READ(uint8_t); break;
    case GRADCORE_UINT16: GRC_READ(uint16_t); break;
    case GRADCORE_UINT32: GRC_READ(uint32_t); break;
    case GRADCORE_UINT64:
        for (size_t i = 0; i < count; i++, p += l->step) {
            const uint64_t label = *(const volatile uint64_t *)p;
            out[i] = label < INT64_MAX ? (int64_t)label : INT64_MAX;
        }
        break;
    default: GRC_READ(int64_t); break;
    }
#undef GRC_READ
}

/* ---- losses ---- */

typedef struct loss_call {
    const grc_kernels *k;
    const grc_loss *loss;
    size_t rows, cols, item;
    const char *z, *target;
    labels labels;
    double scale;
    double *losses;
    char *d;
    grc_intrusion intrusion;
} loss_call;

/* The labels of rows first .. first + count - 1. They were in range when the call began. */
static void take_labels(loss_call *c, size_t first, size_t count, int32_t *label)
{
    int64_t found[BLOCK];
    read_labels(&c->labels, first, count, found);
    for (size_t i = 0; i < count; i++)
        label[i] = grc_found_label(c->loss, found[i], (int64_t)(first + i), &c->intrusion);
}

static void loss_range(void *context, size_t first, size_t last)
{
    loss_call *c = context;
    const grc_loss *l = c->loss;
    const size_t row = c->cols * c->item;
    double scale[BLOCK];
    int32_t label[BLOCK], right[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        scale[i] = c->scale;
    for (size_t r = first; r < last; r += BLOCK) {
        const size_t count = grc_min(BLOCK, last - r);
        if (l->labels)
            take_labels(c, r, count, label);
        const void *target = l->labels ? (const void *)label : c->target + r * l->target_width * c->item;
        c->k->loss[l->kind](count, c->cols, c->z + r * row, c->cols, target, l->target_width, scale,
                            c->d ? c->d + r * row : NULL, c->losses + r, right, &l->args);
    }
}

/* What the losses of the rows are divided by, added up row by row. */
static double divisor_of(loss_call *c)
{
    const grc_loss *l = c->loss;
    double divisor = 0;
    int32_t label[BLOCK];
    if (grc_loss_is_plain(l))
        return (double)c->rows;
    for (size_t r = 0; r < c->rows; r++) {
        if (l->labels && r % BLOCK == 0)
            take_labels(c, r, grc_min(BLOCK, c->rows - r), label);
        const double mass = grc_loss_mass(
            l, c->k, l->labels ? (const void *)&label[r % BLOCK] : c->target + r * l->target_width * c->item);
        divisor += mass > 0 ? mass : 0;
    }
    return divisor;
}

static void find_scale(void *context, size_t first, size_t last)
{
    loss_call *c = context;
    const double divisor = divisor_of(c);
    (void)first, (void)last;
    c->scale = divisor > 0 ? 1 / divisor : 0;
}

static grc_status check_labels(const loss_call *c, gradcore_error *error)
{
    int64_t found[BLOCK];
    for (size_t r = 0; r < c->rows; r += BLOCK) {
        const size_t count = grc_min(BLOCK, c->rows - r);
        int right = 1;
        read_labels(&c->labels, r, count, found);
        for (size_t i = 0; i < count; i++)
            right &= (uint64_t)found[i] < c->loss->outputs;
        for (size_t i = 0; i < count && !right; i++) {
            const grc_status status = grc_loss_check_label(c->loss, found[i], (int64_t)(r + i), error);
            if (status != GRADCORE_OK)
                return status;
        }
    }
    return GRADCORE_OK;
}

/* Are the numbers of a target such as the loss is made for? */
static int targets_fit(const loss_call *c)
{
    const size_t width = c->loss->target_width;
#define GRC_ARE(kind) c->k->targets_are(kind, c->rows, width, c->target)
    switch (c->loss->kind) {
    case GRC_LOSS_binary_cross_entropy: return GRC_ARE(GRC_IN_UNIT_INTERVAL);
    case GRC_LOSS_poisson: return GRC_ARE(GRC_NOT_NEGATIVE);
    case GRC_LOSS_binary_focal: return GRC_ARE(GRC_ZERO_OR_ONE);
    case GRC_LOSS_hinge:
    case GRC_LOSS_squared_hinge: return GRC_ARE(GRC_ZERO_OR_ONE) || GRC_ARE(GRC_MINUS_ONE_OR_ONE);
    case GRC_LOSS_kl_divergence:
    case GRC_LOSS_cross_entropy: return GRC_ARE(GRC_SHARES); /* of probabilities */
    default: return 1;
    }
#undef GRC_ARE
}

/* Nanoseconds an output, measured. */
static double loss_cost(int kind)
{
    switch (kind) {
    case GRC_LOSS_binary_cross_entropy:
    case GRC_LOSS_log_cosh:
    case GRC_LOSS_binary_focal:
    case GRC_LOSS_kl_divergence: return 4;
    case GRC_LOSS_poisson:
    case GRC_LOSS_gaussian_nll: return 1.6;
    default: return 0.9;
    }
}

static grc_status run_loss(const gradcore_loss_call *given, const grc_loss *l, const grc_kernels *k,
                           gradcore_error *error)
{
    loss_call c = {.k = k,
                   .loss = l,
                   .rows = (size_t)given->rows,
                   .cols = (size_t)given->cols,
                   .item = grc_item_size(given->dtype),
                   .z = given->z,
                   .target = given->target,
                   .labels = {given->target, (ptrdiff_t)given->label_stride, given->label_type},
                   .losses = given->losses,
                   .d = given->d};
    if (l->labels) {
        if (given->label_type < GRADCORE_INT8 || given->label_type > GRADCORE_UINT64)
            return grc_fail(error, GRADCORE_INVALID, "label_type: expected GRADCORE_INT8 to GRADCORE_UINT64, got %d",
                            given->label_type);
        const grc_status status = check_labels(&c, error);
        if (status != GRADCORE_OK)
            return status;
    } else if (given->check_values && !targets_fit(&c)) {
        return grc_fail(error, GRADCORE_INVALID, "target: expected values that %s takes", grc_list("loss", l->kind));
    }
    if (grc_loss_is_plain(l))
        find_scale(&c, 0, 0);
    else
        grc_run_ranges(1, 1, 1, &find_scale, &c);
    const double work = work_of(loss_cost(l->kind), c.rows * c.cols, given->dtype) + 0.02 * (double)c.rows;
    grc_run_ranges(grc_threads_for_work(given->threads, work), c.rows, ROWS, &loss_range, &c);
    return grc_report_intrusion(&c.intrusion, error);
}

grc_status gradcore_loss_of(const gradcore_loss_call *call, gradcore_error *error)
{
    grc_loss loss;
    if (call->size != sizeof *call)
        return grc_fail(error, GRADCORE_INVALID, "loss call.size: expected %zu, got %u", sizeof *call, call->size);
    const grc_kernels *k = grc_plain_kernels(call->dtype, NULL, error);
    if (!k || grc_check_threads(call->threads, error) != GRADCORE_OK)
        return GRADCORE_INVALID;
    if (!call->z || !call->target || !call->losses || call->rows < 1 || call->cols < 1
        || call->rows > GRC_MOST_ELEMENTS / call->cols)
        return grc_fail(error, GRADCORE_SHAPE, "z: expected at least 1 row and 1 column, got (%lld, %lld)",
                        (long long)call->rows, (long long)call->cols);
    grc_status status = grc_loss_open_kind(&loss, &grc_default_allocator, call->loss, call->options, call->dtype,
                                           (size_t)call->cols, error);
    if (status != GRADCORE_OK)
        return status;
    status = run_loss(call, &loss, k, error);
    grc_loss_close(&loss);
    return status;
}

grc_status gradcore_loss(const char *name, int32_t dtype, int64_t rows, int64_t cols, const void *z, const void *target,
                         double *losses, void *d, gradcore_error *error)
{
    return gradcore_loss_rows(name, NULL, dtype, rows, cols, z, target, losses, d, error);
}

grc_status gradcore_loss_rows(const char *name, const gradcore_loss_options *options, int32_t dtype, int64_t rows,
                              int64_t cols, const void *z, const void *target, double *losses, void *d,
                              gradcore_error *error)
{
    const gradcore_loss_call call = {.size = sizeof call,
                                     .loss = grc_find_loss(name),
                                     .dtype = dtype,
                                     .rows = rows,
                                     .cols = cols,
                                     .z = z,
                                     .target = target,
                                     .label_type = GRADCORE_INT32,
                                     .label_stride = sizeof(int32_t),
                                     .losses = losses,
                                     .d = d,
                                     .options = options};
    if (call.loss == GRC_NONE)
        return grc_loss_unknown(name, error);
    return gradcore_loss_of(&call, error);
}
