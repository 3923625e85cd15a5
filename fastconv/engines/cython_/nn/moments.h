/* Sums over the numbers of a channel. Those of a chunk are vectors, of distances from a number near the chunk's mean,
   which are exact or small: nothing cancels. Chunks are added up in float64, in an order that no thread changes. */
#ifndef NORM_MOMENTS_H
#define NORM_MOMENTS_H
#include "nn/rows.h"

enum { NORM_CHUNK = 1024, NORM_PIXELS = 64 }; /* numbers of a plane; pixels, channels last */

typedef struct {
    real near, sum, squares; /* a number near the mean; sums of distances from it, and of their squares */
} norm_distances;
FC_INLINE norm_distances norm_run(const real *x, ptrdiff_t n) {
    vec s = vzero(), t = vzero(), q = vzero(), r = vzero(), d;
    ptrdiff_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) s = s + vload(x + j), t = t + vload(x + j + LANES);
    for (; j < n; j += LANES) s = s + norm_load(x + j, n - j < LANES ? (int)(n - j) : LANES);
    const real near = vsum(s + t) / (real)n;
    const vec c = vset(near);
    s = t = vzero();
    for (j = 0; j + 2 * LANES <= n; j += 2 * LANES) {
        d = vload(x + j) - c;
        s = s + d;
        q = q + d * d;
        d = vload(x + j + LANES) - c;
        t = t + d;
        r = r + d * d;
    }
    for (; j < n; j += LANES) {
        const int k = n - j < LANES ? (int)(n - j) : LANES;
        d = norm_load(x + j, k) - c;
        if (k < LANES) d = vkeep(d, k);
        s = s + d;
        q = q + d * d;
    }
    return (norm_distances){near, vsum(s + t), vsum(q + r)};
}

typedef struct {
    const real *x, *dy, *centre;
    double *sums; /* parts, 3 or 2, C */
    ptrdiff_t images, C, pixels, parts;
    int last;
} norm_sums;

/* A chunk of n numbers onto base, sum of distances from it, sum of their squares */
FC_INLINE void norm_add(double *base, double *a, double *b, int first, double n, norm_distances d) {
    if (first) *base = d.near, *a = *b = 0;
    const double s = d.sum, u = (double)d.near - *base + s / n;
    *a += n * u;
    *b += n * u * u + (d.squares - s * s / n);
}

/* Of each channel a number near its mean, the sum of distances from it, and of their squares */
static void norm_moments_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_sums *f = args;
    const ptrdiff_t C = f->C;
    if (!f->last) {
        for (ptrdiff_t row = f->images * C * ithr / nthr, end = f->images * C * (ithr + 1) / nthr; row < end; row++) {
            double *m = f->sums + row / C * 3 * C + row % C;
            const real *x = f->x + row * f->pixels;
            for (ptrdiff_t j = 0; j < f->pixels; j += NORM_CHUNK) {
                const ptrdiff_t n = f->pixels - j < NORM_CHUNK ? f->pixels - j : NORM_CHUNK;
                norm_add(m, m + C, m + 2 * C, j == 0, (double)n, norm_run(x + j, n));
            }
        }
        return;
    }
    const ptrdiff_t all = f->images * f->pixels;
    for (ptrdiff_t part = f->parts * ithr / nthr; part < f->parts * (ithr + 1) / nthr; part++) {
        const ptrdiff_t first = all * part / f->parts, end = all * (part + 1) / f->parts;
        double *m = f->sums + part * 3 * C;
        for (ptrdiff_t i = first; i < end; i += NORM_PIXELS) {
            const ptrdiff_t n = end - i < NORM_PIXELS ? end - i : NORM_PIXELS;
            for (ptrdiff_t c = 0; c < C; c += LANES) {
                const int k = C - c < LANES ? (int)(C - c) : LANES;
                const real *x = f->x + i * C + c;
                vec s = vzero(), t = vzero(), q = vzero(), r = vzero(), d;
                ptrdiff_t j = 0;
                for (; j + 1 < n; j += 2) s = s + norm_load(x + j * C, k), t = t + norm_load(x + (j + 1) * C, k);
                if (j < n) s = s + norm_load(x + j * C, k);
                const vec near = (s + t) / (real)n;
                s = t = vzero();
                for (j = 0; j + 1 < n; j += 2) {
                    d = norm_load(x + j * C, k) - near;
                    s = s + d;
                    q = q + d * d;
                    d = norm_load(x + (j + 1) * C, k) - near;
                    t = t + d;
                    r = r + d * d;
                }
                if (j < n) {
                    d = norm_load(x + j * C, k) - near;
                    s = s + d;
                    q = q + d * d;
                }
                s = s + t;
                q = q + r;
                for (int l = 0; l < k; l++)
                    norm_add(m + c + l, m + C + c + l, m + 2 * C + c + l, i == first, (double)n,
                             (norm_distances){near[l], s[l], q[l]});
            }
        }
    }
}

