/* The kernels for AVX2 with FMA. */
#include "prologue.h"
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
#endif
#include "simd/avx2.h"
#define GRC_ISA avx2
#include "kernels.inc"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int grc_no_avx2_here; /* ISO C wants a declaration in every file */
#endif
