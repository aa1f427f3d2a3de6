/* The kernels in plain C: the reference the others are compared with, and the fallback. */
#include "prologue.h"
#include "simd/scalar.h"
#define GRC_ISA scalar
#include "kernels.inc"
