/* The products of Winograd, a block of registers a call:

       a[r][k] += s[r] * v[k]        nr broadcast numbers x nv vectors

   In the products of tiles (forward, grad_input) r is a tile and a step goes on to the next channel of the sums; in
   those of grad_weight r is an output and a step goes on to the next tile. */
#ifndef WINO_MULTIPLY_H
#define WINO_MULTIPLY_H
#include <stddef.h>
#include "ground/cases.h"
#include "ground/vector.h"

#define WINO_TILES (FC_REGISTERS == 32 ? 14 : 6) /* of a block of products: 28 (or 12) sums */
#define WINO_ROWS (VBYTES == 64 ? 8 : LANES < 4 ? LANES : 4) /* outputs of a block of sums, and vectors of inputs */
#define WINO_COLS (FC_REGISTERS == 16 ? 3 : 2)
/* Steps are unrolled where registers are few: there, what does not multiply is a larger share. */
#define WINO_UNROLLED (FC_REGISTERS == 16 && FC_FMA)

FC_INLINE void wino_step(const int nr, const int nv, vec (*a)[WINO_COLS], const real *s, ptrdiff_t ss,
                         const real *v, ptrdiff_t vs) {
    vec u[WINO_COLS];
    FC_UNROLL for (int k = 0; k < nv; k++) u[k] = vload(v + k * vs);
    FC_UNROLL for (int r = 0; r < nr; r++) {
        vec b = vset(s[r * ss]);
        FC_UNROLL for (int k = 0; k < nv; k++) vmultiply_add(&a[r][k], b, u[k]);
    }
}

FC_INLINE void wino_put(const int nr, const int nv, vec (*a)[WINO_COLS], real *s, ptrdiff_t rs, ptrdiff_t vs,
                        int onto) {
    if (onto)
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int k = 0; k < nv; k++)
            a[r][k] += vload(s + r * rs + k * vs);
    FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int k = 0; k < nv; k++)
        vstore(s + r * rs + k * vs, a[r][k]);
}

typedef struct {
    const real *V, *U;
    real *M;
    ptrdiff_t mc, n; /* numbers between the two vectors of M; channels */
    int onto;
} wino_job;

FC_INLINE void wino_ask(const real *U) { /* weights that come in 16 steps */
    fetch(U + 32 * LANES);
    if (2 * VBYTES > 64) fetch(U + 33 * LANES);
}

/* M[2][.][LANES] (+)= sum over n channels of V[n/LANES][nt][LANES] * U[n][2][LANES] */
FC_INLINE void wino_products_block(const int nt, const wino_job *p) {
    vec a[14][WINO_COLS];
    const real *V = p->V, *U = p->U;
    ptrdiff_t n = p->n;
    FC_UNROLL for (int t = 0; t < nt; t++) a[t][0] = a[t][1] = vzero();
    if (WINO_UNROLLED)
        for (; n >= LANES; n -= LANES, V += nt * LANES, U += 2 * LANES * LANES)
            FC_UNROLL for (int l = 0; l < LANES; l++) {
                wino_ask(U + 2 * l * LANES);
                wino_step(nt, 2, a, V + l, LANES, U + 2 * l * LANES, LANES);
                FC_IN_ORDER();
            }
    for (; n > 0; n -= LANES, V += nt * LANES)
        for (int l = 0; l < (n < LANES ? n : LANES); l++, U += 2 * LANES) {
            wino_ask(U);
            wino_step(nt, 2, a, V + l, LANES, U, LANES);
        }
    wino_put(nt, 2, a, p->M, LANES, p->mc, p->onto);
}

FC_INLINE void wino_products_case(int nt, const void *args) { wino_products_block(nt, (const wino_job *)args); }

/* The same in sums of `length` channels, which are added: short sums have smaller errors. */
static void wino_products(int nt, const real *V, const real *U, real *M, ptrdiff_t mc, ptrdiff_t n, ptrdiff_t length,
                          int onto) {
    for (; n > 0; n -= length, V += length * nt, U += length * 2 * LANES, onto = 1) {
        wino_job job = {V, U, M, mc, n < length ? n : length, onto};
        fc_cases(wino_products_case, nt, WINO_TILES, &job);
    }
}

/* S[WINO_ROWS][nv vectors] (+)= sum over tiles of Q[tile][WINO_ROWS] * X[nv][tile]; next: fetched meanwhile */
FC_INLINE void wino_sums_block(const int nv, const real *Q, const real *X, ptrdiff_t xs, real *S, ptrdiff_t vs,
                               ptrdiff_t ss, ptrdiff_t tiles, int onto, const real *next) {
    vec a[WINO_ROWS][WINO_COLS];
    FC_UNROLL for (int r = 0; r < WINO_ROWS; r++) FC_UNROLL for (int k = 0; k < nv; k++) a[r][k] = vzero();
    if (onto)
        FC_UNROLL for (int r = 0; r < WINO_ROWS; r++) FC_UNROLL for (int k = 0; k < nv; k++)
            fetch(S + r * ss + k * vs);
    if (WINO_UNROLLED)
        for (; tiles >= 4; tiles -= 4, Q += 4 * LANES, X += 4 * LANES, next += 4 * LANES)
            FC_UNROLL for (int t = 0; t < 4; t++) {
                if (t * VBYTES % 64 == 0) fetch_l2(next + t * LANES);
                wino_step(WINO_ROWS, nv, a, Q + t * LANES, 1, X + t * LANES, xs);
                FC_IN_ORDER();
            }
    for (; tiles > 0; tiles--, Q += LANES, X += LANES, next += LANES) {
        fetch_l2(next);
        wino_step(WINO_ROWS, nv, a, Q, 1, X, xs);
    }
    wino_put(WINO_ROWS, nv, a, S, ss, vs, onto);
}

#define WINO_SUMS_CASE(k) case k: wino_sums_block(k, Q, X, xs, S, vs, ss, tiles, onto, next); break;
static void wino_sums(int nv, const real *Q, const real *X, ptrdiff_t xs, real *S, ptrdiff_t vs, ptrdiff_t ss,
                      ptrdiff_t tiles, int onto, const real *next) {
    switch (nv) {
        WINO_SUMS_CASE(1) WINO_SUMS_CASE(2)
#if FC_REGISTERS == 16
        WINO_SUMS_CASE(3)
#endif
    }
}
#endif
