# grad_weight on plain planes: a number of dw is the dot product of a plane of dy with a shifted plane of x.
#
# Lanes = neighbouring pixels, summed only at the end of a unit (a strip of rows, or a few small images). A register
# block is DIRECT_DOTS outputs x DIRECT_DOTS (channel, tap) pairs. Rows are chained: where x has a border dy has zeros.

cdef extern from *:
    """
    #define DIRECT_DOTS (VBYTES == 64 ? 5 : 3)
    """
    enum:
        DIRECT_DOTS

cdef struct Dots:                   # a unit's operands
    const intp* off                 # where each (channel, tap) pair starts in x; a multiple of DIRECT_DOTS of them
    intp pairs, plane, image        # pairs; distance of dy's planes and of x's images
    intp images, segments, steps    # runs of `steps` vectors each
    intp segment                    # distance of x's segments; those of dy follow each other


cdef inline void _dots(const int na, Dots* q, const real* d, intp dimage, const real* x, const intp* off, int nb, real* a,
                       intp row) noexcept nogil:
    """a[t * row + k] += sum of d[t] * x[off[k]], t < na, k < nb."""
    cdef vec s[DIRECT_DOTS][DIRECT_DOTS]
    cdef vec e[DIRECT_DOTS]
    cdef vec v
    cdef intp o[DIRECT_DOTS]
    cdef intp n, i, j
    cdef int t, k
    cdef const real* p
    cdef const real* z
    for k in range(DIRECT_DOTS):
        o[k] = off[k]
        for t in range(na):
            s[t][k] = vzero()
    for n in range(q.images):
        z = d + n * dimage
        for i in range(q.segments):
            p = x + n * q.image + i * q.segment
            for j in range(q.steps):
                for t in range(na):
                    e[t] = vload(z + t * q.plane)
                for k in range(DIRECT_DOTS):
                    v = vload(p + o[k])
                    for t in range(na):
                        s[t][k] += e[t] * v
                p += LANES
                z += LANES
    for t in range(na):
        for k in range(nb):
            a[t * row + k] += vsum(s[t][k])


