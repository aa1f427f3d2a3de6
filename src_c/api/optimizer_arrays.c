/* Optimizer updates of plain arrays. */
#include <math.h>
#include <string.h>

#include "../base/registry.h"
#include "../base/sums.h"
#include "../optimizers/driver.h"
#include "matrix_arrays.h"
#include "ranges.h"

typedef struct update_call {
    const grc_kernels *kernels[GRC_DTYPE_COUNT];
    const gradcore_array *arrays;
    size_t count;
    grc_driver driver;
    grc_matrix_work matrices;
    double (*sums)[2]; /* of the chunks of the largest array, where they are measured */
    int32_t threads;   /* 0: as many as an array is worth */
} update_call;

/* Elements that are measured at a time; their sums are added as the training step adds its chunks'. */
enum { CHUNK = 1024 };

/* Elements [first, last) of an array. */
static grc_elements elements_of(const gradcore_array *array, size_t first, size_t last)
{
    const size_t at = first * grc_item_size(array->dtype);
    grc_elements e = {.g = (const char *)array->g + at, .w = (char *)array->w + at, .n = last - first};
    for (int i = 0; i < GRC_SLOTS; i++)
        e.slots[i] = array->slots[i] ? (char *)array->slots[i] + at : NULL;
    return e;
}

static void start_slots(const update_call *c, const gradcore_array *array, size_t first, size_t last)
{
    const grc_elements e = elements_of(array, first, last);
    grc_start_slots(&c->driver, c->kernels[array->dtype], grc_item_size(array->dtype), array->lr_factor, &e);
}

/* One array's turn, in ranges; those of a measurement count chunks. */
typedef struct turn {
    const update_call *c;
    const gradcore_array *array;
    double (*sums)[2]; /* of each chunk */
    int starts;        /* the slots are still to get their first values */
} turn;

static void measure_chunks(void *context, size_t first, size_t last)
{
    const turn *t = context;
    const gradcore_array *array = t->array;
    for (size_t chunk = first; chunk < last; chunk++) {
        const size_t from = chunk * CHUNK, to = grc_min(from + CHUNK, (size_t)array->n);
        if (t->starts)
            start_slots(t->c, array, from, to);
        const grc_elements e = elements_of(array, from, to);
        grc_measure_elements(&t->c->driver, t->c->kernels[array->dtype], &e, t->sums[chunk]);
    }
}

static void update_range(void *context, size_t first, size_t last)
{
    const turn *t = context;
    const gradcore_array *array = t->array;
    if (t->starts)
        start_slots(t->c, array, first, last);
    const grc_elements e = elements_of(array, first, last);
    grc_update_elements(&t->c->driver, t->c->kernels[array->dtype], &e);
}

/* Threads for one pass over an array: most of them wait for memory. */
static int threads_for(const update_call *c, const gradcore_array *array)
{
    return grc_threads_for_work(c->threads, 1e-3 * (array->dtype == GRADCORE_FLOAT32 ? 1 : 2) * (double)array->n);
}

/* The sums of one array in chunk order, each into lane chunk % 8. */
static void measure_array(update_call *c, const gradcore_array *array, double sum[2])
{
    const size_t chunks = ((size_t)array->n + CHUNK - 1) / CHUNK;
    double lane[2][8] = {{0}};
    turn t = {.c = c, .array = array, .sums = c->sums, .starts = c->driver.args.step == 1};
    grc_run_ranges(threads_for(c, array), chunks, 1, &measure_chunks, &t);
    for (size_t i = 0; i < chunks; i++) {
        lane[0][i % 8] += c->sums[i][0];
        lane[1][i % 8] += c->sums[i][1];
    }
    sum[0] = grc_fold_lanes(lane[0]);
    sum[1] = grc_fold_lanes(lane[1]);
}

static void update_array(update_call *c, const gradcore_array *array)
{
    turn t = {.c = c, .array = array, .starts = c->driver.args.step == 1 && !grc_measures(c->driver.optimizer)};
    if (array->n)
        grc_run_ranges(threads_for(c, array), (size_t)array->n, CHUNK, &update_range, &t);
}

static void turn_to(update_call *c, size_t i, const double *sum)
{
    grc_turn_to(&c->driver, (int)i, c->arrays[i].lr_factor, c->arrays[i].weight_decay, sum);
}

