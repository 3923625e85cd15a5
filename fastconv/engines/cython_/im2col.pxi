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
