/* The kernels on plain arrays: optimizer updates, products, activations, losses, fills. */
#include <math.h>
#include <string.h>

#include "loss.h"
#include "matrix_arrays.h"
#include "rng.h"

static const grc_kernels *kernels_for(int32_t dtype, const char *isa, gradcore_error *error)
{
    if (dtype != GRADCORE_FLOAT32 && dtype != GRADCORE_FLOAT64) {
        grc_fail(error, GRADCORE_INVALID, "dtype: expected float32 or float64, got %d", dtype);
        return NULL;
    }
    return grc_kernels_find(isa, dtype, error);
}

static size_t item_size(int32_t dtype)
{
    return dtype == GRADCORE_FLOAT32 ? sizeof(float) : sizeof(double);
}

/* Plain functions run under our floating-point state too, on the calling thread. */
typedef struct alone {
    void (*body)(void *);
    void *arguments;
} alone;
static void run_body(void *context, grc_team *team, int t, int count)
{
    const alone *a = context;
    (void)team, (void)t, (void)count;
    a->body(a->arguments);
}
static void run_alone(void (*body)(void *), void *arguments)
{
    alone a = {body, arguments};
    grc_team_run(1, 0, &run_body, &a);
}

/* ---- optimizer ---- */

typedef struct update_call {
    int optimizer;
    const grc_kernels *kernels[GRC_DTYPE_COUNT];
    const gradcore_array *arrays;
    size_t count;
    double lr, decay;
    grc_opt_args args;
    grc_matrix_work matrices;
} update_call;

/* Elements that are measured at a time; their sums are added as the training step adds its chunks'. */
enum { CHUNK = 1024 };

/* What is the same for all elements of an array. */
static void turn_to(update_call *c, const gradcore_array *array)
{
    c->args.lr = c->lr * array->lr_factor;
    c->args.lr_factor = array->lr_factor;
    c->args.weight_decay = isnan(array->weight_decay) ? c->decay : array->weight_decay;
    grc_opt_prepare(c->optimizer, &c->args);
}

static void start_slots(const update_call *c, const gradcore_array *array)
{
    for (int i = 0; i < GRC_SLOTS; i++) {
        const enum grc_start start = grc_slot_start(c->optimizer, i);
        if (array->slots[i] && start == GRC_START_WEIGHTS)
            memcpy(array->slots[i], array->w, (size_t)array->n * item_size(array->dtype));
        else if (array->slots[i] && (start == GRC_START_INITIAL || start == GRC_START_RATE))
            c->kernels[array->dtype]->fill(
                (size_t)array->n, grc_slot_value(c->optimizer, i, c->args.p, c->lr * array->lr_factor),
                array->slots[i]);
    }
}

/* The sums of one array in chunk order, each into lane chunk % 8. */
static void measure_array(const update_call *c, const gradcore_array *array, double sum[2])
{
    const size_t item = item_size(array->dtype), n = (size_t)array->n;
    double lane[2][8] = {{0}};
    for (size_t at = 0; at < n; at += CHUNK) {
        void *slots[GRC_SLOTS];
        double part[2];
        for (int i = 0; i < GRC_SLOTS; i++)
            slots[i] = array->slots[i] ? (char *)array->slots[i] + at * item : NULL;
        c->kernels[array->dtype]->opt_measure[c->optimizer](
            grc_min(CHUNK, n - at), (const char *)array->w + at * item, (const char *)array->g + at * item, slots,
            &c->args, part);
        lane[0][at / CHUNK % 8] += part[0];
        lane[1][at / CHUNK % 8] += part[1];
    }
    sum[0] = grc_fold_lanes(lane[0]);
    sum[1] = grc_fold_lanes(lane[1]);
}

