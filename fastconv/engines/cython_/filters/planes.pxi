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


cdef void _split_row(const FilterPicture* f, intp i, intp n, real* planes, intp plane, real* line) noexcept nogil:
    """Bordered row i, n columns."""
    if f.c == 1:
        _filter_row(f, i, 0, n, planes)
        return
    _filter_row(f, i, 0, n, line)
    if f.c == 3: _unweave(line, 3, planes, plane, n)
    else: _unweave(line, f.c, planes, plane, n)


def filter_split(cnp.ndarray x, cnp.ndarray planes, cnp.ndarray rows, cnp.ndarray cols, intp in0, intp in1,
                 double cval, cnp.ndarray work, intp share, int threads):
    """planes[c, i, j] = x[rows[i], cols[j], c]; planes OUT, work WORK: a row for each thread."""
    cdef FilterPicture f
    cdef intp i, m = rows.shape[0], n = cols.shape[0]
    cdef real* p = data(planes)
    cdef real* scratch = data(work)
    _filter_picture(&f, x, planes, rows, cols, in0, in1, cval, 1, 1, 0, 0, 0)
    if threads == 1:
        with nogil:
            for i in range(m):
                _split_row(&f, i, n, p + i * n, m * n, scratch)
        return
    for i in prange(m, nogil=True, schedule="static", num_threads=threads):
        _split_row(&f, i, n, p + i * n, m * n, scratch + threadid() * share)


cdef int _join_row(const real* planes, intp plane, intp c, int kind, char* y, intp at, intp n,
                   real* line) noexcept nogil:
    """One row of n columns into the image, from number `at` on; 1 if it holds what is not finite."""
    cdef vec none = vzero()             # the sum of v - v: NaN where some v is not finite
    cdef real rest = 0
    cdef intp j, k
    for k in range(c):
        j = 0
        while j + LANES <= n:
            none += vload(planes + k * plane + j) - vload(planes + k * plane + j)
            j += LANES
        while j < n:
            rest += planes[k * plane + j] - planes[k * plane + j]
            j += 1
    if c == 1:
        _filter_write(kind, planes, y, at, n)
    else:
        if c == 3: _weave(planes, plane, 3, line, n)
        else: _weave(planes, plane, c, line, n)
        _filter_write(kind, line, y, at, n * c)
    return not vsum(none) + rest == 0


def filter_join(cnp.ndarray planes, cnp.ndarray y, cnp.ndarray work, intp share, int threads):
    """y[i, j, c] OUT = planes[c, i, j], rounded if y holds integers; returns whether all of them are finite."""
    cdef intp i, c = planes.shape[0], m = planes.shape[1], n = planes.shape[2]
    cdef int kind = _kind(y), bad = 0
    cdef real* p = data(planes)
    cdef char* to = <char*> cnp.PyArray_DATA(y)
    cdef real* scratch = data(work)
    if threads == 1:
        with nogil:
            for i in range(m):
                bad += _join_row(p + i * n, m * n, c, kind, to, i * n * c, n, scratch)
    else:
        for i in prange(m, nogil=True, schedule="static", num_threads=threads):
            bad += _join_row(p + i * n, m * n, c, kind, to, i * n * c, n, scratch + threadid() * share)
    return bad == 0
