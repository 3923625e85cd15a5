# Weights as register blocks stream them: panels of nv vectors of outputs, [chunk of channels][kh][kw][channel][nv * LANES].


cdef inline void _runs_transpose(const real* w, intp ws, intp rows, intp n, vec* m) noexcept nogil:
    """n <= LANES numbers of each of `rows` rows as n vectors; what is missing is zero."""
    cdef intp l
    for l in range(LANES):
        m[l] = vzero() if l >= rows else vload(w + l * ws) if n == LANES else vload_part(w + l * ws, <int> n)
    vtranspose(m)


cdef void _pack_runs(const RunsPass* r, const real* w, intp first, intp outputs, intp nv, intp c0, intp c1,
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


cdef void _pack_runs_swapped(const RunsPass* r, const real* w, intp first, intp outputs, intp nv, intp c0, intp c1,
                             real* u) noexcept nogil:
    """The same for w [channel][output][tap], and for the taps of a phase."""
    cdef intp T = r.th * r.tw, size = c1 - c0, row = r.og * T, c, l, a, b, lanes
    cdef const real* p
    cdef real* d
    for c in range(c0, c1):
        p = w + c * row + first * T
        d = u + (c - c0) * nv * LANES
        if T == 1 and r.kh * r.kw == 1:
            for l in range(nv):
                lanes = min(<intp> LANES, outputs - l * LANES)
                vstore(d + l * LANES, vload(p + l * LANES) if lanes == LANES else vload_part(p + l * LANES, <int> lanes))
            continue
        for a in range(r.kh):
            for b in range(r.kw):
                for l in range(outputs):
                    d[l] = p[l * T + (r.u0 + a * r.us) * r.tw + r.v0 + b * r.vs]
                memset(d + outputs, 0, (nv * LANES - outputs) * sizeof(real))
                d += size * nv * LANES


cdef inline void _pack_chunk(const RunsPass* r, const real* w, intp g, intp first, intp outputs, intp nv, intp c0, intp c1,
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
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, p, c, first, outputs, nv, total = r.groups * panels
    cdef intp taps = r.kh * r.kw
    cdef real* u
    for p in range(_split(total, nthr, ithr), _split(total, nthr, ithr + 1)):
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
        _run_shares(_pack_share, &a, threads)
