/* The vector type of the Cython engine: VBYTES and FC_DOUBLE come from the build, one module each.
   Cython takes `vec` for a float, so + - * work on whole vectors; the compiler makes them instructions. */
#ifndef FC_VECTOR_H
#define FC_VECTOR_H
#include <stdint.h>
#include <string.h>

#ifdef FC_DOUBLE
typedef double real;
typedef int64_t lane_index;
#else
typedef float real;
typedef int32_t lane_index;
#endif
#ifndef VBYTES
#define VBYTES 16
#endif
#define LANES ((int)(VBYTES / sizeof(real)))
/* vector registers, which blocks of sums fill, and how inline assembly names one that it changes */
#if VBYTES == 64
#define FC_REGISTERS 32
#define FC_REGISTER "+v"
#elif defined(__aarch64__)
#define FC_REGISTERS 32
#define FC_REGISTER "+w"
#else
#define FC_REGISTERS 16
#if defined(__x86_64__)
#define FC_REGISTER "+x"
#endif
#endif
#ifdef __SANITIZE_ADDRESS__ /* checked kernels: a copy of the checks for each inlined copy takes an hour to compile */
#define FC_ALWAYS inline
#else
#define FC_ALWAYS inline __attribute__((always_inline))
#endif
#define FC_INLINE static FC_ALWAYS

typedef real vec __attribute__((vector_size(VBYTES), aligned(sizeof(real)), may_alias)); /* loads anywhere */
typedef lane_index ivec __attribute__((vector_size(VBYTES), may_alias));

#if defined(__clang__)
#define FC_UNROLL _Pragma("unroll")
#else
#define FC_UNROLL _Pragma("GCC unroll 32")
#endif

FC_INLINE vec vload(const real *p) { return *(const vec *)p; }
FC_INLINE void vstore(real *p, vec v) { *(vec *)p = v; }
FC_INLINE vec vset(real s) { return s - (vec){0}; } /* keeps -0.0, unlike s + 0 */
FC_INLINE vec vzero(void) { return (vec){0}; }
FC_INLINE void fetch(const void *p) { __builtin_prefetch(p, 0, 3); }
FC_INLINE void fetch_l2(const void *p) { __builtin_prefetch(p, 0, 2); }
FC_INLINE void fetch_w(const void *p) { __builtin_prefetch(p, 1, 3); }

/* a += s * b in the register of a: GCC would go on in that of s, and run out of registers */
#if VBYTES == 32 && defined(__FMA__)
#define FC_FMA 1
#ifdef FC_DOUBLE
#define FC_FMADD "vfmadd231pd"
#else
#define FC_FMADD "vfmadd231ps"
#endif
FC_INLINE void vmultiply_add(vec *a, vec s, vec b) { __asm__(FC_FMADD " %2, %1, %0" : "+x"(*a) : "x"(s), "x"(b)); }
#else
#define FC_FMA 0
FC_INLINE void vmultiply_add(vec *a, vec s, vec b) { *a += s * b; }
#endif

/* what is loaded below is not loaded above: GCC would load early, and spill sums */
#define FC_IN_ORDER() __asm__ volatile("" ::: "memory")

/* a > b ? a : b and a < b ? a : b: b where they are not ordered */
#if VBYTES == 64 && defined(__AVX512F__)
#include <immintrin.h>
#define FC_X86(name, a, b) _mm512_##name(a, b)
#elif VBYTES == 32 && defined(__AVX__)
#include <immintrin.h>
#define FC_X86(name, a, b) _mm256_##name(a, b)
#elif VBYTES == 16 && defined(__SSE2__)
#include <immintrin.h>
#define FC_X86(name, a, b) _mm_##name(a, b)
#endif
#if !defined(FC_X86)
FC_INLINE vec vmax(vec a, vec b) { ivec which = (ivec)(a > b); return (vec)((which & (ivec)a) | (~which & (ivec)b)); }
FC_INLINE vec vmin(vec a, vec b) { ivec which = (ivec)(a < b); return (vec)((which & (ivec)a) | (~which & (ivec)b)); }
#elif defined(FC_DOUBLE)
FC_INLINE vec vmax(vec a, vec b) { return (vec)FC_X86(max_pd, a, b); }
FC_INLINE vec vmin(vec a, vec b) { return (vec)FC_X86(min_pd, a, b); }
#else
FC_INLINE vec vmax(vec a, vec b) { return (vec)FC_X86(max_ps, a, b); }
FC_INLINE vec vmin(vec a, vec b) { return (vec)FC_X86(min_ps, a, b); }
#endif

