"""Every kernel of every instruction set, for tests and benchmarks; _testing.pyi documents it.

They are those of libgradcore itself, which hides them from others: see src_c/api/inside.h.
"""

cimport numpy as cnp
from libc.math cimport HUGE_VAL
from libc.stdint cimport int32_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

from gradcore._core cimport CoreNetwork, CoreTrainer
from gradcore.gradcore cimport gradcore_describe, gradcore_list, gradcore_network, gradcore_trainer

import numpy as np

cnp.import_array()

cdef extern from *:
    """
    #include "api/inside.h"
    #include "training/trainer.h"

    #define TESTING_NAME(name, ...) #name,
    #define TESTING_SAVES(name, saves, ...) #saves,
    static const char *const testing_activations[] = {GRC_ACTIVATIONS(TESTING_NAME)};
    static const char *const testing_saves[] = {GRC_ACTIVATIONS(TESTING_SAVES)};
    static const char *const testing_losses[] = {GRC_LOSSES(TESTING_NAME, GRC_NO_PARAMETER, GRC_NO_PARAMETER)};
    static const char *const testing_optimizers[] = {GRC_OPTIMIZERS(TESTING_NAME)};

    static const grc_kernels *testing_table(const char *isa)
    {
        for (const grc_kernels *const *table = gradcore_inside()->tables; *table; table++)
            if (strcmp((*table)->name, isa) == 0)
                return *table;
        return NULL;
    }

    /* The largest number, without its sign, in what panels have beyond `cols` columns of `rows` stored rows; where
     * `value` is not NULL, those numbers become *value first. NaN counts as infinity. */
    static double testing_beyond(const gradcore_network *n, void *data, size_t rows, size_t cols, const double *value)
    {
        const size_t pw = n->kernels->panel;
        double most = 0;
        for (size_t row = 0; cols % pw && row < rows; row++)
            for (size_t j = cols % pw; j < pw; j++) {
                const size_t at = (cols / pw * rows + row) * pw + j;
                if (value)
                    grc_set(n, data, at, *value);
                const double found = fabs(grc_get(n, data, at));
                most = isnan(found) ? INFINITY : found > most ? found : most;
            }
        return most;
    }

    /* The same of a vector of the parameter vector's shape. */
    static double testing_padding(const gradcore_network *n, void *vector, const double *value)
    {
        double most = 0;
        for (int i = 0; i < n->parameter_count; i++) {
            const grc_parameter *p = &n->parameters[i];
            most = fmax(most, testing_beyond(n, grc_at(n, vector, p->offset), grc_stored_rows(p), grc_stored_cols(p),
                                             value));
        }
        return most;
    }

    /* Of what weight and spectral normalisation derive from the parameters. */
    static double testing_derived(const gradcore_network *n)
    {
        const grc_inside *in = gradcore_inside();
        double most = 0;
        for (int i = 0; i < n->op_count; i++) {
            const grc_op *op = &n->ops[i];
            const grc_rescale *own = op->own;
            if (op->class != in->weight_norm && op->class != in->spectral_norm)
                continue;
            most = fmax(most, testing_beyond(n, grc_at(n, n->w, own->scale), 1, own->fan_out, NULL));
            most = fmax(most, testing_beyond(n, grc_at(n, n->w, own->inverse_square), 1, own->fan_out, NULL));
        }
        return most;
    }

    static void *testing_weights(const gradcore_network *n)
    {
        return n->w;
    }

    static void *testing_gradient(const gradcore_trainer *t)
    {
        return t->plan->grad;
    }

    /* Vector `index` of the state, or NULL: slots of the optimizer first, then averages, two of sharpness_aware.c. */
    static void *testing_state(const gradcore_trainer *t, size_t index)
    {
        for (int i = 0; i < GRC_SLOTS; i++)
            if (t->plan->slots[i] && index-- == 0)
                return t->plan->slots[i];
        for (int i = 0; i < t->average_count; i++) {
            const size_t size = t->net->vector * t->net->item, count = t->averages[i].size / size;
            if (index < count)
                return (char *)t->averages[i].vector + index * size;
            index -= count;
        }
        return NULL;
    }
    """
    double testing_padding(const gradcore_network *n, void *vector, const double *value)
    double testing_derived(const gradcore_network *n)
    void *testing_weights(const gradcore_network *n)
    void *testing_gradient(const gradcore_trainer *t)
    void *testing_state(const gradcore_trainer *t, size_t index)
    const char *testing_activations[]
    const char *testing_saves[]
    const char *testing_losses[]
    const char *testing_optimizers[]
    int GRC_ACT_COUNT, GRC_LOSS_COUNT, GRC_OPT_COUNT, GRC_KC

    ctypedef struct grc_gemm:
        size_t m, n, k
        const void *a
        ptrdiff_t a_row, a_col
        const void *b
        ptrdiff_t b_row, b_panel
        void *c
        ptrdiff_t c_row, c_panel
        const void *init

    ctypedef struct grc_loss_args:
        double p[4]
        const void *weight
        int probabilities, ignores
        int32_t ignore

    int GRC_SLOTS, GRC_OPT_OWN, GRC_OPT_RUNNING
    ctypedef struct grc_opt_args:
        double lr, weight_decay, lr_factor, base_lr, grad_scale, grad_limit
        double p[10]
        uint64_t step
        uint32_t flags
        double running[4]
    ctypedef struct grc_inside:
        void (*opt_prepare)(int optimizer, grc_opt_args *args)
        void (*opt_finish)(int optimizer, grc_opt_args *args, const double *sum)
        void (*philox)(uint64_t seed, uint32_t stream, uint64_t step, uint64_t block, uint32_t *out)
    const grc_inside *gradcore_inside()

    ctypedef struct grc_norm:
        size_t rows, cols, ld
        int centered
        double eps
        const void *gamma
        const void *beta

    ctypedef struct grc_batch:
        size_t rows, cols, ld
        double eps
        const double *mean
        const double *variance
        const void *running_mean
        const void *running_variance
        const void *gamma
        const void *beta

    ctypedef enum grc_reduction "enum grc_reduction":
        pass
    ctypedef struct grc_kernels:
        const char *name
        size_t panel
        void (*gemm)(const grc_gemm *g) noexcept nogil
        void (*act_forward[1])(size_t rows, size_t cols, const void *z, void *y, size_t ld, double alpha)
        void (*act_backward[1])(size_t rows, size_t cols, const void *saved, void *d, size_t ld, double alpha)
        void (*loss[1])(size_t rows, size_t cols, const void *z, size_t ld, const void *target,
                        size_t target_ld, const double *row_scale, void *d, double *loss, int32_t *correct,
                        const grc_loss_args *args)
        void (*opt[1])(size_t n, void *w, const void *g, void **slots, const grc_opt_args *args)
        void (*opt_measure[1])(size_t n, const void *w, const void *g, void **slots,
                               const grc_opt_args *args, double *sum)
        void (*blend)(size_t n, double rate, const void *src, void *dst)
        void (*add)(size_t rows, size_t cols, const void *x, size_t ldx, void *y, size_t ldy)
        void (*multiply)(size_t rows, size_t cols, const void *x, const void *m, void *y, size_t ld)
        void (*standardize)(size_t rows, size_t cols, const void *x, size_t ldx, const void *mean,
                            const void *scale, void *y, size_t ldy)
        void (*column_sums)(size_t rows, size_t cols, const void *x, size_t ld, void *sums)
        double (*sum_squares)(size_t n, const void *x)
        double (*penalize)(size_t n, const void *w, double l1, double l2, void *g)
        void (*beyond)(size_t n, double limit, const void *x, double *out)
        double (*max_abs)(size_t n, const void *x)
        void (*dropout_mask)(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                             uint32_t stream, uint64_t step, uint32_t threshold, double scale, void *mask)
        void (*pack)(size_t rows, size_t cols, const void *x, size_t ld, void *panels)
        void (*unpack)(size_t rows, size_t cols, const void *panels, void *x, size_t ld)
        void (*transpose)(size_t rows, size_t cols, const void *panels, size_t row, size_t row_count,
                          size_t panel, size_t panel_count, void *out)
        void (*accumulate)(size_t n, const void *src, void *dst)
        void (*strip_reduce)(grc_reduction kind, size_t rows, const void *x, double *out)
        void (*strip_affine)(size_t rows, const double *scale, const double *shift, void *x)
        void (*clamp)(size_t n, double low, double high, void *x)
        void (*exp)(size_t n, const void *x, void *y)
        void (*log)(size_t n, const void *x, void *y)
        void (*tanh)(size_t n, const void *x, void *y)
        void (*erf)(size_t n, const void *x, void *y)
        void (*norm_forward)(const grc_norm *g, const void *x, void *y, void *stats)
        void (*norm_backward)(const grc_norm *g, const void *d, const void *x, const void *stats, void *dx)
        void (*norm_columns)(const grc_norm *g, const void *d, const void *x, const void *stats, void *sum)
        void (*scale_add)(size_t rows, size_t cols, double factor, const void *x, size_t ldx, void *y,
                          size_t ldy)
        double (*dot)(size_t n, const void *x, const void *y)
        void (*gaussian_noise)(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                               uint32_t stream, uint64_t step, double std, const void *x, void *y)
        void (*alpha_dropout)(size_t rows, size_t cols, const void *x, const void *m, double kept,
                              double dropped, void *y, size_t ld)
        void (*batch_moments)(size_t rows, size_t cols, const void *x, size_t ld, double *mean,
                              double *variance)
        void (*batch_forward)(const grc_batch *g, const void *x, void *y)
        void (*batch_sums)(const grc_batch *g, const void *d, const void *x, double *plain, double *along)
        void (*batch_backward)(const grc_batch *g, const void *d, const void *x, const double *plain,
                               const double *along, size_t count, void *dx)
        void (*maxout_forward)(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx, void *y,
                               size_t ldy)
        void (*maxout_backward)(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx,
                                const void *d, size_t ldd, void *dx)
        void (*prelu_forward)(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *y,
                              size_t ld)
        void (*prelu_backward)(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *d,
                               void *by_slope, size_t ld)

    const grc_kernels *testing_table(const char *isa)


