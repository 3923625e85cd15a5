"""im2col and its adjoint, panel by panel.

The matrix of an image has a row for each (input channel, tap) and a column for each output pixel; a panel is the
range p0 .. p0+P-1 of flattened output pixels, of images n0 .. n0+nb-1. Along an output row the pixels whose tap
meets the image are one run, read from the input at the column stride: panels are copied run by run.
"""

from ..records import ConvGeometry, places
from .ground import vector as v
from .ground.launch import step
from .ground.memory import clear, copy_strided, inside

at = places(ConvGeometry)


@step("col")
def im2col_pack(x, col, q, n0, p0, ithr, nthr):
    """col[b, (c,i,j), p] = x[n0 + b, c, (p0+p)//ow*sh - pt + i*dh, (p0+p)%ow*sw - pl + j*dw], 0 outside the image.

    x IN (N, Ci, H, W), col OUT (nb, Ci*kh*kw, P). Parallel over nb and rows of col.
    """
    (_, Ci, H, W), (nb, rows, P) = x.shape, col.shape
    kh, kw, ow, sh, sw = q[at.kh], q[at.kw], q[at.ow], q[at.sh], q[at.sw]
    pt, pl, dh, dw = q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    for job in range(nb * rows * ithr // nthr, nb * rows * (ithr + 1) // nthr):
        b, row = job // rows, job % rows
        c, i, j = row // (kh * kw), row // kw % kh, row % kw
        image = ((n0 + b) * Ci + c) * H * W - pl + j * dw
        left, right = inside(W, sw, pl - j * dw)
        for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
            h, out = oh * sh - pt + i * dh, job * P + oh * ow - p0
            start, stop = max(0, p0 - oh * ow), min(ow, p0 + P - oh * ow)
            first = min(max(left, start), stop) if 0 <= h < H else stop
            last = min(max(right, first), stop)
            clear(col, out + start, first - start)
            copy_strided(col, out + first, x, image + h * W + first * sw, last - first, sw)
            clear(col, out + last, stop - last)


@step("dx")
def col2im_add(col, dx, q, n0, p0, ithr, nthr):
    """dx[n0 + b, c, h, v] += col[b, (c,i,j), p] wherever im2col_pack reads x[n0 + b, c, h, v] for it.

    col IN (nb, Ci*kh*kw, P), dx INOUT (N, Ci, H, W). Parallel over images and channels, so no two threads meet.
    """
    (_, Ci, H, W), (nb, _, P) = dx.shape, col.shape
    kh, kw, ow, sh, sw = q[at.kh], q[at.kw], q[at.ow], q[at.sh], q[at.sw]
    pt, pl, dh, dw = q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    for job in range(nb * Ci * ithr // nthr, nb * Ci * (ithr + 1) // nthr):
        for tap in range(kh * kw):
            i, j = tap // kw, tap % kw
            image = (n0 * Ci + job) * H * W - pl + j * dw
            left, right = inside(W, sw, pl - j * dw)
            for oh in range(p0 // ow, (p0 + P - 1) // ow + 1):
                h, out = oh * sh - pt + i * dh, (job * kh * kw + tap) * P + oh * ow - p0
                first, last = max(left, 0, p0 - oh * ow), min(right, ow, p0 + P - oh * ow)
                if 0 <= h < H and first < last:
                    _scatter_add(dx, image + h * W + first * sw, col, out + first, last - first, sw)


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


# ---- channels last: a row for each output pixel of a group, of numbers (u, v, c) ----


@step("col")
def im2col_pack_last(x, col, q, n0, p0, ithr, nthr):
    """col (G, nb, P, KH*KW*Ci/G) OUT: images n0 .. n0+nb, output pixels p0 .. p0+P; zeros outside the image."""
    (_, H, W, C), (groups, nb, P, _), kh, kw, ow = x.shape, col.shape, q[at.kh], q[at.kw], q[at.ow]
    cg, apart = C // groups, q[at.dw] * C
    for job in range(nb * P * ithr // nthr, nb * P * (ithr + 1) // nthr):
        i, j = (p0 + job % P) // ow, (p0 + job % P) % ow
        left = j * q[at.sw] - q[at.pl]
        first, stop = _taps(q, W, left)
        for u in range(kh):
            row = i * q[at.sh] + u * q[at.dh] - q[at.pt]
            image = (((n0 + job // P) * H + row) * W + left) * C
            start, end = (first, stop) if 0 <= row < H else (kw, kw)
            n = end - start if apart == cg else 1  # taps side by side, too
            for g in range(groups):
                o = ((g * nb * P + job) * kh + u) * kw * cg
                clear(col, o, start * cg)
                clear(col, o + end * cg, (kw - end) * cg)
                for k in range(start, end, max(n, 1)):
                    _run(col, o + k * cg, x, image + g * cg + k * apart, n * cg, False)


@step("dx")
def col2im_add_last(col, dx, q, n0, p0, ithr, nthr):
    """dx INOUT: the adjoint, added; a row of dx stays on one thread."""
    (_, H, W, C), (groups, nb, P, _), kh, kw, ow = dx.shape, col.shape, q[at.kh], q[at.kw], q[at.ow]
    cg, apart = C // groups, q[at.dw] * C
    for job in range(nb * H * ithr // nthr, nb * H * (ithr + 1) // nthr):
        for u in range(kh):
            i = job % H + q[at.pt] - u * q[at.dh]
            if i < 0 or i % q[at.sh]:
                continue
            i //= q[at.sh]
            for j in range(max(0, p0 - i * ow), min(ow, p0 + P - i * ow)):
                left = j * q[at.sw] - q[at.pl]
                first, stop = _taps(q, W, left)
                image, n = ((n0 * H + job) * W + left) * C, stop - first if apart == cg else 1
                for g in range(groups):
                    o = (((g * nb + job // H) * P + i * ow + j - p0) * kh + u) * kw * cg
                    for k in range(first, stop, max(n, 1)):
                        _run(dx, image + g * cg + k * apart, col, o + k * cg, n * cg, True)


@v.inline
def _taps(q, width, left):
    """The taps of a row of the window whose first pixel is column `left`: those inside the image, from, to."""
    kw, dw = q[at.kw], q[at.dw]
    first = min(max(0, -(left // dw)), kw)
    return first, max(first, min(kw, (width - 1 - left) // dw + 1))


@v.inline
def _run(dst, o, src, i, n, add):
    """dst[o + k] = src[i + k], or added to it, for k < n"""
    L = v.lanes(dst)
    full = n // L * L
    for k in range(0, full, L):
        x = v.load(src, i + k)
        if add:
            x = x + v.load(dst, o + k)
        v.store(dst, o + k, x)
    if full < n:
        x = v.load_part(src, i + full, n - full)
        if add:
            x = x + v.load_part(dst, o + full, n - full)
        v.store_part(dst, o + full, x, n - full)
