/* float32 numbers as sums of bfloat16 parts, and sums of products of those in float32.

   A product takes `nt` rows of 32 numbers (pixels of 32 channels), 64 bytes apart, and columns in blocks of 16: a block
   holds 16 pairs of numbers x 16 columns, the two of a pair side by side, 1 KB. One and the same loop over a table of
   steps (offset of the rows, offset of the columns, pairs) serves all passes and any number of parts. Units:

   SPLIT_AMX         tiles: 32 rows x 16 columns, five tiles in use
   SPLIT_AVX512_BF16 VDPBF16PS: up to 14 rows x 2 blocks of columns in registers
   SPLIT_PLAIN       float arithmetic of any machine
   SPLIT_TILES       the loops of SPLIT_AMX on arrays instead of tiles: to test their indexing anywhere */
#ifndef SPLIT_BF16_H
#define SPLIT_BF16_H
#include <stddef.h>
#include "ground/cases.h"
#include "ground/vector.h"

enum { SPLIT_PLAIN, SPLIT_TILES, SPLIT_AVX512_BF16, SPLIT_AMX };
typedef uint16_t bf16;
typedef ptrdiff_t index_t;
typedef uint32_t uvec __attribute__((vector_size(VBYTES), may_alias));

#if VBYTES == 64 && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define SPLIT_BF16_UNITS 1
#else
#define SPLIT_BF16_UNITS 0
#endif

/* ---- parts ---- */

