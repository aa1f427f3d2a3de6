/* Products of plain arrays: the plan of a call, and who does which part of it. The parts are rectangles of C, whole
 * panels wide; the kernel does one at a time, in memory of its own, so that threads never wait for each other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../pass/thread_choice.h"
#include "ranges.h"

#define MOST_SIZE INT32_MAX

/* ---- memory that kernels work in ---- */

/* The last block that a call has used waits here for the next one, since fresh pages cost more than many a
 * product; a larger one is not kept. */
#define KEPT_BYTES ((size_t)32 << 20)

typedef struct scratch {
    size_t size; /* bytes behind this header */
} scratch;
static scratch *_Atomic spare;

static scratch *scratch_take(size_t size)
{
    scratch *s = atomic_exchange(&spare, NULL);
    if (s && s->size >= size)
        return s;
    free(s);
    void *p = NULL;
    if (posix_memalign(&p, GRC_PANEL_BYTES, size + GRC_PANEL_BYTES) != 0)
        return NULL;
    s = p;
    s->size = size;
    return s;
}

static void scratch_give_back(scratch *s)
{
    if (s)
        free(s->size <= KEPT_BYTES ? atomic_exchange(&spare, s) : s);
}

static void *scratch_at(scratch *s, size_t offset)
{
    return (char *)s + GRC_PANEL_BYTES + offset;
}

/* ---- parts of products ---- */

/* One product and how C is cut up: `down` by `across` parts. */
typedef struct part_list {
    grc_product product;
    size_t item, down, across;
} part_list;

enum { MOST_PRODUCTS = 3 };
typedef struct product_call {
    const grc_kernels *k;
    part_list lists[MOST_PRODUCTS];
    int count;
    atomic_size_t next; /* the part that nobody has begun */
    scratch *scratch;   /* for each thread `share` bytes */
    size_t share;
} product_call;

/* [*from, *to) of part i of `parts` of n, in whole units. */
static void cut(size_t n, size_t unit, size_t i, size_t parts, size_t *from, size_t *to)
{
    const size_t units = (n + unit - 1) / unit;
    *from = grc_min(n, units * i / parts * unit);
    *to = grc_min(n, units * (i + 1) / parts * unit);
}

static void do_part(const product_call *call, const part_list *list, size_t i, void *memory)
{
    grc_product g = list->product;
    const ptrdiff_t item = (ptrdiff_t)list->item;
    const size_t pw = call->k->panel;
    size_t row, row_end, col, col_end;
    cut(g.m, 1, i % list->down, list->down, &row, &row_end);
    cut(g.n, pw, i / list->down, list->across, &col, &col_end);
    if (row == row_end || col == col_end)
        return;
    g.m = row_end - row;
    g.n = col_end - col;
    g.a = (const char *)g.a + (ptrdiff_t)row * g.a_row * item;
    g.b = (const char *)g.b + (ptrdiff_t)(g.packed ? col * g.k : col) * (g.packed ? 1 : g.b_col) * item;
    g.c = (char *)g.c + ((ptrdiff_t)row * g.c_row + (ptrdiff_t)col) * item;
    g.init = g.init ? (const char *)g.init + (ptrdiff_t)col * item : NULL;
    g.scratch = memory;
    call->k->product(&g);
}

/* Whoever is there takes the next part. */
static void product_team(void *context, grc_team *team, int t, int count)
{
    product_call *call = context;
    void *memory = call->scratch ? scratch_at(call->scratch, (size_t)t * call->share) : NULL;
    size_t total = 0;
    (void)team, (void)count;
    for (int l = 0; l < call->count; l++)
        total += call->lists[l].down * call->lists[l].across;
    for (size_t i; (i = atomic_fetch_add_explicit(&call->next, 1, memory_order_relaxed)) < total;) {
        const part_list *list = call->lists;
        for (; i >= list->down * list->across; list++)
            i -= list->down * list->across;
        do_part(call, list, i, memory);
    }
}

/* ---- how many ---- */

/* Multiplications of 4-byte numbers that are worth a thread's coming, and what they take one core. */
#define GRC_WORTH 1e6
#define GRC_WORTH_MICROSECONDS 20.0
/* The same in numbers read, where each is used once or twice. */
#define GRC_WORTH_READ 3e5

static double work_of(const grc_product *g, size_t item)
{
    const double m = (double)g->m, n = (double)g->n, k = (double)g->k;
    const double products = m * n * k, reads = (m * k + k * n) * (GRC_WORTH / GRC_WORTH_READ);
    return ((m <= 2 || n <= 2) && reads > products ? reads : products) * ((double)item / sizeof(float));
}