static void update_body(void *p)
{
    update_call *c = p;
    const enum grc_opt_kind kind = grc_optimizer_kind(c->optimizer);
    double sum[2], total[2] = {0, 0};
    for (size_t i = 0; i < c->count && c->args.step == 1; i++)
        start_slots(c, &c->arrays[i]);
    for (size_t i = 0; i < c->count && kind == GRC_OPT_TOTAL; i++) {
        turn_to(c, &c->arrays[i]);
        measure_array(c, &c->arrays[i], sum);
        total[0] += sum[0];
        total[1] += sum[1];
    }
    for (size_t i = 0; i < c->count; i++) {
        const gradcore_array *array = &c->arrays[i];
        turn_to(c, array);
        if (array->rows && array->n) {
            grc_matrix_work_step(&c->matrices, array, &c->args);
            continue;
        }
        if (kind == GRC_OPT_TENSOR)
            measure_array(c, array, sum);
        if (grc_measures(c->optimizer))
            grc_opt_finish(c->optimizer, &c->args, kind == GRC_OPT_TENSOR ? sum : total);
        c->kernels[array->dtype]->opt[c->optimizer]((size_t)array->n, array->w, array->g, array->slots, &c->args);
    }
}

/* A LIVE slot is a trainer's; here w itself is live. */
uint32_t gradcore_optimizer_slots(const char *optimizer, uint32_t flags)
{
    const int found = grc_find_optimizer(optimizer);
    const int live = found == GRC_NONE ? GRC_NONE : grc_find_slot(found, GRC_START_LIVE);
    return found == GRC_NONE ? 0 : grc_optimizer_slots(found, flags) & ~(live == GRC_NONE ? 0 : 1u << live);
}

static grc_status check_array(const gradcore_array *array, int optimizer, uint32_t flags, const double *hypers,
                              gradcore_error *error)
{
    const unsigned needs = gradcore_optimizer_slots(gradcore_list("optimizer", (int32_t)optimizer), flags);
    if (array->dtype != GRADCORE_FLOAT32 && array->dtype != GRADCORE_FLOAT64)
        return grc_fail(error, GRADCORE_INVALID, "dtype: expected float32 or float64, got %d", array->dtype);
    if (!array->w || !array->g || array->n < 0 || array->n > GRC_MOST_ELEMENTS)
        return grc_fail(error, GRADCORE_INVALID, "arrays: expected pointers and n >= 0");
    for (int i = 0; i < GRC_SLOTS; i++)
        if ((needs >> i & 1) && !array->slots[i])
            return grc_fail(error, GRADCORE_INVALID, "slots[%d]: expected an array, got NULL", i);
    if (!(array->lr_factor >= 0 && array->lr_factor <= 1e10))
        return grc_fail(error, GRADCORE_INVALID, "lr_factor: expected a number from 0 to 1e10, got %g",
                        array->lr_factor);
    if (!isnan(array->weight_decay) && !(array->weight_decay >= 0 && array->weight_decay <= 1e10))
        return grc_fail(error, GRADCORE_INVALID, "weight_decay: expected NaN or a number from 0 to 1e10, got %g",
                        array->weight_decay);
    const grc_status status = grc_check_matrix(array, optimizer, error);
    return status != GRADCORE_OK ? status : grc_check_hypers(optimizer, array->dtype, 0, hypers, error);
}

