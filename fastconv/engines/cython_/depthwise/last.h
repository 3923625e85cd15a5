/* Channel-wise kernels on channels-last arrays: lanes are channels, a block of outputs stays in registers.

   A tile is ROWS x T outputs of one vector of channels. It takes a kernel row at a time: KW weights in registers,
   every pixel of the rows that meet them loaded once and held. KW neighbouring taps at a step of S pixels are
   unrolled; kernels of other widths are several such groups; S = 0 stands for any step and dilation, one tap a group.
   The geometry (which pixel a tap meets) is in two axes, so that grad_input is the same kernel with other axes. */
#ifndef FC_DW_LAST_H
#define FC_DW_LAST_H
#include "ground/epilogue.h"

#if FC_REGISTERS == 32 /* rows and columns of a wide and of a narrow tile */
#define FC_DW_WIDE_ROWS 3
#define FC_DW_NARROW_ROWS 3
#define FC_DW_BLOCK 3 /* rows of a block: every tile takes them in steps of its own */
#else
#define FC_DW_WIDE_ROWS 1
#define FC_DW_NARROW_ROWS 2
#define FC_DW_BLOCK 2
#endif
#define FC_DW_WIDE 7
#define FC_DW_NARROW 4

FC_INLINE vec fc_dw_hold(vec v) { /* or the compiler loads it again for each of its uses */
#ifdef FC_REGISTER
    __asm__ volatile("" : FC_REGISTER(v));
#endif
    return v;
}

/* the next of some neighbours: one addition each, where the compiler would keep all their distances in registers */
FC_INLINE real *fc_dw_next(const real *p, ptrdiff_t step) {
    p += step;
#if defined(__x86_64__)
    __asm__("" : "+r"(p));
#endif
    return (real *)p;
}

FC_INLINE vec fc_dw_take(const real *p, const int part, int lanes) { return part ? vload_part(p, lanes) : vload(p); }
FC_INLINE void fc_dw_put(real *p, vec v, const int part, int lanes) {
    if (part) vstore_part(p, v, lanes);
    else vstore(p, v);
}

typedef struct { /* what the tiles of one phase of one image have in common */
    const real *x; /* source: row 0, column 0 */
    real *y; /* output 0, 0 */
    const real *residual; /* as y, or NULL */
    const real *w; /* [vector of channels][tap][LANES], from the phase's first tap on */
    const real *bias; /* or NULL */
    ptrdiff_t channels; /* of this job */
    ptrdiff_t panel; /* numbers between the weights of two vectors */
    ptrdiff_t line, pixel; /* numbers between two rows, two columns of the source */
    ptrdiff_t out_line, out_pixel; /* and of the phase's outputs */
    ptrdiff_t height, width;
    DepthwiseAxis v, h;
    int ahead; /* fetch the rows that the next block meets: they come from beyond the caches */
    int activation;
} fc_dw_phase;

/* Any activation of outputs that were just stored: inlined into every tile the formulas would be most of the code. */
static __attribute__((noinline)) void fc_dw_activate(int code, real *y, ptrdiff_t rows, int cols, ptrdiff_t line,
                                                     ptrdiff_t pixel, const int part, int lanes) {
    for (ptrdiff_t r = 0; r < rows; r++)
        for (int t = 0; t < cols; t++) {
            real *q = y + r * line + t * pixel;
            fc_dw_put(q, fc_activate(fc_dw_take(q, part, lanes), code), part, lanes);
        }
}

