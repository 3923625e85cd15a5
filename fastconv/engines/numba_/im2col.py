"""im2col and its adjoint, panel by panel.

The matrix of an image has a row for each (input channel, tap) and a column for each output pixel; a panel is the
range p0 .. p0+P-1 of flattened output pixels, of images n0 .. n0+nb-1. Along an output row the pixels whose tap
meets the image are one run, read from the input at the column stride: panels are copied run by run.
"""
from numba import prange

from . import vector as v
from .launch import step


@step("col")
def im2col_pack(x, col, kh, kw, sh, sw, pt, pl, dh, dw, ow, n0, p0):
    """col[b, (c,i,j), p] = x[n0 + b, c, (p0+p)//ow*sh - pt + i*dh, (p0+p)%ow*sw - pl + j*dw], 0 outside the image.

    x IN (N, Ci, H, W), col OUT (nb, Ci*kh*kw, P). Parallel over nb and rows of col.
    """
    (_, Ci, H, W), (nb, rows, P) = x.shape, col.shape
    for job in prange(nb * rows):
        b, row = job // rows, job % rows
        c, i, j = row // (kh * kw), row // kw % kh, row % kw
        for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
            h = oh * sh - pt + i * dh
            start, first, last, stop = _run(oh, ow, p0, P, W if 0 <= h < H else 0, sw, pl - j * dw)
            out = job * P + oh * ow - p0
            image = ((n0 + b) * Ci + c) * H * W + h * W - pl + j * dw
            _clear(col, out + start, first - start)
            _gather(col, out + first, x, image + first * sw, last - first, sw)
            _clear(col, out + last, stop - last)


@step("dx")
def col2im_add(col, dx, kh, kw, sh, sw, pt, pl, dh, dw, ow, n0, p0):
    """dx[n0 + b, c, h, v] += col[b, (c,i,j), p] wherever im2col_pack reads x[n0 + b, c, h, v] for it.

    col IN (nb, Ci*kh*kw, P), dx INOUT (N, Ci, H, W). Parallel over images and channels, so no two threads meet.
    """
    (_, Ci, H, W), (nb, _, P) = dx.shape, col.shape
    for job in prange(nb * Ci):
        for tap in range(kh * kw):
            i, j = tap // kw, tap % kw
            for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
                h = oh * sh - pt + i * dh
                if 0 <= h < H:
                    _, first, last, _ = _run(oh, ow, p0, P, W, sw, pl - j * dw)
                    out = (job * kh * kw + tap) * P + oh * ow - p0
                    image = (n0 * Ci + job) * H * W + h * W - pl + j * dw
                    _scatter_add(dx, image + first * sw, col, out + first, last - first, sw)


@v.inline
def _run(oh, ow, p0, P, width, stride, shift):
    """Output columns of row oh: where the panel starts, the image begins, the image ends, and the panel stops.

    Output column q meets the image if 0 <= q * stride - shift < width.
    """
    start, stop = max(0, p0 - oh * ow), min(ow, p0 + P - oh * ow)
    first = min(max(-(-shift // stride), start), stop)
    last = min(max((width - 1 + shift) // stride + 1, first), stop)
    return start, first, last, stop


@v.inline
def _clear(dst, o, n):
    """dst[o :+ n] = 0"""
    for k in range(0, n, v.lanes(dst)):
        v.store_part(dst, o + k, v.zero(dst), n - k)


@v.inline
def _gather(dst, o, src, i, n, stride):
    """dst[o + k] = src[i + k*stride] for k < n"""
    L = v.lanes(dst)
    if stride == 1:
        full = n // L * L
        for k in range(0, full, L):
            v.store(dst, o + k, v.load(src, i + k))
        v.store_part(dst, o + full, v.load_part(src, i + full, n - full), n - full)
    elif stride == 2:
        for k in range(0, n, L):
            valid = 2 * (n - k) - 1  # what lies behind the last one may lie behind the array
            pair = v.load_part(src, i + 2 * k, valid), v.load_part(src, i + 2 * k + L, valid - L)
            v.store_part(dst, o + k, v.even(*pair), n - k)
    else:
        flat = dst.reshape(-1)
        for k in range(n):
            flat[o + k] = v.at(src, i + k * stride)


@v.inline
def _scatter_add(dst, o, src, i, n, stride):
    """dst[o + k*stride] += src[i + k] for k < n"""
    L = v.lanes(dst)
    if stride == 1:
        full = n // L * L
        for k in range(0, full, L):
            v.store(dst, o + k, v.load(dst, o + k) + v.load(src, i + k))
        rest = v.load_part(dst, o + full, n - full) + v.load_part(src, i + full, n - full)
        v.store_part(dst, o + full, rest, n - full)
    else:
        flat = dst.reshape(-1)
        for k in range(n):
            flat[o + k * stride] += v.at(src, i + k)