/* Sums of dy and of dy (x - centre) */
static void norm_products_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_sums *f = args;
    const ptrdiff_t C = f->C;
    if (!f->last) {
        for (ptrdiff_t row = f->images * C * ithr / nthr, end = f->images * C * (ithr + 1) / nthr; row < end; row++) {
            double *m = f->sums + row / C * 2 * C + row % C;
            const real *x = f->x + row * f->pixels, *dy = f->dy + row * f->pixels;
            const vec centre = vset(f->centre[row % C]);
            m[0] = m[C] = 0;
            for (ptrdiff_t j = 0; j < f->pixels;) {
                const ptrdiff_t stop = f->pixels - j < NORM_CHUNK ? f->pixels : j + NORM_CHUNK;
                vec s = vzero(), t = vzero(), q = vzero(), r = vzero(), d;
                for (; j + 2 * LANES <= stop; j += 2 * LANES) {
                    d = vload(dy + j);
                    s = s + d;
                    q = q + d * (vload(x + j) - centre);
                    d = vload(dy + j + LANES);
                    t = t + d;
                    r = r + d * (vload(x + j + LANES) - centre);
                }
                for (; j < stop; j += LANES) {
                    const int k = stop - j < LANES ? (int)(stop - j) : LANES;
                    d = norm_load(dy + j, k);
                    s = s + d;
                    q = q + d * (norm_load(x + j, k) - centre);
                }
                j = stop;
                m[0] += vsum(s + t);
                m[C] += vsum(q + r);
            }
        }
        return;
    }
    const ptrdiff_t all = f->images * f->pixels;
    for (ptrdiff_t part = f->parts * ithr / nthr; part < f->parts * (ithr + 1) / nthr; part++) {
        const ptrdiff_t first = all * part / f->parts, end = all * (part + 1) / f->parts;
        double *m = f->sums + part * 2 * C;
        memset(m, 0, (size_t)(2 * C) * sizeof(double));
        for (ptrdiff_t i = first; i < end; i += NORM_PIXELS) {
            const ptrdiff_t n = end - i < NORM_PIXELS ? end - i : NORM_PIXELS;
            for (ptrdiff_t c = 0; c < C; c += LANES) {
                const int k = C - c < LANES ? (int)(C - c) : LANES;
                const real *x = f->x + i * C + c, *dy = f->dy + i * C + c;
                const vec centre = norm_load(f->centre + c, k);
                vec s = vzero(), t = vzero(), q = vzero(), r = vzero(), d;
                ptrdiff_t j = 0;
                for (; j + 1 < n; j += 2) {
                    d = norm_load(dy + j * C, k);
                    s = s + d;
                    q = q + d * (norm_load(x + j * C, k) - centre);
                    d = norm_load(dy + (j + 1) * C, k);
                    t = t + d;
                    r = r + d * (norm_load(x + (j + 1) * C, k) - centre);
                }
                if (j < n) {
                    d = norm_load(dy + j * C, k);
                    s = s + d;
                    q = q + d * (norm_load(x + j * C, k) - centre);
                }
                s = s + t;
                q = q + r;
                for (int l = 0; l < k; l++) m[c + l] += s[l], m[C + c + l] += q[l];
            }
        }
    }
}

typedef struct {
    const real *x, *v, *table; /* v: or NULL; rows of table: p, a, b, e */
    real *y;
    ptrdiff_t rows, n, C;
    int last;
} norm_affine;

/* (x - p) a + b + v e */
FC_INLINE void norm_affine_of(const int last, const int two, const norm_affine *f, ptrdiff_t row, ptrdiff_t end) {
    const ptrdiff_t C = f->C;
    for (; row < end; row++) {
        const real *x = f->x + row * f->n, *v = two ? f->v + row * f->n : x, *t = f->table + (last ? 0 : row % C);
        real *y = f->y + row * f->n;
        vec p = vset(t[0]), a = vset(t[C]), b = vset(t[2 * C]), e = vset(t[3 * C]);
        for (ptrdiff_t j = 0; j < f->n; j += LANES) {
            const int k = f->n - j < LANES ? (int)(f->n - j) : LANES;
            if (last) p = norm_load(t + j, k), a = norm_load(t + C + j, k), b = norm_load(t + 2 * C + j, k);
            if (last && two) e = norm_load(t + 3 * C + j, k);
            if (two) norm_store(y + j, (norm_load(x + j, k) - p) * a + (norm_load(v + j, k) * e + b), k);
            else norm_store(y + j, (norm_load(x + j, k) - p) * a + b, k);
        }
    }
}
static void norm_affine_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_affine *f = args;
    const ptrdiff_t first = f->rows * ithr / nthr, end = f->rows * (ithr + 1) / nthr;
    if (f->last && f->v) norm_affine_of(1, 1, f, first, end);
    else if (f->last) norm_affine_of(1, 0, f, first, end);
    else if (f->v) norm_affine_of(0, 1, f, first, end);
    else norm_affine_of(0, 0, f, first, end);
}
#endif