/* Outputs rows i.., columns j.. (cols of them); x, y, .. at this vector of channels. */
FC_INLINE void fc_dw_tile(const int R, const int T, const int KW, const int S, const int edge, const int part,
                          const fc_dw_phase *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j, int cols, const real *x,
                          const real *w, const real *bias, real *y, const real *residual, int lanes) {
    const ptrdiff_t groups = f->h.taps / KW, column = S ? 1 : f->h.step, group = S ? KW : f->h.dilation;
    const ptrdiff_t i0 = f->v.source + i * f->v.step, j0 = f->h.source + j * f->h.step, pixel = column * f->pixel;
    const int window = S ? S * (T - 1) + KW : T, fresh = S ? S * T : T; /* columns of the source, the next tile's own */
    if (f->ahead && !edge) { /* and the outputs of the next block, which are written whole */
        real *q = y + FC_DW_BLOCK * f->out_line;
        FC_UNROLL for (int t = 0; t < T; t++) {
            fetch_w(q);
            q = fc_dw_next(q, f->out_pixel);
        }
    }
    vec a[3][7]; /* room for every tile: an array of variable size would live in memory */
    FC_UNROLL for (int r = 0; r < R; r++) FC_UNROLL for (int t = 0; t < T; t++) a[r][t] = vzero();
    for (ptrdiff_t u = 0; u < f->v.taps; u++) {
        const real *row = x + (i0 + u * f->v.dilation) * f->line + j0 * f->pixel;
        if (f->ahead && !edge) { /* rows that the next block meets first */
            const ptrdiff_t next = R * f->v.step;
            for (ptrdiff_t r = u; r < next; r += f->v.taps) {
                const real *q = x + (i0 + (f->v.taps - 1) * f->v.dilation + 1 + r) * f->line + j0 * f->pixel;
                FC_UNROLL for (int c = 0; c < fresh; c++) {
                    fetch_l2(q);
                    q = fc_dw_next(q, pixel);
                }
            }
        }
        for (ptrdiff_t g = 0; g < groups; g++) {
            vec k[7];
            FC_UNROLL for (int n = 0; n < KW; n++) k[n] = fc_dw_hold(vload(w + n * LANES));
            w += KW * LANES;
            FC_UNROLL for (int r = 0; r < R; r++) {
                if (r >= rows || (size_t)(i0 + u * f->v.dilation + r * f->v.step) >= (size_t)f->height) continue;
                const real *p = row + r * f->v.step * f->line + g * group * f->pixel;
                FC_UNROLL for (int c = 0; c < window; c++) {
                    const real *at = p;
                    p = fc_dw_next(p, pixel);
                    if (edge && (size_t)(j0 + g * group + c * column) >= (size_t)f->width) continue;
                    vec q = fc_dw_hold(fc_dw_take(at, part, lanes));
                    FC_UNROLL for (int t = 0; t < T; t++) {
                        const int n = S ? c - S * t : (c == t ? 0 : -1);
                        if (n >= 0 && n < KW) a[r][t] += q * k[n];
                    }
                }
            }
        }
    }
    if (bias) {
        vec b = fc_dw_take(bias, part, lanes);
        FC_UNROLL for (int r = 0; r < R; r++) FC_UNROLL for (int t = 0; t < T; t++) a[r][t] += b;
    }
    if (residual) {
        FC_UNROLL for (int r = 0; r < R; r++) {
            if (r >= rows) continue;
            FC_UNROLL for (int t = 0; t < T; t++) {
                if (edge && t >= cols) continue;
                a[r][t] += fc_dw_take(residual + r * f->out_line + t * f->out_pixel, part, lanes);
            }
        }
    }
    if (f->activation == FC_RELU || f->activation == FC_RELU6)
        FC_UNROLL for (int r = 0; r < R; r++) FC_UNROLL for (int t = 0; t < T; t++) a[r][t] = fc_activate(a[r][t], FC_RELU);
    if (f->activation == FC_RELU6)
        FC_UNROLL for (int r = 0; r < R; r++) FC_UNROLL for (int t = 0; t < T; t++) a[r][t] = fc_no_more(a[r][t], 6);
    FC_UNROLL for (int r = 0; r < R; r++) {
        if (r >= rows) continue;
        real *q = y + r * f->out_line;
        FC_UNROLL for (int t = 0; t < T; t++) {
            if (edge && t >= cols) continue;
            fc_dw_put(q, a[r][t], part, lanes);
            q = fc_dw_next(q, f->out_pixel);
        }
    }
    if (f->activation > FC_RELU6)
        fc_dw_activate(f->activation, y, rows < R ? rows : R, cols, f->out_line, f->out_pixel, part, lanes);
}

