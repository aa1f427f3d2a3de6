/* The SIMD vocabulary of simd/scalar.h on 64-bit ARM NEON: 4 float or 2 double lanes. */
#ifndef GRC_SIMD_NEON_H
#define GRC_SIMD_NEON_H

#define GRC_SIMD static inline __attribute__((always_inline, unused))

#define VF_WIDTH 4
#define VF_MAX_TILE_ROWS 6
typedef float32x4_t vf;
typedef int32x4_t vf_int;
typedef uint32x4_t vf_mask; /* lanes of all ones or zero */

GRC_SIMD vf vf_load(const float *p) { return vld1q_f32(p); }
GRC_SIMD void vf_store(float *p, vf a) { vst1q_f32(p, a); }
/* NEON has no masked access: lane by lane, n may be 0..WIDTH. */
GRC_SIMD vf vf_load_n(const float *p, size_t n)
{
    vf a = vdupq_n_f32(0.0f);
    if (n > 0)
        a = vsetq_lane_f32(p[0], a, 0);
    if (n > 1)
        a = vsetq_lane_f32(p[1], a, 1);
    if (n > 2)
        a = vsetq_lane_f32(p[2], a, 2);
    if (n > 3)
        a = vsetq_lane_f32(p[3], a, 3);
    return a;
}
GRC_SIMD void vf_store_n(float *p, vf a, size_t n)
{
    if (n > 0)
        p[0] = vgetq_lane_f32(a, 0);
    if (n > 1)
        p[1] = vgetq_lane_f32(a, 1);
    if (n > 2)
        p[2] = vgetq_lane_f32(a, 2);
    if (n > 3)
        p[3] = vgetq_lane_f32(a, 3);
}
GRC_SIMD vf vf_set1(float a) { return vdupq_n_f32(a); }
GRC_SIMD vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
GRC_SIMD vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
GRC_SIMD vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
GRC_SIMD vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
GRC_SIMD vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
GRC_SIMD vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
GRC_SIMD void vf_accumulate(vf *sum, vf a, vf b) { *sum = vf_fma(a, b, *sum); }
GRC_SIMD vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
GRC_SIMD vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); } /* vminq treats NaN otherwise */
GRC_SIMD vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
GRC_SIMD vf vf_round(vf a) { return vrndnq_f32(a); }
GRC_SIMD vf_int vf_bits(vf a) { return vreinterpretq_s32_f32(a); }
GRC_SIMD vf vf_from_bits(vf_int i) { return vreinterpretq_f32_s32(i); }
GRC_SIMD vf_int vf_to_int(vf a) { return vcvtq_s32_f32(a); }
GRC_SIMD vf vf_from_int(vf_int i) { return vcvtq_f32_s32(i); }
GRC_SIMD vf_int vf_iset1(int32_t i) { return vdupq_n_s32(i); }
GRC_SIMD vf_int vf_iadd(vf_int a, vf_int b) { return vaddq_s32(a, b); }
GRC_SIMD vf_int vf_isub(vf_int a, vf_int b) { return vsubq_s32(a, b); }
GRC_SIMD vf_int vf_iand(vf_int a, vf_int b) { return vandq_s32(a, b); }
GRC_SIMD vf_int vf_ior(vf_int a, vf_int b) { return vorrq_s32(a, b); }
GRC_SIMD vf_int vf_ixor(vf_int a, vf_int b) { return veorq_s32(a, b); }
#define vf_ishl(a, n) vshlq_n_s32(a, n)
#define vf_isrl(a, n) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n))
#define vf_isra(a, n) vshrq_n_s32(a, n)
GRC_SIMD vf_mask vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
GRC_SIMD vf_mask vf_le(vf a, vf b) { return vcleq_f32(a, b); }
GRC_SIMD vf_mask vf_eq(vf a, vf b) { return vceqq_f32(a, b); }
GRC_SIMD vf_mask vf_isnan(vf a) { return vmvnq_u32(vceqq_f32(a, a)); }
GRC_SIMD vf_mask vf_mask_and(vf_mask a, vf_mask b) { return vandq_u32(a, b); }
GRC_SIMD vf_mask vf_mask_or(vf_mask a, vf_mask b) { return vorrq_u32(a, b); }
GRC_SIMD vf_mask vf_mask_not(vf_mask a) { return vmvnq_u32(a); }
GRC_SIMD int vf_any(vf_mask m) { return vmaxvq_u32(m) != 0; }
GRC_SIMD vf vf_select(vf_mask m, vf a, vf b) { return vbslq_f32(m, a, b); }
GRC_SIMD vf vf_clear(vf_mask m, vf a) { return vbslq_f32(m, vdupq_n_f32(0), a); }
GRC_SIMD vf vf_abs(vf a) { return vabsq_f32(a); }
GRC_SIMD vf vf_neg(vf a) { return vnegq_f32(a); }
GRC_SIMD vf vf_copysign(vf magnitude, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }

/* out[i] = elements p[r ld + i] of all WIDTH rows r: 16 bytes of columns, turned. */
GRC_SIMD void vf_turn(const float *p, size_t ld, vf out[4])
{
    vf a = vld1q_f32(p), b = vld1q_f32(p + ld), c = vld1q_f32(p + 2 * ld), d = vld1q_f32(p + 3 * ld);
    vf ab_even = vtrn1q_f32(a, b), ab_odd = vtrn2q_f32(a, b);
    vf cd_even = vtrn1q_f32(c, d), cd_odd = vtrn2q_f32(c, d);
    out[0] = vcombine_f32(vget_low_f32(ab_even), vget_low_f32(cd_even));
    out[1] = vcombine_f32(vget_low_f32(ab_odd), vget_low_f32(cd_odd));
    out[2] = vcombine_f32(vget_high_f32(ab_even), vget_high_f32(cd_even));
    out[3] = vcombine_f32(vget_high_f32(ab_odd), vget_high_f32(cd_odd));
}

