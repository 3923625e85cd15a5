# Image filters: tasks, bordered rows, and the step of a kernel of two dimensions.

cdef struct FilterPicture
ctypedef void (*filter_task)(const FilterPicture* f, intp task, real* work) noexcept nogil

cdef struct FilterPicture:      # what all threads share
    const char* x               # (H, W, C) of kind xk
    char* y                     # (OH, OW, C) of kind yk
    int xk, yk
    intp iw, oh, ow, c          # image width; output sizes; channels
    const intp* rows            # image row of each of oh + kh - 1 bordered rows
    const intp* cols            # image column of each of ow + kw - 1 bordered columns
    real cval
    const FilterTasks* q
    filter_weights down, along   # weights: of a whole kernel or along columns; along rows
    real* planes                # of an image that is split or joined
    real* work                  # scratch memory, q.per_thread numbers a thread
    filter_task run
    intp tasks, next            # how many there are; the next one that nobody has begun
    intp spoilt                 # rows of planes that are not finite

cdef struct FilterStrip:        # a task
    intp i, end                 # output rows
    intp q0, q1                 # output columns
    intp width                  # numbers of a row of them

cdef struct FilterSources:      # where a thread finds the rows of its strip
    const char** edge           # bordered rows of `real`
    const char** rows           # rows of the image, of this kind: numbers [a, b + reach) are the same there
    int kind
    intp a, b
    real* ring
    intp n                      # rows of the ring
    intp filled                 # bordered rows before this one are there
    intp last                   # the last one that is needed


cdef FilterPicture _filter_picture(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, double cval,
                                   cnp.ndarray work, cnp.ndarray q) except *:
    cdef FilterPicture f
    f.q = read_FilterTasks(q)
    if cnp.PyArray_SIZE(x) != f.q.ih * f.q.iw * f.q.c or cnp.PyArray_SIZE(y) != f.q.oh * f.q.ow * f.q.c:
        raise ValueError("an image filter was made for other sizes")
    f.x, f.y = <const char*> cnp.PyArray_DATA(x), <char*> cnp.PyArray_DATA(y)
    f.xk, f.yk = _filter_kind(x), _filter_kind(y)
    f.iw, f.c, f.oh, f.ow = f.q.iw, f.q.c, f.q.oh, f.q.ow
    f.rows, f.cols = <const intp*> cnp.PyArray_DATA(rows), <const intp*> cnp.PyArray_DATA(cols)
    f.cval, f.work = <real> cval, data(work)
    f.down = filter_weights(NULL, f.q.kh, f.q.kw, f.c, f.q.sign)
    f.along = filter_weights(NULL, 1, f.q.kw, f.c, 0)
    return f


cdef void _filter_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef FilterPicture* f = <FilterPicture*> args
    cdef intp task = fc_claim(&f.next)
    while task < f.tasks:
        f.run(f, task, f.work + ithr * f.q.per_thread)
        task = fc_claim(&f.next)


cdef void _filter_launch(FilterPicture* f, filter_task run, intp tasks, int threads) noexcept nogil:
    f.run, f.tasks, f.next = run, tasks, 0
    launch(_filter_share, f, threads)


cdef inline intp _filter_tasks(const FilterPicture* f) noexcept nogil:
    return (f.oh + f.q.band - 1) / f.q.band * ((f.ow + f.q.strip - 1) / f.q.strip)


cdef inline FilterStrip _filter_strip(const FilterPicture* f, intp task) noexcept nogil:
    cdef intp strips = (f.ow + f.q.strip - 1) / f.q.strip
    cdef FilterStrip s
    s.i, s.q0 = task / strips * f.q.band, task % strips * f.q.strip
    s.end, s.q1 = min(s.i + f.q.band, f.oh), min(s.q0 + f.q.strip, f.ow)
    s.width = (s.q1 - s.q0) * f.c
    return s


cdef void _filter_row(const FilterPicture* f, intp i, intp q0, intp q1, real* d) noexcept nogil:
    """Bordered columns [q0, q1) of bordered row i."""
    cdef intp r = f.rows[i], c = f.c, in0 = min(max(q0, f.q.in0), q1), in1 = max(in0, min(q1, f.q.in1)), j
    cdef const char* x = f.x + r * f.iw * c * filter_size(f.xk)
    if r < 0:
        for j in range((q1 - q0) * c):
            d[j] = f.cval
        return
    if in0 < in1: _filter_read(f.xk, x, f.cols[in0] * c, d + (in0 - q0) * c, (in1 - in0) * c)
    _filter_border(f, x, q0, in0, in0, in1, d - q0 * c)
    _filter_border(f, x, in1, q1, in0, in1, d - q0 * c)


cdef inline void _filter_border(const FilterPicture* f, const char* x, intp q, intp end, intp in0, intp in1,
                                real* d) noexcept nogil:
    """Columns [q, end) of a row x: from d, which has [in0, in1) already, where they show what is there."""
    cdef intp c = f.c, s, p, j, before = f.cols[in0] - in0 if in0 < in1 else 0
    if c == 1 and in0 < in1:  # most borders, in few instructions
        while q < end and in0 <= f.cols[q] - before < in1:
            d[q] = d[f.cols[q] - before]
            q += 1
    while q < end:
        s = f.cols[q]
        p = s - before if in0 < in1 else in1
        if s < 0:
            for j in range(c):
                d[q * c + j] = f.cval
        elif in0 <= p < in1:
            for j in range(c):
                d[q * c + j] = d[p * c + j]
        else:
            _filter_read(f.xk, x, s * c, d + q * c, c)
        q += 1


