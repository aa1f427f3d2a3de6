/* Reading, writing and initialising the parameters of a network. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/registry.h"
#include "../base/team.h"
#include "draws.h"
#include "op.h"

static int has_index(const gradcore_network *n, int64_t index)
{
    return index >= 0 && index < n->parameter_count;
}

grc_status gradcore_network_parameter(const gradcore_network *n, int64_t index, gradcore_parameter_info *info)
{
    if (!n || !info || info->size < sizeof *info || !has_index(n, index))
        return GRADCORE_INVALID;
    const grc_parameter *p = &n->parameters[index];
    const grc_op *op = &n->ops[p->op];
    info->trainable = p->trainable;
    info->name = p->name;
    info->role = p->role;
    info->ndim = p->ndim;
    info->rows = (int64_t)p->rows;
    info->cols = (int64_t)p->cols;
    info->activation = grc_list("activation", op->activation);
    info->alpha = op->alpha;
    return GRADCORE_OK;
}

/* Element (i, j) of a turned parameter: row j of the transpose, lane i of its panels. */
static size_t turned_at(const gradcore_network *n, const grc_parameter *p, size_t i, size_t j)
{
    const size_t pw = n->kernels->panel;
    return p->offset + (i / pw * p->cols + j) * pw + i % pw;
}

void grc_read_parameter(const gradcore_network *n, const grc_parameter *p, const void *vector, void *dst)
{
    if (!p->turned) {
        n->kernels->unpack(p->rows, p->cols, grc_at(n, vector, p->offset), dst, p->cols);
        return;
    }
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            memcpy(grc_at(n, dst, i * p->cols + j), grc_at(n, vector, turned_at(n, p, i, j)), n->item);
}

void grc_write_parameter(const gradcore_network *n, const grc_parameter *p, const void *src, void *vector)
{
    if (!p->turned) {
        n->kernels->pack(p->rows, p->cols, src, p->cols, grc_at(n, vector, p->offset));
        return;
    }
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            memcpy(grc_at(n, vector, turned_at(n, p, i, j)), grc_at(n, src, i * p->cols + j), n->item);
}

void grc_fill_vector(gradcore_network *n, const grc_parameter *p)
{
    for (size_t j = 0; p->ndim == 1 && j < p->cols; j++)
        grc_set(n, n->w, p->offset + j, p->initial);
}

grc_status gradcore_network_read(gradcore_network *n, int64_t index, void *dst, gradcore_error *error)
{
    if (!n || !dst || !has_index(n, index))
        return grc_fail(error, GRADCORE_INVALID, "index: expected 0 to %d, got %lld", n ? n->parameter_count - 1 : 0,
                        (long long)index);
    if (!grc_lock_read(n))
        return grc_network_refused(n, error);
    const grc_parameter *p = &n->parameters[index];
    grc_read_parameter(n, p, n->w, dst);
    grc_unlock_read(n);
    return GRADCORE_OK;
}

void grc_derive(gradcore_network *n, enum grc_news news, int t, int count)
{
    for (int i = 0; i < n->op_count; i++)
        if (n->ops[i].class->derive)
            n->ops[i].class->derive(&n->ops[i], n, news, t, count);
}

typedef struct derive_call {
    gradcore_network *n;
    enum grc_news news;
} derive_call;
static void derive(void *context, grc_team *team, int t, int count)
{
    const derive_call *c = context;
    (void)team;
    grc_derive(c->n, c->news, t, count);
}
static void derive_all(gradcore_network *n, enum grc_news news)
{
    derive_call c = {n, news};
    grc_team_run(1, n->flush_denormals, &derive, &c);
}

grc_status grc_begin_write(gradcore_network *n, const void *const *src, int *whole, gradcore_error *error)
{
    *whole = 1;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        *whole &= src[i] != NULL;
        if (src[i] && !isfinite(n->kernels->max_abs(p->rows * p->cols, src[i])))
            return grc_fail(error, GRADCORE_INVALID, "%s: expected finite values, got NaN or infinity", p->name);
    }
    if (!(*whole ? grc_lock_remake(n) : grc_lock_write(n)))
        return grc_network_refused(n, error);
    if (grc_lock_is_torn(&n->lock))
        memset(n->w, 0, n->vector * n->item); /* what is derived begins anew, too */
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        if (src[i])
            grc_write_parameter(n, p, src[i], n->w);
    }
    return GRADCORE_OK;
}

