# grad_weight of the split backends: the products of split.h with output channels for rows, input channels for
# columns, and steps of 32 neighbouring pixels of the flat, padded image.


def split_pack_rows(cnp.ndarray dy, cnp.ndarray copy, tuple band, tuple layout, tuple flat, int threads):
    """copy OUT [image][group][part][chunk of 32 pixels][output][32]: dy in rows as long as those of x's copy."""
    cdef split_plane f
    cdef intp n0, nb, o0, groups, co, chunks, image, group, part, t, C = dy.shape[1]
    cdef int parts
    n0, nb, o0, groups, co, chunks, parts = band
    image, group, part = layout
    f.h, f.w, f.wph, f.row, f.rs, f.col, f.cs = flat
    cdef intp size = dy.shape[2] * f.w, blocks = (co + 15) // 16, pieces = (chunks + 7) // 8
    cdef const real* dp = data(dy) + (n0 * C + o0) * size
    cdef bf16* cp = <bf16*> cnp.PyArray_DATA(copy)
    cdef intp total = nb * groups * blocks * pieces
    if threads == 1:
        with nogil:
            for t in range(total):
                _split_planes(dp, &f, size, t, C, groups, co, chunks, blocks, pieces, parts, image, group, part, cp)
        return
    for t in prange(total, nogil=True, schedule="static", num_threads=threads):
        _split_planes(dp, &f, size, t, C, groups, co, chunks, blocks, pieces, parts, image, group, part, cp)


cdef void _split_planes(const real* dy, const split_plane* f, intp size, intp t, intp C, intp groups, intp co,
                        intp chunks, intp blocks,
                        intp pieces, int parts, intp image, intp group, intp part, bf16* d) noexcept nogil:
    """Up to 8 chunks of up to 16 planes of dy."""
    cdef real buf[16 * (256 + LANES)]
    cdef intp q = t % pieces * 8, o = t // pieces % blocks * 16, g = t // pieces // blocks % groups
    cdef intp n = t // pieces // blocks // groups
    cdef intp count = min(<intp> 8, chunks - q), rows = min(<intp> 16, co - o), i, k
    dy += (n * C + g * co + o) * size
    d += n * image + g * group + (q * co + o) * 32
    split_fill(buf, 256 + LANES, dy, size, rows, q * 32, count * 32, f)
    for k in range(count):
        for i in range(rows):
            split_numbers(buf + i * (256 + LANES) + k * 32, parts, part, d + (k * co + i) * 32)


cdef struct SplitSums:
    const bf16* x
    const bf16* dy
    intp xgroup, xblock, group      # steps of the copies
    intp co, ci, chunks, products, taps, panels, splits, per
    const intp* steps
    const intp* tap                 # where each tap starts in the copy of x
    int unit
    bint add


def split_sums(cnp.ndarray copy, cnp.ndarray rows, cnp.ndarray sums, cnp.ndarray steps, cnp.ndarray taps, tuple layout,
               tuple sizes, tuple blocks, int threads):
    """sums OUT, or a band added, [group][panel of input channels][output][tap][32]."""
    cdef SplitSums s
    cdef intp groups, t, total
    s.xgroup, s.xblock, s.group = layout
    groups, s.co, s.ci, s.chunks, s.products = sizes
    s.unit, s.per, s.splits, s.add = blocks
    s.x = <const bf16*> cnp.PyArray_DATA(copy)
    s.dy = <const bf16*> cnp.PyArray_DATA(rows)
    s.steps = <const intp*> cnp.PyArray_DATA(steps)
    s.tap = <const intp*> cnp.PyArray_DATA(taps)
    s.taps = taps.shape[0]
    s.panels = (s.ci + 31) // 32
    total = groups * s.taps * s.panels * s.splits
    cdef real* sp = data(sums)
    if threads == 1:
        with nogil:
            for t in range(total):
                _split_sum(&s, t, sp)
        return
    for t in prange(total, nogil=True, schedule="static", num_threads=threads):
        _split_sum(&s, t, sp)


cdef void _split_sum(SplitSums* s, intp t, real* sums) noexcept nogil:
    """One tap and panel of a group's input channels, one share of its outputs."""
    cdef intp share = t % s.splits, panel = t // s.splits % s.panels, group = t // s.splits // s.panels // s.taps
    cdef intp tap = t // s.splits // s.panels % s.taps, o0 = s.co * share // s.splits
    cdef intp o1 = s.co * (share + 1) // s.splits
    cdef intp most = split_rows_of(s.unit), nb = (o1 - o0 + most - 1) // most, q, q_, k, o, count
    cdef int nv = 2 if s.ci - panel * 32 > 16 else 1
    cdef const bf16* x = s.x + group * s.xgroup + 2 * panel * s.xblock + s.tap[tap]
    cdef const bf16* dy = s.dy + group * s.group
    cdef split_target d
    d.mt = s.taps * 32
    d.mh = LANES
    d.add = s.add
    d.first = d.next = 0
    d.wide = d.count = most + 1
    sums += ((group * s.panels + panel) * s.co * s.taps + tap) * 32
    split_begin(s.unit)
    for q_ in range((s.chunks + s.per - 1) // s.per):           # columns of a strip stay in the first-level cache
        q = q_ * s.per
        count = min(s.per, s.chunks - q) * s.products
        for k in range(nb):
            o = o0 + (o1 - o0) * k // nb
            d.out = sums + o * d.mt
            split_product(s.unit, <int> (o0 + (o1 - o0) * (k + 1) // nb - o), nv, dy + o * 32, x, s.xblock,
                          s.steps + 3 * q * s.products, count, count, &d)
        d.add = 1
    split_end(s.unit)


def split_unpack_sums(cnp.ndarray sums, cnp.ndarray dw, intp o0, intp co, intp ci, intp T, intp groups, int threads):
    """dw OUT, outputs from o0 on."""
    cdef intp t
    cdef real* wp = data(dw) + o0 * ci * T
    cdef const real* sp = data(sums)
    if threads == 1:
        with nogil:
            for t in range(groups * co):
                _split_unpack(sp, wp + t * ci * T, t // co, t % co, co, ci, T)
        return
    for t in prange(groups * co, nogil=True, schedule="static", num_threads=threads):
        _split_unpack(sp, wp + t * ci * T, t // co, t % co, co, ci, T)


cdef void _split_unpack(const real* sums, real* w, intp group, intp o, intp co, intp ci, intp T) noexcept nogil:
    cdef intp panels = (ci + 31) // 32, c, t
    cdef const real* s
    for c in range(ci):
        s = sums + ((group * panels + c // 32) * co + o) * T * 32 + c % 32
        for t in range(T):
            w[c * T + t] = s[t * 32]