cdef dict ACTIVATIONS = {testing_activations[i].decode(): i for i in range(GRC_ACT_COUNT)}
cdef dict LOSSES = {testing_losses[i].decode(): i for i in range(GRC_LOSS_COUNT)}
cdef dict OPTIMIZERS = {testing_optimizers[i].decode(): i for i in range(GRC_OPT_COUNT)}
KC = GRC_KC
SAVES = {name: testing_saves[i].decode().lower() for name, i in ACTIVATIONS.items()}


def isas():
    cdef list found = []
    while gradcore_list("isa", <int32_t>len(found)) is not NULL:
        found.append(gradcore_list("isa", <int32_t>len(found)).decode())
    return found


def philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t block):
    cdef uint32_t words[4]
    gradcore_inside().philox(seed, stream, step, block, words)
    return words[0], words[1], words[2], words[3]


def padding(CoreNetwork network, CoreTrainer trainer=None):
    cdef dict found = {"weights": testing_padding(network.handle, testing_weights(network.handle), NULL),
                       "derived": testing_derived(network.handle)}
    cdef size_t index = 0
    if trainer is not None:
        found["gradient"] = testing_padding(network.handle, testing_gradient(trainer.handle), NULL)
        while testing_state(trainer.handle, index) is not NULL:
            found[f"state {index}"] = testing_padding(network.handle, testing_state(trainer.handle, index), NULL)
            index += 1
    return found