#define VD_WIDTH 2
#define VD_MAX_TILE_ROWS 6
typedef float64x2_t vd;
typedef int64x2_t vd_int;
typedef uint64x2_t vd_mask;

GRC_SIMD vd vd_load(const double *p) { return vld1q_f64(p); }
GRC_SIMD void vd_store(double *p, vd a) { vst1q_f64(p, a); }
GRC_SIMD vd vd_load_n(const double *p, size_t n)
{
    vd a = vdupq_n_f64(0.0);
    if (n > 0)
        a = vsetq_lane_f64(p[0], a, 0);
    if (n > 1)
        a = vsetq_lane_f64(p[1], a, 1);
    return a;
}
GRC_SIMD void vd_store_n(double *p, vd a, size_t n)
{
    if (n > 0)
        p[0] = vgetq_lane_f64(a, 0);
    if (n > 1)
        p[1] = vgetq_lane_f64(a, 1);
}
GRC_SIMD vd vd_set1(double a) { return vdupq_n_f64(a); }
GRC_SIMD vd vd_add(vd a, vd b) { return vaddq_f64(a, b); }
GRC_SIMD vd vd_sub(vd a, vd b) { return vsubq_f64(a, b); }
GRC_SIMD vd vd_mul(vd a, vd b) { return vmulq_f64(a, b); }
GRC_SIMD vd vd_div(vd a, vd b) { return vdivq_f64(a, b); }
GRC_SIMD vd vd_fma(vd a, vd b, vd c) { return vfmaq_f64(c, a, b); }
GRC_SIMD vd vd_fnma(vd a, vd b, vd c) { return vfmsq_f64(c, a, b); }
GRC_SIMD void vd_accumulate(vd *sum, vd a, vd b) { *sum = vd_fma(a, b, *sum); }
GRC_SIMD vd vd_sqrt(vd a) { return vsqrtq_f64(a); }
GRC_SIMD vd vd_min(vd a, vd b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
GRC_SIMD vd vd_max(vd a, vd b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
GRC_SIMD vd vd_round(vd a) { return vrndnq_f64(a); }
GRC_SIMD vd_int vd_bits(vd a) { return vreinterpretq_s64_f64(a); }
GRC_SIMD vd vd_from_bits(vd_int i) { return vreinterpretq_f64_s64(i); }
GRC_SIMD vd_int vd_to_int(vd a) { return vcvtq_s64_f64(a); }
GRC_SIMD vd vd_from_int(vd_int i) { return vcvtq_f64_s64(i); }
GRC_SIMD vd_int vd_iset1(int64_t i) { return vdupq_n_s64(i); }
GRC_SIMD vd_int vd_iadd(vd_int a, vd_int b) { return vaddq_s64(a, b); }
GRC_SIMD vd_int vd_isub(vd_int a, vd_int b) { return vsubq_s64(a, b); }
GRC_SIMD vd_int vd_iand(vd_int a, vd_int b) { return vandq_s64(a, b); }
GRC_SIMD vd_int vd_ior(vd_int a, vd_int b) { return vorrq_s64(a, b); }
GRC_SIMD vd_int vd_ixor(vd_int a, vd_int b) { return veorq_s64(a, b); }
#define vd_ishl(a, n) vshlq_n_s64(a, n)
#define vd_isrl(a, n) vreinterpretq_s64_u64(vshrq_n_u64(vreinterpretq_u64_s64(a), n))
#define vd_isra(a, n) vshrq_n_s64(a, n)
GRC_SIMD vd_mask vd_lt(vd a, vd b) { return vcltq_f64(a, b); }
GRC_SIMD vd_mask vd_le(vd a, vd b) { return vcleq_f64(a, b); }
GRC_SIMD vd_mask vd_eq(vd a, vd b) { return vceqq_f64(a, b); }
GRC_SIMD vd_mask vd_isnan(vd a) { return veorq_u64(vceqq_f64(a, a), vdupq_n_u64(~(uint64_t)0)); }
GRC_SIMD vd_mask vd_mask_and(vd_mask a, vd_mask b) { return vandq_u64(a, b); }
GRC_SIMD vd_mask vd_mask_or(vd_mask a, vd_mask b) { return vorrq_u64(a, b); }
GRC_SIMD vd_mask vd_mask_not(vd_mask a) { return veorq_u64(a, vdupq_n_u64(~(uint64_t)0)); }
GRC_SIMD int vd_any(vd_mask m) { return (vgetq_lane_u64(m, 0) | vgetq_lane_u64(m, 1)) != 0; }
GRC_SIMD vd vd_select(vd_mask m, vd a, vd b) { return vbslq_f64(m, a, b); }
GRC_SIMD vd vd_clear(vd_mask m, vd a) { return vbslq_f64(m, vdupq_n_f64(0), a); }
GRC_SIMD vd vd_abs(vd a) { return vabsq_f64(a); }
GRC_SIMD vd vd_neg(vd a) { return vnegq_f64(a); }
GRC_SIMD vd vd_copysign(vd magnitude, vd sign) { return vbslq_f64(vdupq_n_u64(0x8000000000000000u), sign, magnitude); }

GRC_SIMD void vd_turn(const double *p, size_t ld, vd out[2])
{
    vd a = vld1q_f64(p), b = vld1q_f64(p + ld);
    out[0] = vzip1q_f64(a, b);
    out[1] = vzip2q_f64(a, b);
}

#endif