cdef void _dots_of(int na, Dots* q, const real* d, intp dimage, const real* x, real* a) noexcept nogil:
    """All pairs with na <= DIRECT_DOTS outputs."""
    cdef intp k_, k
    cdef int nb
    for k_ in range((q.pairs + DIRECT_DOTS - 1) // DIRECT_DOTS):
        k = k_ * DIRECT_DOTS
        nb = min(<intp> DIRECT_DOTS, q.pairs - k)
        if na == DIRECT_DOTS: _dots(DIRECT_DOTS, q, d, dimage, x, q.off + k, nb, a + k, q.pairs)
        elif na == 1: _dots(1, q, d, dimage, x, q.off + k, nb, a + k, q.pairs)
        elif na == 2: _dots(2, q, d, dimage, x, q.off + k, nb, a + k, q.pairs)
        elif DIRECT_DOTS == 5 and na == 3: _dots(3, q, d, dimage, x, q.off + k, nb, a + k, q.pairs)
        elif DIRECT_DOTS == 5: _dots(4, q, d, dimage, x, q.off + k, nb, a + k, q.pairs)


cdef struct Units:                  # how images are cut
    intp images, strips, flat       # at most so many images and rows; flat: rows are chained
    intp N, OH, OW, ci, co, h, w    # sizes; channels in all
    intp c, nout, plane, row, sh, reach, rstep, pt, pl, split, nph, wph


def planar_sums(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray off, cnp.ndarray work, tuple copy, tuple channels,
                tuple units, int threads):
    """dw OUT (outputs o0 ..); what the tuples hold: see `Planar.grad_weight` in algorithms/planar.py."""
    cdef Units u
    cdef Dots q
    cdef intp c0, o0, size, t, i, total, count
    u.plane, u.row, u.pt, u.pl, u.split, u.nph, u.wph, u.rstep, u.reach, u.sh = copy
    c0, u.c, o0, u.nout, q.pairs = channels
    u.images, u.strips, u.flat, size = units
    u.N, u.co, u.OH, u.OW = dy.shape[0], dy.shape[1], dy.shape[2], dy.shape[3]
    u.ci, u.h, u.w = x.shape[1], x.shape[2], x.shape[3]
    q.off = <const intp*> cnp.PyArray_DATA(off)
    cdef const real* dp = data(dy) + o0 * u.OH * u.OW
    cdef const real* xp = data(x) + c0 * u.h * u.w
    cdef real* wp = data(work)
    cdef real* out = data(dw) + o0 * q.pairs
    count = u.nout * q.pairs
    total = (u.N + u.images - 1) // u.images * u.strips
    if threads == 1:
        with nogil:
            _dots_share(&u, &q, dp, xp, out, wp, 0, total)
        return
    for t in prange(threads, nogil=True, schedule="static", chunksize=1, num_threads=threads):
        _dots_share(&u, &q, dp, xp, wp + t * size, wp + t * size + (count + 15) // 16 * 16, total * t // threads,
                    total * (t + 1) // threads)
    for t in prange(threads, nogil=True, schedule="static", chunksize=1, num_threads=threads):
        _add_shares(wp, size, out, count * t // threads, count * (t + 1) // threads, threads)


cdef void _add_shares(const real* shares, intp size, real* out, intp a, intp b, intp threads) noexcept nogil:
    cdef intp i, t
    cdef real s
    for i in range(a, b):
        s = shares[i]
        for t in range(1, threads):
            s += shares[t * size + i]
        out[i] = s


cdef void _dots_share(Units* u, Dots* q_, const real* dy, const real* x, real* sums, real* work, intp a, intp b) noexcept nogil:
    """Units [a, b) of one thread."""
    cdef Dots q = q_[0]
    cdef intp i, groups = (u.N + u.images - 1) // u.images, n, r0, r1, blocks = (u.nout + DIRECT_DOTS - 1) // DIRECT_DOTS, o, k, first, run
    cdef real* buf = work
    cdef real* d
    memset(sums, 0, u.nout * q.pairs * sizeof(real))
    for i in range(a, b):
        n = u.N * (i // u.strips) // groups
        q.images = u.N * (i // u.strips + 1) // groups - n
        if u.flat == 2:                                       # in place: strips of vectors
            q.segments = 1
            r0 = u.OH * u.OW // LANES * (i % u.strips) // u.strips
            q.steps = u.OH * u.OW // LANES * (i % u.strips + 1) // u.strips - r0
            q.plane = u.OH * u.OW
            q.image = u.ci * q.plane
            q.segment = 0
            for k in range(blocks):
                o = u.nout * k // blocks
                _dots_of(u.nout * (k + 1) // blocks - o, &q, dy + (n * u.co + o) * q.plane + r0 * LANES, u.co * q.plane,
                         x + n * q.image + r0 * LANES, sums + o * q.pairs)
            continue
        r0 = u.OH * (i % u.strips) // u.strips
        r1 = u.OH * (i % u.strips + 1) // u.strips
        q.segments = 1 if u.flat else r1 - r0
        q.steps = ((r1 - r0) * u.row + LANES - 1) // LANES if u.flat else (u.OW + LANES - 1) // LANES
        q.segment = u.sh // u.rstep * u.row
        q.image = u.c * u.plane
        run = q.segments * q.steps * LANES
        q.plane = q.images * run
        d = buf + u.images * q.image
        _copy_x(u, x + n * u.ci * u.h * u.w, buf, q.images, r0, r1)
        for k in range(blocks):
            o = u.nout * k // blocks
            _copy_dy(u, dy + (n * u.co + o) * u.OH * u.OW, d, q.images, u.nout * (k + 1) // blocks - o, r0, r1,
                     u.row if u.flat else q.steps * LANES, run)
            _dots_of(u.nout * (k + 1) // blocks - o, &q, d, run, buf, sums + o * q.pairs)


cdef inline void _copy_zeros(const real* s, intp n, real* d, intp end) noexcept nogil:
    """d OUT: n numbers, then zeros up to `end` and at most a vector beyond it."""
    cdef intp j = 0
    while j + LANES <= n:
        vstore(d + j, vload(s + j))
        j += LANES
    if j < n:
        vstore(d + j, vload_part(s + j, n - j))
        j += LANES
    while j < end:
        vstore(d + j, vzero())
        j += LANES


cdef void _copy_x(Units* u, const real* x, real* d, intp images, intp r0, intp r1) noexcept nogil:
    """d OUT [image][channel][row][row of `row` numbers]: padded rows that outputs [r0, r1) read, zeros behind them."""
    cdef intp n, c, r, first = r0 * u.sh, last = (r1 - 1) * u.sh + u.reach, end = (last - first) // u.rstep + 1
    cdef real* to
    cdef const real* plane
    for n in range(images):
        for c in range(u.c):
            to = d + (n * u.c + c) * u.plane
            plane = x + (n * u.ci + c) * u.h * u.w
            for r in range(first, last + 1):
                if (r - first) % u.rstep == 0:
                    if 0 <= r - u.pt < u.h and u.split == 1:
                        _copy_zeros(NULL, 0, to, u.pl)
                        _copy_zeros(plane + (r - u.pt) * u.w, min(u.w, u.row - u.pl), to + u.pl, u.row - u.pl)
                    elif 0 <= r - u.pt < u.h:
                        _pack_row(plane + (r - u.pt) * u.w, 0, 1, 1, u.w, u.pl, u.split, u.nph, u.wph, 0, to)
                    else:
                        memset(to, 0, u.row * sizeof(real))
                    to += u.row
            memset(to, 0, (u.plane - end * u.row) * sizeof(real))


cdef void _copy_dy(Units* u, const real* dy, real* d, intp images, intp nout, intp r0, intp r1, intp step, intp run) noexcept nogil:
    """d OUT [output][image][row of `step` numbers]: rows [r0, r1) with zeros behind each."""
    cdef intp n, o, r
    cdef real* to
    cdef const real* row
    for o in range(nout):
        for n in range(images):
            to = d + (o * images + n) * run
            row = dy + (n * u.co + o) * u.OH * u.OW + r0 * u.OW
            for r in range(r1 - r0):
                _copy_zeros(row, u.OW, to, step)
                to += step
                row += u.OW
            _copy_zeros(NULL, 0, to, run - (r1 - r0) * step)