grc_status gradcore_optimizer_step(const char *optimizer, uint32_t flags, uint64_t step, const double *hypers,
                                   double *running, int64_t count, const gradcore_array *arrays,
                                   gradcore_error *error)
{
    char known[GRC_NAMES_LENGTH];
    update_call c = {.optimizer = grc_find_optimizer(optimizer), .arrays = arrays, .count = (size_t)count};
    if (c.optimizer == GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "optimizer: expected one of %s, got '%.40s'",
                        grc_names("optimizer", known, sizeof known), optimizer ? optimizer : "(null)");
    if (!hypers || !running || count < 0 || (count && !arrays) || step < 1)
        return grc_fail(error, GRADCORE_INVALID, "optimizer_step: expected pointers and step >= 1");
    if ((flags & ~(uint32_t)GRC_KNOWN_FLAGS)
        || ((flags & GRADCORE_OPTIMIZER_NESTEROV) && !(flags & GRADCORE_OPTIMIZER_MOMENTUM)))
        return grc_fail(error, GRADCORE_INVALID,
                        "flags: expected known bits, nesterov only with momentum, got 0x%x", flags);
    for (int64_t i = 0; i < count; i++) {
        const grc_status status = check_array(&arrays[i], c.optimizer, flags, hypers, error);
        if (status != GRADCORE_OK)
            return status;
    }
    for (int dtype = 0; dtype < GRC_DTYPE_COUNT; dtype++)
        if (!(c.kernels[dtype] = kernels_for(dtype, NULL, error)))
            return GRADCORE_INVALID;
    if (!count)
        return GRADCORE_OK;
    c.lr = hypers[GRADCORE_LR];
    c.decay = hypers[GRADCORE_WEIGHT_DECAY];
    c.args = (grc_opt_args){.base_lr = hypers[GRADCORE_LR],
                            .grad_scale = 1,
                            .grad_limit = (double)INFINITY,
                            .step = step,
                            .flags = flags};
    memcpy(c.args.p, hypers + GRADCORE_OWN, sizeof c.args.p);
    memcpy(c.args.running, running, sizeof c.args.running);
    c.matrices = (grc_matrix_work){.optimizer = c.optimizer, .kernels = {c.kernels[0], c.kernels[1]}};
    const grc_status status = grc_matrix_work_open(&c.matrices, c.count, arrays, error);
    if (status != GRADCORE_OK)
        return status;
    run_alone(&update_body, &c);
    grc_matrix_work_close(&c.matrices);
    memcpy(running, c.args.next, sizeof c.args.next);
    return GRADCORE_OK;
}

grc_status gradcore_optimizer_update(const char *optimizer, int32_t dtype, uint32_t flags, uint64_t step,
                                     const double *hypers, int64_t n, void *w, const void *g,
                                     void *const *slots, gradcore_error *error)
{
    double running[GRADCORE_RUNNING] = {0};
    gradcore_array array = {.dtype = dtype, .n = n, .w = w, .g = g, .lr_factor = 1, .weight_decay = (double)NAN};
    const unsigned needs = gradcore_optimizer_slots(optimizer, flags);
    if (!slots)
        return grc_fail(error, GRADCORE_INVALID, "slots: expected a pointer, got NULL");
    for (int i = 0; i < GRC_SLOTS; i++)
        array.slots[i] = needs >> i & 1 ? slots[i] : NULL;
    return gradcore_optimizer_step(optimizer, flags, step, hypers, running, 1, &array, error);
}

/* ---- product ---- */

typedef struct gemm_call {
    const grc_kernels *k;
    size_t m, n, width, depth, item;
    const char *a;
    ptrdiff_t a_row, a_col;
    void *panels, *bias, *c; /* packed B; padded bias or NULL; padded C */
    size_t ldc;
} gemm_call;

static void gemm_team(void *context, grc_team *team, int t, int count)
{
    const gemm_call *c = context;
    size_t row, end;
    (void)team;
    grc_rows_of(c->m, 1, t, count, &row, &end);
    if (row == end)
        return;
    const grc_gemm g = {.m = end - row, .n = c->width, .k = c->depth,
                        .a = c->a + (ptrdiff_t)row * c->a_row * (ptrdiff_t)c->item, .a_row = c->a_row,
                        .a_col = c->a_col, .b = c->panels, .b_row = (ptrdiff_t)c->k->panel,
                        .b_panel = (ptrdiff_t)(c->k->panel * c->depth),
                        .c = (char *)c->c + row * c->width * c->item, .c_row = (ptrdiff_t)c->width,
                        .c_panel = (ptrdiff_t)c->k->panel, .init = c->bias};
    c->k->gemm(&g);
}