/* an address the compiler must compute first: it would keep the sum of it and every offset */
FC_INLINE const real *fc_base(const real *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* the first n lanes (of a vector that is there: vkeep), or lanes a .. b, nothing beside them touched; others are zero */
#if VBYTES == 64 && !defined(FC_DOUBLE)
#include <immintrin.h>
FC_INLINE vec vload_part(const real *p, int n) { return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
FC_INLINE void vstore_part(real *p, vec v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
FC_INLINE vec vkeep(vec v, int n) { return (vec)_mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), (__m512)v); }
FC_INLINE vec vload_range(const real *p, int a, int b) { return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << b) - (1u << a)), p); }
FC_INLINE void vstore_range(real *p, vec v, int a, int b) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << b) - (1u << a)), (__m512)v); }
#elif VBYTES == 64
#include <immintrin.h>
FC_INLINE vec vload_part(const real *p, int n) { return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
FC_INLINE void vstore_part(real *p, vec v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
FC_INLINE vec vkeep(vec v, int n) { return (vec)_mm512_maskz_mov_pd((__mmask8)((1u << n) - 1), (__m512d)v); }
FC_INLINE vec vload_range(const real *p, int a, int b) { return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << b) - (1u << a)), p); }
FC_INLINE void vstore_range(real *p, vec v, int a, int b) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << b) - (1u << a)), (__m512d)v); }
#elif VBYTES == 32 && defined(__AVX2__)
#include <immintrin.h>
static const lane_index fc_mask[2 * LANES] = { /* from LANES - n on: n times -1, then 0 */
#ifdef FC_DOUBLE
    -1, -1, -1, -1
#else
    -1, -1, -1, -1, -1, -1, -1, -1
#endif
};
FC_INLINE __m256i fc_leading(int n) { return _mm256_loadu_si256((const __m256i *)(fc_mask + LANES - n)); }
FC_INLINE vec vkeep(vec v, int n) { return (vec)((__m256i)v & fc_leading(n)); }
FC_INLINE __m256i fc_between(int a, int b) { return _mm256_andnot_si256(fc_leading(a), fc_leading(b)); }
#ifdef FC_DOUBLE
FC_INLINE vec vload_part(const real *p, int n) { return (vec)_mm256_maskload_pd(p, fc_leading(n)); }
FC_INLINE void vstore_part(real *p, vec v, int n) { _mm256_maskstore_pd(p, fc_leading(n), (__m256d)v); }
FC_INLINE vec vload_range(const real *p, int a, int b) { return (vec)_mm256_maskload_pd(p, fc_between(a, b)); }
FC_INLINE void vstore_range(real *p, vec v, int a, int b) { _mm256_maskstore_pd(p, fc_between(a, b), (__m256d)v); }
#else
FC_INLINE vec vload_part(const real *p, int n) { return (vec)_mm256_maskload_ps(p, fc_leading(n)); }
FC_INLINE void vstore_part(real *p, vec v, int n) { _mm256_maskstore_ps(p, fc_leading(n), (__m256)v); }
FC_INLINE vec vload_range(const real *p, int a, int b) { return (vec)_mm256_maskload_ps(p, fc_between(a, b)); }
FC_INLINE void vstore_range(real *p, vec v, int a, int b) { _mm256_maskstore_ps(p, fc_between(a, b), (__m256)v); }
#endif
#else
FC_INLINE vec vkeep(vec v, int n) { vec k = {0}; memcpy(&k, &v, (size_t)n * sizeof(real)); return k; }
FC_INLINE vec vload_range(const real *p, int a, int b) {
    vec v = {0};
    memcpy((real *)&v + a, p + a, (size_t)(b - a) * sizeof(real));
    return v;
}
FC_INLINE void vstore_range(real *p, vec v, int a, int b) { memcpy(p + a, (real *)&v + a, (size_t)(b - a) * sizeof(real)); }
FC_INLINE vec vload_part(const real *p, int n) { vec v = {0}; memcpy(&v, p, (size_t)n * sizeof(real)); return v; }
FC_INLINE void vstore_part(real *p, vec v, int n) { memcpy(p, &v, (size_t)n * sizeof(real)); }
#endif

