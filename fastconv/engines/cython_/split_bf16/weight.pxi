# grad_weight of the split backends: the products of split.h with output channels for rows, input channels for
# columns, and steps of 32 neighbouring pixels of the flat, padded image.


cdef void _split_dy_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Up to 8 chunks of up to 16 planes of dy at a time."""
    cdef const SplitPack* a = <const SplitPack*> args
    cdef const SplitCopy* q = a.q
    cdef split_plane f = _split_plane(q)
    cdef intp total = q.nb * q.groups * a.blocks * a.pieces, size = a.size, t, c, o, g, n, rows, i, k, count
    cdef bf16* d
    cdef real buf[16 * (256 + LANES)]
    for t in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        c, o, g = t % a.pieces * 8, t // a.pieces % a.blocks * 16, t // a.pieces // a.blocks
        n, g = g // q.groups, g % q.groups
        rows = min(<intp> 16, q.channels - o)
        d = a.copy + n * q.image + g * q.group + (c * q.channels + o) * 32
        count = min(<intp> 8, q.length - c)
        split_fill(buf, 256 + LANES, a.x + (n * a.C + g * q.channels + o) * size, size, rows, c * 32, count * 32, &f)
        for k in range(count):
            for i in range(rows):
                split_numbers(buf + i * (256 + LANES) + k * 32, <int> q.parts, q.part, d + (k * q.channels + i) * 32)


def split_pack_rows(cnp.ndarray dy, cnp.ndarray copy, cnp.ndarray q, int threads):
    """copy OUT [image][group][part][chunk of 32 pixels][output][32]: dy in rows as long as those of x's copy."""
    cdef SplitPack a
    a.q, a.C, a.size = read_SplitCopy(q), dy.shape[1], dy.shape[2] * dy.shape[3]
    a.x = data(dy) + (a.q.n0 * a.C + a.q.c0) * a.size
    a.copy, a.blocks, a.pieces = <bf16*> cnp.PyArray_DATA(copy), (a.q.channels + 15) // 16, (a.q.length + 7) // 8
    with nogil:
        launch(_split_dy_share, &a, threads)


cdef struct SplitWeightSums:
    const SplitSums* q
    const bf16* x
    const bf16* dy
    real* sums                  # [group][panel of input channels][output][tap][32]
    real* dw
    const intp* steps
    const intp* tap             # where each tap starts in the copy of x
    intp taps, panels


cdef void _split_sums_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const SplitWeightSums* s = <const SplitWeightSums*> args
    cdef intp t, total = s.q.groups * s.taps * s.panels * s.q.splits
    split_begin(<int> s.q.unit)
    for t in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        _split_sum(s, t)
    split_end(<int> s.q.unit)


def split_sums(cnp.ndarray copy, cnp.ndarray rows, cnp.ndarray sums, cnp.ndarray steps, cnp.ndarray taps, cnp.ndarray q,
               int threads):
    """sums OUT, or a band added, [group][panel of input channels][output][tap][32]."""
    cdef SplitWeightSums s
    s.q = read_SplitSums(q)
    s.x, s.dy, s.sums = <const bf16*> cnp.PyArray_DATA(copy), <const bf16*> cnp.PyArray_DATA(rows), data(sums)
    s.steps, s.tap = <const intp*> cnp.PyArray_DATA(steps), <const intp*> cnp.PyArray_DATA(taps)
    s.taps, s.panels = taps.shape[0], (s.q.ci + 31) // 32
    with nogil:
        launch(_split_sums_share, &s, threads)


cdef void _split_sum(const SplitWeightSums* s, intp t) noexcept nogil:
    """One tap and panel of a group's input channels, one share of its outputs."""
    cdef const SplitSums* g = s.q
    cdef intp share = t % g.splits, panel = t // g.splits % s.panels, group = t // g.splits // s.panels // s.taps
    cdef intp tap = t // g.splits // s.panels % s.taps, o0 = g.co * share // g.splits
    cdef intp o1 = g.co * (share + 1) // g.splits
    cdef intp most = split_rows_of(<int> g.unit), nb = (o1 - o0 + most - 1) // most, q, k, o, count
    cdef int nv = 2 if g.ci - panel * 32 > 16 else 1
    cdef const bf16* x = s.x + group * g.xgroup + 2 * panel * g.xblock + s.tap[tap]
    cdef const bf16* dy = s.dy + group * g.group
    cdef real* sums = s.sums + ((group * s.panels + panel) * g.co * s.taps + tap) * 32
    cdef split_target d
    d.mt = s.taps * 32
    d.mh = LANES
    d.add = <int> g.add
    d.first = d.next = 0
    d.wide = d.count = most + 1
    q = 0
    while q < g.chunks:                                         # columns of a strip stay in the first-level cache
        count = min(g.per, g.chunks - q) * g.products
        for k in range(nb):
            o = o0 + (o1 - o0) * k // nb
            d.out = sums + o * d.mt
            split_product(<int> g.unit, <int> (o0 + (o1 - o0) * (k + 1) // nb - o), nv, dy + o * 32, x, g.xblock,
                          s.steps + 3 * q * g.products, count, count, &d)
        d.add = 1
        q += g.per


cdef void _split_unpack_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const SplitWeightSums* s = <const SplitWeightSums*> args
    cdef intp ci = s.q.ci, co = s.q.co, T = s.taps, total = s.q.groups * co, o, c, t
    cdef const real* sums
    cdef real* w
    for o in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        w = s.dw + o * ci * T
        for c in range(ci):
            sums = s.sums + ((o // co * s.panels + c // 32) * co + o % co) * T * 32 + c % 32
            for t in range(T):
                w[c * T + t] = sums[t * 32]


def split_unpack_sums(cnp.ndarray sums, cnp.ndarray dw, cnp.ndarray q, int threads):
    """dw OUT, the outputs of these groups."""
    cdef SplitWeightSums s
    s.q = read_SplitSums(q)
    s.taps, s.panels = dw.shape[2] * dw.shape[3], (s.q.ci + 31) // 32
    s.sums, s.dw = data(sums), data(dw) + s.q.o0 * s.q.ci * s.taps
    with nogil:
        launch(_split_unpack_share, &s, threads)
