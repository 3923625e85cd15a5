/* Gradients of pooling on channels-last arrays, behind last.h: a piece is rows of dx. */
#ifndef POOL_LAST_BACKWARD_H
#define POOL_LAST_BACKWARD_H
#include "pooling/last.h"

/* Rows [from, to) of dx cleared, the channels of a piece. */
static void pool_clear(const pool_last *f, pool_piece p, ptrdiff_t from, ptrdiff_t to) {
    real *d = f->y + (p.image * f->H + from) * f->W * f->C + p.c0;
    const ptrdiff_t pixels = to > from ? (to - from) * f->W : 0, n = p.c1 - p.c0;
    if (n == f->C) memset(d, 0, pixels * n * sizeof(real));
    else
        for (ptrdiff_t k = 0; k < pixels; k++) memset(d + k * f->C, 0, n * sizeof(real));
}

/* The first of the taps in the image, counted from there, that lies `row` rows or more below the window's corner. */
static inline ptrdiff_t pool_below(ptrdiff_t row, const pool_places *w, ptrdiff_t d) {
    const ptrdiff_t u = (row <= 0 ? 0 : (row + d - 1) / d) - w->u.first;
    return POOL_MIN(w->u.count, POOL_MAX(0, u));
}

/* dy of B vectors of channels added at the taps that were the largest: of taps, rows [from, to); dx at the first. */
FC_INLINE void pool_add(const int B, const int part, const pool_places *w, const vec *tap, const real *dy, real *dx,
                        ptrdiff_t from, ptrdiff_t to, int n) {
    vec g[POOL_BLOCK];
    FC_UNROLL for (int b = 0; b < B; b++) g[b] = pool_take(dy + b * LANES, part, n);
    for (ptrdiff_t u = from; u < to; u++) {
        real *p = dx + u * w->down;
        for (ptrdiff_t v = 0; v < w->v.count; v++) {
            const vec t = vset((real)((w->u.first + u) * w->kw + w->v.first + v));
            FC_UNROLL for (int b = 0; b < B; b++) {
                const vec mine = (vec)((ivec)(tap[b] == t) & (ivec)g[b]); /* 0.0 changes no sum: none is -0.0 */
                pool_put(p + b * LANES, pool_take(p + b * LANES, part, n) + mine, part, n);
            }
            p += w->across;
        }
    }
}

/* Each dy at its largest pixel, or at its index; rows are cleared just before the first window that reaches them. */
FC_INLINE void pool_scatter(const int given, const pool_last *f, ptrdiff_t ithr, ptrdiff_t nthr) {
    const PoolWindows *q = f->q;
    const ptrdiff_t jobs = f->images * f->H * ((f->C + LANES - 1) / LANES), end = jobs * (ithr + 1) / nthr;
    const ptrdiff_t span = q->dh * (q->kh - 1) + 1;
    ptrdiff_t bad = 0;
    for (ptrdiff_t a = jobs * ithr / nthr; a < end;) {
        const pool_piece p = pool_next(f->H, f->C, &a, end);
        real *dx = f->y + p.image * f->H * f->W * f->C;
        ptrdiff_t clear = p.r0;
        for (ptrdiff_t i = pool_first(p.r0, q->pt, span, q->sh); i < f->OH && i * q->sh - q->pt < p.r1; i++) {
            const ptrdiff_t row = i * q->sh - q->pt, reach = POOL_MIN(p.r1, row + span);
            const ptrdiff_t low = POOL_MAX(0, row) * f->W, high = POOL_MIN(f->H, row + span) * f->W;
            const ptrdiff_t first = POOL_MAX(low, p.r0 * f->W), count = POOL_MIN(high, p.r1 * f->W) - first;
            pool_clear(f, p, clear, reach);
            clear = POOL_MAX(clear, reach);
            for (ptrdiff_t j = 0; j < f->OW; j++) {
                const ptrdiff_t from = ((p.image * f->OH + i) * f->OW + j) * f->C;
                const real *dy = f->dy + from;
                if (given) {
                    for (ptrdiff_t c = p.c0; c < p.c1; c++) {
                        const ptrdiff_t at = f->index[from + c];
                        if ((size_t)(at - first) < (size_t)count) dx[at * f->C + c] += dy[c];
                        else bad += at != -1 && (at < low || high <= at);
                    }
                    continue;
                }
                const pool_places w = pool_places_of(f, p.image, i, j);
                if (w.lowest < 0) continue;
                const vec lowest = vset((real)(w.u.first * w.kw + w.v.first)), none = vset(-1);
                const ptrdiff_t top = pool_below(p.r0 - row, &w, q->dh), stop = pool_below(p.r1 - row, &w, q->dh);
                real *d = dx + w.lowest * f->C;
                vec best[POOL_BLOCK], tap[POOL_BLOCK];
#define POOL_LARGEST(B, part, c, n)                                                                 \
    {                                                                                               \
        pool_argmax(B, part, &w, c, n, best, tap);                                                  \
        FC_UNROLL for (int b = 0; b < B; b++) tap[b] = pool_above(tap[b], none, tap[b], lowest);    \
        pool_add(B, part, &w, tap, dy + (c), d + (c), top, stop, n);                                \
    }
                POOL_CHANNELS(POOL_BLOCK, POOL_LARGEST)
#undef POOL_LARGEST
            }
        }
        pool_clear(f, p, clear, p.r1);
    }
    if (given) f->bad[ithr] += bad;
}

