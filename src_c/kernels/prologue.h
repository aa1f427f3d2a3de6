/* First include of every k_<isa>.c: system headers come before any target switch. */
#ifndef GRC_PROLOGUE_H
#define GRC_PROLOGUE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels.h"

/* Multiply and add must not fuse behind our back: every fused operation is written as one. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#endif
