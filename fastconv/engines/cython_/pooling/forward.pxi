# Pooling, lanes = neighbouring output pixels of a row.
#
# The rows of a window are merged first, by whole vectors, into one padded line whose columns are split by their
# remainder modulo the stride; there the columns of the windows are neighbours, and a tap is a fixed displacement.
# A task is a band of rows of one plane.
from cython.parallel cimport threadid

cdef extern from *:
    """
    /* lanes of p where x is above a or is NaN, else of q: the pick that carries a maximum, NaN included */
    #if VBYTES == 64 && !defined(FC_DOUBLE)
    FC_INLINE vec fc_above(vec x, vec a, vec p, vec q) {
        __mmask16 k = _mm512_cmp_ps_mask(x, a, _CMP_GT_OQ) | _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        return (vec)_mm512_mask_mov_ps(q, k, p);
    }
    #elif VBYTES == 64
    FC_INLINE vec fc_above(vec x, vec a, vec p, vec q) {
        __mmask8 k = _mm512_cmp_pd_mask(x, a, _CMP_GT_OQ) | _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q);
        return (vec)_mm512_mask_mov_pd(q, k, p);
    }
    #else
    FC_INLINE vec fc_above(vec x, vec a, vec p, vec q) {
        ivec m = (ivec)(x > a) | (ivec)(x != x);
        return (vec)(((ivec)p & m) | ((ivec)q & ~m));
    }
    #endif
    #define FC_LOWEST (-(real)__builtin_inf())
    #define FC_AHEAD ((ptrdiff_t)(8192 / sizeof(real))) /* numbers */
    """
    vec fc_above(vec x, vec a, vec p, vec q) nogil
    real FC_LOWEST
    intp FC_AHEAD

cdef struct Pool:
    intp planes, H, W, OH, OW
    intp kh, kw, sh, sw, pt, pl, dh
    intp left, width  # of a line: columns in front of the image, columns of one remainder
    intp row  # room for a plain row
    intp band, bands  # output rows (in the gradients input rows) of a task, tasks of a plane
    intp share  # numbers of scratch memory a thread
    const intp* taps  # where a tap of a kernel row stands in the line


cdef Pool _pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray taps, tuple numbers, bint gradient):
    cdef Pool f
    f.kh, f.kw, f.sh, f.sw, f.pt, f.pl, f.dh, f.left, f.width, f.row, f.band, f.share = numbers
    f.planes, f.H, f.W, f.OH, f.OW = x.shape[0], x.shape[1], x.shape[2], y.shape[1], y.shape[2]
    f.bands = ((f.H if gradient else f.OH) + f.band - 1) // f.band
    f.taps = <const intp*> cnp.PyArray_DATA(taps)
    return f


cdef inline vec _pool_join(const bint top, vec a, vec x) noexcept nogil:
    return fc_above(x, a, x, a) if top else a + x


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


cdef inline vec _pool_column(const bint top, const int n, const real* x, intp step, intp rows, intp left) noexcept nogil:
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


