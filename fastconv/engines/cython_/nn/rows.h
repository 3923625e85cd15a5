/* What normalised networks do to numbers when they infer: rows are planes, or pixels whose channels lie side by side. */
#ifndef NORM_ROWS_H
#define NORM_ROWS_H
#include "ground/epilogue.h"

typedef struct {
    const real *x, *scale, *shift; /* shift: or NULL */
    real *y;
    ptrdiff_t rows, n; /* rows of n numbers */
    ptrdiff_t period;  /* planes: row r has number r % period of scale; pixels: so many have one row of scale */
    double eps;
    int code, last; /* last: rows are pixels */
} norm_call;

FC_INLINE vec norm_load(const real *p, int k) { return k == LANES ? vload(p) : vload_part(p, k); }
FC_INLINE void norm_store(real *p, vec v, int k) {
    if (k == LANES) vstore(p, v);
    else vstore_part(p, v, k);
}

/* activation(x * scale + shift) */
FC_INLINE void norm_rows_of(const int code, const int last, const int shifted, const norm_call *f, ptrdiff_t first,
                            ptrdiff_t end) {
    for (ptrdiff_t row = first; row < end; row++) {
        const real *x = f->x + row * f->n, *scale = last ? f->scale + row / f->period * f->n : f->scale + row % f->period;
        real *y = f->y + row * f->n;
        const vec one = vset(last ? 0 : *scale), other = vset(last || !shifted ? 0 : f->shift[row % f->period]);
        for (ptrdiff_t j = 0; j < f->n; j += LANES) {
            const int k = f->n - j < LANES ? (int)(f->n - j) : LANES;
            vec v = norm_load(x + j, k) * (last ? norm_load(scale + j, k) : one);
            if (shifted) v = v + (last ? norm_load(f->shift + j, k) : other);
            norm_store(y + j, fc_activate(v, code), k);
        }
    }
}
#define NORM_CASE(code)                                                \
    case code:                                                         \
        if (f->last) norm_rows_of(code, 1, 1, f, first, end);          \
        else norm_rows_of(code, 0, 1, f, first, end);                  \
        break;
static void norm_rows_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_call *f = args;
    const ptrdiff_t first = f->rows * ithr / nthr, end = f->rows * (ithr + 1) / nthr;
    if (!f->shift) {
        if (f->last) norm_rows_of(FC_NONE, 1, 0, f, first, end);
        else norm_rows_of(FC_NONE, 0, 0, f, first, end);
        return;
    }
    switch (f->code) {
        NORM_CASE(FC_NONE) NORM_CASE(FC_RELU) NORM_CASE(FC_RELU6) NORM_CASE(FC_LEAKY_RELU) NORM_CASE(FC_SILU)
        NORM_CASE(FC_HARDSWISH) NORM_CASE(FC_GELU) NORM_CASE(FC_SIGMOID) NORM_CASE(FC_TANH)
    }
}

/* Of n numbers: a number near their mean, what the mean is beyond it, and 1 / sqrt(variance + eps). Distances from the
   near number are exact or small, so nothing cancels. */
typedef struct {
    real near, rest, inverse;
} norm_moments;
FC_INLINE norm_moments norm_pixel(const real *x, ptrdiff_t n, double eps) {
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
    const double rest = (double)vsum(s + t) / (double)n, var = (double)vsum(q + r) / (double)n - rest * rest;
    return (norm_moments){near, (real)rest, (real)(1 / __builtin_sqrt((var < 0 ? 0 : var) + eps))};
}

static void norm_layer_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const norm_call *f = args;
    for (ptrdiff_t row = f->rows * ithr / nthr, end = f->rows * (ithr + 1) / nthr; row < end; row++) {
        const real *x = f->x + row * f->n;
        real *y = f->y + row * f->n;
        const norm_moments m = norm_pixel(x, f->n, f->eps);
        const vec near = vset(m.near), rest = vset(m.rest), inverse = vset(m.inverse);
        for (ptrdiff_t j = 0; j < f->n; j += LANES) {
            const int k = f->n - j < LANES ? (int)(f->n - j) : LANES;
            const vec normal = (norm_load(x + j, k) - near - rest) * inverse;
            norm_store(y + j, normal * norm_load(f->scale + j, k) + norm_load(f->shift + j, k), k);
        }
    }
}
#endif
