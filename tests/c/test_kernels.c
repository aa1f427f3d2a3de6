/* Every instruction set of this machine gives the bits of the scalar kernels, touches nothing outside
 * its arrays (they end at a guard page), and the generator gives its published numbers.
 *   cc -O2 -fopenmp -I src_c tests/c/test_kernels.c libgradcore.a -lm && ./a.out
 * Prints one digest a group, which is the same on every platform. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "check.h"
#include "kernels/kernels.h"
#include "network/draws.h"
#include "optimizers/scalars.h"

enum { SLOT_BYTES = 1 << 20, SLOTS = 12, MAX_ROWS = 33, MAX_COLS = 66 };
static char *slot_end[SLOTS];

static void map_slots(void)
{
    for (int i = 0; i < SLOTS; i++) {
        char *p = mmap(NULL, 2 * SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(p + SLOT_BYTES, SLOT_BYTES, PROT_NONE);
        slot_end[i] = p + SLOT_BYTES;
    }
}

/* n elements that end at a guard page, filled with normal numbers of stream `slot`. */
static void *array(int slot, enum grc_dtype dtype, size_t n)
{
    static double values[MAX_ROWS * MAX_COLS * 2];
    size_t size = dtype == GRC_F32 ? sizeof(float) : sizeof(double);
    char *p = slot_end[slot] - n * size;
    grc_fill_normal(7, (uint32_t)slot, n, 0.0, 3.0, values);
    for (size_t i = 0; i < n; i++) {
        float rounded = (float)values[i];
        memcpy(p + i * size, dtype == GRC_F32 ? (void *)&rounded : (void *)&values[i], size);
    }
    return p;
}

/* FNV-1a over the last n elements of a slot. */
static uint64_t digest(uint64_t hash, int slot, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)slot_end[slot] - bytes;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static const size_t cols_tried[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
static const size_t rows_tried[] = {1, 5, 16, 33};
enum { COLS_TRIED = sizeof cols_tried / sizeof *cols_tried };
enum { ROWS_TRIED = sizeof rows_tried / sizeof *rows_tried };

typedef uint64_t group_fn(const grc_kernels *k, enum grc_dtype type, uint64_t hash, size_t rows, size_t cols);

static uint64_t losses(const grc_kernels *k, enum grc_dtype type, uint64_t hash, size_t rows, size_t cols)
{
    size_t size = type == GRC_F32 ? 4 : 8;
    for (size_t loss = 0; loss < GRC_LOSS_COUNT; loss++)
        for (int gradient = 0; gradient < 2 && !(loss == GRC_LOSS_gaussian_nll && cols % 2); gradient++) {
            void *z = array(0, type, rows * cols), *t = array(1, type, rows * cols);
            double *scale = array(3, GRC_F64, rows), *value = array(4, GRC_F64, rows);
            int32_t *correct = (int32_t *)slot_end[5] - rows, *labels = (int32_t *)slot_end[6] - rows;
            for (size_t r = 0; r < rows; r++)
                labels[r] = (int32_t)(r * 5 % cols);
            const grc_loss_args args = {.p = {loss == GRC_LOSS_poisson ? 1 : 0.5, 0, 1e-3}};
            void *target = loss == GRC_LOSS_cross_entropy || loss == GRC_LOSS_focal ? (void *)labels : t;
            if (loss == GRC_LOSS_kl_divergence) /* shares */
                k->multiply(rows, cols, t, t, t, cols);
            k->loss[loss](rows, cols, z, cols, target, cols, scale, gradient ? z : NULL, value, correct, &args);
            hash = digest(hash, 0, rows * cols * size);
            hash = digest(digest(hash, 4, rows * sizeof(double)), 5, rows * sizeof(int32_t));
        }
    return hash;
}

static uint64_t optimizers(const grc_kernels *k, enum grc_dtype type, uint64_t hash, size_t rows, size_t cols)
{
    size_t size = type == GRC_F32 ? 4 : 8, n = rows * cols;
    for (size_t opt = 0; opt < GRC_OPT_COUNT; opt++)
        for (uint32_t flags = 0; flags < 8; flags++) {
            void *w = array(0, type, n), *g = array(1, type, n), *state[GRC_SLOTS];
            for (int s = 0; s < GRC_SLOTS; s++)
                state[s] = memset(slot_end[2 + s] - n * size, 0, n * size);
            if (opt == GRC_OPT_sgd && !(flags & GRADCORE_OPTIMIZER_MOMENTUM))
                state[0] = NULL;
            grc_opt_args args = {.lr = 0.01,
                                 .base_lr = 0.01,
                                 .weight_decay = 0.1,
                                 .grad_scale = 0.5,
                                 .grad_limit = 2.0,
                                 .p = {0.9, 0.99, 1e-8, 1e-6, 0.5, 0.25},
                                 .flags = flags};
            for (args.step = 1; args.step < 4; args.step++) {
                double sum[2];
                grc_opt_prepare((int)opt, &args);
                if (k->opt_measure[opt]) {
                    k->opt_measure[opt](n, w, g, state, &args, sum);
                    grc_opt_finish((int)opt, &args, sum);
                }
                k->opt[opt](n, w, g, state, &args);
            }
            for (int s = 0; s < 2 + GRC_SLOTS; s++)
                hash = digest(hash, s, n * size);
        }
    return hash;
}

static uint64_t statistics(const grc_kernels *k, enum grc_dtype type, uint64_t hash, size_t rows, size_t cols)
{
    size_t size = type == GRC_F32 ? 4 : 8, n = rows * cols;
    void *x = array(0, type, n), *y = array(1, type, n), *out = array(2, type, n);
    void *mean = array(3, type, cols), *scale = array(4, type, cols), *sums = array(5, type, cols);
    double *numbers = array(6, GRC_F64, 2);
    k->add(rows, cols, x, cols, y, cols);
    k->accumulate(n, x, y);
    k->multiply(rows, cols, x, y, x, cols);
    k->standardize(rows, cols, x, cols, mean, scale, out, cols);
    k->column_sums(rows, cols, x, cols, sums);
    numbers[0] = k->sum_squares(n, x);
    numbers[1] = k->max_abs(n, x);
    for (int s = 0; s < 3; s++)
        hash = digest(hash, s, n * size);
    hash = digest(digest(hash, 5, cols * size), 6, 2 * sizeof(double));
    k->dropout_mask(rows, cols, cols, 3, 11, 12, 13, 0x80000000u, 2.0, out);
    return digest(hash, 2, n * size);
}

static uint64_t layouts(const grc_kernels *k, enum grc_dtype type, uint64_t hash, size_t rows, size_t cols)
{
    size_t size = type == GRC_F32 ? 4 : 8, panel = k->panel;
    size_t across = (cols + panel - 1) / panel, down = (rows + panel - 1) / panel;
    size_t packed = across * rows * panel, turned = down * cols * panel;
    char *x = array(0, type, rows * cols), *back = array(4, type, rows * cols);
    char *panels = slot_end[1] - packed * size, *image = slot_end[2] - turned * size;
    k->pack(rows, cols, x, cols, panels);
    k->unpack(rows, cols, panels, back, cols);
    CHECK(!memcmp(x, back, rows * cols * size)); /* unpack undoes pack */
    k->transpose(rows, cols, panels, 0, rows, 0, across, image);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            CHECK(
                !memcmp(image + ((r / panel * cols + c) * panel + r % panel) * size, x + (r * cols + c) * size, size));
    return digest(digest(hash, 1, packed * size), 2, turned * size);
}

static const struct {
    const char *name;
    group_fn *run;
} groups[] = {{"losses", losses}, {"optimizers", optimizers}, {"statistics", statistics}, {"layouts", layouts}};

static uint64_t run_group(int group, const grc_kernels *tables, enum grc_dtype dtype)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < ROWS_TRIED; i++)
        for (int j = 0; j < COLS_TRIED; j++)
            hash = groups[group].run(&tables[dtype], dtype, hash, rows_tried[i], cols_tried[j]);
    return hash;
}

