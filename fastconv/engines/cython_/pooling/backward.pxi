# Which pixel of a window is the largest, and the gradients of pooling. A task owns a band of rows of dx: it clears
# them, and adds what the windows that meet them have for them.


cdef inline void _pool_argrow(const int n, const Pool* f, const real* line, intp tap, real* best, real* arg) noexcept nogil:
    """Taps `tap`, tap + 1, ... of one kernel row join best and arg."""
    cdef intp j = 0, v
    cdef vec a, t, x
    while j < f.OW:
        a, t = vload(best + j), vload(arg + j)
        for v in range(n if n else f.kw):
            x = vload(line + f.taps[v] + j)
            t = fc_above(x, a, vset(<real> (tap + v)), t)
            a = fc_above(x, a, x, a)
        vstore(best + j, a)
        vstore(arg + j, t)
        j += LANES


cdef void _pool_argmax(const Pool* f, const real* x, intp i, real* line, real* best, real* arg) noexcept nogil:
    """Output row i: its maxima, and by which tap. Of equals the first counts, of NaNs the last."""
    cdef intp u, r, j, v, c
    for j in range(f.OW):
        best[j] = FC_LOWEST
        arg[j] = -1
    for u in range(f.kh):
        r = i * f.sh - f.pt + u * f.dh
        if 0 <= r < f.H:
            _pool_merge(True, 1, f, x + r * f.W, 0, 1, line)
            if f.kw == 2: _pool_argrow(2, f, line, u * f.kw, best, arg)
            elif f.kw == 3: _pool_argrow(3, f, line, u * f.kw, best, arg)
            else: _pool_argrow(0, f, line, u * f.kw, best, arg)


cdef intp _pool_lowest(const Pool* f, intp dw, intp i, intp j) noexcept nogil:
    """Flat index for a window of nothing but -Inf: its first pixel, or -1 if it has none."""
    cdef intp r = i * f.sh - f.pt, c = j * f.sw - f.pl
    if r < 0:
        r += (f.dh - 1 - r) // f.dh * f.dh
    if c < 0:
        c += (dw - 1 - c) // dw * dw
    return -1 if r >= f.H or c >= f.W else r * f.W + c