cdef inline void _pool_merge(const bint top, const int n, const Pool* f, const real* x, intp step, intp rows, real* line) noexcept nogil:
    """Columns of `line` OUT that show the image: the largest, or the sum, of the rows; elsewhere it keeps its filling."""
    cdef intp i = 0, q, W = f.W
    cdef real* d = line + f.left
    cdef real* plain = line + f.sw * f.width
    cdef vec a, b
    cdef vec outside = vset(FC_LOWEST) if top else vzero()
    if f.sw == 2:
        while 2 * i < W:
            a = _pool_column(top, n, x + 2 * i, step, rows, W - 2 * i)
            b = _pool_column(top, n, x + 2 * i + LANES, step, rows, W - 2 * i - LANES)
            vstore(d + i, veven(a, b))
            vstore(d + f.width + i, vodd(a, b))
            i += LANES
        vstore(d + (W + 1) // 2, outside)
        vstore(d + f.width + W // 2, outside)
        return
    if f.sw == 1:
        plain = d
    while i < W:
        vstore(plain + i, _pool_column(top, n, x + i, step, rows, W - i))
        i += LANES
    if f.sw == 1:
        vstore(d + W, outside)
        return
    for q in range(f.sw):
        for i in range((W - q + f.sw - 1) // f.sw):
            d[q * f.width + i] = plain[i * f.sw + q]


cdef void _pool_rows(const bint top, const Pool* f, const real* x, intp i, real* line) noexcept nogil:
    """`line` OUT for output row i: the rows of the image that its windows meet."""
    cdef intp above = f.pt - i * f.sh, u0 = max(0, above), u1 = min(f.kh, f.H + above), n, step = f.dh * f.W
    if f.dh > 1:
        u0 = max(0, (above + f.dh - 1) // f.dh)
        u1 = min(f.kh, (f.H - 1 + above) // f.dh + 1)
    n = u1 - u0
    if n <= 0:
        _pool_fill(line, f.sw * f.width, FC_LOWEST if top else 0)
        return
    x += (u0 * f.dh - above) * f.W
    if n == 2: _pool_merge(top, 2, f, x, step, n, line)
    elif n == 3: _pool_merge(top, 3, f, x, step, n, line)
    else: _pool_merge(top, 0, f, x, step, n, line)


cdef inline void _pool_across(const bint top, const int n, const Pool* f, const real* line, real rows, const real* cols,
                              real* y) noexcept nogil:
    """One row of y OUT from its line; a sum is divided by the size of the window, rows * cols. n is kw, or 0."""
    cdef intp j = 0, v
    cdef vec a
    while j < f.OW:
        a = vload(line + f.taps[0] + j)
        for v in range(1, n if n else f.kw):
            a = _pool_join(top, a, vload(line + f.taps[v] + j))
        if not top:
            a = a / (vset(rows) * vload(cols + j))
        if j + LANES <= f.OW:
            vstore(y + j, a)
        else:
            vstore_part(y + j, a, <int> (f.OW - j))
        j += LANES


cdef inline void _pool_task(const bint top, const Pool* f, const real* x, real* y, const real* rows, const real* cols,
                            intp task, real* line) noexcept nogil:
    cdef intp p = task // f.bands, i
    x += p * f.H * f.W
    y += p * f.OH * f.OW
    _pool_fill(line, f.sw * f.width, FC_LOWEST if top else 0)
    for i in range(task % f.bands * f.band, min(f.OH, (task % f.bands + 1) * f.band)):
        _pool_ahead(x + i * f.sh * f.W + FC_AHEAD, f.sh * f.W, False)
        _pool_ahead(y + i * f.OW + FC_AHEAD // 4, f.OW, True)
        _pool_rows(top, f, x, i, line)
        if f.kw == 2: _pool_across(top, 2, f, line, 1 if top else rows[i], cols, y + i * f.OW)
        elif f.kw == 3: _pool_across(top, 3, f, line, 1 if top else rows[i], cols, y + i * f.OW)
        else: _pool_across(top, 0, f, line, 1 if top else rows[i], cols, y + i * f.OW)


cdef void _max_task(const Pool* f, const real* x, real* y, intp task, real* line) noexcept nogil:
    _pool_task(True, f, x, y, NULL, NULL, task, line)


cdef void _avg_task(const Pool* f, const real* x, real* y, const real* rows, const real* cols, intp task,
                    real* line) noexcept nogil:
    _pool_task(False, f, x, y, rows, cols, task, line)


def max_pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray taps, cnp.ndarray work, tuple numbers, int threads):
    """x IN (planes, H, W); y OUT (planes, OH, OW); NaN where the window holds one."""
    cdef Pool f = _pool(x, y, taps, numbers, False)
    cdef const real* xp = data(x)
    cdef real* yp = data(y)
    cdef real* wp = data(work)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                _max_task(&f, xp, yp, t, wp)
        return
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        _max_task(&f, xp, yp, t, wp + threadid() * f.share)


def avg_pool(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray taps, cnp.ndarray work,
             tuple numbers, int threads):
    """The same for the mean: a window has rows[i] * cols[j] pixels; `cols` is longer by a vector."""
    cdef Pool f = _pool(x, y, taps, numbers, False)
    cdef const real* xp = data(x)
    cdef const real* rp = data(rows)
    cdef const real* cp = data(cols)
    cdef real* yp = data(y)
    cdef real* wp = data(work)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(f.planes * f.bands):
                _avg_task(&f, xp, yp, rp, cp, t, wp)
        return
    for t in prange(f.planes * f.bands, nogil=True, schedule="static", num_threads=threads):
        _avg_task(&f, xp, yp, rp, cp, t, wp + threadid() * f.share)
