# Channels first to channels last and back, and the epilogue of a convolution as a step of its own.
cdef extern from "ground/epilogue.h" nogil:
    int FC_RELU, FC_RELU6
    vec fc_activate(vec x, int code)
    void fc_epilogue_rows(int code, real* y, const real* bias, const real* residual, intp first, intp last, intp n,
                          intp period, int per_number)

cdef enum:
    LAYOUT_WIDE = 4                 # vectors of a row that are read on: whole cache lines, and pages are met once


cdef inline void _flip_block(const real* a, intp rows, intp cols, real* b, intp r, intp c, int nr,
                             int nc) noexcept nogil:
    """b[c :+ nc, r :+ nr] OUT: the transpose of a[r :+ nr, c :+ nc]; at most LANES of each."""
    cdef vec m[LANES]
    cdef int i
    for i in range(LANES):
        if i >= nr:
            m[i] = vzero()
        elif nc == LANES:
            m[i] = vload(a + (r + i) * cols + c)
        else:
            m[i] = vload_part(a + (r + i) * cols + c, nc)
    vtranspose(m)
    for i in range(LANES):
        if i < nc:
            if nr == LANES:
                vstore(b + (c + i) * rows + r, m[i])
            else:
                vstore_part(b + (c + i) * rows + r, m[i], nr)


cdef struct Flip:
    const real* a
    real* b
    intp images, rows, cols, wide   # tasks an image: each all rows of LAYOUT_WIDE vectors of columns


cdef void _flip_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const Flip* f = <const Flip*> arguments
    cdef intp rows = f.rows, cols = f.cols, task, image, c0, c1, r, c
    for task in range(split(f.images * f.wide, ithr, nthr), split(f.images * f.wide, ithr + 1, nthr)):
        image = task // f.wide * rows * cols
        c0 = task % f.wide * LAYOUT_WIDE * LANES
        c1 = min(c0 + LAYOUT_WIDE * LANES, cols)
        r = 0
        while r < rows:
            c = c0
            while c < c1:
                if rows - r >= LANES and c1 - c >= LANES:
                    _flip_block(f.a + image, rows, cols, f.b + image, r, c, LANES, LANES)
                else:
                    _flip_block(f.a + image, rows, cols, f.b + image, r, c, <int> min(LANES, rows - r),
                                <int> min(LANES, c1 - c))
                c += LANES
            r += LANES


cdef void _flip(const real* a, real* b, intp images, intp rows, intp cols, int threads) noexcept:
    cdef Flip f = Flip(a, b, images, rows, cols, (cols + LAYOUT_WIDE * LANES - 1) // (LAYOUT_WIDE * LANES))
    with nogil:
        launch(_flip_share, &f, threads)


def to_channels_last(cnp.ndarray x, cnp.ndarray out, int threads):
    """out (N, H, W, C) OUT: x (N, C, H, W)."""
    _flip(data(x), data(out), x.shape[0], x.shape[1], x.shape[2] * x.shape[3], threads)


def to_channels_first(cnp.ndarray x, cnp.ndarray out, int threads):
    """out (N, C, H, W) OUT: x (N, H, W, C)."""
    _flip(data(x), data(out), x.shape[0], x.shape[1] * x.shape[2], x.shape[3], threads)


cdef struct EpilogueCall:
    real* y
    const real* bias
    const real* residual
    intp rows, n, channels          # rows of n numbers
    int code, per_number            # 1: each number of a row has a channel of its own


cdef void _epilogue_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const EpilogueCall* f = <const EpilogueCall*> arguments
    fc_epilogue_rows(f.code, f.y, f.bias, f.residual, split(f.rows, ithr, nthr), split(f.rows, ithr + 1, nthr), f.n,
                     f.channels, f.per_number)


def epilogue(cnp.ndarray y, cnp.ndarray bias, cnp.ndarray residual, int code, bint channels_last, int threads):
    """y IN OUT (N, C, H, W), or (N, H, W, C) if channels_last: activation(y + bias + residual); bias (C) and
    residual (as y) may be empty, code is the activation's place in ACTIVATIONS."""
    cdef EpilogueCall f
    f.y, f.code, f.per_number = data(y), code, channels_last
    f.bias = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    f.residual = data(residual) if cnp.PyArray_SIZE(residual) else NULL
    f.channels = y.shape[3] if channels_last else y.shape[1]
    f.n = f.channels if channels_last else y.shape[2] * y.shape[3]
    f.rows = cnp.PyArray_SIZE(y) // f.n
    if channels_last and f.bias == NULL:  # one row: nothing depends on the channel
        f.n, f.rows = f.n * y.shape[2], f.rows // y.shape[2]
    with nogil:
        launch(_epilogue_share, &f, threads)


cdef struct PanelEpilogue:
    real* y  # the first pixel of the first channel
    const real* bias
    const real* residual
    intp channels, plane, pixels
    int code


cdef void _epilogue_pixels_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const PanelEpilogue* f = <const PanelEpilogue*> arguments
    cdef intp c
    for c in range(split(f.channels, ithr, nthr), split(f.channels, ithr + 1, nthr)):
        fc_epilogue_rows(f.code, f.y + c * f.plane, _place(f.bias, c), _place(f.residual, c * f.plane), 0, 1, f.pixels,
                         1, 0)


def epilogue_pixels(cnp.ndarray y, cnp.ndarray bias, cnp.ndarray residual, int code, intp n0, intp p0, intp pixels,
                    int threads):
    """y IN OUT (N, C, H, W): `epilogue` for pixels p0 .. p0 + pixels of image n0."""
    cdef intp plane = y.shape[2] * y.shape[3], first = n0 * y.shape[1] * plane + p0
    cdef PanelEpilogue f = PanelEpilogue(data(y) + first, NULL, NULL, y.shape[1], plane, pixels, code)
    if cnp.PyArray_SIZE(bias):
        f.bias = data(bias)
    if cnp.PyArray_SIZE(residual):
        f.residual = data(residual) + first
    with nogil:
        launch(_epilogue_pixels_share, &f, threads)
