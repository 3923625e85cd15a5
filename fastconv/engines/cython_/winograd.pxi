# Winograd convolution (Lavin and Gray 2016), lanes = LANES channels. Tiles of x become V[f][group][ci/LANES][tile][LANES], weights
# U[panel][chunk of ci][f][ci][2*LANES]; the products M[f][2][tile][LANES] of a panel of 2*LANES outputs go back through
# the output transform. All sizes come in one array, `grid`, in the order of algorithms/winograd.py's Grid; the
# coefficients are those of algorithms/transforms.py's table, one for all axes that are transformed.

cdef extern from *:
    """
    #define FC_TILES (VBYTES == 64 ? 14 : 6) /* tiles of the register block: 28 (or 12) accumulators */
    """
    enum:
        FC_TILES

cdef enum:
    SUM = 64  # input channels whose products are summed by themselves: shorter sums, smaller errors

cdef struct Grid:
    intp n, ci, ih, iw, co, oh, ow, g  # channels are those of one group
    intp pt, pl, dh, dw, mh, rh, mw, rw  # a tile: mh x mw outputs of rh x rw taps
    intp so, sc, flip  # weights: steps of outputs and inputs; whether the taps are reversed
    intp pairs, m, r, flat, along_w  # which transform; of one axis, along the width
    intp row_blocks, col_blocks, kc, cip  # blocks of tiles; channels a chunk of weights; channels, whole lanes
    intp tiles, in_slots, in_pixels, out_pixels, runs  # most in a block
    intp vf, mf, uf, chunk, group_v  # numbers from a frequency to the next, in a chunk of weights, in V of a group
    intp row_v, row_q, qf, row_s, sf  # grad_weight: numbers from a row to the next, and between frequencies
    intp at_x, at_q, at_s, part_s  # and where its transforms and sums lie
    intp shared, at_v, at_m, at_in, at_out, at_u, at_table, per_thread  # where things lie in the workspace

cdef struct Run:
    intp image, first, count  # pixels of a plane in one piece

cdef struct Pixels:
    intp runs, count
    Run* run
    int* slot  # of each pixel of the runs

cdef struct Block:
    intp tiles, slots, outs, wi, wo  # slots of input and output, and in a row of them
    int* tile  # (input slot, output slot) of a tile's first pixel
    Pixels x, y


cdef inline intp _ceil(intp a, intp b) noexcept nogil:
    return (a + b - 1) // b


cdef void _region(Pixels* k, intp image, intp w, intp h0, intp h1, intp c0, intp c1, intp base, intp top, intp left,
                  intp width, intp trash) noexcept nogil:
    """Rows h0..h1, columns c0..c1 of a plane w wide: pixel (h, c) to slot base + (h - top) * width + c - left."""
    cdef intp h, c
    if h1 <= h0 or c1 <= c0:
        return
    if c1 - c0 == w:  # whole rows are one run
        k.run[k.runs] = Run(image, h0 * w, (h1 - h0) * w)
        k.runs += 1
    for h in range(h0, h1):
        if c1 - c0 < w:
            k.run[k.runs] = Run(image, h * w + c0, c1 - c0)
            k.runs += 1
        for c in range(c0, c1):
            k.slot[k.count] = <int> (base + (h - top) * width + c - left if 0 <= c - left < width else trash)
            k.count += 1


