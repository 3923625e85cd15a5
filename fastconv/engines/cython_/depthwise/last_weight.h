/* Channel-wise grad_weight on channels-last arrays: sums of taps stay in registers while pixels stream by.

   A tile is some rows of T columns of dy and one vector of channels. It takes U kernel rows at a time: U x KW sums
   (KW and S as in last.h), T pixels of dy held, every pixel of the U rows that meet them loaded once. Sums lie in
   a buffer [vector of channels][tap][LANES] between tiles; no column beside the T is taken, since a NaN there is
   not one of the sum. */
#ifndef FC_DW_LAST_WEIGHT_H
#define FC_DW_LAST_WEIGHT_H

#if FC_REGISTERS == 32
#define FC_DW_SUM_WIDE 7
#define FC_DW_SUM_ROWS(KW) 3 /* kernel rows whose sums are in registers */
#else
#define FC_DW_SUM_WIDE 4
#define FC_DW_SUM_ROWS(KW) (KW < 5 ? 3 : KW < 7 ? 2 : 1)
#endif
#define FC_DW_SUM_BLOCK 4 /* rows of dy of a tile */

typedef struct {
    const real *x, *dy; /* of one image: row 0, column 0 */
    real *sums;
    ptrdiff_t channels, panel;
    ptrdiff_t line, pixel, dy_line, dy_pixel;
    ptrdiff_t height, width;
    DepthwiseAxis v, h;
    int ahead; /* as in last.h */
} fc_dw_pair;

/* Ask for what row r of the next block meets first. */
FC_INLINE void fc_dw_sum_ask(const int T, const int S, const fc_dw_pair *f, ptrdiff_t r, ptrdiff_t j, const real *x,
                             const real *dy) {
    const ptrdiff_t next = r + FC_DW_SUM_BLOCK, j0 = f->h.source + j * f->h.step, step = f->v.step;
    const ptrdiff_t line = f->v.source + next * step + (f->v.taps - 1) * f->v.dilation;
    const real *q = dy + next * f->dy_line + j * f->dy_pixel;
    FC_UNROLL for (int t = 0; t < T; t++) {
        fetch_l2(q);
        q = fc_dw_next(q, f->dy_pixel);
    }
    for (ptrdiff_t k = 0; k < step; k++) {
        q = x + (line - k) * f->line + j0 * f->pixel;
        FC_UNROLL for (int c = 0; c < (S ? S * T : T); c++) {
            fetch_l2(q);
            q = fc_dw_next(q, S ? f->pixel : f->h.step * f->pixel);
        }
    }
}

/* Kernel rows u .. u + U - 1; x, dy, sums at this vector of channels. */
FC_INLINE void fc_dw_sum_taps(const int U, const int T, const int KW, const int S, const int edge, const int part,
                              const fc_dw_pair *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j, ptrdiff_t u,
                              const real *x, const real *dy, real *sums, int lanes) {
    const ptrdiff_t groups = f->h.taps / KW, column = S ? 1 : f->h.step, group = S ? KW : f->h.dilation;
    const ptrdiff_t j0 = f->h.source + j * f->h.step, pixel = column * f->pixel;
    const int window = S ? S * (T - 1) + KW : T;
    const int N = S ? KW : T; /* sums a kernel row: one tap has one a column, so that they do not wait for each other */
    for (ptrdiff_t g = 0; g < groups; g++) {
        vec a[3][7]; /* room for every U and N */
        FC_UNROLL for (int q = 0; q < U; q++) FC_UNROLL for (int n = 0; n < N; n++) a[q][n] = vzero();
        for (ptrdiff_t r = i; r < i + rows; r++) {
            if (f->ahead && !edge && g == 0 && u == 0) fc_dw_sum_ask(T, S, f, r, j, x, dy);
            vec d[7];
            const real *of = dy + r * f->dy_line + j * f->dy_pixel;
            FC_UNROLL for (int t = 0; t < T; t++) {
                d[t] = fc_dw_hold(fc_dw_take(of, part, lanes));
                of = fc_dw_next(of, f->dy_pixel);
            }
            FC_UNROLL for (int q = 0; q < U; q++) {
                const ptrdiff_t line = f->v.source + r * f->v.step + (u + q) * f->v.dilation;
                if ((size_t)line >= (size_t)f->height) continue;
                const real *p = x + line * f->line + (j0 + g * group) * f->pixel;
                FC_UNROLL for (int c = 0; c < window; c++) {
                    const real *at = p;
                    p = fc_dw_next(p, pixel);
                    if (edge && (size_t)(j0 + g * group + c * column) >= (size_t)f->width) continue;
                    vec s = fc_dw_hold(fc_dw_take(at, part, lanes));
                    FC_UNROLL for (int t = 0; t < T; t++) {
                        const int n = S ? c - S * t : (c == t ? t : -1);
                        if (n >= 0 && n < N) a[q][n] += s * d[t];
                    }
                }
            }
        }
        FC_UNROLL for (int q = 0; q < U; q++) {
            real *s = sums + ((u + q) * f->h.taps + g * KW) * LANES;
            if (!S) FC_UNROLL for (int n = 1; n < N; n++) a[q][0] += a[q][n];
            FC_UNROLL for (int n = 0; n < KW; n++) vstore(s + n * LANES, vload(s + n * LANES) + a[q][n]);
        }
    }
}

