/* Pooling of channels-last arrays (images, rows, columns, channels), lanes = channels; behind forward.pxi.

   Jobs are (image, row, vector of channels), rows of the result; a share is a run of them. The order in which a
   window is joined is that of the kernels for planes: values column by column, each from top to bottom; places, and
   what is added to a pixel of a gradient, row by row. So results are the same, bit for bit. */
#ifndef POOL_LAST_H
#define POOL_LAST_H

#define POOL_BLOCK 4     /* vectors of channels that are computed side by side */
#define POOL_PAIR 2      /* the same where a line is buffered */
#define POOL_COLUMNS 128 /* of such a line; operations/windows.py knows that windows span half of it at most */
#define POOL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define POOL_MAX(a, b) ((a) > (b) ? (a) : (b))

typedef struct {
    const PoolWindows *q;
    ptrdiff_t images, H, W, C, OH, OW;
    const real *x, *dy; /* of gradients, dy may stand alone */
    const real *rows, *cols; /* windows' sizes are rows[i] * cols[j] */
    const ptrdiff_t *offsets; /* of each tap from the corner of its window, in the plane */
    real *y; /* or dx */
    int64_t *index;
    ptrdiff_t *bad; /* of each share */
} pool_last;

typedef struct { /* rows [r0, r1) of an image, channels [c0, c1) */
    ptrdiff_t image, r0, r1, c0, c1;
} pool_piece;

/* The next of the jobs [*a, b): whole rows of an image, or a part of one row. */
static pool_piece pool_next(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t *a, ptrdiff_t b) {
    const ptrdiff_t vectors = (channels + LANES - 1) / LANES, row = *a / vectors, v = *a % vectors;
    const ptrdiff_t whole = (b - *a) / vectors;
    pool_piece p = {row / rows, row % rows, row % rows + 1, 0, channels};
    if (v || !whole) {
        const ptrdiff_t end = POOL_MIN(vectors, v + b - *a);
        p.c0 = v * LANES;
        p.c1 = POOL_MIN(channels, end * LANES);
        *a += end - v;
    } else {
        p.r1 = POOL_MIN(rows, p.r0 + whole);
        *a += (p.r1 - p.r0) * vectors;
    }
    return p;
}

typedef struct { /* taps [first, first + count) of a window lie in the image */
    ptrdiff_t first, count;
} pool_taps;

static inline pool_taps pool_inside(ptrdiff_t start, ptrdiff_t size, ptrdiff_t k, ptrdiff_t d) {
    pool_taps t = {POOL_MAX(0, -start), POOL_MIN(k, size - start)};
    if (d > 1) {
        t.first = start < 0 ? (d - 1 - start) / d : 0;
        t.count = start < size ? POOL_MIN(k, (size - 1 - start) / d + 1) : 0;
    }
    t.count = POOL_MAX(0, t.count - t.first);
    return t;
}

/* The first window that may reach a pixel. */
static inline ptrdiff_t pool_first(ptrdiff_t pixel, ptrdiff_t before, ptrdiff_t span, ptrdiff_t stride) {
    const ptrdiff_t start = pixel + before - span + 1;
    return start <= 0 ? 0 : (start + stride - 1) / stride;
}

FC_INLINE vec pool_take(const real *p, const int part, int n) { return part ? vload_part(p, n) : vload(p); }
FC_INLINE void pool_put(real *p, vec v, const int part, int n) {
    if (part) vstore_part(p, v, n);
    else vstore(p, v);
}
FC_INLINE vec pool_join(const int top, vec a, vec x) {
    if (top) return pool_above(x, a, x, a);
    return a + x;
}

/* KERNEL(vectors, part, c, n) for channels [c0, c1): MOST vectors at a time, then one, then n numbers of one. */
#define POOL_CHANNELS(MOST, KERNEL)                                                                  \
    {                                                                                                \
        ptrdiff_t c = p.c0;                                                                          \
        for (; c + MOST * LANES <= p.c1; c += MOST * LANES) KERNEL(MOST, 0, c, LANES)                \
        for (; c + LANES <= p.c1; c += LANES) KERNEL(1, 0, c, LANES)                                 \
        if (c < p.c1) KERNEL(1, 1, c, (int)(p.c1 - c))                                               \
    }

/* ---- values ---- */

typedef struct {
    ptrdiff_t rows, cols; /* of pixels in the image */
    ptrdiff_t down, across; /* numbers from one to the next */
    real outside; /* what joins the first column: of sums -0.0, or 0.0 if a column lies outside */
    real size;
} pool_window;

