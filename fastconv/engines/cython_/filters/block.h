/* A register block of an image filter: R output rows x V vectors, the sums of all taps. */
#ifndef FILTER_BLOCK_H
#define FILTER_BLOCK_H
#include "ground/cases.h"

#define FILTER_ROWS (FC_REGISTERS == 32 ? 6 : 4) /* blocks of output rows x vectors: FILTER_ROWS x FILTER_WIDE, */
#define FILTER_WIDE (FC_REGISTERS == 32 ? 4 : 3)
#define FILTER_FLAT (FC_REGISTERS == 32 ? 8 : 4) /* and 1 x FILTER_FLAT for kernels of one row */
#define FILTER_CHUNK (FC_REGISTERS == 32 ? 8 : 12) /* vectors of column sums at a time: multiple of FILTER_WIDE, FILTER_FLAT */
#define FILTER_GROUP (LANES > 8 ? LANES : 8) /* rows between the columns and the rows of a separable kernel */

/* kinds of numbers: `real`, what images hold, and float32 beside float64 */
enum { FILTER_REAL, FILTER_U8, FILTER_U16, FILTER_I16, FILTER_F32 };

typedef struct {
    const real *w; /* [kw][kh], each column from the bottom up; of a folded kernel the left half */
    ptrdiff_t kh, kw;
    ptrdiff_t c; /* channels: taps along a row lie so many numbers apart */
    real sign;   /* of a folded kernel */
} filter_weights;

typedef struct {
    const filter_weights *f;
    const char **rows; /* bordered rows */
    ptrdiff_t at;      /* where the block begins in them */
    char *y;
    ptrdiff_t ys;
} filter_block;

/* a product that must not be fused into a sum: float64 sums are those of plain C, number by number */
FC_INLINE vec filter_product(vec a, vec b) {
    vec p = a * b;
#if defined(FC_DOUBLE) && defined(FC_REGISTER)
    __asm__("" : FC_REGISTER(p));
#endif
    return p;
}

/* a loaded vector that stays in a register: the compiler would load it anew for every product */
FC_INLINE vec filter_held(vec a) {
#ifdef FC_REGISTER
    __asm__("" : FC_REGISTER(a));
#endif
    return a;
}

FC_INLINE ptrdiff_t filter_size(const int kind) {
    return kind == FILTER_REAL ? (ptrdiff_t)sizeof(real) : kind == FILTER_U8 ? 1 : kind == FILTER_F32 ? 4 : 2;
}
/* where number `at` of a row is, and vectors of one that holds `real` or bytes */
FC_INLINE const char *filter_number(const int kind, const void *p, ptrdiff_t at) {
    return (const char *)p + at * filter_size(kind);
}
FC_INLINE vec filter_get(const int kind, const char *p, ptrdiff_t at) {
    return kind == FILTER_U8 ? vload_bytes(p + at) : vload((const real *)p + at);
}
FC_INLINE void filter_put(const int kind, char *p, ptrdiff_t at, vec v) {
    if (kind == FILTER_U8) vstore_bytes(p + at, v);
    else vstore((real *)p + at, v);
}

/* bordered row i for output rows first .. last of a block: n taps */
FC_INLINE void filter_taps(const int R, const int V, const int fold, const int kind, const int first, const int last,
                           vec (*a)[8], const filter_block *b, ptrdiff_t i, ptrdiff_t n, vec sign) {
    const filter_weights *f = b->f;
    const char *p = filter_number(kind, b->rows[i], b->at), *q = filter_number(kind, p, (f->kw - 1) * f->c);
    const real *w = f->w + f->kh - 1 - i;
    for (;;) {
        vec x[8];
        FC_UNROLL for (int j = 0; j < V; j++) {
            x[j] = filter_get(kind, p, j * LANES);
            if (fold) x[j] += sign * filter_get(kind, q, j * LANES);
            x[j] = filter_held(x[j]);
        }
        FC_UNROLL for (int o = 0; o < R; o++)
            if (first <= o && o < last) {
                vec t = vset(w[o]);
                FC_UNROLL for (int j = 0; j < V; j++) a[o][j] += filter_product(t, x[j]);
            }
        if (--n == 0) break;
        w += f->kh;
        p = filter_number(kind, p, f->c);
        q = filter_number(kind, q, -f->c);
    }
}

