# Image filters along one axis that give, number by number, the sums of scipy.ndimage: its order, nothing fused.


cdef inline void _line_block(const int V, const int sign, real** taps, intp at, const real* w, intp n,
                             real* y) noexcept nogil:
    """V vectors of y OUT; taps[k] + at is the source of tap k. sign 1 or -1: w equals plus or minus its reverse."""
    cdef vec a[4]
    cdef vec b
    cdef int j
    cdef intp k, first = n / 2 if sign else n - 1
    b = vset(w[first])
    for j in range(V):
        a[j] = filter_product(b, vload(taps[first] + at + j * LANES))
    for k in range(first):
        b = vset(w[k])
        for j in range(V):
            if sign > 0:
                a[j] += filter_product(b, vload(taps[k] + at + j * LANES) + vload(taps[n - 1 - k] + at + j * LANES))
            elif sign < 0:
                a[j] += filter_product(b, vload(taps[k] + at + j * LANES) - vload(taps[n - 1 - k] + at + j * LANES))
            else:
                a[j] += filter_product(b, vload(taps[k] + at + j * LANES))
    for j in range(V):
        vstore(y + j * LANES, a[j])


cdef void _line_task(const FilterPicture* f, const real* w, int sign, intp task, real* work) noexcept nogil:
    """One band of one strip. work: pointers to the taps, ring, one row of results."""
    cdef intp strips = (f.ow + f.strip - 1) / f.strip, q0 = task % strips * f.strip, q1 = min(q0 + f.strip, f.ow)
    cdef intp i = task / strips * f.band, end = min(i + f.band, f.oh), filled = i
    cdef intp n = max(f.kh, f.kw), width = (q1 - q0) * f.c, k, at
    cdef real** taps = <real**> work
    cdef real* ring = work + ((n * 8 / <intp> sizeof(real) + 15) / 16) * 16
    cdef real* out = ring + f.kh * f.pitch
    while i < end:
        while filled < i + f.kh:
            _filter_row(f, filled, q0, q1 + f.kw - 1, ring + filled % f.kh * f.pitch)
            filled += 1
        for k in range(n):
            taps[k] = ring + (k * f.c if f.kh == 1 else (i + k) % f.kh * f.pitch)
        at = 0
        while at < width:
            if sign > 0: _line_block(4, 1, taps, at, w, n, out + at)
            elif sign < 0: _line_block(4, -1, taps, at, w, n, out + at)
            else: _line_block(4, 0, taps, at, w, n, out + at)
            at += 4 * LANES
        _filter_write(f.yk, out, f.y, (i * f.ow + q0) * f.c, width)
        i += 1


def filter_line(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, intp in0, intp in1,
                double cval, int sign, intp strip, intp band, intp pitch, cnp.ndarray work, intp share, int threads):
    """y[i, j, c] = sum over k of w[k] x[rows[i + k], cols[j], c], or of w[k] x[rows[i], cols[j + k], c].

    The axis is the one whose table is longer than y. sign 1 or -1: w has an odd length and equals plus or minus its
    reverse; the middle tap comes first, then pairs from the outside in. Else the last tap comes first.
    """
    cdef FilterPicture f
    cdef intp kh = rows.shape[0] - y.shape[0] + 1, kw = cols.shape[0] - y.shape[1] + 1, i, tasks
    cdef real* wp = data(w)
    cdef real* scratch = data(work)
    _filter_picture(&f, x, y, rows, cols, in0, in1, cval, kh, kw, strip, band, pitch)
    tasks = ((f.oh + band - 1) / band) * ((f.ow + strip - 1) / strip)
    if threads == 1:
        with nogil:
            for i in range(tasks):
                _line_task(&f, wp, sign, i, scratch)
        return
    for i in prange(tasks, nogil=True, schedule="dynamic", num_threads=threads):
        _line_task(&f, wp, sign, i, scratch + threadid() * share)


