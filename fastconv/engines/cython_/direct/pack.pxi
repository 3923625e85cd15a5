# Packing and storing for direct: LANES x LANES register transposes between planes and lanes.


cdef inline void _load_planes(const real* x, intp plane, intp nc, intp n, intp step, intp ahead, vec* m) noexcept nogil:
    """n <= LANES pixels, `step` apart, of nc <= LANES planes; what is missing is zero. Wanted next: `ahead` of them."""
    cdef intp c, t
    cdef real r[LANES]
    for c in range(nc):
        fetch_l2(x + c * plane + ahead)
        if step == 2:
            fetch_l2(x + c * plane + ahead + LANES)
    if step == 1 and n == LANES and nc == LANES:
        for c in range(LANES):
            m[c] = vload(x + c * plane)
    elif step == 1:
        for c in range(LANES):
            m[c] = vload_part(x + c * plane, n) if c < nc else vzero()
    elif step == 2 and n == LANES and nc == LANES:
        for c in range(LANES):
            m[c] = vpick2(x + c * plane)
    elif step == 2:
        for c in range(LANES):
            m[c] = vpick2_part(x + c * plane, n) if c < nc else vzero()
    else:
        for c in range(LANES):
            for t in range(LANES):
                r[t] = x[c * plane + t * step] if c < nc and t < n else 0
            m[c] = vload(r)


