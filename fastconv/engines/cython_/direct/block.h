/* The register block of direct convolution on channels-last arrays, for all three passes:

       a[r][j] += x[r] * w[j]        nr broadcast numbers x nv vectors

   while runs of the source stream by. In the products (forward, grad_input) r is a pixel and a step goes on to the
   next number of a kernel row; in the sums (grad_weight) r is a number of a kernel row and a step goes on to the
   next pixel. Sizes are constants of always-inline functions, instantiated and tabled below. */
#ifndef DIRECT_BLOCK_H
#define DIRECT_BLOCK_H
#include <stddef.h>
#include "ground/epilogue.h"

typedef struct {
    ptrdiff_t rows, taps, n;  /* runs: kernel rows, runs a row, numbers a run */
    ptrdiff_t row, tap;       /* numbers of the source between kernel rows, between runs of a row */
    ptrdiff_t pixel;          /* between neighbouring pixels of the block; in sums: between steps */
    ptrdiff_t out;            /* numbers between neighbouring pixels (sums: numbers) of the result */
    const real *bias;         /* nv vectors, or NULL */
    const real *each;         /* a number for each of the nr, or NULL */
    int lanes;                /* of the last vector, that are outputs */
    int wide;                 /* not 0: all of it is stored */
    int onto;                 /* 1: the result holds sums to go on from */
    int finish;               /* 1: these runs are the last, bias, residual and activation follow */
    int activation;
} direct_job;

typedef void direct_kernel(const direct_job *, const real *x, const real *w, real *y, const real *residual);

/* GCC would read one of the vectors from memory for every multiply-add; so it stays in a register */
#if defined(__FMA__) || defined(__aarch64__)
#define DIRECT_HOLD(v) __asm__ volatile("" : FC_REGISTER(v))
#else
#define DIRECT_HOLD(v) (void)0
#endif

/* of four vectors; beside four and 28 sums there is no register for what is broadcast */
#define DIRECT_HELD (VBYTES == 64 ? 2 : 4)

#define DIRECT_HOLD_POINTER(p) __asm__ volatile("" : "+r"(p))

/* With 16 registers a block has 12 sums, and what does not multiply counts where two hardware threads share a core: four
   steps of the products are one round of a loop, and up to six pixels have pointers of their own. */
#define DIRECT_FOUR (FC_REGISTERS == 16 && FC_FMA)
#define DIRECT_SHARED(nr) (DIRECT_FOUR && nr <= 6 ? 1 : 3)

/* One step, with numbers c + m of the runs; `shared` pixels have one pointer. */
FC_INLINE void direct_step(const int nv, const int nr, const int sums, const int shared, vec (*a)[4], const real **q,
                           const ptrdiff_t px, const ptrdiff_t c, const int m, const real *w) {
    const int held = nv == 4 ? DIRECT_HELD : nv;
    FC_UNROLL for (int j = 0; j < nv; j += held) {
        vec b[4];
        FC_UNROLL for (int k = 0; k < held; k++) {
            b[k] = vload(w + (j + k) * LANES);
            DIRECT_HOLD(b[k]);
        }
        if (held < nv) FC_UNROLL for (int k = 0; shared * k < nr; k++) DIRECT_HOLD_POINTER(q[k]); /* broadcast anew */
        FC_UNROLL for (int r = 0; r < nr; r++) {
            vec s = vset(sums ? q[0][r] : q[r / shared][r % shared * px + c + m]);
            FC_UNROLL for (int k = 0; k < held; k++)
                if (FC_FMA && sums) a[r][j + k] += s * b[k]; /* no slower, and a step a round needs no order */
                else vmultiply_add(&a[r][j + k], s, b[k]);
        }
    }
}

FC_INLINE void direct_multiply(const int nv, const int nr, const int sums, vec (*a)[4], const direct_job *job,
                               const real *x, const real *w) {
    const int shared = sums ? nr : DIRECT_SHARED(nr);
    const ptrdiff_t px = sums ? 1 : job->pixel, step = sums ? job->pixel : 1;
    const ptrdiff_t fours = DIRECT_FOUR && !sums ? job->n & ~(ptrdiff_t)3 : 0;
    for (ptrdiff_t u = 0; u < job->rows; u++)
        for (ptrdiff_t t = 0; t < job->taps; t++) {
            const real *q[5 + DIRECT_FOUR];
            FC_UNROLL for (int k = 0; shared * k < nr; k++) {
                q[k] = x + u * job->row + t * job->tap + shared * k * px + fours;
                DIRECT_HOLD_POINTER(q[k]); /* where pixels are many, not one for each */
            }
            for (ptrdiff_t c = -fours; c != 0; c += 4, w += 4 * nv * LANES) /* one index for all pointers */
                FC_UNROLL for (int m = 0; m < 4; m++) {
                    direct_step(nv, nr, 0, shared, a, q, px, c, m, w + m * nv * LANES);
                    FC_IN_ORDER();
                }
            for (ptrdiff_t c = job->n - fours; c != 0; c--, w += nv * LANES) {
                direct_step(nv, nr, sums, shared, a, q, px, 0, 0, w);
                FC_UNROLL for (int k = 0; shared * k < nr; k++) q[k] += step;
            }
        }
}

FC_INLINE void direct_put(real *y, vec v, int lanes) {
    if (lanes == LANES) vstore(y, v);
    else vstore_part(y, v, lanes);
}

FC_INLINE vec direct_get(const real *y, int lanes) { return lanes == LANES ? vload(y) : vload_part(y, lanes); }

