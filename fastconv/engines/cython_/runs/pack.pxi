# Weights as register blocks stream them: panels of nv vectors of outputs, [chunk of channels][kh][kw][channel]
# [nv * LANES].


cdef inline void _runs_transpose(const real* w, intp ws, intp rows, intp n, vec* m) noexcept nogil:
    """n <= LANES numbers of each of `rows` rows as n vectors; what is missing is zero."""
    cdef intp l
    for l in range(LANES):
        m[l] = vzero() if l >= rows else vload(w + l * ws) if n == LANES else vload_part(w + l * ws, <int> n)
    vtranspose(m)


cdef void _pack_runs(const RunsPass* r, const real* w, intp first, intp outputs, intp nv, intp c0,
                             intp c1,
                     real* u) noexcept nogil:
    """Channels [c0, c1) of a panel: w [output][channel][tap] from output `first` on -> u [tap][channel][nv * LANES]."""
    cdef intp T = r.th * r.tw, n = (c1 - c0) * T, size = c1 - c0, row = r.cg * T, j, k, k_, q, i, c, t, out
    cdef vec m[LANES]
    w += first * row + c0 * T
    for j in range(nv):
        out = min(<intp> LANES, outputs - j * LANES)
        for k_ in range((n + LANES - 1) // LANES):
            k = k_ * LANES
            q = min(<intp> LANES, n - k)
            for i in range(out):
                fetch_l2(w + (j * LANES + i) * row + k + 8 * LANES)
            _runs_transpose(w + j * LANES * row + k, row, out, q, m)
            if T == 1:
                for i in range(q):
                    vstore(u + ((k + i) * nv + j) * LANES, m[i])
            else:
                c = k // T
                t = k % T
                for i in range(q):
                    vstore(u + ((t * size + c) * nv + j) * LANES, m[i])
                    t += 1
                    if t == T:
                        t = 0
                        c += 1


cdef void _pack_runs_swapped(const RunsPass* r, const real* w, intp first, intp outputs, intp nv, intp c0,
                             intp c1,
                             real* u) noexcept nogil:
    """The same for w [channel][output][tap], and for the taps of a phase."""
    cdef intp T = r.th * r.tw, taps = r.kh * r.kw, size = c1 - c0, row = r.og * T, c, l, j, k, t, first_tap, lanes
    cdef const real* p
    cdef real* d
    cdef vec m[LANES]
    for c in range(c0, c1):
        d = u + (c - c0) * nv * LANES
        for j in range(nv):
            p = w + c * row + (first + j * LANES) * T
            lanes = min(<intp> LANES, outputs - j * LANES)
            first_tap = -1                                  # of those in m
            for k in range(taps):
                t = (r.u0 + k // r.kw * r.us) * r.tw + r.v0 + k % r.kw * r.vs
                if T == 1:
                    m[0] = vload(p) if lanes == LANES else vload_part(p, <int> lanes)
                elif taps <= 2 < T:                         # too few of a row for a transpose
                    for l in range(lanes):
                        d[k * size * nv * LANES + j * LANES + l] = p[l * T + t]
                    memset(d + k * size * nv * LANES + j * LANES + lanes, 0, (LANES - lanes) * sizeof(real))
                    continue
                elif first_tap != t - t % LANES:            # lanes = taps, turned: lanes = outputs
                    first_tap = t - t % LANES
                    _runs_transpose(p + first_tap, T, lanes, min(<intp> LANES, T - first_tap), m)
                vstore(d + k * size * nv * LANES + j * LANES, m[t % LANES])


cdef inline void _pack_chunk(const RunsPass* r, const real* w, intp g, intp first, intp outputs, intp nv, intp c0,
                             intp c1,
                             real* u) noexcept nogil:
    w += g * r.cg * r.og * r.th * r.tw
    if r.swapped:
        _pack_runs_swapped(r, w, first, outputs, nv, c0, c1, u)
    else:
        _pack_runs(r, w, first, outputs, nv, c0, c1, u)


cdef struct PackRuns:
    const RunsPass* r
    const real* w
    real* u


cdef void _pack_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const PackRuns* a = <const PackRuns*> arguments
    cdef const RunsPass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, total = r.groups * panels
    cdef intp p, c, first, outputs, nv
    cdef intp taps = r.kh * r.kw
    cdef real* u
    for p in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        first = p % panels * width
        outputs = min(width, r.og - first)
        nv = (outputs + LANES - 1) // LANES
        u = a.u + p * width * taps * r.cg
        for c in range((r.cg + r.chunk - 1) // r.chunk):
            _pack_chunk(r, a.w, p // panels, first, outputs, nv, c * r.chunk, min(r.cg, (c + 1) * r.chunk),
                        u + c * r.chunk * taps * nv * LANES)


def runs_pack(cnp.ndarray w, cnp.ndarray u, cnp.ndarray record, int threads):
    """u OUT [groups][panels][chunks][kh][kw][channel][nv * LANES] from w IN (co, ci // groups, kh, kw)."""
    cdef PackRuns a
    a.r, a.w, a.u = read_RunsPass(record), data(w), data(u)
    with nogil:
        launch(_pack_share, &a, threads)