cdef void _running_down(const FilterPicture* f, intp task, real* work) noexcept nogil:
    """All rows of one strip: every column has its running sum. work: sums, means, ring."""
    cdef intp q0 = task * f.strip, q1 = min(q0 + f.strip, f.ow), width = (q1 - q0) * f.c, n = f.kh + 1, i, k, j
    cdef real* sums = work
    cdef real* mean = sums + f.pitch
    cdef real* ring = mean + f.pitch
    cdef real size = f.kh
    cdef const real* new
    cdef const real* old
    memset(sums, 0, f.pitch * sizeof(real))
    for i in range(f.kh - 1):
        new = ring + i % n * f.pitch
        _filter_row(f, i, q0, q1, ring + i % n * f.pitch)
        for j in range(width):
            sums[j] += new[j]
    for i in range(f.oh):
        k = i + f.kh - 1
        new, old = ring + k % n * f.pitch, ring + (k + 1) % n * f.pitch         # rows k and i - 1
        _filter_row(f, k, q0, q1, ring + k % n * f.pitch)
        for j in range(width):
            sums[j] += new[j] - old[j] if i > 0 else new[j]
            mean[j] = sums[j] / size
        _filter_write(f.yk, mean, f.y, (i * f.ow + q0) * f.c, width)


cdef void _running_along(const FilterPicture* f, intp task, real* work) noexcept nogil:
    """LANES rows side by side. work: rows, the same columns by columns."""
    cdef intp i = task * LANES, width = f.ow * f.c, reach = (f.kw - 1) * f.c, j, r, k, c
    cdef real* lines = work + LANES * f.pitch
    cdef vec size = vset(f.kw), total
    cdef const real* p
    for r in range(LANES):
        _filter_row(f, min(i + r, f.oh - 1), 0, f.ow + f.kw - 1, work + r * f.pitch)
    j = 0
    while j < width + reach:
        _filter_lines(work + j, f.pitch, lines + j * LANES)
        j += LANES
    for c in range(f.c):
        total = vzero()
        p = lines + c * LANES
        for k in range(f.kw):
            total += vload(p + k * f.c * LANES)
        for j in range(f.ow):
            if j > 0:
                total += vload(p + (j + f.kw - 1) * f.c * LANES) - vload(work + c * LANES)
            vstore(work + c * LANES, vload(p + j * f.c * LANES))        # leaves the window with the next column
            vstore(lines + (j * f.c + c) * LANES, total / size)
    j = 0
    while j < width:
        _filter_lines_back(lines + j * LANES, work + j, f.pitch)
        j += LANES
    for r in range(min(LANES, f.oh - i)):
        _filter_write(f.yk, work + r * f.pitch, f.y, (i + r) * width, width)


cdef inline void _filter_lines_back(const real* lines, real* s, intp pitch) noexcept nogil:
    cdef vec a[16]
    cdef int o
    for o in range(LANES):
        a[o] = vload(lines + o * LANES)
    vtranspose(a)
    for o in range(LANES):
        vstore(s + o * pitch, a[o])


def filter_running(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, intp in0, intp in1, double cval,
                   intp strip, intp pitch, cnp.ndarray work, intp share, int threads):
    """Running means of y OUT along the axis whose table is longer; each sum is the last one plus (new - old)."""
    cdef FilterPicture f
    cdef intp kh = rows.shape[0] - y.shape[0] + 1, kw = cols.shape[0] - y.shape[1] + 1, i, tasks
    cdef bint down = kh > 1
    cdef real* scratch = data(work)
    _filter_picture(&f, x, y, rows, cols, in0, in1, cval, kh, kw, strip, y.shape[0], pitch)
    tasks = (f.ow + strip - 1) / strip if down else (f.oh + LANES - 1) / LANES
    if threads == 1:
        with nogil:
            for i in range(tasks):
                if down: _running_down(&f, i, scratch)
                else: _running_along(&f, i, scratch)
        return
    for i in prange(tasks, nogil=True, schedule="dynamic", num_threads=threads):
        if down: _running_down(&f, i, scratch + threadid() * share)
        else: _running_along(&f, i, scratch + threadid() * share)
