/* A view of what the library hides, for tests. */
#include "../base/rng.h"
#include "../ops/ops.h"
#include "../optimizers/scalars.h"
#include "inside.h"

const grc_inside *gradcore_inside(void)
{
    static const grc_kernels *const tables[] = {
        grc_kernels_scalar,
#if defined(__x86_64__)
        grc_kernels_avx2,
        grc_kernels_avx512,
#elif defined(__aarch64__)
        grc_kernels_neon,
#endif
        NULL,
    };
    static const grc_inside inside = {
        .tables = tables,
        .weight_norm = &grc_op_weight_norm,
        .spectral_norm = &grc_op_spectral_norm,
        .opt_prepare = &grc_opt_prepare,
        .opt_finish = &grc_opt_finish,
        .philox = &grc_philox,
    };
    return &inside;
}