FC_INLINE void fc_dw_sum_tile(const int T, const int KW, const int S, const int edge, const int part,
                              const fc_dw_pair *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j, ptrdiff_t c) {
    const int U = FC_DW_SUM_ROWS(KW), lanes = (int)(part ? f->channels - c : LANES);
    real *sums = f->sums + c / LANES * f->panel;
    ptrdiff_t u = 0;
    for (; u + U <= f->v.taps; u += U)
        fc_dw_sum_taps(U, T, KW, S, edge, part, f, i, rows, j, u, f->x + c, f->dy + c, sums, lanes);
    for (; u < f->v.taps; u++)
        fc_dw_sum_taps(1, T, KW, S, edge, part, f, i, rows, j, u, f->x + c, f->dy + c, sums, lanes);
}

FC_INLINE void fc_dw_sum_channels(const int T, const int KW, const int S, const int edge, const fc_dw_pair *f,
                                  ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j) {
    for (ptrdiff_t c = 0; c + LANES <= f->channels; c += LANES) fc_dw_sum_tile(T, KW, S, edge, 0, f, i, rows, j, c);
}

typedef void (*fc_dw_sum_fn)(const fc_dw_pair *, ptrdiff_t, ptrdiff_t, ptrdiff_t);

#define FC_DW_SUM(name, call)                                                                                     \
    static __attribute__((noinline)) void name(const fc_dw_pair *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j) { call; }