cdef void _argmax_task(const Pool* f, const real* x, real* y, cnp.int64_t* index, const intp* offsets, intp dw, intp task,
                       real* line) noexcept nogil:
    cdef intp p = task // f.bands, i, j, corner
    cdef int tap
    cdef real* arg = line + f.sw * f.width + f.row
    cdef real* best = arg + f.row
    x += p * f.H * f.W
    y += p * f.OH * f.OW
    index += p * f.OH * f.OW
    _pool_fill(line, f.sw * f.width, FC_LOWEST)
    for i in range(task % f.bands * f.band, min(f.OH, (task % f.bands + 1) * f.band)):
        _pool_ahead(x + i * f.sh * f.W + FC_AHEAD, f.sh * f.W, False)
        _pool_ahead(<real*> (index + i * f.OW) + FC_AHEAD, f.OW * <intp> (8 // sizeof(real)), True)
        _pool_argmax(f, x, i, line, best, arg)
        memcpy(y + i * f.OW, best, f.OW * sizeof(real))
        corner = (i * f.sh - f.pt) * f.W - f.pl
        for j in range(f.OW):
            tap = <int> arg[j]
            index[i * f.OW + j] = corner + j * f.sw + offsets[tap] if tap >= 0 else _pool_lowest(f, dw, i, j)


cdef inline intp _pool_first(const Pool* f, intp row) noexcept nogil:
    """The first output row whose window may reach an input row."""
    cdef intp r = row + f.pt - f.dh * (f.kh - 1)
    return 0 if r <= 0 else (r + f.sh - 1) // f.sh


cdef void _max_grad_task(const Pool* f, const real* x, const real* dy, real* dx, const intp* offsets, intp dw, intp task,
                         real* line) noexcept nogil:
    cdef intp p = task // f.bands, r0 = task % f.bands * f.band, r1 = min(f.H, r0 + f.band), i, j, at, corner
    cdef int tap
    cdef real* arg = line + f.sw * f.width + f.row
    cdef real* best = arg + f.row
    x += p * f.H * f.W
    dy += p * f.OH * f.OW
    dx += p * f.H * f.W
    _pool_fill(line, f.sw * f.width, FC_LOWEST)
    memset(dx + r0 * f.W, 0, (r1 - r0) * f.W * sizeof(real))
    for i in range(_pool_first(f, r0), min(f.OH, (r1 - 1 + f.pt) // f.sh + 1)):
        _pool_ahead(x + i * f.sh * f.W + FC_AHEAD, f.sh * f.W, False)
        _pool_ahead(dx + i * f.sh * f.W + f.band * f.W, f.sh * f.W, True)
        _pool_argmax(f, x, i, line, best, arg)
        corner = (i * f.sh - f.pt) * f.W - f.pl
        for j in range(f.OW):
            tap = <int> arg[j]
            at = corner + j * f.sw + offsets[tap] if tap >= 0 else _pool_lowest(f, dw, i, j)
            if r0 * f.W <= at < r1 * f.W:
                dx[at] += dy[i * f.OW + j]


cdef intp _scatter_task(const Pool* f, const cnp.int64_t* index, const real* dy, real* dx, intp task) noexcept nogil:
    """Returns how many indices do not lie in the rows of their windows."""
    cdef intp p = task // f.bands, r0 = task % f.bands * f.band, r1 = min(f.H, r0 + f.band), i, j, at, low, high
    cdef intp first, count, bad = 0
    dy += p * f.OH * f.OW
    dx += p * f.H * f.W
    index += p * f.OH * f.OW
    memset(dx + r0 * f.W, 0, (r1 - r0) * f.W * sizeof(real))
    for i in range(_pool_first(f, r0), min(f.OH, (r1 - 1 + f.pt) // f.sh + 1)):
        _pool_ahead(<const real*> (index + i * f.OW) + FC_AHEAD, f.OW * <intp> (8 // sizeof(real)), False)
        _pool_ahead(dy + i * f.OW + FC_AHEAD // 4, f.OW, False)
        _pool_ahead(dx + i * f.sh * f.W + f.band * f.W, f.sh * f.W, True)
        low = max(0, i * f.sh - f.pt) * f.W
        high = min(f.H, i * f.sh - f.pt + f.dh * (f.kh - 1) + 1) * f.W
        first = max(low, r0 * f.W)
        count = min(high, r1 * f.W) - first
        for j in range(f.OW):
            at = index[i * f.OW + j]
            if <size_t> (at - first) < <size_t> count:
                dx[at] += dy[i * f.OW + j]
            elif at != -1 and not low <= at < high:
                bad += 1
    return bad


cdef void _avg_grad_task(const Pool* f, const real* dy, real* dx, const real* rows, const real* cols, intp task,
                         real* line) noexcept nogil:
    """Every row of dx once: the quotients of the windows that hold it, summed, are spread over their columns."""
    cdef intp p = task // f.bands, r, i, j, q, v, lo = 0, hi = 0, a, b, n = (f.W + f.sw - 1) // f.sw
    cdef real* out = line + f.width
    cdef real* d
    cdef vec s
    dy += p * f.OH * f.OW
    dx += p * f.H * f.W
    _pool_fill(line, f.width, 0)
    for r in range(task % f.bands * f.band, min(f.H, (task % f.bands + 1) * f.band)):
        d = dx + r * f.W
        a, b = _pool_first(f, r), min(f.OH, (r + f.pt) // f.sh + 1)
        if r > task % f.bands * f.band and a == lo and b == hi:  # the same windows as above
            memcpy(d, d - f.W, f.W * sizeof(real))
            continue
        lo, hi = a, b
        _pool_ahead(d + FC_AHEAD, f.sh * f.W, True)
        _pool_ahead(dy + lo * f.OW + FC_AHEAD // 4, f.OW, False)
        j = 0
        while j < f.OW:
            s = vzero()
            for i in range(lo, hi):
                if j + LANES <= f.OW:
                    s = s + vload(dy + i * f.OW + j) / (vset(rows[i]) * vload(cols + j))
                else:
                    s = s + vload_part(dy + i * f.OW + j, <int> (f.OW - j)) / (vset(rows[i]) * vload(cols + j))
            vstore(line + f.left + j, s)
            j += LANES
        for q in range(f.sw):  # column j * sw + q meets window j + (q + pl - v) / sw
            j = 0
            while j < n:
                s = vzero()
                v = (q + f.pl) % f.sw
                while v < f.kw:
                    s = s + vload(line + f.left + j + (q + f.pl - v) // f.sw)
                    v += f.sw
                vstore(out + q * f.width + j, s)
                j += LANES
        _pool_interleave(f, out, d)


cdef inline void _pool_interleave(const Pool* f, const real* line, real* d) noexcept nogil:
    """One row from its columns split by their remainder."""
    cdef intp j = 0, q, i
    if f.sw == 1:
        memcpy(d, line, f.W * sizeof(real))
        return
    if f.sw == 2:
        while 2 * (j + LANES) <= f.W:
            vstore(d + 2 * j, vziplo(vload(line + j), vload(line + f.width + j)))
            vstore(d + 2 * j + LANES, vziphi(vload(line + j), vload(line + f.width + j)))
            j += LANES
    for q in range(f.sw):
        for i in range(j, (f.W - q + f.sw - 1) // f.sw):
            d[i * f.sw + q] = line[q * f.width + i]


def max_pool_indices(cnp.ndarray x, cnp.ndarray y, cnp.ndarray index, cnp.ndarray taps, cnp.ndarray offsets, intp dw,
                     cnp.ndarray work, tuple numbers, int threads):
    """x IN (planes, H, W); y OUT (planes, OH, OW); index OUT, int64: flat in the plane; `offsets` is that of each tap."""
    cdef Pool f = _pool(x, y, taps, numbers, False)
    cdef const real* xp = data(x)
    cdef real* yp = data(y)
    cdef real* wp = data(work)
    cdef cnp.int64_t* ip = <cnp.int64_t*> cnp.PyArray_DATA(index)
    cdef const intp* op = <const intp*> cnp.PyArray_DATA(offsets)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                _argmax_task(&f, xp, yp, ip, op, dw, t, wp)
        return
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        _argmax_task(&f, xp, yp, ip, op, dw, t, wp + threadid() * f.share)


def max_pool_backward(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray taps, cnp.ndarray offsets, intp dw,
                      cnp.ndarray work, tuple numbers, int threads):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    cdef Pool f = _pool(x, dy, taps, numbers, True)
    cdef const real* xp = data(x)
    cdef const real* gp = data(dy)
    cdef real* dp = data(dx)
    cdef real* wp = data(work)
    cdef const intp* op = <const intp*> cnp.PyArray_DATA(offsets)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                _max_grad_task(&f, xp, gp, dp, op, dw, t, wp)
        return
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        _max_grad_task(&f, xp, gp, dp, op, dw, t, wp + threadid() * f.share)


def max_pool_scatter(cnp.ndarray index, cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray taps, tuple numbers, int threads):
    """index, dy IN; dx OUT: each dy at its index. Returns how often an index was outside of its window's rows."""
    cdef Pool f = _pool(dx, dy, taps, numbers, True)
    cdef const real* gp = data(dy)
    cdef real* dp = data(dx)
    cdef const cnp.int64_t* ip = <const cnp.int64_t*> cnp.PyArray_DATA(index)
    cdef intp t, bad = 0
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                bad += _scatter_task(&f, ip, gp, dp, t)
        return bad
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        bad += _scatter_task(&f, ip, gp, dp, t)
    return bad


def avg_pool_backward(cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray taps,
                      cnp.ndarray work, tuple numbers, int threads):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel."""
    cdef Pool f = _pool(dx, dy, taps, numbers, True)
    cdef const real* gp = data(dy)
    cdef const real* rp = data(rows)
    cdef const real* cp = data(cols)
    cdef real* dp = data(dx)
    cdef real* wp = data(work)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                _avg_grad_task(&f, gp, dp, rp, cp, t, wp)
        return
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        _avg_grad_task(&f, gp, dp, rp, cp, t, wp + threadid() * f.share)
