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


cdef void _line_task(const FilterPicture* f, intp task, real* work) noexcept nogil:
    cdef FilterStrip s = _filter_strip(f, task)
    cdef intp filled = s.i, n = max(f.q.kh, f.q.kw), i, k, at
    cdef real** taps = <real**> work
    cdef real* ring = work + f.q.ring
    cdef real* out = work + f.q.results
    for i in range(s.i, s.end):
        while filled < i + f.q.kh:
            _filter_row(f, filled, s.q0, s.q1 + f.q.kw - 1, ring + filled % f.q.kh * f.q.pitch)
            filled += 1
        for k in range(n):
            taps[k] = ring + (k * f.c if f.q.kh == 1 else (i + k) % f.q.kh * f.q.pitch)
        at = 0
        while at < s.width:
            if f.q.sign > 0: _line_block(4, 1, taps, at, f.down.w, n, out + at)
            elif f.q.sign < 0: _line_block(4, -1, taps, at, f.down.w, n, out + at)
            else: _line_block(4, 0, taps, at, f.down.w, n, out + at)
            at += 4 * LANES
        _filter_write(f.yk, out, f.y, (i * f.ow + s.q0) * f.c, s.width)


def filter_line(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, double cval,
                cnp.ndarray work, cnp.ndarray q, int threads):
    """y[i, j, c] = sum over k of w[k] x[rows[i + k], cols[j], c], or of w[k] x[rows[i], cols[j + k], c].

    The axis is the one along which the window is longer. With a sign w has an odd length and equals plus or minus its
    reverse; the middle tap comes first, then pairs from the outside in. Else the last tap comes first.
    """
    cdef FilterPicture f = _filter_picture(x, y, rows, cols, cval, work, q)
    f.down.w = data(w)
    with nogil:
        _filter_launch(&f, _line_task, _filter_tasks(&f), threads)


cdef void _running_down(const FilterPicture* f, intp task, real* work) noexcept nogil:
    """All rows of one strip: every column has its running sum."""
    cdef FilterStrip s = _filter_strip(f, task)
    cdef intp n = f.q.kh + 1, i, k, j
    cdef real* sums = work + f.q.sums
    cdef real* mean = work + f.q.results
    cdef real* ring = work + f.q.ring
    cdef real size = f.q.kh
    cdef const real* new
    cdef const real* old
    memset(sums, 0, f.q.pitch * sizeof(real))
    for i in range(f.q.kh - 1):
        new = ring + i % n * f.q.pitch
        _filter_row(f, i, s.q0, s.q1, ring + i % n * f.q.pitch)
        for j in range(s.width):
            sums[j] += new[j]
    for i in range(f.oh):
        k = i + f.q.kh - 1
        new, old = ring + k % n * f.q.pitch, ring + (k + 1) % n * f.q.pitch         # rows k and i - 1
        _filter_row(f, k, s.q0, s.q1, ring + k % n * f.q.pitch)
        for j in range(s.width):
            sums[j] += new[j] - old[j] if i > 0 else new[j]
            mean[j] = sums[j] / size
        _filter_write(f.yk, mean, f.y, (i * f.ow + s.q0) * f.c, s.width)


cdef void _running_along(const FilterPicture* f, intp task, real* work) noexcept nogil:
    """LANES rows side by side."""
    cdef intp i = task * LANES, width = f.ow * f.c, reach = (f.q.kw - 1) * f.c, j, r, k, c
    cdef real* ring = work + f.q.ring
    cdef real* lines = work + f.q.lines
    cdef vec size = vset(f.q.kw), total
    cdef const real* p
    for r in range(LANES):
        _filter_row(f, min(i + r, f.oh - 1), 0, f.ow + f.q.kw - 1, ring + r * f.q.pitch)
    planes_to_lanes(True, ring, f.q.pitch, LANES, 1, width + reach, lines, LANES, 0)
    for c in range(f.c):
        total = vzero()
        p = lines + c * LANES
        for k in range(f.q.kw):
            total += vload(p + k * f.c * LANES)
        for j in range(f.ow):
            if j > 0:
                total += vload(p + (j + f.q.kw - 1) * f.c * LANES) - vload(ring + c * LANES)
            vstore(ring + c * LANES, vload(p + j * f.c * LANES))        # leaves the window with the next column
            vstore(lines + (j * f.c + c) * LANES, total / size)
    lanes_to_planes(True, False, lines, LANES, ring, f.q.pitch, LANES, width, vzero())
    for r in range(min(LANES, f.oh - i)):
        _filter_write(f.yk, ring + r * f.q.pitch, f.y, (i + r) * width, width)


cdef void _running_channels(const FilterPicture* f, intp task, real* work) noexcept nogil:
    """The same LANES rows where a vector of channels lies side by side; the last vector may overlap the one before."""
    cdef intp width = f.ow * f.c, c, i, j, k
    cdef real* mean = work + f.q.lines
    cdef const real* p
    cdef vec size = vset(f.q.kw), total
    for i in range(task * LANES, min((task + 1) * LANES, f.oh)):
        _filter_row(f, i, 0, f.ow + f.q.kw - 1, work + f.q.ring)
        c = 0
        while c < f.c:
            p = work + f.q.ring + min(c, f.c - LANES)
            total = vzero()
            for k in range(f.q.kw):
                total += vload(p + k * f.c)
            vstore(mean + min(c, f.c - LANES), total / size)
            for j in range(1, f.ow):
                total += vload(p + (j + f.q.kw - 1) * f.c) - vload(p + (j - 1) * f.c)
                vstore(mean + j * f.c + min(c, f.c - LANES), total / size)
            c += LANES
        _filter_write(f.yk, mean, f.y, i * width, width)


def filter_running(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, double cval, cnp.ndarray work,
                   cnp.ndarray q, int threads):
    """Running means of y OUT along the longer axis of the window; each sum is the last one plus (new - old)."""
    cdef FilterPicture f = _filter_picture(x, y, rows, cols, cval, work, q)
    with nogil:
        if f.q.kh > 1:
            _filter_launch(&f, _running_down, _filter_tasks(&f), threads)
        elif f.c >= LANES:
            _filter_launch(&f, _running_channels, (f.oh + LANES - 1) / LANES, threads)
        else:
            _filter_launch(&f, _running_along, (f.oh + LANES - 1) / LANES, threads)
