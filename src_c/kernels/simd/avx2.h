/* The SIMD vocabulary of simd/scalar.h on AVX2 with FMA: 8 float or 4 double lanes. */
#ifndef GRC_SIMD_AVX2_H
#define GRC_SIMD_AVX2_H

#define GRC_SIMD static inline __attribute__((always_inline, unused))

#define VF_WIDTH 8
#define VF_MAX_TILE_ROWS 6
typedef __m256 vf;
typedef __m256i vf_int;
typedef __m256 vf_mask; /* lanes of all ones or zero */

#define GRC_ROUND_EVEN (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* Masked-off lanes are never accessed; n may be 0..WIDTH. */
GRC_SIMD __m256i vf_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
GRC_SIMD vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
GRC_SIMD void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
GRC_SIMD vf vf_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vf_first(n)); }
GRC_SIMD void vf_store_n(float *p, vf a, size_t n) { _mm256_maskstore_ps(p, vf_first(n), a); }
GRC_SIMD vf vf_set1(float a) { return _mm256_set1_ps(a); }
GRC_SIMD vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
GRC_SIMD vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
GRC_SIMD vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
GRC_SIMD vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
GRC_SIMD vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
GRC_SIMD vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
/* In so many words: GCC 12 lets the sums of a tile change registers from step to step, and spills one. */
GRC_SIMD void vf_accumulate(vf *sum, vf a, vf b) { __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b)); }
GRC_SIMD vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
GRC_SIMD vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
GRC_SIMD vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
GRC_SIMD vf vf_round(vf a) { return _mm256_round_ps(a, GRC_ROUND_EVEN); }
GRC_SIMD vf_int vf_bits(vf a) { return _mm256_castps_si256(a); }
GRC_SIMD vf vf_from_bits(vf_int i) { return _mm256_castsi256_ps(i); }
GRC_SIMD vf_int vf_to_int(vf a) { return _mm256_cvttps_epi32(a); }
GRC_SIMD vf vf_from_int(vf_int i) { return _mm256_cvtepi32_ps(i); }
GRC_SIMD vf_int vf_iset1(int32_t i) { return _mm256_set1_epi32(i); }
GRC_SIMD vf_int vf_iadd(vf_int a, vf_int b) { return _mm256_add_epi32(a, b); }
GRC_SIMD vf_int vf_isub(vf_int a, vf_int b) { return _mm256_sub_epi32(a, b); }
GRC_SIMD vf_int vf_iand(vf_int a, vf_int b) { return _mm256_and_si256(a, b); }
GRC_SIMD vf_int vf_ior(vf_int a, vf_int b) { return _mm256_or_si256(a, b); }
GRC_SIMD vf_int vf_ixor(vf_int a, vf_int b) { return _mm256_xor_si256(a, b); }
#define vf_ishl(a, n) _mm256_slli_epi32(a, n)
#define vf_isrl(a, n) _mm256_srli_epi32(a, n)
#define vf_isra(a, n) _mm256_srai_epi32(a, n)
GRC_SIMD vf_mask vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
GRC_SIMD vf_mask vf_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
GRC_SIMD vf_mask vf_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
GRC_SIMD vf_mask vf_isnan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
GRC_SIMD vf_mask vf_mask_and(vf_mask a, vf_mask b) { return _mm256_and_ps(a, b); }
GRC_SIMD vf_mask vf_mask_or(vf_mask a, vf_mask b) { return _mm256_or_ps(a, b); }
GRC_SIMD vf_mask vf_mask_not(vf_mask a) { return vf_from_bits(vf_ixor(vf_bits(a), vf_iset1(-1))); }
GRC_SIMD int vf_any(vf_mask m) { return _mm256_movemask_ps(m) != 0; }
GRC_SIMD vf vf_select(vf_mask m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
GRC_SIMD vf vf_clear(vf_mask m, vf a) { return _mm256_andnot_ps(m, a); }
GRC_SIMD vf vf_abs(vf a) { return vf_from_bits(vf_iand(vf_bits(a), vf_iset1(INT32_MAX))); }
GRC_SIMD vf vf_neg(vf a) { return vf_from_bits(vf_ixor(vf_bits(a), vf_iset1(INT32_MIN))); }
GRC_SIMD vf vf_copysign(vf magnitude, vf sign)
{
    vf_int sign_bit = vf_iand(vf_bits(sign), vf_iset1(INT32_MIN));
    return vf_from_bits(vf_ior(vf_bits(vf_abs(magnitude)), sign_bit));
}

/* out[i] = elements p[r ld + i] of all WIDTH rows r: 16 bytes of columns, turned. */
GRC_SIMD void vf_turn(const float *p, size_t ld, vf out[4])
{
    vf row[4];
    for (size_t r = 0; r < 4; r++)
        row[r] =
            _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + r * ld)), _mm_loadu_ps(p + (r + 4) * ld), 1);
    vf ab_low = _mm256_unpacklo_ps(row[0], row[1]), ab_high = _mm256_unpackhi_ps(row[0], row[1]);
    vf cd_low = _mm256_unpacklo_ps(row[2], row[3]), cd_high = _mm256_unpackhi_ps(row[2], row[3]);
    out[0] = _mm256_shuffle_ps(ab_low, cd_low, 0x44);
    out[1] = _mm256_shuffle_ps(ab_low, cd_low, 0xee);
    out[2] = _mm256_shuffle_ps(ab_high, cd_high, 0x44);
    out[3] = _mm256_shuffle_ps(ab_high, cd_high, 0xee);
}