def set_padding(CoreNetwork network, double value):
    testing_padding(network.handle, testing_weights(network.handle), &value)


cdef void *at(object value) except? NULL:
    if value is None:
        return NULL
    if isinstance(value, np.ndarray):
        return cnp.PyArray_DATA(<cnp.ndarray>value)
    if hasattr(value, "__index__"):
        return <void *><uintptr_t>value
    return cnp.PyArray_DATA(<cnp.ndarray>np.frombuffer(value, np.uint8))


cdef class Kernels:
    cdef const grc_kernels *t
    cdef readonly str name, dtype
    cdef readonly size_t panel

    def __cinit__(self, str isa, str dtype):
        if isa not in isas():
            raise ValueError(f"isa: expected one of {isas()}, got {isa!r}")
        self.t = testing_table(isa.encode()) + ("float32", "float64").index(dtype)
        self.name, self.dtype, self.panel = isa, dtype, self.t.panel

    def gemm(self, size_t m, size_t n, size_t k, a, ptrdiff_t a_row, ptrdiff_t a_col, b, ptrdiff_t b_row,
             ptrdiff_t b_panel, c, ptrdiff_t c_row, ptrdiff_t c_panel, init=None):
        cdef grc_gemm g
        g.m, g.n, g.k = m, n, k
        g.a, g.a_row, g.a_col = at(a), a_row, a_col
        g.b, g.b_row, g.b_panel = at(b), b_row, b_panel
        g.c, g.c_row, g.c_panel = at(c), c_row, c_panel
        g.init = at(init)
        with nogil:
            self.t.gemm(&g)

    def act_forward(self, str name, size_t rows, size_t cols, z, y, size_t ld, double alpha):
        cdef int i = ACTIVATIONS[name]
        self.t.act_forward[i](rows, cols, at(z), at(y), ld, alpha)

    def act_backward(self, str name, size_t rows, size_t cols, saved, d, size_t ld, double alpha):
        cdef int i = ACTIVATIONS[name]
        self.t.act_backward[i](rows, cols, at(saved), at(d), ld, alpha)

    def loss(self, str name, size_t rows, size_t cols, z, size_t ld, target, size_t target_ld, row_scale, d,
             losses, correct, p=None, weight=None, bint probabilities=False, ignore=None):
        cdef int i = LOSSES[name]
        cdef grc_loss_args args
        cdef int k
        memset(&args, 0, sizeof(args))
        row = gradcore_describe("loss", name.encode(), "parameters").decode().split()
        for k, value in enumerate([word.split(":")[1] for word in row] if p is None else p):
            args.p[k] = float(value)
        args.weight = at(weight)
        args.probabilities = probabilities
        if ignore is not None:
            args.ignores, args.ignore = 1, ignore
        self.t.loss[i](rows, cols, at(z), ld, at(target), target_ld, <const double *>at(row_scale), at(d),
                       <double *>at(losses), <int32_t *>at(correct), &args)

    def opt(self, str name, size_t n, w, g, s0=None, s1=None, s2=None, s3=None, *, double lr,
            double weight_decay=0.0, double grad_scale=1.0, double grad_limit=HUGE_VAL, p=(), uint64_t step=1,
            uint32_t flags=0, running=()):
        """Both halves of an update, as if these n elements were the whole model."""
        cdef grc_opt_args args
        cdef double sums[2]
        cdef void *slots[4]
        cdef int i = OPTIMIZERS[name]
        memset(&args, 0, sizeof(args))
        args.lr, args.weight_decay = lr, weight_decay
        args.grad_scale, args.grad_limit = grad_scale, grad_limit
        args.step, args.flags = step, flags
        args.base_lr, args.lr_factor = lr, 1
        slots[0], slots[1], slots[2], slots[3] = at(s0), at(s1), at(s2), at(s3)
        for j, value in enumerate(p[:GRC_OPT_OWN]):
            args.p[<int>j] = value
        for j, value in enumerate(running[:GRC_OPT_RUNNING]):
            args.running[<int>j] = value
        gradcore_inside().opt_prepare(i, &args)
        if self.t.opt_measure[i] is not NULL:
            self.t.opt_measure[i](n, at(w), at(g), slots, &args, sums)
            gradcore_inside().opt_finish(i, &args, sums)
        self.t.opt[i](n, at(w), at(g), slots, &args)

    def blend(self, size_t n, double rate, src, dst):
        self.t.blend(n, rate, at(src), at(dst))

    def add(self, size_t rows, size_t cols, x, size_t ldx, y, size_t ldy):
        self.t.add(rows, cols, at(x), ldx, at(y), ldy)

    def multiply(self, size_t rows, size_t cols, x, m, y, size_t ld):
        self.t.multiply(rows, cols, at(x), at(m), at(y), ld)

    def standardize(self, size_t rows, size_t cols, x, size_t ldx, mean, scale, y, size_t ldy):
        self.t.standardize(rows, cols, at(x), ldx, at(mean), at(scale), at(y), ldy)

    def column_sums(self, size_t rows, size_t cols, x, size_t ld, sums):
        self.t.column_sums(rows, cols, at(x), ld, at(sums))

    def penalize(self, size_t n, w, double l1, double l2, g):
        return self.t.penalize(n, at(w), l1, l2, at(g))

    def sum_squares(self, size_t n, x):
        return self.t.sum_squares(n, at(x))

    def beyond(self, size_t n, double limit, x):
        cdef double out[2]
        self.t.beyond(n, limit, at(x), out)
        return out[0], out[1]

    def max_abs(self, size_t n, x):
        return self.t.max_abs(n, at(x))

    def dropout_mask(self, size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                     uint32_t stream, uint64_t step, uint32_t threshold, double scale, mask):
        self.t.dropout_mask(rows, cols, ld, first_row, seed, stream, step, threshold, scale, at(mask))

    def pack(self, size_t rows, size_t cols, x, size_t ld, panels):
        self.t.pack(rows, cols, at(x), ld, at(panels))

    def unpack(self, size_t rows, size_t cols, panels, x, size_t ld):
        self.t.unpack(rows, cols, at(panels), at(x), ld)

    def transpose(self, size_t rows, size_t cols, panels, size_t row, size_t row_count, size_t panel,
                  size_t panel_count, out):
        self.t.transpose(rows, cols, at(panels), row, row_count, panel, panel_count, at(out))

    def accumulate(self, size_t n, src, dst):
        self.t.accumulate(n, at(src), at(dst))

    def strip_reduce(self, int kind, size_t rows, x, out):
        self.t.strip_reduce(<grc_reduction>kind, rows, at(x), <double *>at(out))

    def strip_affine(self, size_t rows, scale, shift, x):
        self.t.strip_affine(rows, <const double *>at(scale), <const double *>at(shift), at(x))

    def clamp(self, size_t n, double low, double high, x):
        self.t.clamp(n, low, high, at(x))

    def exp(self, size_t n, x, y):
        self.t.exp(n, at(x), at(y))

    def log(self, size_t n, x, y):
        self.t.log(n, at(x), at(y))

    def tanh(self, size_t n, x, y):
        self.t.tanh(n, at(x), at(y))

    def erf(self, size_t n, x, y):
        self.t.erf(n, at(x), at(y))

    cdef grc_norm norm(self, size_t rows, size_t cols, size_t ld, bint centered, double eps, gamma, beta):
        return grc_norm(rows, cols, ld, centered, eps, at(gamma), at(beta))

    def norm_forward(self, size_t rows, size_t cols, x, y, size_t ld, stats, bint centered, double eps,
                     gamma=None, beta=None):
        cdef grc_norm g = self.norm(rows, cols, ld, centered, eps, gamma, beta)
        self.t.norm_forward(&g, at(x), at(y), at(stats))

    def norm_backward(self, size_t rows, size_t cols, d, x, stats, dx, size_t ld, bint centered, gamma=None):
        cdef grc_norm g = self.norm(rows, cols, ld, centered, 0.0, gamma, None)
        self.t.norm_backward(&g, at(d), at(x), at(stats), at(dx))

    def norm_columns(self, size_t rows, size_t cols, d, x, stats, size_t ld, sums):
        cdef grc_norm g = self.norm(rows, cols, ld, True, 0.0, None, None)
        self.t.norm_columns(&g, at(d), at(x), at(stats), at(sums))

    def batch_moments(self, size_t rows, size_t cols, x, size_t ld, mean, variance):
        self.t.batch_moments(rows, cols, at(x), ld, <double *>at(mean), <double *>at(variance))

    # mean and variance as the kernel takes them: double arrays, or of the element type where running is true
    cdef grc_batch batch(self, size_t rows, size_t cols, size_t ld, double eps, mean, variance, gamma, beta,
                         bint running):
        cdef grc_batch g
        memset(&g, 0, sizeof(g))
        g.rows, g.cols, g.ld, g.eps = rows, cols, ld, eps
        if running:
            g.running_mean, g.running_variance = at(mean), at(variance)
        else:
            g.mean, g.variance = <const double *>at(mean), <const double *>at(variance)
        g.gamma, g.beta = at(gamma), at(beta)
        return g

    def batch_forward(self, size_t rows, size_t cols, size_t ld, double eps, mean, variance, gamma, beta, x, y,
                      bint running=False):
        cdef grc_batch g = self.batch(rows, cols, ld, eps, mean, variance, gamma, beta, running)
        self.t.batch_forward(&g, at(x), at(y))

    def batch_sums(self, size_t rows, size_t cols, size_t ld, double eps, mean, variance, gamma, beta, d, x,
                   plain, along, bint running=False):
        cdef grc_batch g = self.batch(rows, cols, ld, eps, mean, variance, gamma, beta, running)
        self.t.batch_sums(&g, at(d), at(x), <double *>at(plain), <double *>at(along))

    def batch_backward(self, size_t rows, size_t cols, size_t ld, double eps, mean, variance, gamma, beta, d, x,
                       plain, along, size_t count, dx, bint running=False):
        cdef grc_batch g = self.batch(rows, cols, ld, eps, mean, variance, gamma, beta, running)
        self.t.batch_backward(&g, at(d), at(x), <double *>at(plain), <double *>at(along), count, at(dx))

    def scale_add(self, size_t rows, size_t cols, double factor, x, size_t ldx, y, size_t ldy):
        self.t.scale_add(rows, cols, factor, at(x), ldx, at(y), ldy)

    def dot(self, size_t n, x, y):
        return self.t.dot(n, at(x), at(y))

    def gaussian_noise(self, size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                       uint32_t stream, uint64_t step, double std, x, y):
        self.t.gaussian_noise(rows, cols, ld, first_row, seed, stream, step, std, at(x), at(y))

    def alpha_dropout(self, size_t rows, size_t cols, x, m, double kept, double dropped, y, size_t ld):
        self.t.alpha_dropout(rows, cols, at(x), at(m), kept, dropped, at(y), ld)

    def maxout_forward(self, size_t rows, size_t units, size_t pieces, x, size_t ldx, y, size_t ldy):
        self.t.maxout_forward(rows, units, pieces, at(x), ldx, at(y), ldy)

    def maxout_backward(self, size_t rows, size_t units, size_t pieces, x, size_t ldx, d, size_t ldd, dx):
        self.t.maxout_backward(rows, units, pieces, at(x), ldx, at(d), ldd, at(dx))

    def prelu_forward(self, size_t rows, size_t cols, x, slope, bint shared, y, size_t ld):
        self.t.prelu_forward(rows, cols, at(x), at(slope), shared, at(y), ld)

    def prelu_backward(self, size_t rows, size_t cols, x, slope, bint shared, d, by_slope, size_t ld):
        self.t.prelu_backward(rows, cols, at(x), at(slope), shared, at(d), at(by_slope), ld)
