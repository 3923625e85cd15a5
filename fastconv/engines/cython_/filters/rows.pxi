# Image filters: bordered rows, the step of a kernel of two dimensions, and its threads.

cdef void _filter_row(const FilterPicture* f, intp i, intp q0, intp q1, real* d) noexcept nogil:
    """Bordered columns [q0, q1) of bordered row i."""
    cdef intp r = f.rows[i], q = q0, c = f.c, end, j
    cdef const char* x = f.x + r * f.w * c * _size_of(f.xk)
    while q < q1:
        end = min(q1, f.in1) if f.in0 <= q < f.in1 else q + 1
        if r < 0 or f.cols[q] < 0:
            for j in range((end - q) * c):
                d[(q - q0) * c + j] = f.cval
        else:
            _filter_read(f.xk, x, f.cols[q] * c, d + (q - q0) * c, (end - q) * c)
        q = end


cdef void _filter_sources(Sources* s, const FilterPicture* f, bint bytes, real* work, intp n, intp i, intp last, intp q0,
                          intp width, intp reach, intp step) noexcept nogil:
    """Pointers to n rows begin `work`. Blocks of `step` numbers are read in the image where neighbours lie there.

    That is if it holds `real` (or bytes, which only columns are summed from) and all rows i ... last.
    """
    cdef intp k
    s.edge = <const char**> work
    s.rows = s.edge + n
    s.kind = f.xk
    s.a = s.b = 0
    if f.xk != FILTER_REAL and not (bytes and f.xk == FILTER_U8 and sizeof(real) == 4):
        return
    for k in range(i, last + 1):
        if f.rows[k] < 0:
            return
    s.a = (max(f.in0 - q0, 0) * f.c + step - 1) / step * step
    s.b = s.a + (min((f.in1 - q0) * f.c - reach, width) - s.a) / step * step
    if s.b <= s.a:
        s.a = s.b = 0


cdef inline intp _filter_head(intp n) noexcept nogil:
    """Numbers that the pointers to n rows take."""
    return ((2 * n * 8 / <intp> sizeof(real) + 15) / 16) * 16


cdef void _filter_fill(const Sources* s, const FilterPicture* f, real* ring, intp n, intp i, intp last, intp q0,
                       intp q1, intp reach, intp* filled) noexcept nogil:
    """Rows i ... i + n - 1 get ready, `last` at most; those before `filled` are. Columns [q0, q1) with a border."""
    cdef intp r, k
    cdef real* to
    while filled[0] <= min(i + n - 1, last):
        to = ring + filled[0] % n * f.pitch
        if s.a > 0: _filter_row(f, filled[0], q0, q0 + (s.a + reach + f.c - 1) / f.c, to)
        _filter_row(f, filled[0], q0 + s.b / f.c, q1, to + s.b / f.c * f.c)
        filled[0] += 1
    for r in range(n):
        k = min(i + r, last)
        s.edge[r] = <const char*> (ring + k % n * f.pitch)
        if s.a < s.b:
            s.rows[r] = _number(f.xk, f.x, (f.rows[k] * f.w + f.cols[f.in0] - f.in0 + q0) * f.c)


cdef void _filter_task(const FilterPicture* f, const real* w, intp task, real* work) noexcept nogil:
    """One band of one strip. work: row pointers, ring, rows of results, a block."""
    cdef intp strips = (f.ow + f.strip - 1) / f.strip, q0 = task % strips * f.strip, q1 = min(q0 + f.strip, f.ow)
    cdef intp i = task / strips * f.band, end = min(i + f.band, f.oh), filled = i, last = end + f.kh - 2
    cdef int R = _filter_height(f.kh)
    cdef intp n = f.kh - 1 + R, width = (q1 - q0) * f.c, reach = (f.kw - 1) * f.c, r
    cdef Sources s
    cdef real* ring = work + _filter_head(n)
    cdef real* out = ring + n * f.pitch
    cdef real* tile = out + R * f.pitch
    _filter_sources(&s, f, False, work, n, i, last, q0, width, reach, _filter_step(R))
    while i < end:
        _filter_fill(&s, f, ring, n, i, last, q0, q1 + f.kw - 1, reach, &filled)
        if f.yk == FILTER_REAL and i + R <= end:
            _filter_pieces(R, f.fold, &s, w, f, (<real*> f.y) + (i * f.ow + q0) * f.c, f.ow * f.c, width, tile)
        else:
            _filter_pieces(R, f.fold, &s, w, f, out, f.pitch, width, tile)
            for r in range(min(R, end - i)):
                _filter_write(f.yk, out + r * f.pitch, f.y, ((i + r) * f.ow + q0) * f.c, width)
        i += R


cdef void _filter_picture(FilterPicture* f, cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, intp in0,
                          intp in1, double cval, intp kh, intp kw, intp strip, intp band, intp pitch):
    f.x, f.y = <const char*> cnp.PyArray_DATA(x), <char*> cnp.PyArray_DATA(y)
    f.xk, f.yk = _kind(x), _kind(y)
    f.w, f.c, f.oh, f.ow = x.shape[1], x.shape[2], y.shape[0], y.shape[1]
    f.rows, f.cols = <const intp*> cnp.PyArray_DATA(rows), <const intp*> cnp.PyArray_DATA(cols)
    f.in0, f.in1, f.cval, f.kh, f.kw = in0, in1, <real> cval, kh, kw
    f.strip, f.band, f.pitch, f.fold, f.sign = strip, band, pitch, False, 0


cdef int _kind(cnp.ndarray a):
    cdef int t = cnp.PyArray_TYPE(a)
    if t == cnp.NPY_UINT8: return FILTER_U8
    if t == cnp.NPY_UINT16: return FILTER_U16
    if t == cnp.NPY_INT16: return FILTER_I16
    return FILTER_F32 if sizeof(real) == 8 and t == cnp.NPY_FLOAT32 else FILTER_REAL


def filter_direct(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, intp in0, intp in1,
                  double cval, int fold, intp strip, intp band, intp pitch, cnp.ndarray work, intp share, int threads):
    """y[i, j, c] = sum over a, b of w[b, kh - 1 - a] x[rows[i + a], cols[j + b], c]; x, w IN, y OUT, work WORK.

    fold 1 or -1: the kernel equals plus or minus its mirror image, left and right; w holds its left half, the
    middle column halved.
    """
    cdef FilterPicture f
    cdef intp kh = w.shape[1], kw = cols.shape[0] - y.shape[1] + 1, i, tasks
    cdef real* wp = data(w)
    cdef real* scratch = data(work)
    _filter_picture(&f, x, y, rows, cols, in0, in1, cval, kh, kw, strip, band, pitch)
    f.fold, f.sign = fold != 0, fold
    tasks = ((f.oh + band - 1) / band) * ((f.ow + strip - 1) / strip)
    if threads == 1:
        with nogil:
            for i in range(tasks):
                _filter_task(&f, wp, i, scratch)
        return
    for i in prange(tasks, nogil=True, schedule="dynamic", num_threads=threads):
        _filter_task(&f, wp, i, scratch + threadid() * share)