cdef FilterSources _filter_sources(const FilterPicture* f, const FilterStrip* t, bint bytes, real* work, intp n,
                                   intp width, intp reach, intp step) noexcept nogil:
    """Of the n rows of a ring. Blocks of `step` numbers are read in the image where neighbours lie there.

    That is if it holds `real` (or bytes, which only columns are summed from) and all rows of the band.
    """
    cdef FilterSources s
    cdef intp k
    s.edge = <const char**> work
    s.rows = s.edge + n
    s.ring, s.n, s.filled, s.last = work + f.q.ring, n, t.i, t.end + f.q.kh - 2
    s.kind = f.xk
    s.a = s.b = 0
    if f.xk != FILTER_REAL and not (bytes and f.xk == FILTER_U8 and sizeof(real) == 4):
        return s
    for k in range(t.i, s.last + 1):
        if f.rows[k] < 0:
            return s
    s.a = (max(f.q.in0 - t.q0, 0) * f.c + step - 1) / step * step
    s.b = s.a + (min((f.q.in1 - t.q0) * f.c - reach, width) - s.a) / step * step
    if s.b <= s.a:
        s.a = s.b = 0
    return s


cdef void _filter_fill(FilterSources* s, const FilterPicture* f, const FilterStrip* t, intp i,
                       intp reach) noexcept nogil:
    """Rows i ... of the ring get ready: what lies beside the image, and `reach` numbers into it."""
    cdef intp r, k
    cdef real* to
    while s.filled <= min(i + s.n - 1, s.last):
        to = s.ring + s.filled % s.n * f.q.pitch
        if s.a > 0: _filter_row(f, s.filled, t.q0, t.q0 + (s.a + reach + f.c - 1) / f.c, to)
        _filter_row(f, s.filled, t.q0 + s.b / f.c, t.q1 + f.q.kw - 1, to + s.b / f.c * f.c)
        s.filled += 1
    for r in range(s.n):
        k = min(i + r, s.last)
        s.edge[r] = <const char*> (s.ring + k % s.n * f.q.pitch)
        if s.a < s.b:
            s.rows[r] = filter_number(f.xk, f.x, (f.rows[k] * f.iw + f.cols[f.q.in0] - f.q.in0 + t.q0) * f.c)


cdef void _filter_pieces(int R, bint fold, const FilterSources* s, const filter_weights* f, real* y, intp ys,
                         intp width, real* tile) noexcept nogil:
    """Blocks from two sources: in the image itself where all neighbours lie there, else in bordered rows."""
    cdef char* to = <char*> y
    _filter_blocks(R, fold, FILTER_REAL, FILTER_REAL, s.edge, 0, f, to, ys, min(s.a, width), tile)
    if s.a < s.b:
        to = <char*> (y + s.a)
        _filter_blocks(R, fold, s.kind, FILTER_REAL, s.rows, s.a, f, to, ys, s.b - s.a, tile)
    if s.b < width:
        to = <char*> (y + s.b)
        _filter_blocks(R, fold, FILTER_REAL, FILTER_REAL, s.edge, s.b, f, to, ys, width - s.b, tile)


cdef void _filter_task(const FilterPicture* f, intp task, real* work) noexcept nogil:
    cdef FilterStrip t = _filter_strip(f, task)
    cdef int R = _filter_height(f.q.kh)
    cdef bint fold = f.q.sign != 0
    cdef intp i = t.i, reach = (f.q.kw - 1) * f.c, r
    cdef real* results = work + f.q.results
    cdef real* block = work + f.q.block
    cdef FilterSources s = _filter_sources(f, &t, False, work, f.q.kh - 1 + R, t.width, reach, _filter_step(R))
    while i < t.end:
        _filter_fill(&s, f, &t, i, reach)
        if f.yk == FILTER_REAL and i + R <= t.end:
            _filter_pieces(R, fold, &s, &f.down, (<real*> f.y) + (i * f.ow + t.q0) * f.c, f.ow * f.c, t.width, block)
        else:
            _filter_pieces(R, fold, &s, &f.down, results, f.q.pitch, t.width, block)
            for r in range(min(R, t.end - i)):
                _filter_write(f.yk, results + r * f.q.pitch, f.y, ((i + r) * f.ow + t.q0) * f.c, t.width)
        i += R


def filter_direct(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, double cval,
                  cnp.ndarray work, cnp.ndarray q, int threads):
    """y[i, j, c] = sum over a, b of w[b, kh - 1 - a] x[rows[i + a], cols[j + b], c]; x, w IN, y OUT, work WORK.

    Of a kernel that equals plus or minus its mirror image, left and right, w holds the left half, the middle column
    halved.
    """
    cdef FilterPicture f = _filter_picture(x, y, rows, cols, cval, work, q)
    f.down.w = data(w)
    with nogil:
        _filter_launch(&f, _filter_task, _filter_tasks(&f), threads)