/* B, strided both ways, row-major into `rows`, then packed. */
static void pack_b(const gemm_call *c, const char *b, int64_t b_row, int64_t b_col, char *row_major)
{
    const ptrdiff_t item = (ptrdiff_t)c->item;
    if (b_col == 1) {
        c->k->pack(c->depth, c->n, b, (size_t)b_row, c->panels);
        return;
    }
    for (size_t p = 0; p < c->depth; p++)
        for (size_t j = 0; j < c->n; j++)
            memcpy(row_major + (p * c->n + j) * c->item,
                   b + ((ptrdiff_t)p * b_row + (ptrdiff_t)j * b_col) * item, c->item);
    c->k->pack(c->depth, c->n, row_major, c->n, c->panels);
}

grc_status gradcore_gemm(int32_t dtype, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row,
                         int64_t a_col, const void *b, int64_t b_row, int64_t b_col, const void *bias,
                         void *c, int64_t ldc, int32_t threads, const char *isa, gradcore_error *error)
{
    const int64_t most = INT32_MAX;
    const grc_kernels *kernels = kernels_for(dtype, isa, error);
    if (!kernels)
        return GRADCORE_INVALID;
    if (m < 1 || n < 1 || k < 1 || m > most || n > most || k > most || !a || !b || !c || ldc < n)
        return grc_fail(error, GRADCORE_SHAPE,
                        "gemm: expected m, n, k from 1 to %lld and ldc >= n, got %lld %lld %lld %lld",
                        (long long)most, (long long)m, (long long)n, (long long)k, (long long)ldc);
    if (threads < 0 || threads > 1024)
        return grc_fail(error, GRADCORE_INVALID, "threads: expected 0 to 1024, got %d", threads);
    gemm_call g = {.k = kernels, .m = (size_t)m, .n = (size_t)n, .depth = (size_t)k, .item = item_size(dtype),
                   .a = a, .a_row = a_row, .a_col = a_col, .ldc = (size_t)ldc};
    g.width = grc_round_up(g.n, kernels->panel);

    grc_arena arena = {NULL, 0, 0};
    char *row_major = NULL;
    for (int pass = 0; pass < 2; pass++) {
        arena.used = 0;
        g.panels = grc_take(&arena, g.depth * g.width, g.item);
        g.bias = grc_take(&arena, g.width, g.item);
        g.c = grc_take(&arena, g.m * g.width, g.item);
        if (b_col != 1)
            row_major = grc_take(&arena, g.depth * g.n, g.item);
        if (pass == 0
            && !(arena.base = arena.overflow ? NULL : grc_allocate(&grc_default_allocator, arena.used)))
            return grc_fail(error, GRADCORE_NO_MEMORY, "gemm: expected %zu bytes to work in, got none",
                            arena.used);
    }
    pack_b(&g, b, b_row, b_col, row_major);
    if (bias)
        memcpy(g.bias, bias, g.n * g.item);
    else
        g.bias = NULL;
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    const int most_threads = threads ? threads : grc_threads_default();
    grc_team_lend(flops < 2e6 ? 1 : most_threads, 0, &gemm_team, &g);
    for (size_t r = 0; r < g.m; r++)
        memcpy((char *)c + r * g.ldc * g.item, (char *)g.c + r * g.width * g.item, g.n * g.item);
    grc_release(&grc_default_allocator, arena.base, arena.used);
    return GRADCORE_OK;
}

/* ---- activations and losses ---- */

typedef struct act_call {
    const grc_kernels *k;
    int activation;
    double alpha;
    size_t n, item;
    const void *x, *d_y;
    void *y;
} act_call;
static void act_forward_body(void *p)
{
    const act_call *c = p;
    if (c->activation != GRC_ACT_identity)
        c->k->act_forward[c->activation](1, c->n, c->x, c->y, c->n, c->alpha);
    else if (c->y != c->x)
        memmove(c->y, c->x, c->n * c->item);
}