/* Cuts C into parts, as square as may be, and enough that whoever comes late still finds some. Parts of the
 * same rows lie behind each other, so that threads side by side share the columns of B. */
static void cut_up(part_list *list, const grc_kernels *k, int threads, double work)
{
    const grc_product *g = &list->product;
    size_t parts = threads > 1 ? grc_min((size_t)threads * 4, (size_t)(work / (GRC_WORTH / 2)) + 1) : 1;
    if (parts > 1 && parts < (size_t)threads)
        parts = (size_t)threads;
    const double panel = (double)k->panel, rows = (double)g->m, cols = (double)g->n;
    double least = (double)INFINITY;
    list->down = list->across = 1;
    for (size_t down = 1; down <= parts && parts > 1; down++) {
        const size_t across = parts / down;
        if (down > (g->m + 5) / 6 || across > (g->n + k->panel - 1) / k->panel)
            continue;
        const double height = ceil(rows / (double)down), width = ceil(cols / panel / (double)across) * panel;
        /* what the largest part multiplies, and reads */
        const double cost = height * width * (1 + 8 / height + 8 / width) * ceil((double)(down * across) / threads);
        if (cost < least) {
            least = cost;
            list->down = down;
            list->across = across;
        }
    }
}

/* What a thread may need of memory: kernels.h says how much. */
static size_t scratch_share(const grc_product *g, size_t panel)
{
    const size_t panels = grc_min((g->n + panel - 1) / panel, GRC_B_BYTES / GRC_PANEL_BYTES);
    return GRC_A_BYTES + grc_min(GRC_B_BYTES, panels * grc_min(g->k, GRC_KC) * GRC_PANEL_BYTES);
}

/* The same number for calls that take the same time. */
static uint64_t shape_of(const product_call *call)
{
    uint64_t shape = (uint64_t)call->count;
    for (int l = 0; l < call->count; l++) {
        const grc_product *g = &call->lists[l].product;
        const uint64_t numbers[] = {
            g->m, g->n, g->k, call->lists[l].item * 8 + (g->a_col == 1) * 4 + (g->b_col == 1) * 2 + (g->packed != 0)};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            shape = (shape ^ numbers[i]) * UINT64_C(0x100000001b3); /* as FNV-1a goes over bytes */
    }
    return shape;
}

static grc_status run_products(product_call *call, int threads, gradcore_error *error)
{
    double work = 0;
    int packs = 0;
    for (int l = 0; l < call->count; l++) {
        work += work_of(&call->lists[l].product, call->lists[l].item);
        packs |= call->k->product_packs(&call->lists[l].product);
        call->share = grc_max(call->share, scratch_share(&call->lists[l].product, call->k->panel));
    }
    grc_tuner *tuner = NULL;
    if (threads)
        threads = grc_threads_worth(threads, work, GRC_WORTH);
    else
        tuner =
            grc_tuner_of(shape_of(call), work / GRC_WORTH * GRC_WORTH_MICROSECONDS, grc_threads_default(), &threads);
    for (int l = 0; l < call->count; l++)
        cut_up(&call->lists[l], call->k, threads, work_of(&call->lists[l].product, call->lists[l].item));
    packs |= threads > 1; /* a part may want to pack where the whole does not */
    int came = 0;
    if (!packs || (call->scratch = scratch_take((size_t)threads * call->share))) {
        atomic_init(&call->next, 0);
        came = grc_team_lend(threads, 0, &product_team, call);
        scratch_give_back(call->scratch);
    }
    if (tuner)
        grc_tuner_done(tuner, came);
    return came ? GRADCORE_OK
                : grc_fail(error, GRADCORE_NO_MEMORY, "threads: expected %zu bytes to work in, got none",
                           (size_t)threads * call->share);
}

/* ---- the functions ---- */

static int size_fits(int64_t size)
{
    return size >= 1 && size <= MOST_SIZE;
}

grc_status gradcore_gemm(int32_t dtype, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col,
                         const void *b, int64_t b_row, int64_t b_col, const void *bias, void *c, int64_t ldc,
                         int32_t threads, const char *isa, gradcore_error *error)
{
    const gradcore_product p = {.size = sizeof p,
                                .dtype = dtype,
                                .m = m,
                                .n = n,
                                .k = k,
                                .a = a,
                                .a_row = a_row,
                                .a_col = a_col,
                                .b = b,
                                .b_row = b_row,
                                .b_col = b_col,
                                .bias = bias,
                                .c = c,
                                .ldc = ldc,
                                .threads = threads,
                                .isa = isa};
    return gradcore_multiply(&p, error);
}

