/* The SIMD vocabulary in plain C, one lane wide. Every instruction set defines the same names, twice:
 * vf_* on float lanes and vd_* on double lanes; the .inc files write V(add)(a, b). Each operation is
 * one correctly rounded IEEE operation a lane, or exact bit work, so all instruction sets agree to
 * the bit. min and max are `a < b ? a : b` and `a > b ? a : b`: they return b when either is NaN. */
#ifndef GRC_SIMD_SCALAR_H
#define GRC_SIMD_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GRC_SIMD static inline __attribute__((always_inline, unused))

#define VF_WIDTH 1
#define VF_MAX_TILE_ROWS 4
typedef float vf;
typedef int32_t vf_int;
typedef uint32_t vf_mask; /* all ones or zero */

GRC_SIMD vf vf_load(const float *p) { return *p; }
GRC_SIMD void vf_store(float *p, vf a) { *p = a; }
GRC_SIMD vf vf_load_n(const float *p, size_t n) { return n ? *p : 0.0f; } /* n < WIDTH lanes, else 0 */
GRC_SIMD void vf_store_n(float *p, vf a, size_t n)
{
    if (n)
        *p = a;
}
GRC_SIMD vf vf_set1(float a) { return a; }
GRC_SIMD vf vf_add(vf a, vf b) { return a + b; }
GRC_SIMD vf vf_sub(vf a, vf b) { return a - b; }
GRC_SIMD vf vf_mul(vf a, vf b) { return a * b; }
GRC_SIMD vf vf_div(vf a, vf b) { return a / b; }
GRC_SIMD vf vf_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }   /* a b + c */
GRC_SIMD vf vf_fnma(vf a, vf b, vf c) { return fmaf(-a, b, c); } /* c - a b */
GRC_SIMD void vf_accumulate(vf *sum, vf a, vf b) { *sum = vf_fma(a, b, *sum); } /* of the product's tiles */
GRC_SIMD vf vf_sqrt(vf a) { return sqrtf(a); }
GRC_SIMD vf vf_min(vf a, vf b) { return a < b ? a : b; }
GRC_SIMD vf vf_max(vf a, vf b) { return a > b ? a : b; }
GRC_SIMD vf vf_round(vf a) { return rintf(a); } /* to nearest, ties to even */
GRC_SIMD vf_int vf_bits(vf a)
{
    vf_int i;
    memcpy(&i, &a, sizeof i);
    return i;
}
GRC_SIMD vf vf_from_bits(vf_int i)
{
    vf a;
    memcpy(&a, &i, sizeof a);
    return a;
}
GRC_SIMD vf_int vf_to_int(vf a) { return (vf_int)a; } /* a integral and in range */
GRC_SIMD vf vf_from_int(vf_int i) { return (vf)i; }   /* exact for |i| < 2^24 (f32), 2^51 (f64) */
GRC_SIMD vf_int vf_iset1(int32_t i) { return i; }
GRC_SIMD vf_int vf_iadd(vf_int a, vf_int b) { return (vf_int)((uint32_t)a + (uint32_t)b); }
GRC_SIMD vf_int vf_isub(vf_int a, vf_int b) { return (vf_int)((uint32_t)a - (uint32_t)b); }
GRC_SIMD vf_int vf_iand(vf_int a, vf_int b) { return a & b; }
GRC_SIMD vf_int vf_ior(vf_int a, vf_int b) { return a | b; }
GRC_SIMD vf_int vf_ixor(vf_int a, vf_int b) { return a ^ b; }
#define vf_ishl(a, n) ((vf_int)((uint32_t)(a) << (n)))
#define vf_isrl(a, n) ((vf_int)((uint32_t)(a) >> (n)))
#define vf_isra(a, n) ((vf_int)(a) >> (n))
GRC_SIMD vf_mask vf_lt(vf a, vf b) { return a < b ? ~0u : 0u; } /* false where NaN */
GRC_SIMD vf_mask vf_le(vf a, vf b) { return a <= b ? ~0u : 0u; }
GRC_SIMD vf_mask vf_eq(vf a, vf b) { return a == b ? ~0u : 0u; }
GRC_SIMD vf_mask vf_isnan(vf a) { return a != a ? ~0u : 0u; }
GRC_SIMD vf_mask vf_mask_and(vf_mask a, vf_mask b) { return a & b; }
GRC_SIMD vf_mask vf_mask_or(vf_mask a, vf_mask b) { return a | b; }
GRC_SIMD vf_mask vf_mask_not(vf_mask a) { return ~a; }
GRC_SIMD int vf_any(vf_mask m) { return m != 0; }
GRC_SIMD vf vf_select(vf_mask m, vf a, vf b) { return m ? a : b; } /* m ? a : b */
GRC_SIMD vf vf_clear(vf_mask m, vf a) { return m ? 0 : a; } /* a compiler's select of 0 may test the mask first */
GRC_SIMD vf vf_abs(vf a) { return vf_from_bits(vf_bits(a) & 0x7fffffff); }
GRC_SIMD vf vf_neg(vf a) { return vf_from_bits(vf_bits(a) ^ INT32_MIN); }
GRC_SIMD vf vf_copysign(vf magnitude, vf sign) { return copysignf(magnitude, sign); }

