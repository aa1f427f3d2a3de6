/* The kernels for 64-bit ARM, where NEON with FMA is always there: no target to switch. */
#include "prologue.h"
#if defined(__aarch64__)
#include "simd/neon.h"
#define GRC_ISA neon
#include "kernels.inc"
#else
typedef int grc_no_neon_here; /* ISO C wants a declaration in every file */
#endif