/* One window of B vectors of channels. */
FC_INLINE void pool_value(const int top, const int B, const int part, const pool_window *w, const real *x, real *y,
                          int n) {
    vec a[POOL_BLOCK], s[POOL_BLOCK];
    FC_UNROLL for (int b = 0; b < B; b++) a[b] = vset(w->outside);
    for (ptrdiff_t v = 0; v < w->cols; v++) {
        const real *p = x + v * w->across;
        FC_UNROLL for (int b = 0; b < B; b++) s[b] = pool_take(p + b * LANES, part, n);
        for (ptrdiff_t u = 1; u < w->rows; u++) {
            p += w->down;
            FC_UNROLL for (int b = 0; b < B; b++) s[b] = pool_join(top, s[b], pool_take(p + b * LANES, part, n));
        }
        if (top && !v) FC_UNROLL for (int b = 0; b < B; b++) a[b] = s[b];
        else FC_UNROLL for (int b = 0; b < B; b++) a[b] = pool_join(top, a[b], s[b]);
    }
    FC_UNROLL for (int b = 0; b < B; b++) {
        if (!top) a[b] = a[b] / vset(w->size);
        pool_put(y + b * LANES, a[b], part, n);
    }
}

/* Windows of a row, one after the other. */
FC_INLINE void pool_row(const int top, const pool_last *f, pool_piece p, ptrdiff_t i) {
    const PoolWindows *q = f->q;
    const ptrdiff_t top_row = i * q->sh - q->pt;
    const pool_taps u = pool_inside(top_row, f->H, q->kh, q->dh);
    real *y = f->y + (p.image * f->OH + i) * f->OW * f->C;
    pool_window w = {u.count, 0, q->dh * f->W * f->C, q->dw * f->C, 0, 0};
    for (ptrdiff_t j = 0; j < f->OW; j++, y += f->C) {
        const ptrdiff_t left = j * q->sw - q->pl;
        const pool_taps v = pool_inside(left, f->W, q->kw, q->dw);
        const ptrdiff_t row = top_row + u.first * q->dh, col = left + v.first * q->dw;
        w.cols = u.count ? v.count : 0;
        w.outside = top ? POOL_LOWEST : w.cols < q->kw ? (real)0.0 : -(real)0.0;
        w.size = top ? 1 : f->rows[i] * f->cols[j];
        const real *x = f->x + ((p.image * f->H + (w.cols ? row : 0)) * f->W + (w.cols ? col : 0)) * f->C;
#define POOL_VALUE(B, part, c, n) pool_value(top, B, part, &w, x + (c), y + (c), n);
        POOL_CHANNELS(POOL_BLOCK, POOL_VALUE)
#undef POOL_VALUE
    }
}

/* Windows of a row that share columns: these are joined once, in a line, for as many windows as it has room for. */
FC_INLINE void pool_line(const int top, const int B, const int part, const pool_last *f, const real *x, ptrdiff_t rows,
                         const real *sizes, real *y, int n) {
    const PoolWindows *q = f->q;
    const ptrdiff_t down = q->dh * f->W * f->C, span = q->dw * (q->kw - 1) + 1;
    const ptrdiff_t most = (POOL_COLUMNS - span) / q->sw + 1;
    real line[POOL_COLUMNS * POOL_PAIR * LANES] __attribute__((aligned(64)));
    vec a[POOL_PAIR];
    for (ptrdiff_t j0 = 0; j0 < f->OW; j0 += most) {
        const ptrdiff_t windows = POOL_MIN(most, f->OW - j0), left = j0 * q->sw - q->pl;
        for (ptrdiff_t k = 0; k < (windows - 1) * q->sw + span; k++) {
            const int there = rows > 0 && 0 <= left + k && left + k < f->W;
            const real *p = there ? x + (left + k) * f->C : x;
            FC_UNROLL for (int b = 0; b < B; b++) {
                a[b] = there ? pool_take(p + b * LANES, part, n) : vset(top ? POOL_LOWEST : 0);
            }
            for (ptrdiff_t u = 1; there && u < rows; u++) {
                p += down;
                FC_UNROLL for (int b = 0; b < B; b++) a[b] = pool_join(top, a[b], pool_take(p + b * LANES, part, n));
            }
            FC_UNROLL for (int b = 0; b < B; b++) vstore(line + (k * B + b) * LANES, a[b]);
        }
        for (ptrdiff_t j = j0; j < j0 + windows; j++) {
            const real *l = line + (j - j0) * q->sw * B * LANES;
            FC_UNROLL for (int b = 0; b < B; b++) a[b] = vload(l + b * LANES);
            for (ptrdiff_t v = 1; v < q->kw; v++) {
                l += q->dw * B * LANES;
                FC_UNROLL for (int b = 0; b < B; b++) a[b] = pool_join(top, a[b], vload(l + b * LANES));
            }
            const vec size = vset(top ? 1 : *sizes * f->cols[j]);
            FC_UNROLL for (int b = 0; b < B; b++) {
                if (!top) a[b] = a[b] / size;
                pool_put(y + j * f->C + b * LANES, a[b], part, n);
            }
        }
    }
}

