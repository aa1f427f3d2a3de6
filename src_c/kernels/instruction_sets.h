/* Which of the kernels' tables is used: the best that this CPU and its system run, or one by name. */
#ifndef GRC_INSTRUCTION_SETS_H
#define GRC_INSTRUCTION_SETS_H

#include "../base/base.h"
#include "kernels.h"

/* The table of an instruction set by name (NULL: the best allowed) for a dtype, or NULL with an error. */
const grc_kernels *grc_kernels_find(const char *isa, int dtype, gradcore_error *error);
const char *grc_isa_default(const char **reason);
const char *grc_isa_name(int32_t index); /* i-th that this CPU runs, NULL past the end */

#endif
