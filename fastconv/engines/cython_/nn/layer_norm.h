/* Normalisation of pixels: a pixel's channels side by side, or channels first, where lanes are pixels. */
#ifndef NORM_LAYER_H
#define NORM_LAYER_H
#include "nn/moments.h"

enum { NORM_WIDE = 4, NORM_FLUSH = 16 }; /* vectors of a block of pixels; blocks whose sums are vectors */

typedef struct {
    const real *dy, *x, *weight, *bias; /* dy: or none, forward */
    real *y, *work;
    double *sums; /* parts, 2, C: of dy, of dy x' */
    ptrdiff_t images, C, pixels, parts;
    double eps;
} norm_layer;

FC_INLINE real norm_inverse(double var, double eps) { return (real)(1 / __builtin_sqrt((var < 0 ? 0 : var) + eps)); }

typedef struct {
    real near, rest, inverse; /* the mean in two parts, 1 / sqrt(variance + eps) */
} norm_pixel;
FC_INLINE norm_pixel norm_pixel_of(const real *x, ptrdiff_t n, double eps) {
    const norm_distances d = norm_run(x, n);
    const double rest = (double)d.sum / (double)n;
    return (norm_pixel){d.near, (real)rest, norm_inverse((double)d.squares / (double)n - rest * rest, eps)};
}

static void norm_layer_last_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_layer *f = args;
    const ptrdiff_t C = f->C;
    for (ptrdiff_t row = f->pixels * ithr / nthr, end = f->pixels * (ithr + 1) / nthr; row < end; row++) {
        const real *x = f->x + row * C;
        real *y = f->y + row * C;
        const norm_pixel m = norm_pixel_of(x, C, f->eps);
        const vec near = vset(m.near), rest = vset(m.rest), inverse = vset(m.inverse);
        for (ptrdiff_t j = 0; j < C; j += LANES) {
            const int k = C - j < LANES ? (int)(C - j) : LANES;
            const vec normal = (norm_load(x + j, k) - near - rest) * inverse;
            norm_store(y + j, normal * norm_load(f->weight + j, k) + norm_load(f->bias + j, k), k);
        }
    }
}

static void norm_layer_last_grad_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_layer *f = args;
    const ptrdiff_t C = f->C;
    for (ptrdiff_t part = f->parts * ithr / nthr; part < f->parts * (ithr + 1) / nthr; part++) {
        const ptrdiff_t first = f->pixels * part / f->parts, end = f->pixels * (part + 1) / f->parts;
        real *work = f->work + part * 2 * C;
        double *sums = f->sums + part * 2 * C;
        memset(sums, 0, (size_t)(2 * C) * sizeof(double));
        memset(work, 0, (size_t)(2 * C) * sizeof(real));
        for (ptrdiff_t row = first; row < end; row++) {
            const real *x = f->x + row * C, *dy = f->dy + row * C;
            const norm_pixel m = norm_pixel_of(x, C, f->eps);
            const vec near = vset(m.near), rest = vset(m.rest), inverse = vset(m.inverse);
            vec s = vzero(), q = vzero();
            for (ptrdiff_t j = 0; j < C; j += LANES) {
                const int k = C - j < LANES ? (int)(C - j) : LANES;
                const vec d = norm_load(dy + j, k), normal = (norm_load(x + j, k) - near - rest) * inverse;
                const vec g = d * norm_load(f->weight + j, k);
                s = s + g;
                q = q + g * normal;
                norm_store(work + j, norm_load(work + j, k) + d, k);
                norm_store(work + C + j, norm_load(work + C + j, k) + d * normal, k);
            }
            const vec mean = vset(vsum(s) / (real)C), along = vset(vsum(q) / (real)C);
            for (ptrdiff_t j = 0; j < C; j += LANES) {
                const int k = C - j < LANES ? (int)(C - j) : LANES;
                const vec normal = (norm_load(x + j, k) - near - rest) * inverse;
                const vec g = norm_load(dy + j, k) * norm_load(f->weight + j, k);
                norm_store(f->y + row * C + j, (g - mean - normal * along) * inverse, k);
            }
            if (row == end - 1 || (row - first) % NORM_PIXELS == NORM_PIXELS - 1) {
                for (ptrdiff_t j = 0; j < 2 * C; j++) sums[j] += work[j];
                memset(work, 0, (size_t)(2 * C) * sizeof(real));
            }
        }
    }
}

