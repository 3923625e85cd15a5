# Pooling, lanes = neighbouring output pixels of a row.
#
# The rows of a window are merged first, by whole vectors, into one padded line whose columns are split by their
# remainder modulo the stride; there the columns of the windows are neighbours, and a tap is a fixed displacement.
# A task is a band of rows of one plane.

cdef extern from *:
    """
    /* lanes of p where x is above a or is NaN, else of q: the pick that carries a maximum, NaN included */
    #if VBYTES == 64 && !defined(FC_DOUBLE)
    FC_INLINE vec pool_above(vec x, vec a, vec p, vec q) {
        __mmask16 k = _mm512_cmp_ps_mask(x, a, _CMP_GT_OQ) | _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        return (vec)_mm512_mask_mov_ps(q, k, p);
    }
    #elif VBYTES == 64
    FC_INLINE vec pool_above(vec x, vec a, vec p, vec q) {
        __mmask8 k = _mm512_cmp_pd_mask(x, a, _CMP_GT_OQ) | _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q);
        return (vec)_mm512_mask_mov_pd(q, k, p);
    }
    #else
    FC_INLINE vec pool_above(vec x, vec a, vec p, vec q) {
        ivec m = (ivec)(x > a) | (ivec)(x != x);
        return (vec)(((ivec)p & m) | ((ivec)q & ~m));
    }
    #endif
    #define POOL_LOWEST (-(real)__builtin_inf())
    #define POOL_AHEAD ((ptrdiff_t)(8192 / sizeof(real))) /* numbers */
    """
    vec pool_above(vec x, vec a, vec p, vec q) nogil
    real POOL_LOWEST
    intp POOL_AHEAD

cdef struct Pool:
    PoolWindows q
    intp planes, H, W, OH, OW
    intp bands  # tasks of a plane
    const intp* taps  # where a tap of a kernel row stands in the line
    const intp* offsets  # of each tap from the corner of its window, in the plane
    const real* x  # in the gradients dy may stand alone
    const real* dy
    const real* rows  # windows' sizes are rows[i] * cols[j]
    const real* cols
    real* y  # or dx
    cnp.int64_t* index
    real* work
    intp* bad  # of each share


cdef Pool _pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray q, bint gradient) except *:
    """x or dx, y or dy; what a step takes besides is filled in by it."""
    cdef Pool f
    memset(&f, 0, sizeof(f))
    f.q = read_PoolWindows(q)[0]
    f.planes, f.H, f.W, f.OH, f.OW = x.shape[0], x.shape[1], x.shape[2], y.shape[1], y.shape[2]
    f.bands = ((f.H if gradient else f.OH) + f.q.band - 1) // f.q.band
    return f


cdef inline vec _pool_join(const bint top, vec a, vec x) noexcept nogil:
    return pool_above(x, a, x, a) if top else a + x


cdef inline void _pool_ahead(const real* p, intp n, const bint write) noexcept nogil:
    """Ask for n numbers that are needed some rows later: hardware does not see the streams in time."""
    cdef intp i = 0
    while i < n:
        if write:
            fetch_w(p + i)
        else:
            fetch(p + i)
        i += 64 // <intp> sizeof(real)


cdef inline void _pool_fill(real* d, intp n, real value) noexcept nogil:
    cdef intp i
    for i in range(n):
        d[i] = value


cdef inline vec _pool_column(const bint top, const int n, const real* x, intp step, intp rows,
                             intp left) noexcept nogil:
    """The next LANES columns (`left` are left) of rows `step` apart, merged; n is their number, or 0."""
    cdef intp u
    cdef vec a
    if left >= LANES:
        a = vload(x)
        for u in range(1, n if n else rows):
            a = _pool_join(top, a, vload(x + u * step))
        return a
    if left <= 0:
        return vzero()
    a = vload_part(x, <int> left)
    for u in range(1, n if n else rows):
        a = _pool_join(top, a, vload_part(x + u * step, <int> left))
    return a