/* All vectors of channels of a tile of up to FC_DW_BLOCK rows. */
FC_INLINE void fc_dw_channels(const int R, const int T, const int KW, const int S, const int edge,
                              const fc_dw_phase *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j, int cols) {
    const real *w = f->w;
    const ptrdiff_t at = i * f->out_line + j * f->out_pixel;
    ptrdiff_t c = 0;
    for (; c + LANES <= f->channels; c += LANES, w += f->panel)
        for (ptrdiff_t r = 0; r < rows; r += R)
            fc_dw_tile(R, T, KW, S, edge, 0, f, i + r, rows - r, j, cols, f->x + c, w, f->bias ? f->bias + c : 0,
                       f->y + at + r * f->out_line + c, f->residual ? f->residual + at + r * f->out_line + c : 0, LANES);
}

FC_INLINE void fc_dw_tail(const int R, const int T, const int KW, const int S, const fc_dw_phase *f, ptrdiff_t i,
                          ptrdiff_t rows, ptrdiff_t j, int cols) {
    const ptrdiff_t at = i * f->out_line + j * f->out_pixel, c = f->channels / LANES * LANES;
    for (ptrdiff_t r = 0; r < rows; r += R)
        fc_dw_tile(R, T, KW, S, 1, 1, f, i + r, rows - r, j, cols, f->x + c, f->w + c / LANES * f->panel,
                   f->bias ? f->bias + c : 0, f->y + at + r * f->out_line + c,
                   f->residual ? f->residual + at + r * f->out_line + c : 0, (int)(f->channels - c));
}

typedef void (*fc_dw_tile_fn)(const fc_dw_phase *, ptrdiff_t, ptrdiff_t, ptrdiff_t, int);

#define FC_DW_TILE(name, call)                                                                                    \
    static __attribute__((noinline)) void name(const fc_dw_phase *f, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j,    \
                                               int cols) { call; }
