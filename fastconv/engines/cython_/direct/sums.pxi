# grad_weight: numbers of a kernel row x vectors of outputs stay in registers while the pixels of a strip stream by.


cdef struct DirectSums:
    const DirectPass* r
    const DirectPhase* f
    const real* x
    const real* dy
    real* sums
    real* work
    intp size                                               # numbers of one thread's sums


cdef Ahead _ahead(const DirectSums* a, intp q, intp last, intp tasks) noexcept nogil:
    """What the strip from output row q on will read in place."""
    cdef const DirectPass* r = a.r
    cdef intp e = min(min(last, q + r.band), q - q % r.oh + r.oh), top, bottom, n = q // r.oh
    cdef Ahead ahead
    memset(&ahead, 0, sizeof(ahead))
    if q >= last:
        return ahead
    if r.copied == 0:
        top = max(<intp> 0, r.r0 + q % r.oh * r.rs)
        bottom = min(r.h, r.r0 + ((e - 1) % r.oh) * r.rs + r.high)
        ahead.at[0] = <const char*> (a.x + (n * r.h + top) * r.w * r.c)
        ahead.left[0] = (bottom - top) * r.w * r.c * sizeof(real)
    if r.yplane == 0:
        ahead.at[1] = <const char*> (a.dy + q * r.ow * r.groups * r.og)
        ahead.left[1] = (e - q) * r.ow * r.groups * r.og * sizeof(real)
    ahead.lines = max(ahead.left[0], ahead.left[1]) // (64 * tasks) + 1
    return ahead


cdef inline void _strip_lanes(const DirectSums* a, intp o, intp q, intp e, intp outputs, intp nv,
                              real* d) noexcept nogil:
    """[pixels][nv * LANES] of outputs from o on: rows of dy far apart would meet in few sets of the cache."""
    cdef const DirectPass* r = a.r
    cdef intp co = r.groups * r.og, k, j, lanes = outputs - (nv - 1) * LANES, pixels = (e - q) * r.ow
    cdef const real* dy = a.dy + q // r.oh * r.oh * r.ow * co
    if r.yplane:
        dy += o * r.yplane + q % r.oh * r.ow
        for j in range(nv):
            planes_to_lanes(1, dy + j * LANES * r.yplane, r.yplane, min(<intp> LANES, outputs - j * LANES), 1, pixels,
                            d + j * LANES, nv * LANES, 0)
        return
    dy += q % r.oh * r.ow * co + o
    for k in range(pixels):
        for j in range(nv - 1):
            vstore(d + j * LANES, vload(dy + j * LANES))
        if lanes == LANES:
            vstore(d + (nv - 1) * LANES, vload(dy + (nv - 1) * LANES))
        else:
            vstore(d + (nv - 1) * LANES, vload_part(dy + (nv - 1) * LANES, <int> lanes))
        d += nv * LANES
        dy += co