cdef inline void _pool_merge(const bint top, const int n, const Pool* f, const real* x, intp step, intp rows,
                             real* line) noexcept nogil:
    """Columns of `line` OUT that show the image: the largest, or the sum, of the rows; elsewhere it keeps its fill."""
    cdef intp i = 0, q, W = f.W
    cdef real* d = line + f.q.left
    cdef real* plain = line + f.q.sw * f.q.width
    cdef vec a, b
    cdef vec outside = vset(POOL_LOWEST) if top else vzero()
    if f.q.sw == 2:
        while 2 * i < W:
            a = _pool_column(top, n, x + 2 * i, step, rows, W - 2 * i)
            b = _pool_column(top, n, x + 2 * i + LANES, step, rows, W - 2 * i - LANES)
            vstore(d + i, veven(a, b))
            vstore(d + f.q.width + i, vodd(a, b))
            i += LANES
        vstore(d + (W + 1) // 2, outside)
        vstore(d + f.q.width + W // 2, outside)
        return
    if f.q.sw == 1:
        plain = d
    while i < W:
        vstore(plain + i, _pool_column(top, n, x + i, step, rows, W - i))
        i += LANES
    if f.q.sw == 1:
        vstore(d + W, outside)
        return
    for q in range(f.q.sw):
        for i in range((W - q + f.q.sw - 1) // f.q.sw):
            d[q * f.q.width + i] = plain[i * f.q.sw + q]


cdef struct PoolMerge:
    const Pool* f
    const real* x
    intp step, rows
    real* line


cdef inline void _pool_merge_largest(int n, const void* args) noexcept nogil:
    cdef const PoolMerge* m = <const PoolMerge*> args
    _pool_merge(True, n, m.f, m.x, m.step, m.rows, m.line)


cdef inline void _pool_merge_sum(int n, const void* args) noexcept nogil:
    cdef const PoolMerge* m = <const PoolMerge*> args
    _pool_merge(False, n, m.f, m.x, m.step, m.rows, m.line)


cdef void _pool_rows(const bint top, const Pool* f, const real* x, intp i, real* line) noexcept nogil:
    """`line` OUT for output row i: the rows of the image that its windows meet."""
    cdef intp above = f.q.pt - i * f.q.sh, u0 = max(0, above), u1 = min(f.q.kh, f.H + above), n, step = f.q.dh * f.W
    if f.q.dh > 1:
        u0 = max(0, (above + f.q.dh - 1) // f.q.dh)
        u1 = min(f.q.kh, (f.H - 1 + above) // f.q.dh + 1)
    n = u1 - u0
    if n <= 0:
        _pool_fill(line, f.q.sw * f.q.width, POOL_LOWEST if top else 0)
        return
    x += (u0 * f.q.dh - above) * f.W
    cdef PoolMerge one = PoolMerge(f, x, step, n, line)
    if top:
        fc_cases_or_any(_pool_merge_largest, <int> n, 3, &one)
    else:
        fc_cases_or_any(_pool_merge_sum, <int> n, 3, &one)


cdef inline void _pool_across(const bint top, const int n, const Pool* f, const real* line, real rows, const real* cols,
                              real* y) noexcept nogil:
    """One row of y OUT from its line; a sum is divided by the size of the window, rows * cols. n is kw, or 0."""
    cdef intp j = 0, v
    cdef vec a
    while j < f.OW:
        a = vload(line + f.taps[0] + j)
        for v in range(1, n if n else f.q.kw):
            a = _pool_join(top, a, vload(line + f.taps[v] + j))
        if not top:
            a = a / (vset(rows) * vload(cols + j))
        if j + LANES <= f.OW:
            vstore(y + j, a)
        else:
            vstore_part(y + j, a, <int> (f.OW - j))
        j += LANES


cdef struct PoolAcross:
    const Pool* f
    const real* line
    real rows
    real* y


cdef inline void _pool_across_largest(int n, const void* args) noexcept nogil:
    cdef const PoolAcross* a = <const PoolAcross*> args
    _pool_across(True, n, a.f, a.line, 1, NULL, a.y)


cdef inline void _pool_across_mean(int n, const void* args) noexcept nogil:
    cdef const PoolAcross* a = <const PoolAcross*> args
    _pool_across(False, n, a.f, a.line, a.rows, a.f.cols, a.y)


cdef inline void _pool_task(const bint top, const Pool* f, intp task, real* line) noexcept nogil:
    """A band of output rows."""
    cdef intp p = task // f.bands, i
    cdef const real* x = f.x + p * f.H * f.W
    cdef real* y = f.y + p * f.OH * f.OW
    cdef PoolAcross one
    _pool_fill(line, f.q.sw * f.q.width, POOL_LOWEST if top else 0)
    one.f, one.line = f, line
    for i in range(task % f.bands * f.q.band, min(f.OH, (task % f.bands + 1) * f.q.band)):
        _pool_ahead(x + i * f.q.sh * f.W + POOL_AHEAD, f.q.sh * f.W, False)
        _pool_ahead(y + i * f.OW + POOL_AHEAD // 4, f.OW, True)
        _pool_rows(top, f, x, i, line)
        one.y = y + i * f.OW
        if top:
            fc_cases_or_any(_pool_across_largest, <int> f.q.kw, 3, &one)
        else:
            one.rows = f.rows[i]
            fc_cases_or_any(_pool_across_mean, <int> f.q.kw, 3, &one)


cdef void _max_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t
    for t in range(first, end):
        _pool_task(True, f, t, f.work + ithr * f.q.per_thread)


cdef void _avg_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    cdef const Pool* f = <const Pool*> args
    cdef intp t
    for t in range(first, end):
        _pool_task(False, f, t, f.work + ithr * f.q.per_thread)


def max_pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray taps, cnp.ndarray work, cnp.ndarray q, int threads):
    """x IN (planes, H, W); y OUT (planes, OH, OW); NaN where the window holds one."""
    cdef Pool f = _pool(x, y, q, False)
    f.taps = <const intp*> cnp.PyArray_DATA(taps)
    f.x, f.y, f.work = data(x), data(y), data(work)
    with nogil:
        launch_parts(_max_part, &f, f.planes * f.bands, threads)


def avg_pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray taps, cnp.ndarray work,
             cnp.ndarray q, int threads):
    """The same for the mean: a window has rows[i] * cols[j] pixels; `cols` is longer by a vector."""
    cdef Pool f = _pool(x, y, q, False)
    f.taps = <const intp*> cnp.PyArray_DATA(taps)
    f.x, f.y, f.work, f.rows, f.cols = data(x), data(y), data(work), data(rows), data(cols)
    with nogil:
        launch_parts(_avg_part, &f, f.planes * f.bands, threads)
