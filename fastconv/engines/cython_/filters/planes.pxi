# Image filters by convolution of planes: an image with its borders as planes, and planes as an image.


cdef inline void _unweave(const real* line, intp c, real* planes, intp plane, intp n) noexcept nogil:
    """Every c-th of n * c numbers to a plane of its own."""
    cdef intp j, k
    for k in range(c):
        for j in range(n):
            planes[k * plane + j] = line[j * c + k]


cdef inline void _weave(const real* planes, intp plane, intp c, real* line, intp n) noexcept nogil:
    cdef intp j, k
    for j in range(n):
        for k in range(c):
            line[j * c + k] = planes[k * plane + j]


cdef void _filter_split_rows(const FilterPicture* f, intp task, real* line) noexcept nogil:
    """Rows of `line`-buffered numbers to planes."""
    cdef intp i, n = f.ow, plane = f.oh * n
    for i in range(task * f.q.band, min((task + 1) * f.q.band, f.oh)):
        if f.c == 1:
            _filter_row(f, i, 0, n, f.planes + i * n)
            continue
        _filter_row(f, i, 0, n, line)
        if f.c == 3: _unweave(line, 3, f.planes + i * n, plane, n)
        else: _unweave(line, f.c, f.planes + i * n, plane, n)


def filter_split(cnp.ndarray x, cnp.ndarray planes, cnp.ndarray rows, cnp.ndarray cols, double cval, cnp.ndarray work,
                 cnp.ndarray q, int threads):
    """planes[c, i, j] = x[rows[i], cols[j], c]; planes OUT, work WORK."""
    cdef FilterPicture f = _filter_picture(x, planes, rows, cols, cval, work, q)
    f.planes = data(planes)
    with nogil:
        _filter_launch(&f, _filter_split_rows, _filter_tasks(&f), threads)


cdef bint _filter_finite(const real* s, intp n) noexcept nogil:
    cdef vec none = vzero()             # the sum of v - v: NaN where some v is not finite
    cdef real rest = 0
    cdef intp j = 0
    while j + LANES <= n:
        none += vload(s + j) - vload(s + j)
        j += LANES
    while j < n:
        rest += s[j] - s[j]
        j += 1
    return vsum(none) + rest == 0


cdef void _filter_join_rows(const FilterPicture* f, intp task, real* line) noexcept nogil:
    cdef intp i, k, n = f.ow, plane = f.oh * n
    cdef real* s
    for i in range(task * f.q.band, min((task + 1) * f.q.band, f.oh)):
        s = f.planes + i * n
        for k in range(f.c):
            if not _filter_finite(s + k * plane, n):
                fc_claim(&(<FilterPicture*> f).spoilt)
        if f.c == 1:
            _filter_write(f.yk, s, f.y, i * n, n)
            continue
        if f.c == 3: _weave(s, plane, 3, line, n)
        else: _weave(s, plane, f.c, line, n)
        _filter_write(f.yk, line, f.y, i * n * f.c, n * f.c)


def filter_join(cnp.ndarray planes, cnp.ndarray y, cnp.ndarray work, cnp.ndarray q, int threads):
    """y[i, j, c] OUT = planes[c, i, j], rounded if y holds integers; returns whether all of them are finite."""
    cdef FilterPicture f = _filter_picture(y, y, q, q, 0, work, q)      # no window
    f.planes, f.spoilt = data(planes), 0
    with nogil:
        _filter_launch(&f, _filter_join_rows, _filter_tasks(&f), threads)
    return f.spoilt == 0