static void pool_last_max_grad_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    pool_scatter(0, args, ithr, nthr);
}
static void pool_last_scatter_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    pool_scatter(1, args, ithr, nthr);
}

/* A row of dx: the quotients of the windows [lo, hi) of each column in a line, then their sums, the last first. */
FC_INLINE void pool_spread(const int B, const int part, const pool_last *f, const real *dy, ptrdiff_t lo, ptrdiff_t hi,
                           real *dx, int n) {
    const PoolWindows *q = f->q;
    const ptrdiff_t met = POOL_MIN(f->OW, (q->kw - 1) / q->sw + 1), most = (POOL_COLUMNS - met) * q->sw;
    real line[POOL_COLUMNS * POOL_PAIR * LANES] __attribute__((aligned(64)));
    vec s[POOL_PAIR];
    for (ptrdiff_t c0 = 0; c0 < f->W; c0 += most) {
        const ptrdiff_t c1 = POOL_MIN(f->W, c0 + most), j0 = pool_first(c0, q->pl, q->kw, q->sw);
        const ptrdiff_t j1 = POOL_MIN(f->OW, (c1 - 1 + q->pl) / q->sw + 1);
        for (ptrdiff_t j = j0; j < j1; j++) {
            FC_UNROLL for (int b = 0; b < B; b++) s[b] = vzero();
            for (ptrdiff_t i = lo; i < hi; i++) {
                const vec size = vset(f->rows[i] * f->cols[j]);
                const real *p = dy + (i * f->OW + j) * f->C;
                FC_UNROLL for (int b = 0; b < B; b++) s[b] = s[b] + pool_take(p + b * LANES, part, n) / size;
            }
            FC_UNROLL for (int b = 0; b < B; b++) vstore(line + ((j - j0) * B + b) * LANES, s[b]);
        }
        ptrdiff_t first = j0, end = j0; /* the windows that hold the column */
        for (ptrdiff_t c = c0; c < c1; c++) {
            while (end < j1 && end * q->sw <= c + q->pl) end++;
            while (first < end && first * q->sw + q->kw <= c + q->pl) first++;
            FC_UNROLL for (int b = 0; b < B; b++) s[b] = vzero();
            for (ptrdiff_t j = end - 1; j >= first; j--)
                FC_UNROLL for (int b = 0; b < B; b++) s[b] = s[b] + vload(line + ((j - j0) * B + b) * LANES);
            FC_UNROLL for (int b = 0; b < B; b++) pool_put(dx + c * f->C + b * LANES, s[b], part, n);
        }
    }
}

static void pool_last_avg_grad_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const pool_last *f = args;
    const PoolWindows *q = f->q;
    const ptrdiff_t jobs = f->images * f->H * ((f->C + LANES - 1) / LANES), end = jobs * (ithr + 1) / nthr;
    for (ptrdiff_t a = jobs * ithr / nthr; a < end;) {
        const pool_piece p = pool_next(f->H, f->C, &a, end);
        for (ptrdiff_t r = p.r0; r < p.r1; r++) {
            const ptrdiff_t lo = pool_first(r, q->pt, q->kh, q->sh), hi = POOL_MIN(f->OH, (r + q->pt) / q->sh + 1);
            const real *dy = f->dy + p.image * f->OH * f->OW * f->C;
            real *dx = f->y + (p.image * f->H + r) * f->W * f->C;
#define POOL_SPREAD(B, part, c, n) pool_spread(B, part, f, dy + (c), lo, hi, dx + (c), n);
            POOL_CHANNELS(POOL_PAIR, POOL_SPREAD)
#undef POOL_SPREAD
        }
    }
}
#endif