FC_INLINE uvec split_round(vec a) { /* to bfloat16, halves away from zero; NaN stays NaN */
    uvec u = ((uvec)a + 0x8000u) & 0xffff0000u, nan = (uvec)(a != a);
    return (u & ~nan) | (nan & 0x7fc00000u);
}
FC_INLINE vec vpart(vec *a, vec *b) { /* pairs of the next part of a and b, which keep the rest */
    uvec u = split_round(*a), v = split_round(*b);
    *a -= (vec)u;
    *b -= (vec)v;
    return (vec)(u >> 16 | v);
}
FC_INLINE float split_float(bf16 b) {
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

typedef struct { /* a flat plane: column c of row k is pixel (row + k * rs, col + c * cs) of the image, or zero */
    index_t h, w, wph, row, rs, col, cs;
} split_plane;

/* buf[channel][ld] = numbers q .. q + n of the planes of nc channels; up to LANES behind them are overwritten */
static void split_fill(real *buf, index_t ld, const real *x, index_t plane, index_t nc, index_t q, index_t n, const split_plane *g) {
    index_t k = q / g->wph, c = q % g->wph;
    index_t ahead = g->rs * g->w * (1 + 128 / g->w); /* in rows to be read: 32 streams are too many for the hardware */
    while (n > 0) {
        index_t end = c + n < g->wph ? c + n : g->wph, y = g->row + k * g->rs;
        index_t a = g->col >= 0 ? 0 : (-g->col + g->cs - 1) / g->cs, e = g->w <= g->col ? 0 : (g->w - g->col + g->cs - 1) / g->cs;
        a = a < c ? c : a > end ? end : a;
        e = e < a || y < 0 || y >= g->h ? a : e > end ? end : e;
        const real *s = x + (e > a ? y * g->w + g->col + a * g->cs : 0);
        for (index_t i = 0; i < nc; i++, s += plane) {
            real *d = buf + i * ld;
            for (index_t j = c; j < a; j += LANES) vstore(d + j - c, vzero());
            if (g->cs == 1)
                for (index_t j = a; j < e; j += LANES) {
                    fetch_l2(s + j - a + ahead);
                    vstore(d + j - c, e - j >= LANES ? vload(s + j - a) : vload_part(s + j - a, (int)(e - j)));
                }
            else if (g->cs == 2)
                for (index_t j = a; j < e; j += LANES) {
                    fetch_l2(s + 2 * (j - a) + ahead);
                    fetch_l2(s + 2 * (j - a) + ahead + LANES);
                    vstore(d + j - c, e - j >= LANES ? vpick2(s + 2 * (j - a)) : vpick2_part(s + 2 * (j - a), (int)(e - j)));
                }
            else
                for (index_t j = a; j < e; j++) d[j - c] = s[(j - a) * g->cs];
            for (index_t j = e; j < end; j += LANES) vstore(d + j - c, vzero());
        }
        buf += end - c;
        n -= end - c;
        c = 0;
        k++;
    }
}

/* lines of 16 pairs: of 32 channels, one line a pixel, or (pixels) of neighbouring pixels of 16 channels */
FC_INLINE void split_lines(const int pixels, const real *buf, index_t ld, index_t lines, int parts, index_t apart, bf16 *o) {
    for (index_t p = 0; p < lines; p += LANES)
        for (int half = 0; half < 16; half += LANES) {
            vec r[2 * LANES], m[LANES];
            FC_UNROLL for (int c = 0; c < LANES; c++) {
                if (pixels) {
                    vec a = vload(buf + (half + c) * ld + 2 * p), b = vload(buf + (half + c) * ld + 2 * p + LANES);
                    r[2 * c] = veven(a, b);
                    r[2 * c + 1] = vodd(a, b);
                } else {
                    r[2 * c] = vload(buf + 2 * (half + c) * ld + p);
                    r[2 * c + 1] = vload(buf + (2 * (half + c) + 1) * ld + p);
                }
            }
            for (int k = 0; k < parts; k++) {
                real *d = (real *)(o + k * apart + p * 32) + half;
                FC_UNROLL for (int c = 0; c < LANES; c++) m[c] = vpart(r + 2 * c, r + 2 * c + 1);
                vtranspose(m);
                if (lines - p >= LANES) {
                    FC_UNROLL for (int i = 0; i < LANES; i++) vstore(d + i * 16, m[i]);
                } else
                    for (index_t i = 0; i < lines - p; i++) vstore(d + i * 16, m[i]);
            }
        }
}

/* 32 numbers of a row as a line */
FC_INLINE void split_numbers(const real *buf, int parts, index_t apart, bf16 *o) {
    for (index_t p = 0; p < 32; p += 2 * LANES) {
        vec a = vload(buf + p), b = vload(buf + p + LANES), e = veven(a, b), f = vodd(a, b);
        for (int k = 0; k < parts; k++) vstore((real *)(o + k * apart + p), vpart(&e, &f));
    }
}

/* ---- products ---- */

typedef struct { /* where row t, column o goes: out[row of it][t * mt + (o / LANES) * mh + o % LANES] */
    real *out;
    index_t mt, mh;
    int add;
    index_t first, wide, count, next; /* a flat run: its first column, columns a row, those wanted, `out` of the next row */
} split_target;

static void split_plain(int nt, int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n, const split_target *d) {
    for (int t = 0; t < nt; t++)
        for (int j = 0; j < nv; j++) {
            float a[16] = {0};
            for (index_t i = 0; i < n; i++)
                for (index_t k = 0; k < s[3 * i + 2]; k++) {
                    const bf16 *p = x + s[3 * i] + t * 32 + 2 * k, *f = w + s[3 * i + 1] + j * wv + 32 * k;
                    float even = split_float(p[0]), odd = split_float(p[1]);
                    for (int o = 0; o < 16; o++) a[o] += even * split_float(f[2 * o]) + odd * split_float(f[2 * o + 1]);
                }
            for (int o = 0; o < 16; o++) {
                real *y = d->out + t * d->mt + (16 * j + o) / LANES * d->mh + o % LANES;
                *y = d->add ? *y + a[o] : a[o];
            }
        }
}

typedef union { /* as a tile: 16 rows of 16 sums, or of 16 pairs */
    float sum[16][16];
    bf16 pair[16][16][2];
} split_tile;

static void split_tile_product(split_tile *c, const split_tile *a, const split_tile *b) {
    for (int k = 0; k < 16; k++) {
        float even[16], odd[16];
        for (int o = 0; o < 16; o++) even[o] = split_float(b->pair[k][o][0]), odd[o] = split_float(b->pair[k][o][1]);
        for (int m = 0; m < 16; m++) {
            float e = split_float(a->pair[m][k][0]), d = split_float(a->pair[m][k][1]);
            for (int o = 0; o < 16; o++) c->sum[m][o] += e * even[o] + d * odd[o];
        }
    }
}

#define SPLIT_TARGET
#define SPLIT_NAME split_emulated
#define SPLIT_DECLARE split_tile tile[5];
#define SPLIT_ZERO(i) memset(tile + i, 0, sizeof *tile)
#define SPLIT_LOAD(i, p) memcpy(tile + i, p, sizeof *tile)
#define SPLIT_PRODUCT(c, a, b) split_tile_product(tile + c, tile + a, tile + b)
#define SPLIT_STORE(i, p) memcpy(p, tile + i, sizeof *tile)
#include "split_bf16/tiles.h"

#if SPLIT_BF16_UNITS
#define SPLIT_TARGET __attribute__((target("amx-tile,amx-bf16")))
#define SPLIT_NAME split_amx
#define SPLIT_DECLARE
#define SPLIT_ZERO(i) _tile_zero(i)
#define SPLIT_LOAD(i, p) _tile_loadd(i, p, 64)
#define SPLIT_PRODUCT(c, a, b) _tile_dpbf16ps(c, a, b)
#define SPLIT_STORE(i, p) _tile_stored(i, p, 64)
#include "split_bf16/tiles.h"

#define SPLIT_DP __attribute__((target("avx512bf16")))
SPLIT_DP FC_INLINE void split_dp(const int nt, const int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n,
                           const split_target *d) {
    __m512 a[14][2];
    FC_UNROLL for (int t = 0; t < nt; t++)
        FC_UNROLL for (int j = 0; j < nv; j++) a[t][j] = _mm512_setzero_ps();
    for (index_t i = 0; i < n; i++) {
        const bf16 *p = x + s[3 * i], *f = w + s[3 * i + 1];
        for (index_t k = s[3 * i + 2]; k > 0; k--, p += 2, f += 32) {
            __m512bh v[2];
            FC_UNROLL for (int j = 0; j < nv; j++) {
                v[j] = (__m512bh)_mm512_loadu_si512(f + j * wv);
                fetch(f + j * wv + 16 * 32);
            }
            FC_UNROLL for (int t = 0; t < nt; t++) {
                int pair;
                memcpy(&pair, p + t * 32, sizeof pair);
                FC_UNROLL for (int j = 0; j < nv; j++) a[t][j] = _mm512_dpbf16_ps(a[t][j], (__m512bh)_mm512_set1_epi32(pair), v[j]);
            }
        }
    }
    FC_UNROLL for (int t = 0; t < nt; t++)
        FC_UNROLL for (int j = 0; j < nv; j++) {
            real *y = d->out + t * d->mt + j * d->mh;
            _mm512_storeu_ps(y, d->add ? _mm512_add_ps(_mm512_loadu_ps(y), a[t][j]) : a[t][j]);
        }
}
typedef struct {
    const bf16 *x, *w;
    index_t wv;
    const index_t *s;
    index_t n;
    const split_target *d;
} split_block;
SPLIT_DP FC_INLINE void split_dp_case(int nt, int nv, const void *args) {
    const split_block *b = (const split_block *)args;
    split_dp(nt, nv, b->x, b->w, b->wv, b->s, b->n, b->d);
}
SPLIT_DP static void split_avx512(int nt, int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n,
                            const split_target *d) {
    split_block b = {x, w, wv, s, n, d};
    fc_cases2(split_dp_case, nt, nv, 14, 14, 0, 0, &b);
}
#endif

FC_INLINE int split_rows_of(int unit) { return unit == SPLIT_AMX || unit == SPLIT_TILES ? 32 : 14; } /* a product takes at most */

/* tiles belong to the thread that configured them, from begin to end */
static void split_begin(int unit) {
#if SPLIT_BF16_UNITS
    if (unit == SPLIT_AMX) {
        struct { uint8_t palette, start, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } c __attribute__((aligned(64)));
        memset(&c, 0, sizeof c);
        c.palette = 1;
        for (int i = 0; i < 5; i++) c.bytes[i] = 64, c.rows[i] = 16;
        __asm__ volatile("ldtilecfg %0" ::"m"(c) : "memory"); /* the intrinsic of some compilers loses the stores */
    }
#endif
    (void)unit;
}
static void split_end(int unit) {
#if SPLIT_BF16_UNITS
    if (unit == SPLIT_AMX) __asm__ volatile("tilerelease" ::: "memory");
#endif
    (void)unit;
}

static void split_chain(int unit, int nt, int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n,
                        const split_target *d) {
    switch (unit) {
#if SPLIT_BF16_UNITS
    case SPLIT_AVX512_BF16: split_avx512(nt, nv, x, w, wv, s, n, d); break;
    case SPLIT_AMX: split_amx(nt, nv, x, w, wv, s, n, d); break;
#endif
    case SPLIT_TILES: split_emulated(nt, nv, x, w, wv, s, n, d); break;
    default: split_plain(nt, nv, x, w, wv, s, n, d);
    }
}

/* `chain` steps are summed by themselves, then all such sums: shorter chains have smaller errors */
static void split_product(int unit, int nt, int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n,
                          index_t chain, const split_target *d) {
    split_target more = *d;
    split_chain(unit, nt, nv, x, w, wv, s, n < chain ? n : chain, d);
    more.add = 1;
    for (index_t i = chain; i < n; i += chain)
        split_chain(unit, nt, nv, x, w, wv, s + 3 * i, n - i < chain ? n - i : chain, &more);
}
#endif