/* What costs more than a comparison is applied to a block that was just stored. */
static __attribute__((noinline)) void direct_activate(const direct_job *job, int nv, int nr, real *y) {
    ptrdiff_t n = (nv - 1) * LANES + job->lanes;
    if (job->out == n) n *= nr, nr = 1; /* pixels that lie side by side */
    fc_activate_rows(job->activation, y, nr, job->out, n);
}

FC_INLINE void direct_products(const int nv, const int nr, const direct_job *job, const real *x, const real *w, real *y,
                               const real *residual) {
    vec a[14][4];
    const ptrdiff_t out = job->out;
    const int last = job->wide ? LANES : job->lanes;
    FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++) a[r][j] = vzero();
    if (job->onto)
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++)
            a[r][j] = direct_get(y + r * out + j * LANES, j < nv - 1 ? LANES : last);
    direct_multiply(nv, nr, 0, a, job, x, w);
    if (job->finish && job->bias)
        FC_UNROLL for (int j = 0; j < nv; j++) {
            vec b = direct_get(job->bias + j * LANES, j < nv - 1 ? LANES : job->lanes);
            FC_UNROLL for (int r = 0; r < nr; r++) a[r][j] += b;
        }
    if (job->finish && job->each)
        FC_UNROLL for (int r = 0; r < nr; r++) {
            vec b = vset(job->each[r]);
            FC_UNROLL for (int j = 0; j < nv; j++) a[r][j] += b;
        }
    if (job->finish && residual)
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++)
            a[r][j] += direct_get(residual + r * out + j * LANES, j < nv - 1 ? LANES : job->lanes);
    if (job->finish && (job->activation == FC_RELU || job->activation == FC_RELU6))
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++)
            a[r][j] = fc_activate(a[r][j], FC_RELU);
    if (job->finish && job->activation == FC_RELU6)
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++) a[r][j] = fc_no_more(a[r][j], 6);
    FC_UNROLL for (int r = 0; r < nr; r++) {
        FC_UNROLL for (int j = 0; j < nv - 1; j++) vstore(y + r * out + j * LANES, a[r][j]);
        direct_put(y + r * out + (nv - 1) * LANES, a[r][nv - 1], last);
    }
    if (job->finish && job->activation > FC_RELU6) direct_activate(job, nv, nr, y);
}

FC_INLINE void direct_sums(const int nv, const int nr, const direct_job *job, const real *x, const real *w, real *y,
                           const real *residual) {
    vec a[14][4];
    (void)residual;
    FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++) a[r][j] = vzero();
    direct_multiply(nv, nr, 1, a, job, x, w);
    if (job->onto) /* a strip's sum is its own: errors grow with the length of a strip only */
        FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++)
            a[r][j] += vload(y + r * job->out + j * LANES);
    FC_UNROLL for (int r = 0; r < nr; r++) FC_UNROLL for (int j = 0; j < nv; j++)
        vstore(y + r * job->out + j * LANES, a[r][j]);
}

/* All blocks X(nv, nr) whose sums fit the registers. */
#define DIRECT_TO_4(X, v) X(v, 1) X(v, 2) X(v, 3) X(v, 4)
#define DIRECT_TO_7(X, v) DIRECT_TO_4(X, v) X(v, 5) X(v, 6) X(v, 7)
#define DIRECT_TO_9(X, v) DIRECT_TO_7(X, v) X(v, 8) X(v, 9)
#define DIRECT_TO_12(X, v) DIRECT_TO_9(X, v) X(v, 10) X(v, 11) X(v, 12)
#define DIRECT_TO_14(X, v) DIRECT_TO_12(X, v) X(v, 13) X(v, 14)
#if VBYTES == 64
#define DIRECT_BLOCKS(X) DIRECT_TO_14(X, 1) DIRECT_TO_14(X, 2) DIRECT_TO_9(X, 3) DIRECT_TO_7(X, 4)
#elif FC_REGISTERS == 32
#define DIRECT_BLOCKS(X) DIRECT_TO_14(X, 1) DIRECT_TO_14(X, 2) DIRECT_TO_9(X, 3) DIRECT_TO_4(X, 4) X(4, 5) X(4, 6)
#else
#define DIRECT_BLOCKS(X) DIRECT_TO_12(X, 1) DIRECT_TO_4(X, 2) X(2, 5) X(2, 6) DIRECT_TO_4(X, 3)
#endif

#define DIRECT_ARGS const direct_job *job, const real *x, const real *w, real *y, const real *residual
#define DIRECT_DEFINE(v, r)                                                                               \
    static __attribute__((noinline)) void direct_products_##v##_##r(DIRECT_ARGS) {                        \
        direct_products(v, r, job, x, w, y, residual);                                                    \
    }                                                                                                     \
    static __attribute__((noinline)) void direct_sums_##v##_##r(DIRECT_ARGS) {                            \
        direct_sums(v, r, job, x, w, y, residual);                                                        \
    }
#define DIRECT_PRODUCTS(v, r) [v][r] = direct_products_##v##_##r,
#define DIRECT_SUMS(v, r) [v][r] = direct_sums_##v##_##r,
DIRECT_BLOCKS(DIRECT_DEFINE)
static direct_kernel *direct_of_products[5][15] = {DIRECT_BLOCKS(DIRECT_PRODUCTS)};
static direct_kernel *direct_of_sums[5][15] = {DIRECT_BLOCKS(DIRECT_SUMS)};
#endif