cdef inline void _pack_run(const bint spread, const real* x, intp plane, intp nc, intp n, intp step, intp ahead, real* d,
                           intp phase, intp split, intp apart) noexcept nogil:
    """n pixels of nc planes -> [pixel][LANES]; spread: dealt out to `split` phases, `apart` numbers from each other."""
    cdef vec m[LANES]
    cdef intp p, p_, k, q
    cdef real* o = d + phase * apart
    for p_ in range((n + LANES - 1) // LANES):
        p = p_ * LANES
        q = min(<intp> LANES, n - p)
        _load_planes(x + p * step, plane, nc, q, step, ahead, m)
        vtranspose(m)
        if q == LANES:
            for k in range(LANES):
                vstore(o, m[k])
                if spread:
                    o += apart
                    phase += 1
                    if phase == split:
                        phase = 0
                        o += LANES - split * apart
                else:
                    o += LANES
        else:
            for k in range(q):
                vstore(o, m[k])
                if spread:
                    o += apart
                    phase += 1
                    if phase == split:
                        phase = 0
                        o += LANES - split * apart
                else:
                    o += LANES


cdef void _pack_row(const real* x, intp plane, intp nc, intp block, intp W, intp pl, intp split, intp nph, intp wph,
                    intp ahead, real* d) noexcept nogil:
    """One image row of a channel block into its place: column phases, zeros on both sides."""
    cdef intp b, a, e, k
    cdef real* o
    for b in range(nph):
        o = d + b * wph * block
        a = min(_first(b - pl, split), wph)
        e = max(a, min(wph, _stop(b - pl, split, W)))
        memset(o, 0, a * block * sizeof(real))
        memset(o + e * block, 0, (wph - e) * block * sizeof(real))
        if block != 1:
            if nph == 1:
                _pack_run(False, x + a * split + b - pl, plane, nc, e - a, split, ahead, o + a * block, 0, 1, 0)
        elif split == 1:
            memcpy(o + a, x + a - pl, (e - a) * sizeof(real))
        elif split == 2:                                    # constant steps, for the compiler to shuffle
            for k in range(a, e):
                o[k] = x[k * 2 + b - pl]
        elif split == 4:
            for k in range(a, e):
                o[k] = x[k * 4 + b - pl]
        else:
            for k in range(a, e):
                o[k] = x[k * split + b - pl]
    if block != 1 and nph > 1:                              # all phases at once: each pixel is read once
        a = max(<intp> 0, -pl)
        e = min(W, wph * split - pl)
        if e > a:
            _pack_run(True, x + a, plane, nc, e - a, 1, ahead, d + (a + pl) // split * block, (a + pl) % split, split,
                      wph * block)


def direct_pack(cnp.ndarray x, cnp.ndarray copy, intp n0, intp nb, intp c0, intp nc, intp groups, intp block, intp first,
                intp rows, intp rstep, intp pt, intp pl, intp split, intp nph, intp wph, intp plane, int threads):
    """copy OUT [nb][groups][blocks][rows][nph][wph][block]: images n0.., groups of nc channels from c0 on, padded rows
    first.. (each rstep-th)."""
    cdef intp C = x.shape[1], H = x.shape[2], W = x.shape[3], blocks = (nc + block - 1) // block
    cdef intp strips = min(<intp> threads, rows), t, total = nb * strips * groups * blocks
    cdef const real* xp = data(x) + (n0 * C + c0) * H * W
    cdef real* cp = data(copy)
    if threads == 1:
        with nogil:
            for t in range(total):
                _pack_strip(xp, cp, t, C, H, W, nc, groups, block, blocks, strips, first, rows, rstep, pt, pl, split, nph, wph,
                            plane)
        return
    for t in prange(total, nogil=True, schedule="static", num_threads=threads):
        _pack_strip(xp, cp, t, C, H, W, nc, groups, block, blocks, strips, first, rows, rstep, pt, pl, split, nph, wph, plane)


cdef void _pack_strip(const real* x, real* copy, intp t, intp C, intp H, intp W, intp nc, intp groups, intp block,
                      intp blocks, intp strips, intp first, intp rows, intp rstep, intp pt, intp pl, intp split, intp nph,
                      intp wph, intp plane) noexcept nogil:
    cdef intp b = t % (groups * blocks), k = t // (groups * blocks) % strips, n = t // (groups * blocks * strips), r, row
    cdef intp ahead = rstep * (W * (1 + 8 * LANES // (W + 1)) if W <= 32 * LANES else 8 * LANES)  # in rows to be read
    cdef intp c = b % blocks * block
    cdef const real* xp = x + (n * C + b // blocks * nc + c) * H * W
    cdef real* d = copy + (n * groups * blocks + b) * plane
    for r in range(rows * k // strips, rows * (k + 1) // strips):
        row = first + r - pt
        if 0 <= row < H and (first + r) % rstep == 0:
            _pack_row(xp + row * W, H * W, min(block, nc - c), block, W, pl, split, nph, wph, ahead, d + r * nph * wph * block)
        elif block == 1:                                        # otherwise rows outside the image are never read
            memset(d + r * nph * wph, 0, nph * wph * sizeof(real))


cdef void _pack_weights(const real* w, intp ws, intp nout, intp C, intp T, const intp* pos, int nv, real* u) noexcept nogil:
    """One panel, lanes = outputs: w[o * ws + c * T + tap] -> u[pos[tap]][c][nv * LANES]; missing outputs are zero."""
    cdef vec m[LANES]
    cdef intp k, k_, K = C * T, q, i, c, t
    cdef int j
    for j in range(nv):
        for k_ in range((K + LANES - 1) // LANES):
            k = k_ * LANES
            q = min(<intp> LANES, K - k)
            _load_planes(w + j * LANES * ws + k, ws, min(<intp> LANES, max(<intp> 0, nout - j * LANES)), q, 1, 4 * LANES, m)
            vtranspose(m)
            c = k // T
            t = k % T
            for i in range(q):
                vstore(u + ((pos[t] * C + c) * nv + j) * LANES, m[i])
                t += 1
                if t == T:
                    t = 0
                    c += 1


cdef void _pack_weights_adjoint(const real* w, intp ws, intp nout, intp C, intp T, const intp* pos, int nv, real* u,
                                real* tmp) noexcept nogil:
    """One panel for grad_input, lanes = input channels i: w[c * ws + i * T + tap] -> u[pos[tap]][c][nv * LANES]."""
    cdef vec m[LANES]
    cdef intp c, c_, nc, n, k, k_, q, i, t
    cdef int j
    for j in range(nv):
        n = min(<intp> LANES, max(<intp> 0, nout - j * LANES))
        for c_ in range((C + LANES - 1) // LANES):
            c = c_ * LANES
            nc = min(<intp> LANES, C - c)
            memset(tmp, 0, LANES * T * LANES * sizeof(real))
            for k_ in range((n * T + LANES - 1) // LANES):                  # lanes = c, rows (i, tap)
                k = k_ * LANES
                q = min(<intp> LANES, n * T - k)
                _load_planes(w + c * ws + j * LANES * T + k, ws, nc, q, 1, 4 * LANES, m)
                vtranspose(m)
                for i in range(q):
                    vstore(tmp + (k + i) * LANES, m[i])
            for t in range(T):                                # lanes = i, rows c
                for i in range(LANES):
                    m[i] = vload(tmp + (i * T + t) * LANES)
                vtranspose(m)
                for i in range(nc):
                    vstore(u + ((pos[t] * C + c + i) * nv + j) * LANES, m[i])


cdef void _store(const real* m, real* y, intp plane, intp nc, intp n, const real* bias) noexcept nogil:
    """[pixel][LANES] -> nc planes of n pixels, bias added."""
    cdef vec r[LANES]
    cdef intp p, p_, c, q
    for p_ in range((n + LANES - 1) // LANES):
        p = p_ * LANES
        q = min(<intp> LANES, n - p)
        if q == LANES and nc == LANES:
            for c in range(LANES):
                r[c] = vload(m + (p + c) * LANES)
                fetch_w(y + c * plane + p + 4 * LANES)
        else:
            for c in range(LANES):
                r[c] = vload(m + (p + c) * LANES) if c < q else vzero()
        if bias != NULL:
            for c in range(q):
                r[c] += vload_part(bias, nc)
        vtranspose(r)
        if q == LANES and nc == LANES:
            for c in range(LANES):
                vstore(y + c * plane + p, r[c])
        else:
            for c in range(nc):
                vstore_part(y + c * plane + p, r[c], q)


def direct_weights(cnp.ndarray w, cnp.ndarray u, intp w0, intp nout, intp C, intp groups, intp T, cnp.ndarray pos, int nv,
                   bint adjoint, cnp.ndarray tmp, intp tmp_size, int threads):
    """u OUT [groups][panels][T][C][nv * LANES]: weights as the microkernel streams them; w0: where they start."""
    cdef intp panels = (nout + nv * LANES - 1) // (nv * LANES), i, size = T * C * nv * LANES, ws = w.shape[1] * T
    cdef intp one = nout * C * T
    cdef const real* wp = data(w)
    cdef const intp* ip = <const intp*> cnp.PyArray_DATA(pos)
    cdef real* up = data(u)
    cdef real* tp = data(tmp)
    if threads == 1:
        with nogil:
            for i in range(groups * panels):
                _panel(wp, ws, w0 + i // panels * one, nout, i % panels, C, T, ip, nv, adjoint, up + i * size, tp)
        return
    for i in prange(groups * panels, nogil=True, schedule="static", num_threads=threads):
        _panel(wp, ws, w0 + i // panels * one, nout, i % panels, C, T, ip, nv, adjoint, up + i * size,
               tp + threadid() * tmp_size)


cdef void _panel(const real* w, intp ws, intp w0, intp nout, intp i, intp C, intp T, const intp* pos, int nv, bint adjoint,
                 real* u, real* tmp) noexcept nogil:
    cdef intp o = i * nv * LANES
    nv = _narrow(nv, nout - o)
    if adjoint:
        _pack_weights_adjoint(w + w0 + o * T, ws, nout - o, C, T, pos, nv, u, tmp)
    else:
        _pack_weights(w + w0 + o * ws, ws, nout - o, C, T, pos, nv, u)