/* out[i] = elements p[r ld + i] of all WIDTH rows r: 16 bytes of columns, turned. */
GRC_SIMD void vf_turn(const float *p, size_t ld, vf out[4])
{
    (void)ld;
    for (int i = 0; i < 4; i++)
        out[i] = p[i];
}

#define VD_WIDTH 1
#define VD_MAX_TILE_ROWS 4
typedef double vd;
typedef int64_t vd_int;
typedef uint64_t vd_mask;

GRC_SIMD vd vd_load(const double *p) { return *p; }
GRC_SIMD void vd_store(double *p, vd a) { *p = a; }
GRC_SIMD vd vd_load_n(const double *p, size_t n) { return n ? *p : 0.0; }
GRC_SIMD void vd_store_n(double *p, vd a, size_t n)
{
    if (n)
        *p = a;
}
GRC_SIMD vd vd_set1(double a) { return a; }
GRC_SIMD vd vd_add(vd a, vd b) { return a + b; }
GRC_SIMD vd vd_sub(vd a, vd b) { return a - b; }
GRC_SIMD vd vd_mul(vd a, vd b) { return a * b; }
GRC_SIMD vd vd_div(vd a, vd b) { return a / b; }
GRC_SIMD vd vd_fma(vd a, vd b, vd c) { return fma(a, b, c); }
GRC_SIMD vd vd_fnma(vd a, vd b, vd c) { return fma(-a, b, c); }
GRC_SIMD void vd_accumulate(vd *sum, vd a, vd b) { *sum = vd_fma(a, b, *sum); }
GRC_SIMD vd vd_sqrt(vd a) { return sqrt(a); }
GRC_SIMD vd vd_min(vd a, vd b) { return a < b ? a : b; }
GRC_SIMD vd vd_max(vd a, vd b) { return a > b ? a : b; }
GRC_SIMD vd vd_round(vd a) { return rint(a); }
GRC_SIMD vd_int vd_bits(vd a)
{
    vd_int i;
    memcpy(&i, &a, sizeof i);
    return i;
}
GRC_SIMD vd vd_from_bits(vd_int i)
{
    vd a;
    memcpy(&a, &i, sizeof a);
    return a;
}
GRC_SIMD vd_int vd_to_int(vd a) { return (vd_int)a; } /* a integral, |a| < 2^51 */
GRC_SIMD vd vd_from_int(vd_int i) { return (vd)i; }
GRC_SIMD vd_int vd_iset1(int64_t i) { return i; }
GRC_SIMD vd_int vd_iadd(vd_int a, vd_int b) { return (vd_int)((uint64_t)a + (uint64_t)b); }
GRC_SIMD vd_int vd_isub(vd_int a, vd_int b) { return (vd_int)((uint64_t)a - (uint64_t)b); }
GRC_SIMD vd_int vd_iand(vd_int a, vd_int b) { return a & b; }
GRC_SIMD vd_int vd_ior(vd_int a, vd_int b) { return a | b; }
GRC_SIMD vd_int vd_ixor(vd_int a, vd_int b) { return a ^ b; }
#define vd_ishl(a, n) ((vd_int)((uint64_t)(a) << (n)))
#define vd_isrl(a, n) ((vd_int)((uint64_t)(a) >> (n)))
#define vd_isra(a, n) ((vd_int)(a) >> (n))
GRC_SIMD vd_mask vd_lt(vd a, vd b) { return a < b ? ~(uint64_t)0 : 0; }
GRC_SIMD vd_mask vd_le(vd a, vd b) { return a <= b ? ~(uint64_t)0 : 0; }
GRC_SIMD vd_mask vd_eq(vd a, vd b) { return a == b ? ~(uint64_t)0 : 0; }
GRC_SIMD vd_mask vd_isnan(vd a) { return a != a ? ~(uint64_t)0 : 0; }
GRC_SIMD vd_mask vd_mask_and(vd_mask a, vd_mask b) { return a & b; }
GRC_SIMD vd_mask vd_mask_or(vd_mask a, vd_mask b) { return a | b; }
GRC_SIMD vd_mask vd_mask_not(vd_mask a) { return ~a; }
GRC_SIMD int vd_any(vd_mask m) { return m != 0; }
GRC_SIMD vd vd_select(vd_mask m, vd a, vd b) { return m ? a : b; }
GRC_SIMD vd vd_clear(vd_mask m, vd a) { return m ? 0 : a; }
GRC_SIMD vd vd_abs(vd a) { return vd_from_bits(vd_bits(a) & INT64_MAX); }
GRC_SIMD vd vd_neg(vd a) { return vd_from_bits(vd_bits(a) ^ INT64_MIN); }
GRC_SIMD vd vd_copysign(vd magnitude, vd sign) { return copysign(magnitude, sign); }

GRC_SIMD void vd_turn(const double *p, size_t ld, vd out[2])
{
    (void)ld;
    out[0] = p[0];
    out[1] = p[1];
}

#endif
