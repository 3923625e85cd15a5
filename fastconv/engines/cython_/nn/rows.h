/* Numbers times a factor of their channel: rows are planes, or pixels whose channels lie side by side. */
#ifndef NORM_ROWS_H
#define NORM_ROWS_H
#include "ground/epilogue.h"

typedef struct {
    const real *x, *scale, *shift; /* shift: or NULL */
    real *y;
    ptrdiff_t rows, n; /* rows of n numbers */
    ptrdiff_t period;  /* planes: row r has number r % period of scale; pixels: so many have one row of scale */
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

#endif