cdef void _sums_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const DirectSums* a = <const DirectSums*> arguments
    cdef const DirectPass* r = a.r
    cdef const DirectPhase* f = a.f
    cdef intp width = r.nv * LANES, panels = r.groups * ((r.og + width - 1) // width)
    cdef intp whole = f.cd * r.c == r.cg, run = f.kw * r.cg if whole else r.cg
    cdef intp blocks = (run + r.nr - 1) // r.nr, runs = f.kh * (1 if whole else f.kw)  # a panel: runs x blocks of them
    cdef intp q = 0, last = r.n * r.oh, e, task, tasks = panels * runs * blocks, begin = 0, end = tasks, p, first = 0
    cdef real* sums = a.sums
    cdef real* scratch = a.work + ithr * r.room
    cdef View v
    cdef Ahead ahead
    if r.private:
        q, last = split(r.n * r.oh, ithr, nthr), split(r.n * r.oh, ithr + 1, nthr)
        sums += ithr * a.size
        first = q
        if q == last:                                       # nothing to sum
            memset(sums, 0, a.size * sizeof(real))
    else:
        begin, end = split(tasks, ithr, nthr), split(tasks, ithr + 1, nthr)
    if begin == end:
        return
    while q < last:
        e = min(min(last, q + r.band), q - q % r.oh + r.oh)
        v = _source(r, a.x, scratch, q // r.oh, q // r.oh + 1, q % r.oh, (e - 1) % r.oh + 1, 0, r.ow)
        ahead = _ahead(a, e, last, end - begin)
        task = begin
        while task < end:                                   # panel by panel
            p = task // (runs * blocks)
            _strip_sums(a, &v, scratch + r.copied, sums, p, task - p * runs * blocks,
                        min(end - p * runs * blocks, runs * blocks),
                        q, e, blocks, run, q > first, &ahead)
            task = (p + 1) * runs * blocks
        q = e


cdef void _strip_sums(const DirectSums* a, const View* v, real* lanes, real* sums, intp p, intp begin, intp end, intp q,
                      intp e,
                      intp blocks, intp run, int onto, Ahead* ahead) noexcept nogil:
    """Register blocks [begin, end) of panel p, summed over output rows [q, e) of one image."""
    cdef const DirectPass* r = a.r
    cdef const DirectPhase* f = a.f
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, g = p // panels, o = p % panels * width
    cdef intp outputs = min(width, r.og - o), nv = (outputs + LANES - 1) // LANES
    cdef intp task, k, u, t, l, row, i0, i1, n = q // r.oh, i = q % r.oh, each = 1 if run == f.kw * r.cg else f.kw
    cdef direct_kernel** kernels = direct_of_sums[nv]
    cdef const real* x = v.x + n * v.image + g * r.cg
    cdef direct_job job
    cdef intp z, numbers
    cdef real* here
    cdef int whole = r.rs * v.row == r.ow * v.over          # a row begins where the last one ended
    sums += p * width * r.taps * r.cg
    _strip_lanes(a, g * r.og + o, q, e, outputs, nv, lanes)
    job.taps, job.n, job.tap = 1, r.ow, 0
    job.row, job.pixel, job.out, job.onto = r.rs * v.row, v.over, nv * LANES, onto
    for task in range(begin, end):
        k = task % blocks
        u = task // blocks // each
        t = task // blocks % each
        l = split(run, k, blocks)
        row = r.r0 + i * r.rs + u * f.rd
        i0, i1 = _outside(row, r.rs, e - q), _inside(row, r.rs, e - q, r.h)     # output rows that meet the image
        job.rows = max(<intp> 0, i1 - i0)
        if whole:
            job.n, job.rows = job.rows * r.ow, 1
        _ask(ahead)
        here = sums + ((u * f.kw + t) * r.cg + l) * nv * LANES
        numbers = split(run, k + 1, blocks) - l
        for z in range(numbers * nv if onto else 0):        # the next block's sums
            fetch_w(here + (numbers * nv + z) * LANES)
        kernels[numbers](
            &job, x + (row + i0 * r.rs) * v.row + (r.c0 + t * f.cd) * v.pixel + l, lanes + i0 * r.ow * nv * LANES,
            here, NULL)


def direct_sums(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray sums, cnp.ndarray work, cnp.ndarray record,
                cnp.ndarray phases, int threads):
    """sums OUT [threads, if private][groups][panels][kh][kw][channel][nv * LANES] of x IN (n, h, w, ci) and
    dy IN (n, oh, ow, co). work WORK [threads][room]."""
    cdef DirectSums a
    a.r, a.x, a.dy, a.sums, a.work = read_DirectPass(record), data(x), data(dy), data(sums), data(work)
    a.f = read_phases(phases, a.r)
    cdef intp width = a.r.nv * LANES
    a.size = a.r.groups * ((a.r.og + width - 1) // width) * width * a.r.taps * a.r.cg
    with nogil:
        launch(_sums_share, &a, threads)


cdef struct DirectWeights:
    const DirectPass* r
    const real* sums
    real* dw
    intp size
    intp parts


cdef void _weights_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    """Vectors of outputs: shares are added up, [kh][kw][channel][lane] becomes [lane][channel][kh][kw]."""
    cdef const DirectWeights* a = <const DirectWeights*> arguments
    cdef const DirectPass* r = a.r
    cdef intp T = r.taps, K = r.cg * T, width = r.nv * LANES, panels = (r.og + width - 1) // width
    cdef intp vectors = (r.og + LANES - 1) // LANES, blocks = (K + LANES - 1) // LANES
    cdef intp total = r.groups * vectors * blocks
    cdef intp z, i, o, nv, lanes, k, q, j, c, t, s
    cdef const real* p
    cdef const real* from_
    cdef real* d
    cdef vec m[LANES]
    cdef vec sum_
    for z in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        i, k = z // blocks, z % blocks * LANES
        o = i % vectors * LANES
        nv = min(r.nv, vectors - o // width * r.nv)
        lanes = min(<intp> LANES, r.og - o)
        p = a.sums + (i // vectors * panels + o // width) * width * K + o % width
        d = a.dw + (i // vectors * r.og + o) * K + k
        c, t, q = k // T, k % T, min(<intp> LANES, K - k)
        for j in range(LANES):
            if j >= q:
                m[j] = vzero()
                continue
            from_ = p + (t * r.cg + c) * nv * LANES
            sum_ = vload(from_)
            for s in range(1, a.parts):
                sum_ += vload(from_ + s * a.size)
            m[j] = sum_
            t += 1
            if t == T:
                t = 0
                c += 1
        vtranspose(m)
        for j in range(lanes):
            if q == LANES:
                vstore(d + j * K, m[j])
            else:
                vstore_part(d + j * K, m[j], <int> q)


def direct_weights(cnp.ndarray sums, cnp.ndarray dw, cnp.ndarray record, int parts, int threads):
    """dw OUT (co, ci // groups, kh, kw): all parts of sums IN together."""
    cdef DirectWeights a
    a.r, a.sums, a.dw, a.parts = read_DirectPass(record), data(sums), data(dw), parts
    cdef intp width = a.r.nv * LANES
    a.size = a.r.groups * ((a.r.og + width - 1) // width) * width * a.r.taps * a.r.cg
    with nogil:
        launch(_weights_share, &a, threads)