/* The activation of a product, or of its derivative; GRC_NONE with an error. */
static int activation_of(const char *name, double alpha, gradcore_error *error)
{
    char known[GRC_NAMES_LENGTH];
    const int found = name ? grc_find_activation(name) : GRC_ACT_identity;
    if (found == GRC_NONE) {
        grc_fail(error, GRADCORE_INVALID, "activation: expected one of %s, got '%.40s'",
                 grc_names("activation", known, sizeof known), name);
        return GRC_NONE;
    }
    if (name && !(alpha >= grc_lowest_alpha(found) && alpha <= 1e6)) {
        grc_fail(error, GRADCORE_INVALID, "alpha: expected a number from %g to 1e6, got %g", grc_lowest_alpha(found),
                 alpha);
        return GRC_NONE;
    }
    return found;
}

grc_status gradcore_multiply(const gradcore_product *p, gradcore_error *error)
{
    if (!p || p->size != sizeof *p)
        return grc_fail(error, GRADCORE_INVALID, "product: expected a gradcore_product of %zu bytes, got %u", sizeof *p,
                        p ? p->size : 0);
    const grc_kernels *kernels = grc_plain_kernels(p->dtype, p->isa, error);
    if (!kernels)
        return GRADCORE_INVALID;
    if (!size_fits(p->m) || !size_fits(p->n) || !size_fits(p->k) || !p->a || !p->b || !p->c || p->ldc < p->n)
        return grc_fail(error, GRADCORE_SHAPE,
                        "gemm: expected m, n, k from 1 to %d and ldc >= n, got %lld %lld %lld %lld", MOST_SIZE,
                        (long long)p->m, (long long)p->n, (long long)p->k, (long long)p->ldc);
    if (grc_check_threads(p->threads, error) != GRADCORE_OK)
        return GRADCORE_INVALID;
    const int activation = activation_of(p->activation, p->alpha, error);
    if (activation == GRC_NONE)
        return GRADCORE_INVALID;
    product_call call = {.k = kernels, .count = 1};
    call.lists[0] =
        (part_list){.item = grc_item_size(p->dtype),
                    .product = {.m = (size_t)p->m,
                                .n = (size_t)p->n,
                                .k = (size_t)p->k,
                                .a = p->a,
                                .a_row = p->a_row,
                                .a_col = p->a_col,
                                .b = p->b,
                                .b_row = p->b_row,
                                .b_col = p->b_col,
                                .packed = p->packed != 0,
                                .c = p->c,
                                .c_row = p->ldc,
                                .init = p->bias,
                                .alpha = p->alpha,
                                .act = activation == GRC_ACT_identity ? NULL : kernels->act_forward[activation]}};
    return run_products(&call, p->threads, error);
}

int64_t gradcore_packed_size(int32_t dtype, int64_t k, int64_t n)
{
    if ((dtype != GRADCORE_FLOAT32 && dtype != GRADCORE_FLOAT64) || !size_fits(k) || !size_fits(n))
        return -1;
    const size_t panel = GRC_PANEL_BYTES / grc_item_size(dtype);
    return (int64_t)(grc_round_up((size_t)n, panel) / panel * (size_t)k * GRC_PANEL_BYTES);
}

grc_status gradcore_pack(int32_t dtype, int64_t k, int64_t n, const void *b, int64_t b_row, int64_t b_col, void *panels,
                         gradcore_error *error)
{
    const grc_kernels *kernels = grc_plain_kernels(dtype, NULL, error);
    if (!kernels)
        return GRADCORE_INVALID;
    if (!size_fits(k) || !size_fits(n) || !b || !panels)
        return grc_fail(error, GRADCORE_SHAPE, "pack: expected k and n from 1 to %d, got %lld %lld", MOST_SIZE,
                        (long long)k, (long long)n);
    const grc_product g = {.m = 1, .n = (size_t)n, .k = (size_t)k, .b = b, .b_row = b_row, .b_col = b_col};
    kernels->pack_any(&g, panels);
    return GRADCORE_OK;
}

/* ---- backward ---- */

typedef struct slope_call {
    const grc_kernels *k;
    const gradcore_dense *p;
    int activation;
    size_t item;
    char *d; /* (m, n): d_y times the derivative */
} slope_call;

