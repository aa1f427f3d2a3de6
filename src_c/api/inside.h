/* What gradcore._testing sees of the library that it tests: kernels of every instruction set, and what they are
 * called with. It comes from the same sources, and nobody else calls it: no part of the ABI. */
#ifndef GRC_INSIDE_H
#define GRC_INSIDE_H

#include "../kernels/kernels.h"
#include "../network/op.h"

typedef struct grc_inside {
    const grc_kernels *const *tables; /* each instruction set's, for both dtypes; NULL at the end */
    const grc_op_class *weight_norm, *spectral_norm;
    void (*opt_prepare)(int optimizer, grc_opt_args *args);
    void (*opt_finish)(int optimizer, grc_opt_args *args, const double sum[2]);
    void (*philox)(uint64_t seed, uint32_t stream, uint64_t step, uint64_t block, uint32_t out[4]);
} grc_inside;

GRADCORE_API const grc_inside *gradcore_inside(void);

#endif
