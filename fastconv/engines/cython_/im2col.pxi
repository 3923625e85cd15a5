# Patches to matrix columns and back. Column p of the panel is output pixel p0 + p, row (c, u, v) a tap.

cdef struct Im2colCall:
    const ConvGeometry* q
    intp H, W, planes, p0, P  # planes: of x, in all images; columns of the panel and the first one's pixel
    const real* source
    real* to


cdef void _im2col_pack_tap(const real* x, real* col, const Im2colCall* f, intp tap) noexcept nogil:
    """One row of the panel: pixels p0 .. p0 + P of one plane, shifted to a tap."""
    cdef intp p = 0, i, j, stop, row, a, b, k, P = f.P, H = f.H, W = f.W, OW = f.q.ow, sh = f.q.sh, sw = f.q.sw
    cdef intp start = tap % f.q.kw * f.q.dw - f.q.pl, top = tap // f.q.kw * f.q.dh - f.q.pt
    cdef const real* line
    while p < P:
        i = (f.p0 + p) // OW
        j = (f.p0 + p) % OW
        stop = min(OW, j + P - p)
        row = i * sh + top
        a = stop if row < 0 or row >= H else min(max(j, _first(start, sw)), stop)
        b = max(a, min(stop, _stop(start, sw, W)))
        line = x + row * W + start
        memset(col + p, 0, (a - j) * sizeof(real))
        if sw == 1:
            memcpy(col + p + a - j, line + a, (b - a) * sizeof(real))
        else:
            for k in range(a, b):
                col[p + k - j] = line[k * sw]
        memset(col + p + b - j, 0, (stop - b) * sizeof(real))
        p += stop - j


cdef void _im2col_add_tap(const real* col, real* x, const Im2colCall* f, intp tap) noexcept nogil:
    """The adjoint of _im2col_pack_tap."""
    cdef intp p = 0, i, j, stop, row, a, b, k, P = f.P, H = f.H, W = f.W, OW = f.q.ow, sh = f.q.sh, sw = f.q.sw
    cdef intp start = tap % f.q.kw * f.q.dw - f.q.pl, top = tap // f.q.kw * f.q.dh - f.q.pt
    cdef real* line
    while p < P:
        i = (f.p0 + p) // OW
        j = (f.p0 + p) % OW
        stop = min(OW, j + P - p)
        row = i * sh + top
        if 0 <= row < H:
            a = min(max(j, _first(start, sw)), stop)
            b = max(a, min(stop, _stop(start, sw, W)))
            line = x + row * W + start
            if sw == 1:
                for k in range(a, b):
                    line[k] += col[p + k - j]
            else:
                for k in range(a, b):
                    line[k * sw] += col[p + k - j]
        p += stop - j


def im2col_pack(cnp.ndarray x, cnp.ndarray col, cnp.ndarray q, intp n0, intp p0, int threads):
    """col (nb, Ci*KH*KW, P) OUT: images n0 .. n0+nb, output pixels p0 .. p0+P; zeros outside the image."""
    cdef intp Ci = x.shape[1], H = x.shape[2], W = x.shape[3]
    cdef Im2colCall f = Im2colCall(read_ConvGeometry(q), H, W, col.shape[0] * Ci, p0, col.shape[2],
                                   data(x) + n0 * Ci * H * W, data(col))
    with nogil:
        launch(_im2col_pack, &f, threads)


