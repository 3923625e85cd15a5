# Channels first to channels last and back, and the epilogue of a convolution as a step of its own.
cdef extern from "ground/epilogue.h" nogil:
    int FC_RELU
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


cdef void _flip_share(const real* a, real* b, intp rows, intp cols, intp wide, intp first, intp last) noexcept nogil:
    """Tasks [first, last): each all rows of LAYOUT_WIDE vectors of columns of an image."""
    cdef intp task, image, c0, c1, r, c
    for task in range(first, last):
        image = task // wide * rows * cols
        c0 = task % wide * LAYOUT_WIDE * LANES
        c1 = min(c0 + LAYOUT_WIDE * LANES, cols)
        r = 0
        while r < rows:
            c = c0
            while c < c1:
                if rows - r >= LANES and c1 - c >= LANES:
                    _flip_block(a + image, rows, cols, b + image, r, c, LANES, LANES)
                else:
                    _flip_block(a + image, rows, cols, b + image, r, c, <int> min(LANES, rows - r),
                                <int> min(LANES, c1 - c))
                c += LANES
            r += LANES


cdef void _flip(const real* a, real* b, intp images, intp rows, intp cols, int threads) noexcept:
    cdef intp wide = (cols + LAYOUT_WIDE * LANES - 1) // (LAYOUT_WIDE * LANES)
    cdef intp tasks = images * wide, shares = min(tasks, threads), s
    if shares <= 1:
        _flip_share(a, b, rows, cols, wide, 0, tasks)
        return
    for s in prange(shares, nogil=True, schedule="static", num_threads=threads):
        _flip_share(a, b, rows, cols, wide, tasks * s // shares, tasks * (s + 1) // shares)


def to_channels_last(cnp.ndarray x, cnp.ndarray out, int threads):
    """out (N, H, W, C) OUT: x (N, C, H, W)."""
    _flip(data(x), data(out), x.shape[0], x.shape[1], x.shape[2] * x.shape[3], threads)


def to_channels_first(cnp.ndarray x, cnp.ndarray out, int threads):
    """out (N, C, H, W) OUT: x (N, H, W, C)."""
    _flip(data(x), data(out), x.shape[0], x.shape[1] * x.shape[2], x.shape[3], threads)


def epilogue(cnp.ndarray y, cnp.ndarray bias, cnp.ndarray residual, int code, bint channels_last, int threads):
    """y IN OUT (N, C, H, W), or (N, H, W, C) if channels_last: activation(y + bias + residual); bias (C) and
    residual (as y) may be empty, code is the activation's place in ACTIVATIONS."""
    cdef intp channels = y.shape[3] if channels_last else y.shape[1]
    cdef intp n = channels if channels_last else y.shape[2] * y.shape[3], rows, s, shares
    cdef const real* b = data(bias) if cnp.PyArray_SIZE(bias) else NULL
    cdef const real* r = data(residual) if cnp.PyArray_SIZE(residual) else NULL
    cdef real* p = data(y)
    rows = cnp.PyArray_SIZE(y) // n
    if channels_last and b == NULL:  # one row: nothing depends on the channel
        n, rows = n * y.shape[2], rows // y.shape[2]
    shares = min(rows, threads)
    if shares <= 1:
        fc_epilogue_rows(code, p, b, r, 0, rows, n, channels, channels_last)
        return
    for s in prange(shares, nogil=True, schedule="static", num_threads=threads):
        fc_epilogue_rows(code, p, b, r, rows * s // shares, rows * (s + 1) // shares, n, channels, channels_last)