/* In blocks, since the saved output of a block is needed beside x and d. */
static void act_backward_body(void *p)
{
    const act_call *c = p;
    double block[128], output[128];
    const size_t step = sizeof block / c->item;
    for (size_t i = 0; i < c->n; i += step) {
        const size_t n = grc_min(step, c->n - i);
        const char *x = (const char *)c->x + i * c->item;
        memcpy(block, (const char *)c->d_y + i * c->item, n * c->item);
        if (c->activation != GRC_ACT_identity) {
            const int from_output = grc_saves_of(c->activation) == GRC_SAVES_OUTPUT;
            if (from_output)
                c->k->act_forward[c->activation](1, n, x, output, n, c->alpha);
            c->k->act_backward[c->activation](1, n, from_output ? (const void *)output : x, block, n, c->alpha);
        }
        memcpy((char *)c->y + i * c->item, block, n * c->item);
    }
}

static grc_status activation_call(const char *name, int32_t dtype, double alpha, int64_t n, const void *x,
                                  const void *d_y, void *y, gradcore_error *error)
{
    char known[400];
    const int found = grc_find_activation(name);
    act_call c = {.k = kernels_for(dtype, NULL, error), .activation = found, .alpha = alpha, .n = (size_t)n,
                  .x = x, .d_y = d_y, .y = y};
    if (!c.k)
        return GRADCORE_INVALID;
    if (found == GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected one of %s, got '%.40s'",
                        grc_names("activation", known, sizeof known), name ? name : "(null)");
    if (!x || !y || n < 0 || n > GRC_MOST_ELEMENTS)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected pointers and n >= 0");
    if (!(alpha >= grc_lowest_alpha(found) && alpha <= 1e6))
        return grc_fail(error, GRADCORE_INVALID, "alpha: expected a number from %g to 1e6, got %g",
                        grc_lowest_alpha(found), alpha);
    c.item = item_size(dtype);
    run_alone(d_y ? &act_backward_body : &act_forward_body, &c);
    return GRADCORE_OK;
}

grc_status gradcore_activation_forward(const char *name, int32_t dtype, double alpha, int64_t n,
                                       const void *x, void *y, gradcore_error *error)
{
    return activation_call(name, dtype, alpha, n, x, NULL, y, error);
}

grc_status gradcore_activation_backward(const char *name, int32_t dtype, double alpha, int64_t n, const void *x,
                                        const void *d_y, void *d_x, gradcore_error *error)
{
    if (!d_y)
        return grc_fail(error, GRADCORE_INVALID, "d_y: expected a pointer, got NULL");
    return activation_call(name, dtype, alpha, n, x, d_y, d_x, error);
}

typedef struct loss_call {
    const grc_kernels *k;
    const grc_loss *loss;
    size_t rows, cols, item;
    const char *z, *target;
    double *losses;
    char *d;
    grc_intrusion intrusion;
} loss_call;

/* Of row r; a label by way of *label, its copy. */
static const void *target_of(loss_call *c, size_t r, int32_t *label)
{
    if (!c->loss->labels)
        return c->target + r * c->loss->target_width * c->item;
    *label = grc_take_label(c->loss, c->target, (int64_t)r, &c->intrusion);
    return label;
}

static void loss_body(void *p)
{
    loss_call *c = p;
    const grc_loss *l = c->loss;
    int32_t label;
    double divisor = 0;
    for (size_t r = 0; r < c->rows; r++) {
        const double mass = grc_loss_mass(l, c->k, target_of(c, r, &label));
        divisor += mass > 0 ? mass : 0;
    }
    const double scale = divisor > 0 ? 1 / divisor : 0;
    int32_t right;
    for (size_t r = 0; r < c->rows; r++) {
        const size_t at = r * c->cols * c->item;
        c->k->loss[l->kind](1, c->cols, c->z + at, c->cols, target_of(c, r, &label), l->target_width, &scale,
                            c->d ? c->d + at : NULL, c->losses + r, &right, &l->args);
    }
}

grc_status gradcore_loss(const char *name, int32_t dtype, int64_t rows, int64_t cols, const void *z,
                         const void *target, double *losses, void *d, gradcore_error *error)
{
    return gradcore_loss_rows(name, NULL, dtype, rows, cols, z, target, losses, d, error);
}