cdef void _im2col_pack(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Im2colCall* f = <const Im2colCall*> args
    cdef intp t, taps = f.q.kh * f.q.kw
    for t in range(split(f.planes * taps, ithr, nthr), split(f.planes * taps, ithr + 1, nthr)):
        _im2col_pack_tap(f.source + t // taps * f.H * f.W, f.to + t * f.P, f, t % taps)


def col2im_add(cnp.ndarray col, cnp.ndarray dx, cnp.ndarray q, intp n0, intp p0, int threads):
    """dx INOUT: every number of the panel is added to the pixel that it came from; a plane stays on one thread."""
    cdef intp Ci = dx.shape[1], H = dx.shape[2], W = dx.shape[3]
    cdef Im2colCall f = Im2colCall(read_ConvGeometry(q), H, W, col.shape[0] * Ci, p0, col.shape[2], data(col),
                                   data(dx) + n0 * Ci * H * W)
    with nogil:
        launch(_im2col_add, &f, threads)


cdef void _im2col_add(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Im2colCall* f = <const Im2colCall*> args
    cdef intp t, k, taps = f.q.kh * f.q.kw
    for t in range(split(f.planes, ithr, nthr), split(f.planes, ithr + 1, nthr)):
        for k in range(taps):
            _im2col_add_tap(f.source + (t * taps + k) * f.P, f.to + t * f.H * f.W, f, k)


# ---- channels last: a row for each output pixel of a group, of numbers (u, v, c) ----

cdef struct Im2colLast:
    const ConvGeometry* q
    intp H, W, C, images, p0, P  # channels of all groups; of the panel: images, the first pixel, pixels
    real* x  # the first image, or dx
    real* col


cdef Im2colLast _im2col_last(cnp.ndarray x, cnp.ndarray col, cnp.ndarray q, intp n0, intp p0) except *:
    cdef intp H = x.shape[1], W = x.shape[2], C = x.shape[3]
    return Im2colLast(read_ConvGeometry(q), H, W, C, col.shape[1], p0, col.shape[2], data(x) + n0 * H * W * C,
                      data(col))


cdef inline void _im2col_run(const bint add, real* to, const real* a, intp n) noexcept nogil:
    """Runs are short, and many: a copy ends with the last whole vector."""
    cdef intp k
    for k in range(n // LANES):
        vstore(to + k * LANES, vload(to + k * LANES) + vload(a + k * LANES) if add else vload(a + k * LANES))
    if n >= LANES and not add:
        vstore(to + n - LANES, vload(a + n - LANES))
        return
    for k in range(n // LANES * LANES, n):
        to[k] = to[k] + a[k] if add else a[k]


cdef inline void _im2col_pixel(const bint add, const Im2colLast* f, intp image, intp row, intp u, intp i,
                              intp j) noexcept nogil:
    """Row u of the window of output pixel (i, j): from row `row` of x, or added to it."""
    cdef const ConvGeometry* q = f.q
    cdef intp cg = f.C // q.g, start = j * q.sw - q.pl, first = min(_first(start, q.dw), q.kw), g, v, n
    cdef intp stop = max(first, min(q.kw, _stop(start, q.dw, f.W))), step = q.dw * f.C
    cdef real* x = f.x + ((image * f.H + row) * f.W + start) * f.C
    cdef real* col = f.col + ((image * f.P + i * q.ow + j - f.p0) * q.kh + u) * q.kw * cg
    if not 0 <= row < f.H:
        first = stop = q.kw
    for g in range(q.g):
        if not add:
            memset(col, 0, first * cg * sizeof(real))
            memset(col + stop * cg, 0, (q.kw - stop) * cg * sizeof(real))
        v = first
        while v < stop:
            n = stop - v if step == cg else 1  # taps side by side, too
            if add: _im2col_run(True, x + v * step, col + v * cg, n * cg)
            else: _im2col_run(False, col + v * cg, x + v * step, n * cg)
            v += n
        x += cg
        col += f.images * f.P * q.kh * q.kw * cg


def im2col_pack_last(cnp.ndarray x, cnp.ndarray col, cnp.ndarray q, intp n0, intp p0, int threads):
    """col (G, nb, P, KH*KW*Ci/G) OUT: images n0 .. n0+nb, output pixels p0 .. p0+P; zeros outside the image."""
    cdef Im2colLast f = _im2col_last(x, col, q, n0, p0)
    with nogil:
        launch(_im2col_pack_pixels, &f, threads)


cdef void _im2col_pack_pixels(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Im2colLast* f = <const Im2colLast*> args
    cdef intp t, u, i, j, all = f.images * f.P
    for t in range(split(all, ithr, nthr), split(all, ithr + 1, nthr)):
        i, j = (f.p0 + t % f.P) // f.q.ow, (f.p0 + t % f.P) % f.q.ow
        for u in range(f.q.kh):
            _im2col_pixel(False, f, t // f.P, i * f.q.sh + u * f.q.dh - f.q.pt, u, i, j)


def col2im_add_last(cnp.ndarray col, cnp.ndarray dx, cnp.ndarray q, intp n0, intp p0, int threads):
    """dx INOUT: the adjoint, added; a row of dx stays on one thread."""
    cdef Im2colLast f = _im2col_last(dx, col, q, n0, p0)
    with nogil:
        launch(_im2col_add_pixels, &f, threads)


cdef void _im2col_add_pixels(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Im2colLast* f = <const Im2colLast*> args
    cdef const ConvGeometry* q = f.q
    cdef intp t, u, i, j, down
    for t in range(split(f.images * f.H, ithr, nthr), split(f.images * f.H, ithr + 1, nthr)):
        for u in range(q.kh):
            down = t % f.H + q.pt - u * q.dh
            if down >= 0 and down % q.sh == 0:
                i = down // q.sh
                for j in range(max(0, f.p0 - i * q.ow), min(q.ow, f.p0 + f.P - i * q.ow)):
                    _im2col_pixel(True, f, t // f.H, t % f.H, u, i, j)