cdef void _make_block(const Grid* q, intp index, real* room, Block* k) noexcept nogil:
    """Which pixels and tiles belong to a block. A slot is LANES numbers: one pixel of LANES channels."""
    cdef intp SH = q.mh * q.dh, SW = q.mw * q.dw, TH = _ceil(q.oh, SH), TW = _ceil(q.ow, SW)
    cdef intp R = index // q.col_blocks, C = index % q.col_blocks
    cdef intp r = q.n * TH * R // q.row_blocks, r1 = q.n * TH * (R + 1) // q.row_blocks
    cdef intp t0 = TW * C // q.col_blocks, t1 = TW * (C + 1) // q.col_blocks, left = t0 * SW - q.pl
    cdef intp image, h0, h1, top, rows, h, t, a, b, out = 0
    k.wi, k.wo = (t1 - t0) * SW + (q.rw - 1) * q.dw, (t1 - t0) * SW
    k.x.run = <Run*> room
    k.y.run = k.x.run + q.runs
    k.x.slot = <int*> (k.y.run + q.runs)
    k.y.slot = k.x.slot + q.in_pixels
    k.tile = k.y.slot + q.out_pixels
    k.tiles = k.slots = k.x.runs = k.x.count = k.y.runs = k.y.count = 0
    while r < r1:
        image, h0 = r // TH, r % TH
        h1 = min(TH, h0 + r1 - r)
        r += h1 - h0
        top, rows = h0 * SH - q.pt, (h1 - h0) * SH + (q.rh - 1) * q.dh
        a = 0 if q.col_blocks == 1 else max(0, left)
        b = q.iw if q.col_blocks == 1 else min(q.iw, left + k.wi)
        _region(&k.x, image, q.iw, max(0, top), min(q.ih, top + rows), a, b, k.slots, top, left, k.wi, q.in_slots)
        _region(&k.y, image, q.ow, h0 * SH, min(q.oh, h1 * SH), t0 * SW, min(q.ow, t1 * SW), out, h0 * SH, t0 * SW, k.wo, 0)
        for h in range(h0, h1):
            for a in range(min(q.dh, q.oh - h * SH)):
                for t in range(t0, t1):
                    for b in range(min(q.dw, q.ow - t * SW)):
                        k.tile[2 * k.tiles] = <int> (k.slots + ((h - h0) * SH + a) * k.wi + (t - t0) * SW + b)
                        k.tile[2 * k.tiles + 1] = <int> (out + ((h - h0) * SH + a) * k.wo + (t - t0) * SW + b)
                        k.tiles += 1
        k.slots += rows * k.wi
        out += (h1 - h0) * SH * k.wo
    k.outs = out


cdef void _pack(const real* x, intp cs, intp channels, intp count, const int* slot, real* dst) noexcept nogil:
    """Pixels of up to LANES planes, cs apart, to slots; the last piece steps back instead of reading too far."""
    cdef vec r[LANES]
    cdef intp p, i, c, n = min(count, <intp> LANES)
    for p in range(_ceil(count, LANES)):
        i = max(0, min(p * LANES, count - LANES))
        if channels == LANES and n == LANES:
            for c in range(LANES):
                fetch(x + c * cs + i + 4 * LANES)
                r[c] = vload(x + c * cs + i)
        else:
            for c in range(LANES):
                r[c] = vload_part(x + c * cs + i, <int> n) if c < channels else vzero()
        vtranspose(r)
        if n == LANES:
            for c in range(LANES):
                vstore(dst + <intp> slot[i + c] * LANES, r[c])
        else:
            for c in range(n):
                vstore(dst + <intp> slot[c] * LANES, r[c])


cdef void _unpack(real* y, intp cs, intp channels, intp count, const int* slot, const real* src, vec bias) noexcept nogil:
    """Slots to pixels of up to LANES planes, with the bias of their channels."""
    cdef vec r[LANES]
    cdef intp p, i, c, n = min(count, <intp> LANES)
    for p in range(_ceil(count, LANES)):
        i = max(0, min(p * LANES, count - LANES))
        for c in range(LANES):
            r[c] = vload(src + <intp> slot[i + c if i + c < count else 0] * LANES) + bias
        vtranspose(r)
        if channels == LANES and n == LANES:
            for c in range(LANES):
                fetch_w(y + c * cs + i + 4 * LANES)
                vstore(y + c * cs + i, r[c])
        else:
            for c in range(channels):
                vstore_part(y + c * cs + i, r[c], <int> n)


# One-dimensional transforms of P pairs of points; strides in vectors.
cdef inline void _input_1d(const int P, const vec* d, intp ds, vec* v, intp vs, const vec* z) noexcept nogil:
    cdef vec e = d[2 * P * ds], o = d[(2 * P + 1) * ds]
    cdef int i, k
    for k in range(P):
        e += z[k] * d[2 * k * ds]
        o += z[k] * d[(2 * k + 1) * ds]
    v[0] = e
    v[(2 * P + 1) * vs] = o
    for i in range(P):
        e = d[2 * P * ds]
        o = d[(2 * P - 1) * ds]
        for k in range(P - 1):
            e += z[P + i * P + 1 + k] * d[(2 * k + 2) * ds]
            o += z[P + i * P + 1 + k] * d[(2 * k + 1) * ds]
        v[(2 * i + 1) * vs] = e + z[P + i * P] * o
        v[(2 * i + 2) * vs] = e - z[P + i * P] * o


