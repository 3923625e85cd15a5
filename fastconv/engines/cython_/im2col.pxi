# Patches to matrix columns and back. Column p of the panel is output pixel p0 + p, row (c, u, v) a tap.
from libc.string cimport memcpy, memset


cdef inline intp _first(intp start, intp step) noexcept nogil:
    """Smallest j >= 0 with start + j * step >= 0."""
    return 0 if start >= 0 else (-start + step - 1) // step


cdef inline intp _stop(intp start, intp step, intp size) noexcept nogil:
    """Smallest j >= 0 with start + j * step >= size."""
    return 0 if start >= size else (size - start + step - 1) // step


cdef void _pack_tap(const real* x, real* col, intp H, intp W, intp u, intp v, intp sh, intp sw, intp pt, intp pl,
                    intp OW, intp p0, intp P) noexcept nogil:
    """One row of the panel: pixels p0 .. p0 + P of one plane, shifted to a tap (u, v in input pixels)."""
    cdef intp p = 0, i, j, stop, row, start = v - pl, a, b, k
    cdef const real* line
    while p < P:
        i = (p0 + p) // OW
        j = (p0 + p) % OW
        stop = min(OW, j + P - p)
        row = i * sh + u - pt
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


cdef void _add_tap(const real* col, real* x, intp H, intp W, intp u, intp v, intp sh, intp sw, intp pt, intp pl,
                   intp OW, intp p0, intp P) noexcept nogil:
    """The adjoint of _pack_tap."""
    cdef intp p = 0, i, j, stop, row, start = v - pl, a, b, k
    cdef real* line
    while p < P:
        i = (p0 + p) // OW
        j = (p0 + p) % OW
        stop = min(OW, j + P - p)
        row = i * sh + u - pt
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


def im2col_pack(cnp.ndarray x, cnp.ndarray col, intp kh, intp kw, intp sh, intp sw, intp pt, intp pl,
                intp dh, intp dw, intp ow, intp n0, intp p0, int threads):
    """col (nb, Ci*KH*KW, P) OUT: images n0 .. n0+nb, output pixels p0 .. p0+P; zeros outside the image."""
    cdef intp Ci = x.shape[1], H = x.shape[2], W = x.shape[3], rows = col.shape[1], P = col.shape[2]
    cdef intp t, total = col.shape[0] * rows
    cdef const real* xp = data(x) + n0 * Ci * H * W
    cdef real* cp = data(col)
    if threads == 1:
        with nogil:
            for t in range(total):
                _pack_tap(xp + t // (kh * kw) * H * W, cp + t * P, H, W, t // kw % kh * dh, t % kw * dw,
                          sh, sw, pt, pl, ow, p0, P)
        return
    for t in prange(total, nogil=True, schedule="static", num_threads=threads):
        _pack_tap(xp + t // (kh * kw) * H * W, cp + t * P, H, W, t // kw % kh * dh, t % kw * dw,
                  sh, sw, pt, pl, ow, p0, P)


def col2im_add(cnp.ndarray col, cnp.ndarray dx, intp kh, intp kw, intp sh, intp sw, intp pt, intp pl,
               intp dh, intp dw, intp ow, intp n0, intp p0, int threads):
    """dx INOUT: every number of the panel is added to the pixel that it came from; a plane stays on one thread."""
    cdef intp Ci = dx.shape[1], H = dx.shape[2], W = dx.shape[3], P = col.shape[2]
    cdef intp t, total = col.shape[0] * Ci
    cdef real* xp = data(dx) + n0 * Ci * H * W
    cdef const real* cp = data(col)
    if threads == 1:
        with nogil:
            for t in range(total):
                _add_plane(cp + t * kh * kw * P, xp + t * H * W, H, W, kh, kw, sh, sw, pt, pl, dh, dw, ow, p0, P)
        return
    for t in prange(total, nogil=True, schedule="static", num_threads=threads):
        _add_plane(cp + t * kh * kw * P, xp + t * H * W, H, W, kh, kw, sh, sw, pt, pl, dh, dw, ow, p0, P)


cdef void _add_plane(const real* col, real* x, intp H, intp W, intp kh, intp kw, intp sh, intp sw, intp pt, intp pl,
                     intp dh, intp dw, intp ow, intp p0, intp P) noexcept nogil:
    cdef intp k
    for k in range(kh * kw):
        _add_tap(col + k * P, x, H, W, k // kw * dh, k % kw * dw, sh, sw, pt, pl, ow, p0, P)