/* float32 from bytes, and to bytes: rounded to the nearest (ties to even) and saturated, NaN to 0 */
#ifndef FC_DOUBLE
#if VBYTES == 64
FC_INLINE vec vload_bytes(const void *p) { return (vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p))); }
FC_INLINE void vstore_bytes(void *p, vec v) {
    __m512 low = _mm512_max_ps((__m512)v, _mm512_setzero_ps());
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_min_ps(low, _mm512_set1_ps(255)))));
}
#elif VBYTES == 32 && defined(__AVX2__)
FC_INLINE vec vload_bytes(const void *p) { return (vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
FC_INLINE void vstore_bytes(void *p, vec v) {
    __m256 low = _mm256_max_ps((__m256)v, _mm256_setzero_ps());
    __m256i i = _mm256_cvtps_epi32(_mm256_min_ps(low, _mm256_set1_ps(255)));
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
#elif VBYTES == 16 && defined(__aarch64__)
#include <arm_neon.h>
FC_INLINE vec vload_bytes(const void *p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return (vec)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
FC_INLINE void vstore_bytes(void *p, vec v) { /* every step saturates; NaN converts to 0 */
    uint16x4_t words = vqmovn_u32(vcvtnq_u32_f32((float32x4_t)v));
    uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
    memcpy(p, &four, sizeof four);
}
#else
FC_INLINE vec vload_bytes(const void *p) {
    vec v;
    FC_UNROLL for (int i = 0; i < LANES; i++) v[i] = ((const unsigned char *)p)[i];
    return v;
}
FC_INLINE void vstore_bytes(void *p, vec v) {
    FC_UNROLL for (int i = 0; i < LANES; i++) {
        float low = v[i] > 0 ? v[i] : 0;
        ((unsigned char *)p)[i] = (unsigned char)__builtin_rintf(low < 255 ? low : 255);
    }
}
#endif
#else /* float64 images go through rows of numbers */
FC_INLINE vec vload_bytes(const void *p) { (void)p; return vzero(); }
FC_INLINE void vstore_bytes(void *p, vec v) { (void)p; (void)v; }
#endif

#if VBYTES == 64 && !defined(FC_DOUBLE)
FC_INLINE real vsum(vec v) { return _mm512_reduce_add_ps((__m512)v); }
#elif VBYTES == 64
FC_INLINE real vsum(vec v) { return _mm512_reduce_add_pd((__m512d)v); }
#else
FC_INLINE real vsum(vec v) {
    real s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}
#endif

/* two-source permutes with constant masks: index < LANES takes from a, the rest from b */
#if defined(__clang__)
#define FC_IDX(f, k, i) ((i) < LANES ? f((i) % LANES, k) : 0)
#endif
#define FC_LO(i, k) (((i) & (k)) ? LANES + (i) - (k) : (i))
#define FC_HI(i, k) (((i) & (k)) ? LANES + (i) : (i) + (k))
#define FC_EVEN(i, k) (2 * (i))
#define FC_ODD(i, k) (2 * (i) + 1)
#define FC_ZIPLO(i, k) (((i) & 1) ? LANES + (i) / 2 : (i) / 2)
#define FC_ZIPHI(i, k) (((i) & 1) ? LANES + LANES / 2 + (i) / 2 : LANES / 2 + (i) / 2)
#define FC_L2(f, k) f(0, k), f(1, k)
#define FC_L4(f, k) FC_L2(f, k), f(2, k), f(3, k)
#define FC_L8(f, k) FC_L4(f, k), f(4, k), f(5, k), f(6, k), f(7, k)
#define FC_L16(f, k) FC_L8(f, k), f(8, k), f(9, k), f(10, k), f(11, k), f(12, k), f(13, k), f(14, k), f(15, k)
#if defined(FC_DOUBLE)
#define FC_N (VBYTES / 8)
#else
#define FC_N (VBYTES / 4)
#endif
#if FC_N == 16
#define FC_LIST FC_L16
#elif FC_N == 8
#define FC_LIST FC_L8
#elif FC_N == 4
#define FC_LIST FC_L4
#else
#define FC_LIST FC_L2
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define FC_SHUFFLE(a, b, f, k) __builtin_shufflevector(a, b, FC_LIST(f, k))
#else
#define FC_SHUFFLE(a, b, f, k) __builtin_shuffle(a, b, (ivec){FC_LIST(f, k)})
#endif
/* a and b side by side, from number 1 or 3 on */
#if VBYTES == 64 && !defined(FC_DOUBLE)
FC_INLINE vec vslide1(vec a, vec b) { return (vec)_mm512_alignr_epi32((__m512i)b, (__m512i)a, 1); }
FC_INLINE vec vslide3(vec a, vec b) { return (vec)_mm512_alignr_epi32((__m512i)b, (__m512i)a, 3); }
FC_INLINE vec vslide_back1(vec a, vec b) { return (vec)_mm512_alignr_epi32((__m512i)b, (__m512i)a, 15); }
#elif VBYTES == 64
FC_INLINE vec vslide1(vec a, vec b) { return (vec)_mm512_alignr_epi64((__m512i)b, (__m512i)a, 1); }
FC_INLINE vec vslide3(vec a, vec b) { return (vec)_mm512_alignr_epi64((__m512i)b, (__m512i)a, 3); }
FC_INLINE vec vslide_back1(vec a, vec b) { return (vec)_mm512_alignr_epi64((__m512i)b, (__m512i)a, 7); }
#else
#define FC_SLIDE(i, k) ((i) + (k))
FC_INLINE vec vslide1(vec a, vec b) { return FC_SHUFFLE(a, b, FC_SLIDE, 1); }
FC_INLINE vec vslide3(vec a, vec b) { return FC_SHUFFLE(a, b, FC_SLIDE, (LANES > 2 ? 3 : 0)); }
FC_INLINE vec vslide_back1(vec a, vec b) { return FC_SHUFFLE(a, b, FC_SLIDE, (LANES - 1)); }
#endif
FC_INLINE vec veven(vec a, vec b) { return FC_SHUFFLE(a, b, FC_EVEN, 0); }
FC_INLINE vec vodd(vec a, vec b) { return FC_SHUFFLE(a, b, FC_ODD, 0); }
FC_INLINE vec vziplo(vec a, vec b) { return FC_SHUFFLE(a, b, FC_ZIPLO, 0); }
FC_INLINE vec vziphi(vec a, vec b) { return FC_SHUFFLE(a, b, FC_ZIPHI, 0); }

#define FC_PICK(i, k) ((i) < LANES / 2 ? 2 * (i) : LANES + 2 * ((i) - LANES / 2) + 1)
/* every second number of 2 * LANES - 1, none behind them touched */
FC_INLINE vec vpick2(const real *p) { vec a = vload(p), b = vload(p + LANES - 1); return FC_SHUFFLE(a, b, FC_PICK, 0); }

FC_INLINE vec vpick2_part(const real *p, int n) { /* n <= LANES of them */
    int last = 2 * n - 1;
    vec a = vload_part(p, last < LANES ? last : LANES), b = vload_part(p + LANES - 1, last < LANES ? 0 : last - LANES + 1);
    return FC_SHUFFLE(a, b, FC_PICK, 0);
}

/* LANES x LANES transpose in registers: log2(LANES) rounds, lanes of two rows alternate in runs of k */
#define FC_ROUND(k)                                                                            \
    FC_UNROLL for (int i = 0; i < LANES; i++) if (!(i & (k))) {                                \
        vec a = m[i], b = m[i + (k)];                                                          \
        m[i] = FC_SHUFFLE(a, b, FC_LO, k);                                                     \
        m[i + (k)] = FC_SHUFFLE(a, b, FC_HI, k);                                               \
    }
#if VBYTES == 64 && !defined(FC_DOUBLE) /* in-lane unpacks are cheaper than full permutes */
FC_INLINE void vtranspose(vec *m) {
    __m512 r[16], t[16];
#define FC_PD(f, a, b) _mm512_castpd_ps(f(_mm512_castps_pd(a), _mm512_castps_pd(b)))
    FC_UNROLL for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps((__m512)m[i], (__m512)m[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps((__m512)m[i], (__m512)m[i + 1]);
    }
    FC_UNROLL for (int i = 0; i < 16; i += 4) {
        r[i] = FC_PD(_mm512_unpacklo_pd, t[i], t[i + 2]);
        r[i + 1] = FC_PD(_mm512_unpackhi_pd, t[i], t[i + 2]);
        r[i + 2] = FC_PD(_mm512_unpacklo_pd, t[i + 1], t[i + 3]);
        r[i + 3] = FC_PD(_mm512_unpackhi_pd, t[i + 1], t[i + 3]);
    }
    FC_UNROLL for (int i = 0; i < 16; i++) if (!(i & 4)) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    }
    FC_UNROLL for (int i = 0; i < 8; i++) {
        m[i] = (vec)_mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        m[i + 8] = (vec)_mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
}
#else
FC_INLINE void vtranspose(vec *m) {
    FC_ROUND(1)
#if FC_N > 2
    FC_ROUND(2)
#endif
#if FC_N > 4
    FC_ROUND(4)
#endif
#if FC_N > 8
    FC_ROUND(8)
#endif
}
#endif
#endif