cdef inline void _output_1d(const int P, const int m, const vec* v, intp vs, vec* y, intp ys, const vec* a) noexcept nogil:
    cdef vec s[4]
    cdef vec d[4]
    cdef vec sum
    cdef int i, j
    for i in range(P):
        s[i] = v[(2 * i + 1) * vs] + v[(2 * i + 2) * vs]
        d[i] = v[(2 * i + 1) * vs] - v[(2 * i + 2) * vs]
    for j in range(m):
        if j == 0:
            sum = v[0]
            for i in range(P):
                sum += s[i]
        else:
            sum = a[j * P] * (s[0] if j % 2 == 0 else d[0])
            for i in range(1, P):
                sum += a[j * P + i] * (s[i] if j % 2 == 0 else d[i])
        if j == m - 1:
            sum += v[(2 * P + 1) * vs]
        y[j * ys] = sum


cdef inline void _weight_1d(const int P, const int r, const vec* w, intp ws, vec* u, intp us, const vec* g) noexcept nogil:
    cdef vec e, o
    cdef int i, j
    u[0] = g[0] * w[0]
    u[(2 * P + 1) * us] = w[(r - 1) * ws]
    for i in range(P):
        e = g[1 + i * r] * w[0]
        o = g[2 + i * r] * w[ws]
        for j in range(2, r):
            if j % 2 == 0:
                e += g[1 + i * r + j] * w[j * ws]
            else:
                o += g[1 + i * r + j] * w[j * ws]
        u[(2 * i + 1) * us] = e + o
        u[(2 * i + 2) * us] = e - o


cdef inline void _input_tile(const int P, const bint flat, const vec* d, intp rs, intp cs, vec* v, intp vs,
                             const vec* z) noexcept nogil:
    """n x n pixels (rs, cs apart) to n * n frequencies; n pixels along cs if flat."""
    cdef vec a[64]
    cdef int i, n = 2 * P + 2
    if flat:
        _input_1d(P, d, cs, v, vs, z)
        return
    for i in range(n):
        _input_1d(P, d + i * cs, rs, a + i, n, z)
    for i in range(n):
        _input_1d(P, a + i * n, 1, v + i * n * vs, vs, z)


cdef inline void _output_tile(const int P, const int m, const bint flat, const vec* v, intp vs, vec* y, intp rs, intp cs,
                              const vec* a) noexcept nogil:
    cdef vec t[64]
    cdef int i, n = 2 * P + 2
    if flat:
        _output_1d(P, m, v, vs, y, cs, a)
        return
    for i in range(n):
        _output_1d(P, m, v + i * vs, n * vs, t + i, n, a)
    for i in range(m):
        _output_1d(P, m, t + i * n, 1, y + i * rs, cs, a)


cdef inline void _weight_tile(const int P, const int r, const bint flat, const vec* w, intp rs, intp cs, vec* u, intp us,
                              const vec* g) noexcept nogil:
    """r x r taps (rs, cs apart) to n * n frequencies; r taps along cs if flat."""
    cdef vec t[64]
    cdef int i, n = 2 * P + 2
    if flat:
        _weight_1d(P, r, w, cs, u, us, g)
        return
    for i in range(r):
        _weight_1d(P, r, w + i * cs, rs, t + i, r, g)
    for i in range(n):
        _weight_1d(P, r, t + i * r, 1, u + i * n * us, us, g)


cdef inline void _spread(const real* coef, vec* c, const int count) noexcept nogil:
    cdef int i
    for i in range(count):
        c[i] = vset(coef[i])