/* Rows of d_y times the derivative of the activation at z, or from what it returned. */
static void slope_rows(void *context, size_t first, size_t last)
{
    const slope_call *c = context;
    const gradcore_dense *p = c->p;
    const size_t n = (size_t)p->n, item = c->item;
    for (size_t r = first; r < last; r++) {
        const char *d_y = (const char *)p->d_y + r * (size_t)p->ldd * item;
        char *d = c->d + r * n * item;
        if (!p->y) {
            c->k->act_gradient[c->activation](n, (const char *)p->z + r * (size_t)p->ldz * item, d_y, d, p->alpha);
            continue;
        }
        memcpy(d, d_y, n * item);
        c->k->act_backward[c->activation](1, n, (const char *)p->y + r * (size_t)p->ldy * item, d, n, p->alpha);
    }
}

static grc_status check_dense(const gradcore_dense *p, gradcore_error *error)
{
    if (!p || p->size != sizeof *p)
        return grc_fail(error, GRADCORE_INVALID, "dense: expected a gradcore_dense of %zu bytes, got %u", sizeof *p,
                        p ? p->size : 0);
    if (!size_fits(p->m) || !size_fits(p->n) || !size_fits(p->k) || !p->x || !p->w || !p->d_y || p->ldd < p->n)
        return grc_fail(error, GRADCORE_SHAPE, "dense: expected m, n, k from 1 to %d, got %lld %lld %lld", MOST_SIZE,
                        (long long)p->m, (long long)p->n, (long long)p->k);
    return grc_check_threads(p->threads, error);
}

grc_status gradcore_dense_backward(const gradcore_dense *p, gradcore_error *error)
{
    static const double one64 = 1;
    static const float one32 = 1;
    grc_status status = check_dense(p, error);
    if (status != GRADCORE_OK)
        return status;
    const grc_kernels *k = grc_plain_kernels(p->dtype, p->isa, error);
    const int activation = k ? activation_of(p->activation, p->alpha, error) : GRC_NONE;
    if (activation == GRC_NONE)
        return GRADCORE_INVALID;
    const int sloped = activation != GRC_ACT_identity;
    if (sloped && !p->y == !p->z)
        return grc_fail(error, GRADCORE_INVALID, "activation: expected either z or y, got %s", p->y ? "both" : "none");
    if (sloped && p->y && grc_saves_of(activation) != GRC_SAVES_OUTPUT)
        return grc_fail(error, GRADCORE_INVALID, "y: expected z, since the derivative of %s is not known from y",
                        p->activation);
    const size_t item = grc_item_size(p->dtype), m = (size_t)p->m, n = (size_t)p->n;
    const ptrdiff_t ldd = sloped ? p->n : p->ldd;
    slope_call slope = {.k = k, .p = p, .activation = activation, .item = item};
    const char *d = p->d_y;
    if (sloped) {
        size_t bytes;
        if (!__builtin_mul_overflow(m * n, item, &bytes) && bytes < SIZE_MAX / 4)
            d = slope.d = malloc(bytes);
        if (!slope.d)
            return grc_fail(error, GRADCORE_NO_MEMORY, "d_y: expected memory for %zu numbers, got none", m * n);
        const int most = p->threads ? p->threads : grc_threads_default();
        grc_run_ranges((int)grc_min((size_t)most, m * n / 65536 + 1), m, 1, &slope_rows, &slope);
    }
    product_call call = {.k = k};
    if (p->d_x)
        call.lists[call.count++].product = (grc_product){.m = m,
                                                         .n = (size_t)p->k,
                                                         .k = n,
                                                         .a = d,
                                                         .a_row = ldd,
                                                         .a_col = 1,
                                                         .b = p->w,
                                                         .b_row = p->w_col,
                                                         .b_col = p->w_row,
                                                         .c = p->d_x,
                                                         .c_row = p->k};
    if (p->d_w)
        call.lists[call.count++].product = (grc_product){.m = (size_t)p->k,
                                                         .n = n,
                                                         .k = m,
                                                         .a = p->x,
                                                         .a_row = p->x_col,
                                                         .a_col = p->x_row,
                                                         .b = d,
                                                         .b_row = ldd,
                                                         .b_col = 1,
                                                         .c = p->d_w,
                                                         .c_row = p->n};
    if (p->d_b) /* a row of ones, which is one number again and again */
        call.lists[call.count++].product =
            (grc_product){.m = 1,
                          .n = n,
                          .k = m,
                          .a = item == sizeof one32 ? (const void *)&one32 : (const void *)&one64,
                          .a_row = 1,
                          .b = d,
                          .b_row = ldd,
                          .b_col = 1,
                          .c = p->d_b,
                          .c_row = p->n};
    for (int l = 0; l < call.count; l++)
        call.lists[l].item = item;
    status = run_products(&call, p->threads, error);
    free(slope.d);
    return status;
}
