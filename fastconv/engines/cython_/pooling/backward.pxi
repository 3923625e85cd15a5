# Which pixel of a window is the largest, and the gradients of pooling. A task owns a band of rows of dx: it clears
# them, and adds what the windows that meet them have for them.


cdef inline void _pool_argrow(const int n, const Pool* f, const real* line, intp tap, real* best,
                              real* arg) noexcept nogil:
    """Taps `tap`, tap + 1, ... of one kernel row join best and arg."""
    cdef intp j = 0, v
    cdef vec a, t, x
    while j < f.OW:
        a, t = vload(best + j), vload(arg + j)
        for v in range(n if n else f.q.kw):
            x = vload(line + f.taps[v] + j)
            t = pool_above(x, a, vset(<real> (tap + v)), t)
            a = pool_above(x, a, x, a)
        vstore(best + j, a)
        vstore(arg + j, t)
        j += LANES


cdef struct PoolArg:
    const Pool* f
    const real* line
    intp tap
    real* best
    real* arg


cdef inline void _pool_argrow_of(int n, const void* args) noexcept nogil:
    cdef const PoolArg* a = <const PoolArg*> args
    _pool_argrow(n, a.f, a.line, a.tap, a.best, a.arg)


cdef void _pool_argmax(const Pool* f, const real* x, intp i, real* line, real* best, real* arg) noexcept nogil:
    """Output row i: its maxima, and by which tap. Of equals the first counts, of NaNs the last."""
    cdef intp u, r, j
    cdef PoolArg one = PoolArg(f, line, 0, best, arg)
    for j in range(f.OW):
        best[j] = POOL_LOWEST
        arg[j] = -1
    for u in range(f.q.kh):
        r = i * f.q.sh - f.q.pt + u * f.q.dh
        if 0 <= r < f.H:
            _pool_merge(True, 1, f, x + r * f.W, 0, 1, line)
            one.tap = u * f.q.kw
            fc_cases_or_any(_pool_argrow_of, <int> f.q.kw, 3, &one)


cdef intp _pool_lowest(const Pool* f, intp i, intp j) noexcept nogil:
    """Flat index for a window of nothing but -Inf: its first pixel, or -1 if it has none."""
    cdef intp r = i * f.q.sh - f.q.pt, c = j * f.q.sw - f.q.pl
    if r < 0:
        r += (f.q.dh - 1 - r) // f.q.dh * f.q.dh
    if c < 0:
        c += (f.q.dw - 1 - c) // f.q.dw * f.q.dw
    return -1 if r >= f.H or c >= f.W else r * f.W + c


