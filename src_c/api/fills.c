/* Random fills and permutations of plain arrays. */
#include <math.h>
#include <string.h>

#include "../network/draws.h"
#include "../optimizers/orthogonal.h"
#include "ranges.h"

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
                        "kind: expected 'uniform', 'normal', 'truncated_normal' or 'orthogonal', got '%.40s'", kind);
    if (c.kind == ORTHOGONAL)
        return grc_fill_orthogonal(seed, stream, c.rows, c.cols, a, out, error);
    grc_run_alone(&fill_body, &c);
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
