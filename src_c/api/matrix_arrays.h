/* What optimizer_arrays.c asks of matrix_arrays.c. */
#ifndef GRC_MATRIX_ARRAYS_H
#define GRC_MATRIX_ARRAYS_H

#include "../base/registry.h"
#include "../optimizers/matrix.h"

typedef struct grc_matrix_work { /* memory for one array at a time */
    int optimizer, threads;
    const grc_kernels *kernels[GRC_DTYPE_COUNT];
    void *block;
    size_t size;
} grc_matrix_work;

grc_status grc_check_matrix(const gradcore_array *array, int optimizer, gradcore_error *error);
/* Room for the largest of the arrays that have rows; optimizer and kernels are set before. */
grc_status grc_matrix_work_open(grc_matrix_work *work, size_t count, const gradcore_array *arrays,
                                gradcore_error *error);
void grc_matrix_work_close(grc_matrix_work *work);
void grc_matrix_work_step(const grc_matrix_work *work, const gradcore_array *array, const grc_opt_args *args);

#endif