static void update_body(void *p)
{
    update_call *c = p;
    const enum grc_opt_kind kind = grc_optimizer_kind(c->driver.optimizer);
    double sum[2] = {0, 0}, total[2] = {0, 0};
    for (size_t i = 0; i < c->count && kind == GRC_OPT_TOTAL; i++) {
        turn_to(c, i, NULL);
        measure_array(c, &c->arrays[i], sum);
        total[0] += sum[0];
        total[1] += sum[1];
    }
    for (size_t i = 0; i < c->count; i++) {
        const gradcore_array *array = &c->arrays[i];
        turn_to(c, i, kind == GRC_OPT_TOTAL ? total : NULL);
        if (array->rows && array->n) {
            if (c->driver.args.step == 1)
                start_slots(c, array, 0, (size_t)array->n);
            grc_matrix_work_step(&c->matrices, array, &c->driver.args);
            continue;
        }
        if (kind == GRC_OPT_TENSOR) {
            measure_array(c, array, sum);
            turn_to(c, i, sum);
        }
        update_array(c, array);
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
    const unsigned needs = gradcore_optimizer_slots(grc_list("optimizer", (int32_t)optimizer), flags);
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

/* Room for the sums of every chunk; opens what update_body needs besides. */
static grc_status open_update(update_call *c, size_t *size, gradcore_error *error)
{
    size_t chunks = 0;
    for (size_t i = 0; i < c->count && grc_measures(c->driver.optimizer); i++)
        chunks = grc_max(chunks, ((size_t)c->arrays[i].n + CHUNK - 1) / CHUNK);
    *size = chunks * sizeof *c->sums;
    if (*size && !(c->sums = grc_allocate(&grc_default_allocator, *size)))
        return grc_fail(error, GRADCORE_NO_MEMORY, "optimizer_step: expected %zu bytes to work in, got none", *size);
    return grc_matrix_work_open(&c->matrices, c->count, c->arrays, error);
}

grc_status gradcore_optimizer_step(const char *optimizer, uint32_t flags, uint64_t step, const double *hypers,
                                   double *running, int64_t count, const gradcore_array *arrays, gradcore_error *error)
{
    return gradcore_optimizer_step_on(0, optimizer, flags, step, hypers, running, count, arrays, error);
}

grc_status gradcore_optimizer_step_on(int32_t threads, const char *optimizer, uint32_t flags, uint64_t step,
                                      const double *hypers, double *running, int64_t count,
                                      const gradcore_array *arrays, gradcore_error *error)
{
    char known[GRC_NAMES_LENGTH];
    size_t size;
    update_call c = {.driver.optimizer = grc_find_optimizer(optimizer),
                     .arrays = arrays,
                     .count = (size_t)count,
                     .threads = threads};
    if (grc_check_threads(threads, error) != GRADCORE_OK)
        return GRADCORE_INVALID;
    if (c.driver.optimizer == GRC_NONE)
        return grc_fail(error, GRADCORE_INVALID, "optimizer: expected one of %s, got '%.40s'",
                        grc_names("optimizer", known, sizeof known), optimizer ? optimizer : "(null)");
    if (!hypers || !running || count < 0 || (count && !arrays) || step < 1)
        return grc_fail(error, GRADCORE_INVALID, "optimizer_step: expected pointers and step >= 1");
    if ((flags & ~(uint32_t)GRADCORE_OPTIMIZER_OPTIONS)
        || ((flags & GRADCORE_OPTIMIZER_NESTEROV) && !(flags & GRADCORE_OPTIMIZER_MOMENTUM)))
        return grc_fail(error, GRADCORE_INVALID, "flags: expected known bits, nesterov only with momentum, got 0x%x",
                        flags);
    for (int64_t i = 0; i < count; i++) {
        const grc_status status = check_array(&arrays[i], c.driver.optimizer, flags, hypers, error);
        if (status != GRADCORE_OK)
            return status;
    }
    for (int dtype = 0; dtype < GRC_DTYPE_COUNT; dtype++)
        if (!(c.kernels[dtype] = grc_plain_kernels(dtype, NULL, error)))
            return GRADCORE_INVALID;
    if (!count)
        return GRADCORE_OK;
    c.driver = grc_drive(c.driver.optimizer, flags, step, hypers, running);
    c.matrices = (grc_matrix_work){.optimizer = c.driver.optimizer, .kernels = {c.kernels[0], c.kernels[1]}};
    const grc_status status = open_update(&c, &size, error);
    if (status == GRADCORE_OK) {
        grc_run_alone(&update_body, &c);
        grc_matrix_work_close(&c.matrices);
        memcpy(running, c.driver.args.next, sizeof c.driver.args.next);
    }
    grc_release(&grc_default_allocator, c.sums, size);
    return status;
}

grc_status gradcore_optimizer_update(const char *optimizer, int32_t dtype, uint32_t flags, uint64_t step,
                                     const double *hypers, int64_t n, void *w, const void *g, void *const *slots,
                                     gradcore_error *error)
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