static void compare(const grc_kernels *tables)
{
    for (int dtype = 0; dtype < GRC_DTYPE_COUNT; dtype++)
        for (int g = 0; g < (int)(sizeof groups / sizeof *groups); g++) {
            uint64_t hash = run_group(g, tables, dtype);
            printf("%-8s f%d %-12s %016llx\n", tables->name, dtype ? 64 : 32, groups[g].name, (unsigned long long)hash);
            CHECK_NOTE(hash == run_group(g, grc_kernels_scalar, dtype), "%s", groups[g].name);
        }
}

/* Random123's kat_vectors for philox4x32-10: counter words, key words, result. */
static void check_philox(void)
{
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = known[i], *key = c + 4;
        uint64_t block = (uint64_t)(c[1] & 0xffff) << 32 | c[0], step = (uint64_t)(c[1] >> 16) << 32 | c[2];
        uint32_t out[4];
        grc_philox((uint64_t)key[1] << 32 | key[0], c[3], step, block, out);
        CHECK(!memcmp(out, c + 6, sizeof out));
    }
}

static void check_fills(void)
{
    double whole[20];
    grc_fill_normal(5, 1, 20, 0.0, 1.0, whole);
    for (uint64_t i = 0; i < 20; i++)
        CHECK(whole[i] == grc_normal(5, 1, 0, i));
    int64_t order[100], seen[100] = {0};
    CHECK(grc_shuffle(1, 2, 100, order) == 0);
    for (int i = 0; i < 100; i++)
        CHECK(order[i] >= 0 && order[i] < 100 && !seen[order[i]]++);
}

int main(void)
{
    map_slots();
    check_philox();
    check_fills();
    compare(grc_kernels_scalar);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        compare(grc_kernels_avx2);
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        compare(grc_kernels_avx512);
#elif defined(__aarch64__)
    compare(grc_kernels_neon);
#endif
    return check_report();
}
