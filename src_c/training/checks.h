/* What a slice of training steps is given, checked before anything changes. */
#ifndef GRC_CHECKS_H
#define GRC_CHECKS_H

#include "trainer.h"

grc_status grc_check_data(const gradcore_trainer *trainer, const gradcore_data *d, gradcore_error *error);
grc_status grc_check_run(const gradcore_trainer *trainer, gradcore_run *r, gradcore_error *error);
/* The hyperparameters of one step. */
grc_status grc_check_step(const gradcore_trainer *trainer, const double *hypers, gradcore_error *error);
/* The rows at positions [begin, end) of `order`, or of the data where that is NULL. */
grc_status grc_check_rows(const gradcore_trainer *trainer, const gradcore_data *d, const int64_t *order, int64_t begin,
                          int64_t end, gradcore_error *error);

#endif