grc_status gradcore_loss_rows(const char *name, const gradcore_loss_options *options, int32_t dtype,
                              int64_t rows, int64_t cols, const void *z, const void *target, double *losses,
                              void *d, gradcore_error *error)
{
    grc_loss loss;
    const grc_kernels *k = kernels_for(dtype, NULL, error);
    if (!k)
        return GRADCORE_INVALID;
    if (!z || !target || !losses || rows < 1 || cols < 1 || rows > GRC_MOST_ELEMENTS / cols)
        return grc_fail(error, GRADCORE_SHAPE, "z: expected at least 1 row and 1 column, got (%lld, %lld)",
                        (long long)rows, (long long)cols);
    grc_status status =
        grc_loss_open(&loss, &grc_default_allocator, name, options, dtype, (size_t)cols, error);
    if (status != GRADCORE_OK)
        return status;
    for (int64_t r = 0; loss.labels && r < rows && status == GRADCORE_OK; r++)
        status = grc_loss_check_label(&loss, ((const int32_t *)target)[r], r, error);
    loss_call c = {.k = k, .loss = &loss, .rows = (size_t)rows, .cols = (size_t)cols, .item = item_size(dtype),
                   .z = z, .target = target, .losses = losses, .d = d};
    if (status == GRADCORE_OK) {
        run_alone(&loss_body, &c);
        status = grc_report_intrusion(&c.intrusion, error);
    }
    grc_loss_close(&loss);
    return status;
}

/* ---- random fills ---- */

typedef struct fill_call {
    enum { UNIFORM, NORMAL, TRUNCATED_NORMAL, ORTHOGONAL, FILLS } kind;
    uint64_t seed;
    uint32_t stream;
    size_t rows, cols;
    double a, b, *out;
} fill_call;
static const char *const fill_names[FILLS] = {"uniform", "normal", "truncated_normal", "orthogonal"};

static void fill_body(void *p)
{
    const fill_call *c = p;
    const size_t n = c->rows * c->cols;
    if (c->kind == UNIFORM)
        grc_fill_uniform(c->seed, c->stream, n, c->a, c->b, c->out);
    else if (c->kind == NORMAL)
        grc_fill_normal(c->seed, c->stream, n, c->a, c->b, c->out);
    else {
        grc_fill_truncated_normal(c->seed, c->stream, n, c->b, c->out);
        for (size_t i = 0; i < n; i++)
            c->out[i] += c->a;
    }
}

grc_status gradcore_fill(const char *kind, uint64_t seed, uint32_t stream, int64_t rows, int64_t cols, double a,
                         double b, double *out, gradcore_error *error)
{
    if (!kind || !out || rows < 1 || cols < 1 || rows > GRC_MOST_ELEMENTS / cols)
        return grc_fail(error, GRADCORE_SHAPE, "fill: expected a kind, an array and a shape, got (%lld, %lld)",
                        (long long)rows, (long long)cols);
    if (!isfinite(a) || !isfinite(b))
        return grc_fail(error, GRADCORE_INVALID, "a, b: expected finite numbers, got %g and %g", a, b);
    fill_call c = {UNIFORM, seed, stream, (size_t)rows, (size_t)cols, a, b, out};
    while (c.kind < FILLS && strcmp(kind, fill_names[c.kind]) != 0)
        c.kind++;
    if (c.kind == FILLS)
        return grc_fail(error, GRADCORE_INVALID,
                        "kind: expected 'uniform', 'normal', 'truncated_normal' or 'orthogonal', got '%.40s'",
                        kind);
    if (c.kind == ORTHOGONAL)
        return grc_fill_orthogonal(seed, stream, c.rows, c.cols, a, out, error);
    run_alone(&fill_body, &c);
    return GRADCORE_OK;
}

grc_status gradcore_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order, gradcore_error *error)
{
    if (!order || n < 0 || n > GRC_MOST_ELEMENTS)
        return grc_fail(error, GRADCORE_INVALID, "n: expected an array and a count of at least 0, got %lld",
                        (long long)n);
    grc_shuffle(seed, epoch, (size_t)n, order);
    return GRADCORE_OK;
}