/* B vectors of pixels of planes, the last of k lanes: forward, or with dy the gradient and work, sums of each channel */
FC_INLINE void norm_planes(const int B, const int back, const norm_layer *f, ptrdiff_t at, real *work, int k) {
    const ptrdiff_t C = f->C, p = f->pixels;
    const real *x = f->x + at, *dy = back ? f->dy + at : x;
    real *y = f->y + at;
    vec near[NORM_WIDE], rest[NORM_WIDE], inverse[NORM_WIDE], s[NORM_WIDE], q[NORM_WIDE];
    FC_UNROLL for (int b = 0; b < B; b++) s[b] = q[b] = vzero();
    for (ptrdiff_t c = 0; c < C; c++)
        FC_UNROLL for (int b = 0; b < B; b++) s[b] = s[b] + norm_load(x + c * p + b * LANES, k);
    FC_UNROLL for (int b = 0; b < B; b++) near[b] = s[b] / (real)C, s[b] = vzero();
    for (ptrdiff_t c = 0; c < C; c++)
        FC_UNROLL for (int b = 0; b < B; b++) {
            const vec d = norm_load(x + c * p + b * LANES, k) - near[b];
            s[b] = s[b] + d;
            q[b] = q[b] + d * d;
        }
    FC_UNROLL for (int b = 0; b < B; b++) {
        real t[LANES];
        rest[b] = s[b] / (real)C;
        vstore(t, q[b] / (real)C - rest[b] * rest[b]);
        for (int l = 0; l < LANES; l++) t[l] = l < k ? norm_inverse(t[l], f->eps) : 0;
        inverse[b] = vload(t);
        s[b] = q[b] = vzero();
    }
    for (ptrdiff_t c = 0; c < C; c++) {
        const vec w = vset(f->weight[c]);
        vec db = vzero(), dw = vzero();
        FC_UNROLL for (int b = 0; b < B; b++) {
            const vec normal = (norm_load(x + c * p + b * LANES, k) - near[b] - rest[b]) * inverse[b];
            if (back) {
                const vec d = norm_load(dy + c * p + b * LANES, k), g = d * w;
                s[b] = s[b] + g;
                q[b] = q[b] + g * normal;
                db = db + d;
                dw = dw + d * normal;
            } else norm_store(y + c * p + b * LANES, normal * w + vset(f->bias[c]), k);
        }
        if (back) {
            vstore(work + c * LANES, vload(work + c * LANES) + db);
            vstore(work + (C + c) * LANES, vload(work + (C + c) * LANES) + dw);
        }
    }
    if (!back) return;
    FC_UNROLL for (int b = 0; b < B; b++) s[b] = s[b] / (real)C, q[b] = q[b] / (real)C;
    for (ptrdiff_t c = 0; c < C; c++)
        FC_UNROLL for (int b = 0; b < B; b++) {
            const vec normal = (norm_load(x + c * p + b * LANES, k) - near[b] - rest[b]) * inverse[b];
            const vec g = norm_load(dy + c * p + b * LANES, k) * vset(f->weight[c]);
            norm_store(y + c * p + b * LANES, (g - s[b] - normal * q[b]) * inverse[b], k);
        }
}

FC_INLINE void norm_planes_block(const int back, const norm_layer *f, ptrdiff_t block, real *work) {
    const ptrdiff_t wide = NORM_WIDE * LANES, blocks = (f->pixels + wide - 1) / wide, first = block % blocks * wide;
    const ptrdiff_t at = block / blocks * f->C * f->pixels + first, n = f->pixels - first;
    if (n >= wide) norm_planes(NORM_WIDE, back, f, at, work, LANES);
    else
        for (ptrdiff_t j = 0; j < n; j += LANES)
            norm_planes(1, back, f, at + j, work, n - j < LANES ? (int)(n - j) : LANES);
}

static void norm_layer_planes_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_layer *f = args;
    const ptrdiff_t all = f->images * ((f->pixels + NORM_WIDE * LANES - 1) / (NORM_WIDE * LANES));
    for (ptrdiff_t block = all * ithr / nthr; block < all * (ithr + 1) / nthr; block++)
        norm_planes_block(0, f, block, NULL);
}

static void norm_layer_planes_grad_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_layer *f = args;
    const ptrdiff_t all = f->images * ((f->pixels + NORM_WIDE * LANES - 1) / (NORM_WIDE * LANES)), C = f->C;
    for (ptrdiff_t part = f->parts * ithr / nthr; part < f->parts * (ithr + 1) / nthr; part++) {
        const ptrdiff_t first = all * part / f->parts, end = all * (part + 1) / f->parts;
        real *work = f->work + part * 2 * C * 16;
        double *sums = f->sums + part * 2 * C;
        memset(sums, 0, (size_t)(2 * C) * sizeof(double));
        memset(work, 0, (size_t)(2 * C * LANES) * sizeof(real));
        for (ptrdiff_t block = first; block < end; block++) {
            norm_planes_block(1, f, block, work);
            if (block == end - 1 || (block - first) % NORM_FLUSH == NORM_FLUSH - 1) {
                for (ptrdiff_t c = 0; c < 2 * C; c++) sums[c] += vsum(vload(work + c * LANES));
                memset(work, 0, (size_t)(2 * C * LANES) * sizeof(real));
            }
        }
    }
}
#endif