#define FC_DW_SUMS(KW, S)                                                                                         \
    FC_DW_SUM(fc_dw_sum_wide_##KW##_##S, fc_dw_sum_channels(FC_DW_SUM_WIDE, KW, S, 0, f, i, rows, j))             \
    FC_DW_SUM(fc_dw_sum_wide_edge_##KW##_##S, fc_dw_sum_channels(FC_DW_SUM_WIDE, KW, S, 1, f, i, rows, j))        \
    FC_DW_SUM(fc_dw_sum_one_##KW##_##S, fc_dw_sum_channels(1, KW, S, 1, f, i, rows, j))                           \
    FC_DW_SUM(fc_dw_sum_tail_##KW##_##S, fc_dw_sum_tile(1, KW, S, 1, 1, f, i, rows, j, f->channels / LANES * LANES))
FC_DW_SUMS(1, 0)
FC_DW_SUMS(2, 1)
FC_DW_SUMS(3, 1)
FC_DW_SUMS(5, 1)
FC_DW_SUMS(7, 1)
FC_DW_SUMS(3, 2)
FC_DW_SUMS(5, 2)
FC_DW_SUMS(7, 2)

typedef struct {
    fc_dw_sum_fn wide[2], one, tail; /* wide: columns inside, or some outside the image; one: a column of dy */
} fc_dw_sum_kernel;
#define FC_DW_SUM_KERNEL(KW, S)                                                                                   \
    {{fc_dw_sum_wide_##KW##_##S, fc_dw_sum_wide_edge_##KW##_##S}, fc_dw_sum_one_##KW##_##S, fc_dw_sum_tail_##KW##_##S}
static const fc_dw_sum_kernel fc_dw_sum_kernels[] = { /* in the order of fc_dw_kernels */
    FC_DW_SUM_KERNEL(7, 1), FC_DW_SUM_KERNEL(5, 1), FC_DW_SUM_KERNEL(3, 1), FC_DW_SUM_KERNEL(2, 1),
    FC_DW_SUM_KERNEL(7, 2), FC_DW_SUM_KERNEL(5, 2), FC_DW_SUM_KERNEL(3, 2), FC_DW_SUM_KERNEL(1, 0),
};

/* Up to FC_DW_SUM_BLOCK rows of dy. */
static void fc_dw_sum_rows(const fc_dw_pair *f, ptrdiff_t i, ptrdiff_t rows) {
    const fc_dw_sum_kernel *k = fc_dw_sum_kernels + fc_dw_pick(&f->h);
    const ptrdiff_t reach = (f->h.taps - 1) * f->h.dilation;
    for (ptrdiff_t j = 0, cols; j < f->h.outputs; j += cols) {
        const ptrdiff_t first = f->h.source + j * f->h.step;
        cols = f->h.outputs - j >= FC_DW_SUM_WIDE ? FC_DW_SUM_WIDE : 1;
        if (f->channels >= LANES) {
            int edge = first < 0 || first + (cols - 1) * f->h.step + reach >= f->width;
            (cols == 1 ? k->one : k->wide[edge])(f, i, rows, j);
        }
        if (f->channels % LANES)
            for (ptrdiff_t t = 0; t < cols; t++) k->tail(f, i, rows, j + t);
    }
}

/* A job is a chunk of channels and a part of all bands of all images; sums [part][vector][tap][LANES] in a->y. */
static void fc_dw_weight_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const fc_dw_call *a = (const fc_dw_call *)args;
    const DepthwiseLast *r = a->r;
    const ptrdiff_t vectors = fc_dw_blocks(r->channels, LANES), chunks = fc_dw_blocks(vectors, r->chunk);
    const ptrdiff_t outputs = a->axes[0].outputs, bands = fc_dw_blocks(outputs, r->rows), items = r->images * bands;
    const ptrdiff_t jobs = r->parts * chunks, size = r->out_width * r->pixel, plane = r->out_height * r->out_width;
    real *room = a->work + ithr * r->share, *planes = room + r->source;
    fc_dw_pair f = {.panel = r->taps * LANES, .line = r->width * r->pixel, .pixel = r->pixel, .dy_line = size,
                    .dy_pixel = r->pixel, .height = r->height, .width = r->width, .v = a->axes[0], .h = a->axes[1],
                    .ahead = (int)r->ahead};
    for (ptrdiff_t job = jobs * ithr / nthr; job < jobs * (ithr + 1) / nthr; job++) {
        const ptrdiff_t part = job / chunks, v0 = job % chunks * r->chunk, c0 = v0 * LANES;
        const ptrdiff_t channels = fc_dw_least(r->channels - c0, r->chunk * LANES);
        f.channels = r->planes ? LANES : channels;
        f.sums = a->y + (part * vectors + v0) * r->taps * LANES;
        memset(f.sums, 0, (size_t)(fc_dw_blocks(channels, LANES) * LANES * r->taps) * sizeof(real));
        for (ptrdiff_t item = items * part / r->parts; item < items * (part + 1) / r->parts; item++) {
            const ptrdiff_t n = item / bands, i0 = item % bands * r->rows, i1 = fc_dw_least(i0 + r->rows, outputs);
            f.x = fc_dw_source(a, n, c0, i0, i1, room);
            f.dy = a->w + n * r->out_height * size + c0;
            if (r->planes) {
                fc_dw_pack(a->w + (n * r->channels + c0) * plane + i0 * r->out_width, plane, (i1 - i0) * r->out_width,
                           (int)channels, 0, planes);
                f.dy = planes - i0 * size;
            }
            for (ptrdiff_t i = i0; i < i1; i += FC_DW_SUM_BLOCK) fc_dw_sum_rows(&f, i, fc_dw_least(i1 - i, FC_DW_SUM_BLOCK));
        }
    }
}

/* Parts added in their order, and out: a->x the sums, a->y the weights. */
static void fc_dw_weight_end_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const fc_dw_call *a = (const fc_dw_call *)args;
    const ptrdiff_t channels = a->r->channels, vectors = fc_dw_blocks(channels, LANES), taps = a->r->taps;
    for (ptrdiff_t v = vectors * ithr / nthr; v < vectors * (ithr + 1) / nthr; v++) {
        real *s = (real *)a->x + v * taps * LANES;
        for (ptrdiff_t p = 1; p < a->r->parts; p++)
            for (ptrdiff_t t = 0; t < taps * LANES; t += LANES)
                vstore(s + t, vload(s + t) + vload(s + p * vectors * taps * LANES + t));
        fc_dw_unpack(s, taps, taps, (int)fc_dw_least(channels - v * LANES, LANES), a->y + v * LANES * taps);
    }
}
#endif