/* y OUT of kind yk. K is kh where that is below R, else 0: row i meets outputs i - kh + 1 to i, fewer than R at both ends */
FC_INLINE void filter_sums(const int R, const int V, const int K, const int fold, const int kind, const int yk,
                           const filter_block *b) {
    vec a[8][8], sign = vset(b->f->sign), zero = filter_held(vzero());
    ptrdiff_t kh = b->f->kh, n = fold ? (b->f->kw + 1) / 2 : b->f->kw;
    FC_UNROLL for (int o = 0; o < R; o++)
        FC_UNROLL for (int j = 0; j < V; j++) a[o][j] = zero;
    if (K) {
        FC_UNROLL for (int i = 0; i < R + K - 1; i++) filter_taps(R, V, fold, kind, i - K + 1, i + 1, a, b, i, n, sign);
    } else {
        FC_UNROLL for (int i = 0; i < R - 1; i++) filter_taps(R, V, fold, kind, 0, i + 1, a, b, i, n, sign);
        for (ptrdiff_t i = R - 1; i < kh; i++) filter_taps(R, V, fold, kind, 0, R, a, b, i, n, sign);
        FC_UNROLL for (int i = 1; i < R; i++) filter_taps(R, V, fold, kind, i, R, a, b, kh - 1 + i, n, sign);
    }
    FC_UNROLL for (int o = 0; o < R; o++)
        FC_UNROLL for (int j = 0; j < V; j++) filter_put(yk, b->y, o * b->ys + j * LANES, a[o][j]);
}

FC_INLINE void filter_tall_real(int K, const void *b) {
    filter_sums(FILTER_ROWS, FILTER_WIDE, K, 0, FILTER_REAL, FILTER_REAL, (const filter_block *)b);
}
FC_INLINE void filter_tall_bytes(int K, const void *b) {
    filter_sums(FILTER_ROWS, FILTER_WIDE, K, 0, FILTER_U8, FILTER_REAL, (const filter_block *)b);
}
FC_INLINE void filter_narrow_real(int K, const void *b) {
    filter_sums(FILTER_ROWS, 1, K, 0, FILTER_REAL, FILTER_REAL, (const filter_block *)b);
}

/* Columns are summed from `real` or bytes to `real`, rows from `real` to `real` or bytes; a kernel of one row is both. A
   narrow block is one vector wide, from `real` to `real`. */
static void filter_one_block(int tall, int narrow, int fold, int kind, int yk, const filter_block *b) {
    const int bytes = sizeof(real) == 4 && kind == FILTER_U8, to_bytes = sizeof(real) == 4 && yk == FILTER_U8;
    if (narrow && tall && fold) filter_sums(FILTER_ROWS, 1, 0, 1, FILTER_REAL, FILTER_REAL, b);
    else if (narrow && tall) fc_cases_or_any(filter_narrow_real, (int)b->f->kh, FILTER_ROWS - 1, b);
    else if (narrow) filter_sums(1, 1, 0, 0, FILTER_REAL, FILTER_REAL, b);
    else if (tall && bytes) fc_cases_or_any(filter_tall_bytes, (int)b->f->kh, FILTER_ROWS - 1, b);
    else if (tall && fold) filter_sums(FILTER_ROWS, FILTER_WIDE, 0, 1, FILTER_REAL, FILTER_REAL, b);
    else if (tall) fc_cases_or_any(filter_tall_real, (int)b->f->kh, FILTER_ROWS - 1, b);
    else if (bytes) filter_sums(1, FILTER_FLAT, 0, 0, FILTER_U8, FILTER_REAL, b);
    else if (to_bytes) filter_sums(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_U8, b);
    else filter_sums(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_REAL, b);
}
#endif