FC_INLINE void pool_values(const int top, const pool_last *f, ptrdiff_t ithr, ptrdiff_t nthr) {
    const PoolWindows *q = f->q;
    const ptrdiff_t jobs = f->images * f->OH * ((f->C + LANES - 1) / LANES), end = jobs * (ithr + 1) / nthr;
    const int shared = f->OW > 1 && q->kw >= 2 * q->sw;
    for (ptrdiff_t a = jobs * ithr / nthr; a < end;) {
        const pool_piece p = pool_next(f->OH, f->C, &a, end);
        for (ptrdiff_t i = p.r0; i < p.r1; i++) {
            if (!shared) {
                pool_row(top, f, p, i);
                continue;
            }
            const pool_taps u = pool_inside(i * q->sh - q->pt, f->H, q->kh, q->dh);
            const ptrdiff_t row = u.count ? i * q->sh - q->pt + u.first * q->dh : 0;
            const real *x = f->x + (p.image * f->H + row) * f->W * f->C, *sizes = top ? NULL : f->rows + i;
            real *y = f->y + (p.image * f->OH + i) * f->OW * f->C;
#define POOL_LINE(B, part, c, n) pool_line(top, B, part, f, x + (c), u.count, sizes, y + (c), n);
            POOL_CHANNELS(POOL_PAIR, POOL_LINE)
#undef POOL_LINE
        }
    }
}

static void pool_last_max_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) { pool_values(1, args, ithr, nthr); }
static void pool_last_avg_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) { pool_values(0, args, ithr, nthr); }

/* ---- places ---- */

typedef struct {
    pool_taps u, v;
    ptrdiff_t down, across, kw;
    const real *x; /* the first tap that is in the image */
    ptrdiff_t corner; /* place in the plane of the first tap of all */
    ptrdiff_t lowest; /* that of the first in the image, for a window of nothing but -Inf; or -1 */
} pool_places;

static inline pool_places pool_places_of(const pool_last *f, ptrdiff_t image, ptrdiff_t i, ptrdiff_t j) {
    const PoolWindows *q = f->q;
    const ptrdiff_t row = i * q->sh - q->pt, col = j * q->sw - q->pl;
    const pool_taps u = pool_inside(row, f->H, q->kh, q->dh), v = pool_inside(col, f->W, q->kw, q->dw);
    const int there = u.count && v.count;
    const ptrdiff_t first = (row + u.first * q->dh) * f->W + col + v.first * q->dw;
    pool_places w = {u, v, q->dh * f->W * f->C, q->dw * f->C, q->kw, f->x, row * f->W + col, there ? first : -1};
    if (there) w.x += (image * f->H * f->W + first) * f->C;
    else w.u.count = 0;
    return w;
}

/* The largest of B vectors of channels, and its tap, -1 without one. Of equals the first, of NaNs the last. */
FC_INLINE void pool_argmax(const int B, const int part, const pool_places *w, ptrdiff_t c, int n, vec *best, vec *tap) {
    FC_UNROLL for (int b = 0; b < B; b++) best[b] = vset(POOL_LOWEST), tap[b] = vset(-1);
    for (ptrdiff_t u = 0; u < w->u.count; u++) {
        const real *p = w->x + c + u * w->down;
        const ptrdiff_t first = (w->u.first + u) * w->kw + w->v.first;
        for (ptrdiff_t v = 0; v < w->v.count; v++) {
            const vec t = vset((real)(first + v));
            FC_UNROLL for (int b = 0; b < B; b++) {
                const vec x = pool_take(p + b * LANES, part, n);
                tap[b] = pool_above(x, best[b], t, tap[b]);
                best[b] = pool_above(x, best[b], x, best[b]);
            }
            p += w->across;
        }
    }
}

FC_INLINE ptrdiff_t pool_place(const pool_last *f, const pool_places *w, real tap) {
    return tap >= 0 ? w->corner + f->offsets[(int)tap] : w->lowest;
}

static void pool_last_indices_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const pool_last *f = args;
    const ptrdiff_t jobs = f->images * f->OH * ((f->C + LANES - 1) / LANES), end = jobs * (ithr + 1) / nthr;
    for (ptrdiff_t a = jobs * ithr / nthr; a < end;) {
        const pool_piece p = pool_next(f->OH, f->C, &a, end);
        for (ptrdiff_t i = p.r0; i < p.r1; i++)
            for (ptrdiff_t j = 0; j < f->OW; j++) {
                const ptrdiff_t to = ((p.image * f->OH + i) * f->OW + j) * f->C;
                const pool_places w = pool_places_of(f, p.image, i, j);
                vec best[POOL_BLOCK], tap[POOL_BLOCK];
                real taps[POOL_BLOCK * LANES];
#define POOL_INDEX(B, part, c, n)                                                                   \
    {                                                                                               \
        pool_argmax(B, part, &w, c, n, best, tap);                                                  \
        FC_UNROLL for (int b = 0; b < B; b++) {                                                     \
            pool_put(f->y + to + (c) + b * LANES, best[b], part, n);                                \
            vstore(taps + b * LANES, tap[b]);                                                       \
        }                                                                                           \
        for (int k = 0; k < (part ? n : B * LANES); k++) f->index[to + (c) + k] = pool_place(f, &w, taps[k]); \
    }
                POOL_CHANNELS(POOL_BLOCK, POOL_INDEX)
#undef POOL_INDEX
            }
    }
}
#endif