void grc_end_write(gradcore_network *n, int whole)
{
    GRC_ASSERT(grc_lock_take(&n->lock, GRC_SHARED) == GRC_TAKEN_BY_OTHERS); /* us */
    atomic_fetch_add(&n->version, 1);
    if (whole)
        grc_remade(n);
    grc_unlock_write(n);
}

grc_status gradcore_network_write(gradcore_network *n, const void *const *src, gradcore_error *error)
{
    int whole;
    if (!n || !src)
        return grc_fail(error, GRADCORE_INVALID, "src: expected a pointer, got NULL");
    const grc_status status = grc_begin_write(n, src, &whole, error);
    if (status != GRADCORE_OK)
        return status;
    if (n->derives)
        derive_all(n, GRC_NEW_VALUES);
    grc_end_write(n, whole);
    return GRADCORE_OK;
}

/* Variance scaling by name: he 2 / fan_in, lecun 1 / fan_in, glorot 2 / (fan_in + fan_out), siren of a first
 * layer 1 / (3 fan_in^2), of a later one 2 / (fan_in alpha^2). */
static void fill_weight(const grc_op *op, const char *rule, uint64_t seed, uint32_t stream, size_t fan_in,
                        size_t fan_out, double *out)
{
    const size_t count = fan_in * fan_out;
    const double in = (double)fan_in, both = (double)(fan_in + fan_out);
    const int siren = strcmp(rule, "siren") == 0;
    const double variance = strncmp(rule, "he", 2) == 0      ? 2 / in
                            : strncmp(rule, "lecun", 5) == 0 ? 1 / in
                            : siren && op->trains_before     ? 2 / in / (op->alpha * op->alpha)
                            : siren                          ? 1 / (3 * in * in)
                                                             : 2 / both;
    if (siren || strstr(rule, "uniform"))
        grc_fill_uniform(seed, stream, count, -sqrt(3 * variance), sqrt(3 * variance), out);
    else
        grc_fill_normal(seed, stream, count, 0, sqrt(variance), out);
}

/* Values of matrix i, contiguous and of the network's type, into dst; scratch: as many doubles. */
static void initial_values(const gradcore_network *n, int i, uint64_t seed, double *scratch, void *dst)
{
    const grc_parameter *p = &n->parameters[i];
    const char *activation = grc_list("activation", n->ops[p->op].activation);
    const size_t count = p->rows * p->cols;
    fill_weight(&n->ops[p->op], grc_describe("activation", activation, "initializer"), seed, (uint32_t)i, p->rows,
                p->cols, scratch);
    for (size_t j = 0; j < count; j++)
        if (n->dtype == GRC_F32)
            ((float *)dst)[j] = (float)scratch[j];
        else
            ((double *)dst)[j] = scratch[j];
}

typedef struct initialize_call {
    gradcore_network *n;
    uint64_t seed;
    double *scratch;
    size_t largest;
} initialize_call;
static void initialize_all(void *context, grc_team *team, int t, int count)
{
    const initialize_call *c = context;
    (void)team, (void)t, (void)count;
    for (int i = 0; i < c->n->parameter_count; i++) {
        const grc_parameter *p = &c->n->parameters[i];
        if (p->trainable)
            grc_fill_vector(c->n, p);
        if (!p->trainable || p->ndim == 1)
            continue;
        initial_values(c->n, i, c->seed, c->scratch, c->scratch + c->largest);
        grc_write_parameter(c->n, p, c->scratch + c->largest, c->n->w);
    }
}

grc_status gradcore_network_initialize(gradcore_network *n, uint64_t seed, gradcore_error *error)
{
    size_t largest = 1;
    if (!n)
        return grc_fail(error, GRADCORE_INVALID, "network: expected a network, got NULL");
    for (int i = 0; i < n->parameter_count; i++)
        if (n->parameters[i].rows * n->parameters[i].cols > largest)
            largest = n->parameters[i].rows * n->parameters[i].cols;
    const size_t size = largest * 2 * sizeof(double);
    double *scratch = grc_allocate(&n->allocator, size);
    if (!scratch)
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected %zu bytes to initialise it, got none", size);
    if (!grc_lock_write(n)) { /* it leaves alone what does not train, and so is no way to make half a change whole */
        grc_release(&n->allocator, scratch, size);
        return grc_network_refused(n, error);
    }
    initialize_call c = {n, seed, scratch, largest};
    grc_team_run(1, 0, &initialize_all, &c);
    if (n->derives)
        derive_all(n, GRC_NEW_WEIGHTS);
    atomic_fetch_add(&n->version, 1);
    grc_unlock_write(n);
    grc_release(&n->allocator, scratch, size);
    return GRADCORE_OK;
}