cdef inline void _input_loop(const int P, const bint flat, const Grid* q, const Block* k, const vec* slots, real* V, intp c,
                             const real* coef) noexcept nogil:
    cdef vec z[32]
    cdef intp groups = _ceil(k.tiles, FC_TILES), rs = q.dh * k.wi, cs = q.dw if q.along_w else rs, g, a, b, t
    cdef real* v
    _spread(coef, z, P + P * P)
    for g in range(groups):
        a, b = k.tiles * g // groups, k.tiles * (g + 1) // groups
        v = V + (a * q.cip + (b - a) * c if q.row_v == 0 else a * q.row_v + c)  # row_v: plain rows of channels
        for t in range(a, b):
            _input_tile(P, flat, slots + k.tile[2 * t], rs, cs, <vec*> v, q.vf // LANES, z)
            v += LANES if q.row_v == 0 else q.row_v


cdef void _inputs(const Grid* q, const Block* k, const real* slots, real* V, intp c, const real* coef) noexcept nogil:
    """The tiles of a block, channels c .. c + LANES, from slots to V."""
    cdef const vec* s = <const vec*> slots
    if q.flat:
        if q.pairs == 2: _input_loop(2, 1, q, k, s, V, c, coef)
        elif q.pairs == 3: _input_loop(3, 1, q, k, s, V, c, coef)
        else: _input_loop(4, 1, q, k, s, V, c, coef)
    elif q.pairs == 1: _input_loop(1, 0, q, k, s, V, c, coef)
    elif q.pairs == 2: _input_loop(2, 0, q, k, s, V, c, coef)
    else: _input_loop(3, 0, q, k, s, V, c, coef)


cdef inline void _output_loop(const int P, const int m, const bint flat, const Grid* q, const Block* k, const vec* M, vec* slots,
                              const real* coef) noexcept nogil:
    cdef vec a[32]
    cdef intp rs = q.dh * k.wo, cs = q.dw if q.along_w else rs, t
    _spread(coef + P + P * P, a, m * P)
    for t in range(k.tiles):
        _output_tile(P, m, flat, M + t, q.mf // LANES, slots + k.tile[2 * t + 1], rs, cs, a)


cdef void _outputs(const Grid* q, const Block* k, const real* M, real* slots, const real* coef) noexcept nogil:
    """One vector of output channels of all tiles, from M to slots."""
    cdef const vec* v = <const vec*> M
    cdef vec* s = <vec*> slots
    if q.flat:
        if q.m == 2: _output_loop(3, 2, 1, q, k, v, s, coef)
        elif q.pairs == 2: _output_loop(2, 4, 1, q, k, v, s, coef)
        elif q.pairs == 3: _output_loop(3, 4, 1, q, k, v, s, coef)
        else: _output_loop(4, 4, 1, q, k, v, s, coef)
    elif q.pairs == 1: _output_loop(1, 2, 0, q, k, v, s, coef)
    elif q.pairs == 3: _output_loop(3, 4, 0, q, k, v, s, coef)
    elif q.m == 2: _output_loop(2, 2, 0, q, k, v, s, coef)
    else: _output_loop(2, 4, 0, q, k, v, s, coef)


cdef void _gather(const real* w, intp step, intp rows, intp count, intp room, vec* t) noexcept nogil:
    """t[i] = number i of up to LANES rows of count numbers; room: numbers from w on that may be read."""
    cdef intp i = 0, k
    cdef const real* p
    while i < count:  # the last piece writes over the end of t
        for k in range(LANES):
            p = w + i + k * step
            fetch(p + count)
            if k >= rows:
                t[i + k] = vzero()
            elif i + k * step + LANES <= room:
                t[i + k] = vload(p)
            else:
                t[i + k] = vload_part(p, <int> min(LANES, room - i - k * step))
        vtranspose(t + i)
        i += LANES


cdef inline void _weight_loop(const int P, const int m, const int r, const bint flat, const Grid* q, const real* w, intp room,
                              intp outputs, intp ci, real* U, const real* coef) noexcept nogil:
    cdef vec t[16 * 25 + 16]
    cdef vec g[32]
    cdef intp taps = r if flat else r * r, step = -1 if q.flip else 1, c = 0, k, n
    _spread(coef + P + P * P + m * P, g, 1 + P * r)
    while c < ci:
        n = min(ci - c, 16)
        if q.sc == taps:  # filters of neighbouring channels follow each other
            _gather(w + c * taps, q.so, outputs, n * taps, room - c * taps, t)
        else:
            for k in range(n):
                _gather(w + (c + k) * q.sc, q.so, outputs, taps, room - (c + k) * q.sc, t + k * taps)
        for k in range(n):
            _weight_tile(P, r, flat, t + k * taps + (taps - 1 if q.flip else 0), r * step, step,
                         <vec*> (U + 2 * (c + k) * LANES), q.uf // LANES, g)
        c += n


cdef void _weights(const Grid* q, const real* w, intp room, intp outputs, intp ci, real* U, const real* coef) noexcept nogil:
    """One vector of output channels, ci input channels: to U[f][ci][2*LANES]."""
    if q.flat:
        if q.r == 3: _weight_loop(2, 4, 3, 1, q, w, room, outputs, ci, U, coef)
        elif q.r == 5: _weight_loop(3, 4, 5, 1, q, w, room, outputs, ci, U, coef)
        elif q.m == 2: _weight_loop(3, 2, 7, 1, q, w, room, outputs, ci, U, coef)
        else: _weight_loop(4, 4, 7, 1, q, w, room, outputs, ci, U, coef)
    elif q.r == 3 and q.m == 2: _weight_loop(1, 2, 3, 0, q, w, room, outputs, ci, U, coef)
    elif q.r == 3: _weight_loop(2, 4, 3, 0, q, w, room, outputs, ci, U, coef)
    elif q.m == 2: _weight_loop(2, 2, 5, 0, q, w, room, outputs, ci, U, coef)
    else: _weight_loop(3, 4, 5, 0, q, w, room, outputs, ci, U, coef)


cdef void _weight_panel(const Grid* q, const real* w, intp group, intp o, intp k, intp ci, real* U, const real* coef) noexcept nogil:
    """Outputs o .. o + 2*LANES of a group, input channels k .. k + ci."""
    cdef intp per_group = q.ci * q.co * q.rh * q.rw, at, s
    for s in range(2):
        at = group * per_group + (o + s * LANES) * q.so + k * q.sc
        _weights(q, w + at, q.g * per_group - at, min(q.co - o - s * LANES, <intp> LANES), ci, U + s * LANES, coef)


cdef inline void _multiply_block(const int nt, const real* V, const real* U, real* M, intp mc, intp ci, bint first) noexcept nogil:
    """M[2][.][LANES] (+)= nt tiles x 2 vectors of outputs, over ci channels; V[ci/LANES][nt][LANES], U[ci][2][LANES]."""
    cdef vec a[14][2]
    cdef vec b, u0, u1
    cdef intp l
    cdef int t
    for t in range(nt):
        a[t][0] = vzero()
        a[t][1] = vzero()
    while ci > 0:
        for l in range(min(ci, <intp> LANES)):
            fetch(U + 32 * LANES)
            fetch(U + 33 * LANES)
            u0 = vload(U)
            u1 = vload(U + LANES)
            for t in range(nt):
                b = vset(V[t * LANES + l])
                a[t][0] += b * u0
                a[t][1] += b * u1
            U += 2 * LANES
        V += nt * LANES
        ci -= LANES
    if first:
        for t in range(nt):
            vstore(M + t * LANES, a[t][0])
            vstore(M + mc + t * LANES, a[t][1])
    else:
        for t in range(nt):
            vstore(M + t * LANES, vload(M + t * LANES) + a[t][0])
            vstore(M + mc + t * LANES, vload(M + mc + t * LANES) + a[t][1])


cdef void _multiply(intp nt, const real* V, const real* U, real* M, intp mc, intp ci, bint first) noexcept nogil:
    cdef intp c, n
    for c in range(_ceil(ci, SUM)):
        n = min(ci - c * SUM, SUM)
        _multiply_sum(nt, V + c * SUM * nt, U + c * SUM * 2 * LANES, M, mc, n, first and c == 0)


cdef void _multiply_sum(intp nt, const real* V, const real* U, real* M, intp mc, intp ci, bint first) noexcept nogil:
    if nt == 1: _multiply_block(1, V, U, M, mc, ci, first)
    elif nt == 2: _multiply_block(2, V, U, M, mc, ci, first)
    elif nt == 3: _multiply_block(3, V, U, M, mc, ci, first)
    elif nt == 4: _multiply_block(4, V, U, M, mc, ci, first)
    elif nt == 5: _multiply_block(5, V, U, M, mc, ci, first)
    elif nt == 6: _multiply_block(6, V, U, M, mc, ci, first)
    elif FC_TILES == 14:
        if nt == 7: _multiply_block(7, V, U, M, mc, ci, first)
        elif nt == 8: _multiply_block(8, V, U, M, mc, ci, first)
        elif nt == 9: _multiply_block(9, V, U, M, mc, ci, first)
        elif nt == 10: _multiply_block(10, V, U, M, mc, ci, first)
        elif nt == 11: _multiply_block(11, V, U, M, mc, ci, first)
        elif nt == 12: _multiply_block(12, V, U, M, mc, ci, first)
        elif nt == 13: _multiply_block(13, V, U, M, mc, ci, first)
        else: _multiply_block(14, V, U, M, mc, ci, first)


cdef void _input_part(const Grid* q, const real* x, intp group, intp first, intp stop, const Block* k, real* V, real* area,
                      const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels; area: the thread's own memory."""
    cdef intp plane = q.ih * q.iw, v, c, i, p
    cdef real* slots = area + q.at_in
    memset(slots, 0, k.slots * LANES * sizeof(real))  # what lies outside the image stays zero
    for v in range(first, stop):
        c, p = v * LANES, 0
        for i in range(k.x.runs):
            _pack(x + ((k.x.run[i].image * q.g + group) * q.ci + c) * plane + k.x.run[i].first, plane,
                  min(q.ci - c, <intp> LANES), k.x.run[i].count, k.x.slot + p, slots)
            p += k.x.run[i].count
        _inputs(q, k, slots, V, c, coef)


cdef void _panel_part(const Grid* q, const real* w, const real* U, const real* bias, real* y, intp group, intp o,
                      const Block* k, const real* V, real* area, const real* coef) noexcept nogil:
    """Outputs o .. o + 2*LANES of a block: weights unless U has them, products, inverse transform, store."""
    cdef intp chunks = _ceil(q.ci, q.kc), groups = _ceil(k.tiles, FC_TILES), F = (q.mh + q.rh - 1) * (q.mw + q.rw - 1)
    cdef intp plane = q.oh * q.ow, j, f, g, a, b, n, s, i, p, channels
    cdef real* M = area + q.at_m
    cdef real* slots = area + q.at_out
    cdef const real* u = area + q.at_u
    cdef vec add
    for j in range(chunks):
        n = min(q.kc, q.ci - j * q.kc)
        if U != NULL:
            u = U + ((group * _ceil(q.co, 2 * LANES) + o // (2 * LANES)) * chunks + j) * q.chunk
        else:
            _weight_panel(q, w, group, o, j * q.kc, n, area + q.at_u, coef)
        for f in range(F):
            for g in range(groups):
                a, b = k.tiles * g // groups, k.tiles * (g + 1) // groups
                _multiply(b - a, V + f * q.vf + a * q.cip + (b - a) * j * q.kc, u + f * q.uf, M + f * q.mf + a * LANES,
                         k.tiles * LANES, n, j == 0)
    for s in range(min(2, _ceil(q.co - o, LANES))):
        _outputs(q, k, M + s * k.tiles * LANES, slots, coef)
        channels = min(q.co - o - s * LANES, <intp> LANES)
        p = group * q.co + o + s * LANES
        add = vzero() if bias == NULL else vload_part(bias + p, <int> channels)
        i = 0
        for j in range(k.y.runs):
            _unpack(y + (k.y.run[j].image * q.g * q.co + p) * plane + k.y.run[j].first, plane, channels, k.y.run[j].count,
                    k.y.slot + i, slots, add)
            i += k.y.run[j].count


cdef void _weights_work(const Grid* q, const real* w, real* U, const real* coef, intp part, intp parts) noexcept nogil:
    cdef intp panels = _ceil(q.co, 2 * LANES), chunks = _ceil(q.ci, q.kc), total = q.g * panels * chunks, i, k
    for i in range(total * part // parts, total * (part + 1) // parts):
        k = i % chunks * q.kc
        _weight_panel(q, w, i // chunks // panels, i // chunks % panels * 2 * LANES, k, min(q.kc, q.ci - k), U + i * q.chunk, coef)


cdef void _tiles_work(const Grid* q, const real* x, const real* U, const real* bias, real* y, real* work, const real* coef,
                      intp part, intp parts) noexcept nogil:
    cdef intp blocks = q.row_blocks * q.col_blocks, i, group, o
    cdef real* area = work + q.shared + part * q.per_thread
    cdef Block* k = <Block*> (area + q.at_table)
    for i in range(blocks * part // parts, blocks * (part + 1) // parts):
        _make_block(q, i, <real*> (k + 1), k)
        for group in range(q.g):
            _input_part(q, x, group, 0, _ceil(q.ci, LANES), k, area + q.at_v, area, coef)
            for o in range(_ceil(q.co, 2 * LANES)):
                _panel_part(q, NULL, U, bias, y, group, o * 2 * LANES, k, area + q.at_v, area, coef)


cdef void _inputs_work(const Grid* q, const real* x, real* work, const real* coef, intp block, intp part, intp parts) noexcept nogil:
    cdef intp vectors = _ceil(q.ci, LANES), i = q.g * vectors * part // parts, stop = q.g * vectors * (part + 1) // parts, n
    cdef real* area = work + q.shared + part * q.per_thread
    cdef Block* k = <Block*> (area + q.at_table)
    _make_block(q, block, <real*> (k + 1), k)
    while i < stop:
        n = min(stop - i, vectors - i % vectors)
        _input_part(q, x, i // vectors, i % vectors, i % vectors + n, k, work + i // vectors * q.group_v, area, coef)
        i += n


cdef void _panels_work(const Grid* q, const real* w, const real* U, const real* bias, real* y, real* work, const real* coef,
                       intp part, intp parts) noexcept nogil:
    cdef intp panels = _ceil(q.co, 2 * LANES), total = q.g * panels, i
    cdef real* area = work + q.shared + part * q.per_thread
    for i in range(total * part // parts, total * (part + 1) // parts):
        _panel_part(q, w, U, bias, y, i // panels, i % panels * 2 * LANES, <Block*> (area + q.at_table),
                    work + i // panels * q.group_v, area, coef)


cdef inline real* _data_or_null(cnp.ndarray a) noexcept:
    return data(a) if cnp.PyArray_SIZE(a) else NULL


def winograd_weights(cnp.ndarray w, cnp.ndarray u, cnp.ndarray grid, cnp.ndarray coef, int threads):
    """u OUT: all weights transformed, [group][panel][chunk][f][ci][2*LANES]."""
    cdef const Grid* q = <const Grid*> cnp.PyArray_DATA(grid)
    cdef real* wp = data(w)
    cdef real* up = data(u)
    cdef real* cp = data(coef)
    cdef int t
    if threads == 1:
        with nogil:
            _weights_work(q, wp, up, cp, 0, 1)
        return
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _weights_work(q, wp, up, cp, t, threads)


def winograd_tiles(cnp.ndarray x, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work, cnp.ndarray grid,
                   cnp.ndarray coef, int threads):
    """y OUT, from transformed weights u; every thread takes blocks of tiles through all stages. bias may be empty."""
    cdef const Grid* q = <const Grid*> cnp.PyArray_DATA(grid)
    cdef real* xp = data(x)
    cdef real* up = data(u)
    cdef real* bp = _data_or_null(bias)
    cdef real* yp = data(y)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef int t
    if threads == 1:
        with nogil:
            _tiles_work(q, xp, up, bp, yp, kp, cp, 0, 1)
        return
    for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
        _tiles_work(q, xp, up, bp, yp, kp, cp, t, threads)


def winograd_panels(cnp.ndarray x, cnp.ndarray w, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray y, cnp.ndarray work,
                    cnp.ndarray grid, cnp.ndarray coef, int threads):
    """y OUT; all threads transform a block of x, then each takes panels of outputs, whose weights it transforms as it
    needs them (or finds in u, if that is not empty)."""
    cdef const Grid* q = <const Grid*> cnp.PyArray_DATA(grid)
    cdef real* xp = data(x)
    cdef real* wp = data(w)
    cdef real* up = _data_or_null(u)
    cdef real* bp = _data_or_null(bias)
    cdef real* yp = data(y)
    cdef real* kp = data(work)
    cdef real* cp = data(coef)
    cdef intp block, blocks = q.row_blocks * q.col_blocks
    cdef int t
    for block in range(blocks):
        if threads == 1:
            with nogil:
                _inputs_work(q, xp, kp, cp, block, 0, 1)
                _panels_work(q, wp, up, bp, yp, kp, cp, 0, 1)
            continue
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _inputs_work(q, xp, kp, cp, block, t, threads)
        for t in prange(threads, nogil=True, schedule="static", num_threads=threads):
            _panels_work(q, wp, up, bp, yp, kp, cp, t, threads)


def winograd_lanes():
    """Numbers in a vector."""
    return LANES