#define FC_DW_TILES(KW, S)                                                                                        \
    FC_DW_TILE(fc_dw_wide_##KW##_##S, fc_dw_channels(FC_DW_WIDE_ROWS, FC_DW_WIDE, KW, S, 0, f, i, rows, j, cols)) \
    FC_DW_TILE(fc_dw_wide_edge_##KW##_##S,                                                                        \
               fc_dw_channels(FC_DW_WIDE_ROWS, FC_DW_WIDE, KW, S, 1, f, i, rows, j, cols))                        \
    FC_DW_TILE(fc_dw_narrow_##KW##_##S,                                                                           \
               fc_dw_channels(FC_DW_NARROW_ROWS, FC_DW_NARROW, KW, S, 0, f, i, rows, j, cols))                    \
    FC_DW_TILE(fc_dw_narrow_edge_##KW##_##S,                                                                      \
               fc_dw_channels(FC_DW_NARROW_ROWS, FC_DW_NARROW, KW, S, 1, f, i, rows, j, cols))                    \
    FC_DW_TILE(fc_dw_tail_##KW##_##S, fc_dw_tail(FC_DW_NARROW_ROWS, FC_DW_NARROW, KW, S, f, i, rows, j, cols))
FC_DW_TILES(1, 0)
FC_DW_TILES(2, 1)
FC_DW_TILES(3, 1)
FC_DW_TILES(5, 1)
FC_DW_TILES(7, 1)
FC_DW_TILES(3, 2)
FC_DW_TILES(5, 2)
FC_DW_TILES(7, 2)

typedef struct {
    int taps, step;
    fc_dw_tile_fn wide[2], narrow[2], tail; /* wide, narrow: columns inside, or some outside the image */
} fc_dw_kernel;
#define FC_DW_KERNEL(KW, S)                                                                                       \
    {KW, S, {fc_dw_wide_##KW##_##S, fc_dw_wide_edge_##KW##_##S},                                                  \
     {fc_dw_narrow_##KW##_##S, fc_dw_narrow_edge_##KW##_##S}, fc_dw_tail_##KW##_##S}
static const fc_dw_kernel fc_dw_kernels[] = { /* the first that divides a kernel's width; the last takes any */
    FC_DW_KERNEL(7, 1), FC_DW_KERNEL(5, 1), FC_DW_KERNEL(3, 1), FC_DW_KERNEL(2, 1),
    FC_DW_KERNEL(7, 2), FC_DW_KERNEL(5, 2), FC_DW_KERNEL(3, 2), FC_DW_KERNEL(1, 0),
};

static int fc_dw_pick(const DepthwiseAxis *h) {
    int k = 0;
    while (fc_dw_kernels[k].step && (h->taps % fc_dw_kernels[k].taps || h->dilation != 1 || h->step != fc_dw_kernels[k].step)) k++;
    return k;
}

/* Up to FC_DW_BLOCK rows of outputs of one phase. */
static void fc_dw_rows(const fc_dw_phase *f, ptrdiff_t i, ptrdiff_t rows) {
    const fc_dw_kernel *k = fc_dw_kernels + fc_dw_pick(&f->h);
    const ptrdiff_t reach = (f->h.taps - 1) * f->h.dilation;
    for (ptrdiff_t j = 0, cols; j < f->h.outputs; j += cols) {
        ptrdiff_t left = f->h.outputs - j, first = f->h.source + j * f->h.step;
        int narrow = left <= FC_DW_NARROW || left == 2 * FC_DW_NARROW, most = narrow ? FC_DW_NARROW : FC_DW_WIDE;
        cols = left < most ? left : most;
        int edge = cols < most || first < 0 || first + (cols - 1) * f->h.step + reach >= f->width;
        if (f->channels >= LANES) (narrow ? k->narrow : k->wide)[edge](f, i, rows, j, (int)cols);
        if (f->channels % LANES)
            for (ptrdiff_t t = 0; t < cols; t += FC_DW_NARROW)
                k->tail(f, i, rows, j + t, (int)(cols - t < FC_DW_NARROW ? cols - t : FC_DW_NARROW));
    }
}

/* ---- what the shares of all passes need ---- */

/* Rows of `taps` numbers of n <= LANES channels, `stride` apart, as vectors: number t at order[t], or at t. */
static void fc_dw_pack(const real *w, ptrdiff_t stride, ptrdiff_t taps, int n, const ptrdiff_t *order, real *d) {
    for (ptrdiff_t q = 0; q < taps; q += LANES) {
        ptrdiff_t at = q + LANES <= taps || taps < LANES ? q : taps - LANES;
        int count = taps < LANES ? (int)taps : LANES;
        vec m[16];
        FC_UNROLL for (int l = 0; l < LANES; l++)
            m[l] = l >= n ? vzero() : count == LANES ? vload(w + l * stride + at) : vload_part(w + l * stride + at, count);
        vtranspose(m);
        FC_UNROLL for (int l = 0; l < LANES; l++) if (l < count) vstore(d + (order ? order[at + l] : at + l) * LANES, m[l]);
    }
}

/* And back, in their order. */
static void fc_dw_unpack(const real *s, ptrdiff_t stride, ptrdiff_t taps, int n, real *w) {
    for (ptrdiff_t q = 0; q < taps; q += LANES) {
        ptrdiff_t at = q + LANES <= taps || taps < LANES ? q : taps - LANES;
        int count = taps < LANES ? (int)taps : LANES;
        vec m[16];
        FC_UNROLL for (int l = 0; l < LANES; l++) m[l] = l < count ? vload(s + (at + l) * LANES) : vzero();
        vtranspose(m);
        FC_UNROLL for (int l = 0; l < LANES; l++) if (l < n) {
            if (count == LANES) vstore(w + l * stride + at, m[l]);
            else vstore_part(w + l * stride + at, m[l], count);
        }
    }
}

/* Every channel `times` times: pixels that serve several outputs each. */
static void fc_dw_repeat(const real *x, ptrdiff_t channels, ptrdiff_t times, ptrdiff_t pixels, real *d) {
    for (ptrdiff_t q = 0; q < pixels * channels; q++)
        for (ptrdiff_t t = 0; t < times; t++) *d++ = x[q];
}

/* The adjoint: `times` neighbouring channels added. */
static void fc_dw_fold(const real *x, ptrdiff_t channels, ptrdiff_t times, ptrdiff_t pixels, real *d) {
    for (ptrdiff_t q = 0; q < pixels * channels; q++) {
        real s = *x++;
        for (ptrdiff_t t = 1; t < times; t++) s += *x++;
        d[q] = s;
    }
}

FC_INLINE ptrdiff_t fc_dw_least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
FC_INLINE ptrdiff_t fc_dw_most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
FC_INLINE ptrdiff_t fc_dw_blocks(ptrdiff_t n, ptrdiff_t size) { return (n + size - 1) / size; }

typedef struct {
    const DepthwiseLast *r;
    const DepthwiseAxis *axes; /* phases_v of rows, then phases_h of columns */
    const ptrdiff_t *order;
    const real *x, *w, *packed, *bias, *residual;
    real *y, *work;
    int activation;
} fc_dw_call;

/* Source rows [first, end) that output rows [i0, i1) of all phases meet. */
static void fc_dw_span(const fc_dw_call *a, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t *first, ptrdiff_t *end) {
    *first = a->r->height, *end = 0;
    for (ptrdiff_t k = 0; k < a->r->phases_v; k++) {
        const DepthwiseAxis *v = a->axes + k;
        if (!v->taps || v->outputs <= i0) continue;
        *first = fc_dw_least(*first, v->source + i0 * v->step);
        *end = fc_dw_most(*end, v->source + (fc_dw_least(i1, v->outputs) - 1) * v->step + (v->taps - 1) * v->dilation + 1);
    }
    *first = fc_dw_most(*first, 0);
    *end = fc_dw_most(fc_dw_least(*end, a->r->height), *first);
}

/* The rows of image n that a band meets, as if from row 0 on, from channel c0 on, with a number for every lane. */
static const real *fc_dw_source(const fc_dw_call *a, ptrdiff_t n, ptrdiff_t c0, ptrdiff_t i0, ptrdiff_t i1, real *room) {
    const DepthwiseLast *r = a->r;
    const ptrdiff_t channels = r->channels / r->repeat, plane = r->height * r->width;
    const real *x = a->x + n * plane * channels;
    ptrdiff_t first, end;
    if (r->repeat == 1 && !r->planes) return x + c0;
    fc_dw_span(a, i0, i1, &first, &end);
    if (r->planes)
        fc_dw_pack(x + c0 * plane + first * r->width, plane, (end - first) * r->width,
                   (int)fc_dw_least(channels - c0, LANES), 0, room);
    else fc_dw_repeat(x + first * r->width * channels, channels, r->repeat, (end - first) * r->width, room);
    return room - first * r->width * r->pixel + (r->planes ? 0 : c0);
}

/* ---- forward and grad_input ---- */

static void fc_dw_band(const fc_dw_call *a, fc_dw_phase *f, ptrdiff_t i0, ptrdiff_t i1, const real *x, const real *w,
                       real *y, const real *residual) {
    const DepthwiseLast *r = a->r;
    for (ptrdiff_t i = i0; i < i1; i += FC_DW_BLOCK) {
        const real *taps = w;
        for (ptrdiff_t p = 0; p < r->phases_v; p++) {
            f->v = a->axes[p];
            const ptrdiff_t rows = fc_dw_least(fc_dw_least(i1, f->v.outputs) - i, FC_DW_BLOCK);
            for (ptrdiff_t q = 0; q < r->phases_h; q++) {
                f->h = a->axes[r->phases_v + q];
                const ptrdiff_t at = (f->v.first * r->out_width + f->h.first) * r->pixel;
                f->x = x, f->w = taps, f->y = y + at, f->residual = residual ? residual + at : 0;
                f->out_line = f->v.every * r->out_width * r->pixel, f->out_pixel = f->h.every * r->pixel;
                if (rows > 0) fc_dw_rows(f, i, rows);
                taps += f->v.taps * f->h.taps * LANES;
            }
        }
    }
}

static ptrdiff_t fc_dw_forward_jobs(const fc_dw_call *a) {
    const ptrdiff_t vectors = fc_dw_blocks(a->r->channels, LANES);
    return a->r->images * fc_dw_blocks(a->axes[0].outputs, a->r->rows) * fc_dw_blocks(vectors, a->r->chunk);
}

static void fc_dw_forward_part(const void *args, ptrdiff_t first, ptrdiff_t end, ptrdiff_t ithr, int again) {
    const fc_dw_call *a = (const fc_dw_call *)args;
    const DepthwiseLast *r = a->r;
    const ptrdiff_t vectors = fc_dw_blocks(r->channels, LANES), chunks = fc_dw_blocks(vectors, r->chunk);
    const ptrdiff_t bands = fc_dw_blocks(a->axes[0].outputs, r->rows);
    const ptrdiff_t size = r->out_height * r->out_width * r->channels / r->fold, every = a->axes[0].every;
    real *weights = a->work + ithr * r->share, *room = weights + r->chunk * r->taps * LANES;
    real bias[LANES] = {0}, *result = room + r->source;
    ptrdiff_t packed = -1;
    fc_dw_phase f = {.panel = r->taps * LANES, .line = r->width * r->pixel, .pixel = r->pixel,
                     .height = r->height, .width = r->width,
                     .activation = a->activation, .ahead = (int)r->ahead};
    (void)again;
    for (ptrdiff_t job = first; job < end; job++) {
        const ptrdiff_t n = job / chunks / bands, i0 = job / chunks % bands * r->rows, v0 = job % chunks * r->chunk;
        const ptrdiff_t i1 = fc_dw_least(i0 + r->rows, a->axes[0].outputs), c0 = v0 * LANES;
        const ptrdiff_t channels = fc_dw_least(r->channels - c0, r->chunk * LANES);
        if (!a->packed && packed != v0) {
            for (ptrdiff_t c = 0; c < channels; c += LANES)
                fc_dw_pack(a->w + (c0 + c) * r->taps, r->taps, r->taps, (int)fc_dw_least(channels - c, LANES), a->order,
                           weights + c * r->taps);
            packed = v0;
        }
        const real *x = fc_dw_source(a, n, c0, i0, i1, room);
        const real *w = a->packed ? a->packed + c0 * r->taps : weights;
        f.channels = channels, f.bias = a->bias ? a->bias + c0 : 0;
        if (r->fold == 1 && !r->planes) {
            fc_dw_band(a, &f, i0, i1, x, w, a->y + n * size + c0, a->residual ? a->residual + n * size + c0 : 0);
            continue;
        }
        /* one vector, or all: results of all lanes first, then as planes, or their sums */
        const ptrdiff_t top = i0 * every, end = fc_dw_least(i1 * every, r->out_height), line = r->out_width * r->pixel;
        if (r->planes) {
            for (ptrdiff_t c = 0; a->bias && c < channels; c++) bias[c] = a->bias[c0 + c];
            f.channels = LANES, f.bias = a->bias ? bias : 0;
        }
        fc_dw_band(a, &f, i0, i1, x, w, result - top * line, 0);
        if (r->planes)
            fc_dw_unpack(result, r->out_height * r->out_width, (end - top) * r->out_width, (int)channels,
                         a->y + n * size + (c0 * r->out_height + top) * r->out_width);
        else
            fc_dw_fold(result, r->channels / r->fold, r->fold, (end - top) * r->out_width,
                       a->y + n * size + top * line / r->fold);
    }
}

/* Weights of `prepare`: all vectors of channels. */
static void fc_dw_pack_share(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    const fc_dw_call *a = (const fc_dw_call *)args;
    const ptrdiff_t vectors = fc_dw_blocks(a->r->channels, LANES), taps = a->r->taps;
    for (ptrdiff_t v = vectors * ithr / nthr; v < vectors * (ithr + 1) / nthr; v++)
        fc_dw_pack(a->w + v * LANES * taps, taps, taps, (int)fc_dw_least(a->r->channels - v * LANES, LANES), a->order,
                   a->y + v * LANES * taps);
}
#endif
