/* Work on plain arrays that falls into ranges of elements or rows, in any order and on any thread. */
#ifndef GRC_RANGES_H
#define GRC_RANGES_H

#include "../base/team.h"
#include "../kernels/kernels.h"

/* Functions of plain arrays run under our floating-point state too; this, on the calling thread. */
void grc_run_alone(void (*body)(void *), void *context);

/* Of the elements or rows first .. last - 1. */
typedef void grc_range_fn(void *context, size_t first, size_t last);
/* run over [0, n), under our floating-point state: in one range on one thread, else in ranges that begin at multiples
 * of `unit` and that threads take as they come; nobody waits for a range that has not begun. */
void grc_run_ranges(int threads, size_t n, size_t unit, grc_range_fn *run, void *context);

/* Microseconds of work on one thread from which it is shared: several times what it costs to wake another one. */
#define GRC_WORTH_SHARING 40.0
/* Threads for so much work: `wanted`, or with 0 as many as it is worth. */
int grc_threads_for_work(int wanted, double microseconds);

/* What the functions of plain arrays begin with: the table of an element type, on `isa` or the best one, or NULL with
 * an error; bytes of an element; may so many threads be asked for, 0 being as many as the work is worth? */
const grc_kernels *grc_plain_kernels(int32_t dtype, const char *isa, gradcore_error *error);
size_t grc_item_size(int32_t dtype);
grc_status grc_check_threads(int32_t threads, gradcore_error *error);

#endif