cdef void _argmax_task(const Pool* f, intp task, real* line) noexcept nogil:
    cdef intp p = task // f.bands, i, j, corner
    cdef int tap
    cdef real* arg = line + f.q.sw * f.q.width + f.q.row
    cdef real* best = arg + f.q.row
    cdef const real* x = f.x + p * f.H * f.W
    cdef real* y = f.y + p * f.OH * f.OW
    cdef cnp.int64_t* index = f.index + p * f.OH * f.OW
    _pool_fill(line, f.q.sw * f.q.width, POOL_LOWEST)
    for i in range(task % f.bands * f.q.band, min(f.OH, (task % f.bands + 1) * f.q.band)):
        _pool_ahead(x + i * f.q.sh * f.W + POOL_AHEAD, f.q.sh * f.W, False)
        _pool_ahead(<real*> (index + i * f.OW) + POOL_AHEAD, f.OW * <intp> (8 // sizeof(real)), True)
        _pool_argmax(f, x, i, line, best, arg)
        memcpy(y + i * f.OW, best, f.OW * sizeof(real))
        corner = (i * f.q.sh - f.q.pt) * f.W - f.q.pl
        for j in range(f.OW):
            tap = <int> arg[j]
            index[i * f.OW + j] = corner + j * f.q.sw + f.offsets[tap] if tap >= 0 else _pool_lowest(f, i, j)


cdef inline intp _pool_first(const Pool* f, intp row) noexcept nogil:
    """The first output row whose window may reach an input row."""
    cdef intp r = row + f.q.pt - f.q.dh * (f.q.kh - 1)
    return 0 if r <= 0 else (r + f.q.sh - 1) // f.q.sh


cdef void _max_grad_task(const Pool* f, intp task, real* line) noexcept nogil:
    cdef intp p = task // f.bands, r0 = task % f.bands * f.q.band, r1 = min(f.H, r0 + f.q.band), i, j, at, corner
    cdef int tap
    cdef real* arg = line + f.q.sw * f.q.width + f.q.row
    cdef real* best = arg + f.q.row
    cdef const real* x = f.x + p * f.H * f.W
    cdef const real* dy = f.dy + p * f.OH * f.OW
    cdef real* dx = f.y + p * f.H * f.W
    _pool_fill(line, f.q.sw * f.q.width, POOL_LOWEST)
    memset(dx + r0 * f.W, 0, (r1 - r0) * f.W * sizeof(real))
    for i in range(_pool_first(f, r0), min(f.OH, (r1 - 1 + f.q.pt) // f.q.sh + 1)):
        _pool_ahead(x + i * f.q.sh * f.W + POOL_AHEAD, f.q.sh * f.W, False)
        _pool_ahead(dx + i * f.q.sh * f.W + f.q.band * f.W, f.q.sh * f.W, True)
        _pool_argmax(f, x, i, line, best, arg)
        corner = (i * f.q.sh - f.q.pt) * f.W - f.q.pl
        for j in range(f.OW):
            tap = <int> arg[j]
            at = corner + j * f.q.sw + f.offsets[tap] if tap >= 0 else _pool_lowest(f, i, j)
            if r0 * f.W <= at < r1 * f.W:
                dx[at] += dy[i * f.OW + j]


cdef intp _scatter_task(const Pool* f, intp task) noexcept nogil:
    """Returns how many indices do not lie in the rows of their windows."""
    cdef intp p = task // f.bands, r0 = task % f.bands * f.q.band, r1 = min(f.H, r0 + f.q.band), i, j, at, low, high
    cdef intp first, count, bad = 0
    cdef const real* dy = f.dy + p * f.OH * f.OW
    cdef real* dx = f.y + p * f.H * f.W
    cdef const cnp.int64_t* index = f.index + p * f.OH * f.OW
    memset(dx + r0 * f.W, 0, (r1 - r0) * f.W * sizeof(real))
    for i in range(_pool_first(f, r0), min(f.OH, (r1 - 1 + f.q.pt) // f.q.sh + 1)):
        _pool_ahead(<const real*> (index + i * f.OW) + POOL_AHEAD, f.OW * <intp> (8 // sizeof(real)), False)
        _pool_ahead(dy + i * f.OW + POOL_AHEAD // 4, f.OW, False)
        _pool_ahead(dx + i * f.q.sh * f.W + f.q.band * f.W, f.q.sh * f.W, True)
        low = max(0, i * f.q.sh - f.q.pt) * f.W
        high = min(f.H, i * f.q.sh - f.q.pt + f.q.dh * (f.q.kh - 1) + 1) * f.W
        first = max(low, r0 * f.W)
        count = min(high, r1 * f.W) - first
        for j in range(f.OW):
            at = index[i * f.OW + j]
            if <size_t> (at - first) < <size_t> count:
                dx[at] += dy[i * f.OW + j]
            elif at != -1 and not low <= at < high:
                bad += 1
    return bad


cdef void _avg_grad_task(const Pool* f, intp task, real* line) noexcept nogil:
    """Every row of dx once: the quotients of the windows that hold it, summed, are spread over their columns."""
    cdef intp p = task // f.bands, r, i, j, q, v, lo = 0, hi = 0, a, b, n = (f.W + f.q.sw - 1) // f.q.sw
    cdef real* out = line + f.q.width
    cdef real* d
    cdef vec s
    cdef const real* dy = f.dy + p * f.OH * f.OW
    cdef real* dx = f.y + p * f.H * f.W
    _pool_fill(line, f.q.width, 0)
    for r in range(task % f.bands * f.q.band, min(f.H, (task % f.bands + 1) * f.q.band)):
        d = dx + r * f.W
        a, b = _pool_first(f, r), min(f.OH, (r + f.q.pt) // f.q.sh + 1)
        if r > task % f.bands * f.q.band and a == lo and b == hi:  # the same windows as above
            memcpy(d, d - f.W, f.W * sizeof(real))
            continue
        lo, hi = a, b
        _pool_ahead(d + POOL_AHEAD, f.q.sh * f.W, True)
        _pool_ahead(dy + lo * f.OW + POOL_AHEAD // 4, f.OW, False)
        j = 0
        while j < f.OW:
            s = vzero()
            for i in range(lo, hi):
                if j + LANES <= f.OW:
                    s = s + vload(dy + i * f.OW + j) / (vset(f.rows[i]) * vload(f.cols + j))
                else:
                    s = s + vload_part(dy + i * f.OW + j, <int> (f.OW - j)) / (vset(f.rows[i]) * vload(f.cols + j))
            vstore(line + f.q.left + j, s)
            j += LANES
        for q in range(f.q.sw):  # column j * sw + q meets window j + (q + pl - v) / sw
            j = 0
            while j < n:
                s = vzero()
                v = (q + f.q.pl) % f.q.sw
                while v < f.q.kw:
                    s = s + vload(line + f.q.left + j + (q + f.q.pl - v) // f.q.sw)
                    v += f.q.sw
                vstore(out + q * f.q.width + j, s)
                j += LANES
        _pool_interleave(f, out, d)


cdef inline void _pool_interleave(const Pool* f, const real* line, real* d) noexcept nogil:
    """One row from its columns split by their remainder."""
    cdef intp j = 0, q, i
    if f.q.sw == 1:
        memcpy(d, line, f.W * sizeof(real))
        return
    if f.q.sw == 2:
        while 2 * (j + LANES) <= f.W:
            vstore(d + 2 * j, vziplo(vload(line + j), vload(line + f.q.width + j)))
            vstore(d + 2 * j + LANES, vziphi(vload(line + j), vload(line + f.q.width + j)))
            j += LANES
    for q in range(f.q.sw):
        for i in range(j, (f.W - q + f.q.sw - 1) // f.q.sw):
            d[i * f.q.sw + q] = line[q * f.q.width + i]


cdef void _argmax_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t, jobs = f.planes * f.bands
    for t in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        _argmax_task(f, t, f.work + ithr * f.q.per_thread)


cdef void _max_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t, jobs = f.planes * f.bands
    for t in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        _max_grad_task(f, t, f.work + ithr * f.q.per_thread)


cdef void _avg_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t, jobs = f.planes * f.bands
    for t in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        _avg_grad_task(f, t, f.work + ithr * f.q.per_thread)


cdef void _scatter_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t, jobs = f.planes * f.bands
    for t in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        f.bad[ithr] += _scatter_task(f, t)


def max_pool_indices(cnp.ndarray x, cnp.ndarray y, cnp.ndarray index, cnp.ndarray taps, cnp.ndarray offsets,
                     cnp.ndarray work, cnp.ndarray q, int threads):
    """x IN (planes, H, W); y OUT (planes, OH, OW); index OUT, int64: flat in the plane; `offsets`: of each tap."""
    cdef Pool f = _pool(x, y, q, False)
    f.taps = <const intp*> cnp.PyArray_DATA(taps)
    f.x, f.y, f.work, f.index = data(x), data(y), data(work), <cnp.int64_t*> cnp.PyArray_DATA(index)
    f.offsets = <const intp*> cnp.PyArray_DATA(offsets)
    with nogil:
        launch(_argmax_share, &f, threads)


def max_pool_backward(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray taps, cnp.ndarray offsets,
                      cnp.ndarray work, cnp.ndarray q, int threads):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    cdef Pool f = _pool(x, dy, q, True)
    f.taps = <const intp*> cnp.PyArray_DATA(taps)
    f.x, f.dy, f.y, f.work = data(x), data(dy), data(dx), data(work)
    f.offsets = <const intp*> cnp.PyArray_DATA(offsets)
    with nogil:
        launch(_max_grad_share, &f, threads)


def max_pool_scatter(cnp.ndarray dy, cnp.ndarray index, cnp.ndarray dx, cnp.ndarray bad, cnp.ndarray q, int threads):
    """dy, index IN; dx OUT: each dy at its index. bad INOUT (threads), added: how many lay outside of their rows."""
    cdef Pool f = _pool(dx, dy, q, True)
    f.dy, f.y = data(dy), data(dx)
    f.index, f.bad = <cnp.int64_t*> cnp.PyArray_DATA(index), <intp*> cnp.PyArray_DATA(bad)
    with nogil:
        launch(_scatter_share, &f, threads)


def avg_pool_backward(cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray work,
                      cnp.ndarray q, int threads):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel."""
    cdef Pool f = _pool(dx, dy, q, True)
    f.dy, f.y, f.rows, f.cols, f.work = data(dy), data(dx), data(rows), data(cols), data(work)
    with nogil:
        launch(_avg_grad_share, &f, threads)
