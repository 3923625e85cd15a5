# Weights as register blocks stream them: panels of nv vectors of outputs, [chunk of channels][tap, phase by phase]
# [channel][nv * LANES].


cdef inline void _direct_transpose(const real* w, intp ws, intp rows, intp n, vec* m) noexcept nogil:
    """n <= LANES numbers of each of `rows` rows as n vectors; what is missing is zero."""
    cdef intp l
    for l in range(LANES):
        m[l] = vzero() if l >= rows else vload(w + l * ws) if n == LANES else vload_part(w + l * ws, <int> n)
    vtranspose(m)


cdef void _pack_runs(const DirectPass* r, const intp* order, const real* w, intp first, intp outputs, intp nv, intp c0,
                     intp c1, real* u) noexcept nogil:
    """Channels [c0, c1) of a panel: w [output][channel][tap] from output `first` on -> u [tap][channel][nv * LANES]."""
    cdef intp T = r.kernel, n = (c1 - c0) * T, size = c1 - c0, row = r.cg * T, j, k, q, i, c, t, out, k_
    cdef vec m[LANES]
    w += first * row + c0 * T
    for j in range(nv):
        out = min(<intp> LANES, outputs - j * LANES)
        for k_ in range((n + LANES - 1) // LANES):
            k = k_ * LANES
            q = min(<intp> LANES, n - k)
            for i in range(out):
                fetch_l2(w + (j * LANES + i) * row + k + 8 * LANES)
            _direct_transpose(w + j * LANES * row + k, row, out, q, m)
            if T == 1:
                for i in range(q):
                    vstore(u + ((k + i) * nv + j) * LANES, m[i])
            else:
                c = k // T
                t = k % T
                for i in range(q):
                    vstore(u + ((order[t] * size + c) * nv + j) * LANES, m[i])
                    t += 1
                    if t == T:
                        t = 0
                        c += 1


cdef void _pack_runs_swapped(const DirectPass* r, const intp* order, const real* w, intp first, intp outputs, intp nv,
                             intp c0, intp c1, real* u) noexcept nogil:
    """The same for w [channel][output][tap]."""
    cdef intp T = r.kernel, size = (c1 - c0) * nv * LANES, c, l, j, k, k_, q, lanes
    cdef intp lines = (outputs * T * sizeof(real) + 63) // 64, far = max(<intp> 1, 32 // lines)
    cdef const real* p
    cdef real* d
    cdef vec m[LANES]
    for c in range(c0, c1):
        for k in range(lines if c + far < c1 else 0):       # no prefetcher crosses to its page
            fetch_l2(<const char*> (w + ((c + far) * r.og + first) * T) + 64 * k)
        for j in range(nv):
            p = w + (c * r.og + first + j * LANES) * T
            d = u + ((c - c0) * nv + j) * LANES
            lanes = min(<intp> LANES, outputs - j * LANES)
            if T == 1:
                vstore(d, vload(p) if lanes == LANES else vload_part(p, <int> lanes))
                continue
            for k_ in range((T + LANES - 1) // LANES):
                k = k_ * LANES
                q = min(<intp> LANES, T - k)
                if q > 2:                                   # lanes = taps, turned: lanes = outputs
                    _direct_transpose(p + k, T, lanes, q, m)
                    for q in range(k, k + q):
                        if order[q] >= 0:
                            vstore(d + order[q] * size, m[q - k])
                else:                                       # too few for a transpose
                    for q in range(k, k + q):
                        if order[q] >= 0:
                            for l in range(lanes):
                                d[order[q] * size + l] = p[l * T + q]
                            memset(d + order[q] * size + lanes, 0, (LANES - lanes) * sizeof(real))


cdef inline void _pack_chunk(const DirectPass* r, const intp* order, const real* w, intp g, intp first, intp outputs,
                             intp nv, intp c0, intp c1, real* u) noexcept nogil:
    w += g * r.cg * r.og * r.kernel
    if r.swapped:
        _pack_runs_swapped(r, order, w, first, outputs, nv, c0, c1, u)
    else:
        _pack_runs(r, order, w, first, outputs, nv, c0, c1, u)


cdef struct DirectPack:
    const DirectPass* r
    const intp* order
    const real* w
    real* u


cdef void _pack_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const DirectPack* a = <const DirectPack*> arguments
    cdef const DirectPass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, total = r.groups * panels
    cdef intp p, c, first, outputs, nv
    cdef intp taps = r.taps
    cdef real* u
    for p in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        first = p % panels * width
        outputs = min(width, r.og - first)
        nv = (outputs + LANES - 1) // LANES
        u = a.u + p * width * taps * r.cg
        for c in range((r.cg + r.chunk - 1) // r.chunk):
            _pack_chunk(r, a.order, a.w, p // panels, first, outputs, nv, c * r.chunk, min(r.cg, (c + 1) * r.chunk),
                        u + c * r.chunk * taps * nv * LANES)


def direct_pack(cnp.ndarray w, cnp.ndarray u, cnp.ndarray record, cnp.ndarray order, int threads):
    """u OUT [groups][panels][chunks][tap][channel][nv * LANES] from w IN (co, ci // groups, kh, kw)."""
    cdef DirectPack a
    a.r, a.w, a.u = read_DirectPass(record), data(w), data(u)
    a.order = <const intp*> cnp.PyArray_DATA(order)
    with nogil:
        launch(_pack_share, &a, threads)