#define VD_WIDTH 4
#define VD_MAX_TILE_ROWS 6
typedef __m256d vd;
typedef __m256i vd_int;
typedef __m256d vd_mask;

GRC_SIMD __m256i vd_first(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
GRC_SIMD vd vd_load(const double *p) { return _mm256_loadu_pd(p); }
GRC_SIMD void vd_store(double *p, vd a) { _mm256_storeu_pd(p, a); }
GRC_SIMD vd vd_load_n(const double *p, size_t n) { return _mm256_maskload_pd(p, vd_first(n)); }
GRC_SIMD void vd_store_n(double *p, vd a, size_t n) { _mm256_maskstore_pd(p, vd_first(n), a); }
GRC_SIMD vd vd_set1(double a) { return _mm256_set1_pd(a); }
GRC_SIMD vd vd_add(vd a, vd b) { return _mm256_add_pd(a, b); }
GRC_SIMD vd vd_sub(vd a, vd b) { return _mm256_sub_pd(a, b); }
GRC_SIMD vd vd_mul(vd a, vd b) { return _mm256_mul_pd(a, b); }
GRC_SIMD vd vd_div(vd a, vd b) { return _mm256_div_pd(a, b); }
GRC_SIMD vd vd_fma(vd a, vd b, vd c) { return _mm256_fmadd_pd(a, b, c); }
GRC_SIMD vd vd_fnma(vd a, vd b, vd c) { return _mm256_fnmadd_pd(a, b, c); }
GRC_SIMD void vd_accumulate(vd *sum, vd a, vd b) { __asm__("vfmadd231pd %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b)); }
GRC_SIMD vd vd_sqrt(vd a) { return _mm256_sqrt_pd(a); }
GRC_SIMD vd vd_min(vd a, vd b) { return _mm256_min_pd(a, b); }
GRC_SIMD vd vd_max(vd a, vd b) { return _mm256_max_pd(a, b); }
GRC_SIMD vd vd_round(vd a) { return _mm256_round_pd(a, GRC_ROUND_EVEN); }
GRC_SIMD vd_int vd_bits(vd a) { return _mm256_castpd_si256(a); }
GRC_SIMD vd vd_from_bits(vd_int i) { return _mm256_castsi256_pd(i); }
GRC_SIMD vd_int vd_iset1(int64_t i) { return _mm256_set1_epi64x(i); }
GRC_SIMD vd_int vd_iadd(vd_int a, vd_int b) { return _mm256_add_epi64(a, b); }
GRC_SIMD vd_int vd_isub(vd_int a, vd_int b) { return _mm256_sub_epi64(a, b); }
GRC_SIMD vd_int vd_iand(vd_int a, vd_int b) { return _mm256_and_si256(a, b); }
GRC_SIMD vd_int vd_ior(vd_int a, vd_int b) { return _mm256_or_si256(a, b); }
GRC_SIMD vd_int vd_ixor(vd_int a, vd_int b) { return _mm256_xor_si256(a, b); }
/* AVX2 has no 64-bit conversion: beside 2^52 + 2^51 the low bits of the double are the integer. */
#define GRC_VD_MAGIC 6755399441055744.0
GRC_SIMD vd_int vd_to_int(vd a)
{
    vd magic = vd_set1(GRC_VD_MAGIC);
    return vd_isub(vd_bits(vd_add(a, magic)), vd_bits(magic));
}
GRC_SIMD vd vd_from_int(vd_int i)
{
    vd magic = vd_set1(GRC_VD_MAGIC);
    return vd_sub(vd_from_bits(vd_iadd(i, vd_bits(magic))), magic);
}
#define vd_ishl(a, n) _mm256_slli_epi64(a, n)
#define vd_isrl(a, n) _mm256_srli_epi64(a, n)
/* No 64-bit arithmetic shift either: shift in zeros, then extend the sign from where it landed. */
GRC_SIMD vd_int vd_isra(vd_int a, int n)
{
    vd_int sign = vd_iset1((int64_t)((uint64_t)1 << (63 - n)));
    return vd_isub(vd_ixor(vd_isrl(a, n), sign), sign);
}
GRC_SIMD vd_mask vd_lt(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
GRC_SIMD vd_mask vd_le(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
GRC_SIMD vd_mask vd_eq(vd a, vd b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
GRC_SIMD vd_mask vd_isnan(vd a) { return _mm256_cmp_pd(a, a, _CMP_UNORD_Q); }
GRC_SIMD vd_mask vd_mask_and(vd_mask a, vd_mask b) { return _mm256_and_pd(a, b); }
GRC_SIMD vd_mask vd_mask_or(vd_mask a, vd_mask b) { return _mm256_or_pd(a, b); }
GRC_SIMD vd_mask vd_mask_not(vd_mask a) { return vd_from_bits(vd_ixor(vd_bits(a), vd_iset1(-1))); }
GRC_SIMD int vd_any(vd_mask m) { return _mm256_movemask_pd(m) != 0; }
GRC_SIMD vd vd_select(vd_mask m, vd a, vd b) { return _mm256_blendv_pd(b, a, m); }
GRC_SIMD vd vd_clear(vd_mask m, vd a) { return _mm256_andnot_pd(m, a); }
GRC_SIMD vd vd_abs(vd a) { return vd_from_bits(vd_iand(vd_bits(a), vd_iset1(INT64_MAX))); }
GRC_SIMD vd vd_neg(vd a) { return vd_from_bits(vd_ixor(vd_bits(a), vd_iset1(INT64_MIN))); }
GRC_SIMD vd vd_copysign(vd magnitude, vd sign)
{
    vd_int sign_bit = vd_iand(vd_bits(sign), vd_iset1(INT64_MIN));
    return vd_from_bits(vd_ior(vd_bits(vd_abs(magnitude)), sign_bit));
}

GRC_SIMD void vd_turn(const double *p, size_t ld, vd out[2])
{
    vd row[2];
    for (size_t r = 0; r < 2; r++)
        row[r] =
            _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p + r * ld)), _mm_loadu_pd(p + (r + 2) * ld), 1);
    out[0] = _mm256_unpacklo_pd(row[0], row[1]);
    out[1] = _mm256_unpackhi_pd(row[0], row[1]);
}

#endif
