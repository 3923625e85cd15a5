"""im2col and its adjoint, panel by panel.

The matrix of an image has a row for each (input channel, tap) and a column for each output pixel; a panel is the
range p0 .. p0+P-1 of flattened output pixels, of images n0 .. n0+nb-1. Along an output row the pixels whose tap
meets the image are one run, read from the input at the column stride: panels are copied run by run.
"""

from numba import prange

from .ground import vector as v
from .ground.launch import step


@step("col")
def im2col_pack(x, col, kh, kw, sh, sw, pt, pl, dh, dw, ow, n0, p0):
    """col[b, (c,i,j), p] = x[n0 + b, c, (p0+p)//ow*sh - pt + i*dh, (p0+p)%ow*sw - pl + j*dw], 0 outside the image.

    x IN (N, Ci, H, W), col OUT (nb, Ci*kh*kw, P). Parallel over nb and rows of col.
    """
    (_, Ci, H, W), (nb, rows, P) = x.shape, col.shape
    for job in prange(nb * rows):
        b, row = job // rows, job % rows
        c, i, j = row // (kh * kw), row // kw % kh, row % kw
        image = ((n0 + b) * Ci + c) * H * W - pl + j * dw
        left, right = _inside(W, sw, pl - j * dw)
        for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
            h, out = oh * sh - pt + i * dh, job * P + oh * ow - p0
            start, stop = max(0, p0 - oh * ow), min(ow, p0 + P - oh * ow)
            first = min(max(left, start), stop) if 0 <= h < H else stop
            last = min(max(right, first), stop)
            _clear(col, out + start, first - start)
            _gather(col, out + first, x, image + h * W + first * sw, last - first, sw)
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
            image = (n0 * Ci + job) * H * W - pl + j * dw
            left, right = _inside(W, sw, pl - j * dw)
            for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
                h, out = oh * sh - pt + i * dh, (job * kh * kw + tap) * P + oh * ow - p0
                first, last = max(left, 0, p0 - oh * ow), min(right, ow, p0 + P - oh * ow)
                if 0 <= h < H and first < last:
                    _scatter_add(dx, image + h * W + first * sw, col, out + first, last - first, sw)


@v.inline
def _inside(width, stride, shift):
    """The range of q for which 0 <= q*stride - shift < width."""
    return -(-shift // stride), (width - 1 + shift) // stride + 1


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
        for k in range(n):
            v.put(dst, o + k, v.at(src, i + k * stride))


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
        for k in range(n):
            v.put(dst, o + k * stride, v.at(dst, o + k * stride) + v.at(src, i + k))
