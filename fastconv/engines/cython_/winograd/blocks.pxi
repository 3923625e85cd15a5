# Winograd: which pixels and tiles belong to a block, and their way between NCHW planes and slots. A slot is LANES
# numbers: one pixel of LANES channels. All sizes come in one array, in the order of Grid of
# algorithms/winograd_layout.py.

cdef extern from *:
    """
    #define WINO_TILES (VBYTES == 64 ? 14 : 6) /* tiles of the register block: 28 (or 12) accumulators */
    """
    enum:
        WINO_TILES

cdef struct WinoGrid:
    intp n, ci, ih, iw, co, oh, ow, g  # channels are those of one group
    intp pt, pl, dh, dw, mh, rh, mw, rw  # a tile: mh x mw outputs of rh x rw taps
    intp so, sc, flip  # weights: steps of outputs and inputs; whether the taps are reversed
    intp points, m, r, flat, along_w  # which transform; of one axis, along the width
    intp sum  # channels (or tiles) whose products are summed by themselves: shorter sums, smaller errors
    intp row_blocks, col_blocks, kc, cip  # blocks of tiles; channels a chunk of weights; channels in whole lanes
    intp tiles, in_slots, in_pixels, out_pixels, runs  # most in a block
    intp vf, mf, uf, chunk, group_v  # numbers from a frequency to the next; in a chunk of weights; in V of a group
    intp held, batch, qf, square, rows, cols  # grad_weight: tiles, blocks held at once; a block of sums, its squares
    intp at_x, at_q, at_s, part_s, parts, segment  # where its transforms and sums lie; blocks that have own sums
    intp shared, at_v, at_m, at_in, at_out, at_u, at_table, per_thread  # where things lie in the workspace

cdef struct WinoRun:
    intp image, first, count  # pixels of a plane in one piece

cdef struct WinoPixels:
    intp runs, count
    WinoRun* run
    int* slot  # of each pixel of the runs

cdef struct WinoBlock:
    intp tiles, slots, outs, wi, wo  # slots of input and output, and in a row of them
    int* tile  # (input slot, output slot) of a tile's first pixel
    WinoPixels x, y


cdef inline intp _wino_ceil(intp a, intp b) noexcept nogil:
    return (a + b - 1) // b


cdef void _wino_region(WinoPixels* k, intp image, intp w, intp h0, intp h1, intp c0, intp c1, intp base,
                       intp top, intp left, intp width, intp trash) noexcept nogil:
    """Rows h0..h1, columns c0..c1 of a plane: pixel (h, c) to slot base + (h - top) * width + c - left."""
    cdef intp h, c
    if h1 <= h0 or c1 <= c0:
        return
    if c1 - c0 == w:  # whole rows are one run
        k.run[k.runs] = WinoRun(image, h0 * w, (h1 - h0) * w)
        k.runs += 1
    for h in range(h0, h1):
        if c1 - c0 < w:
            k.run[k.runs] = WinoRun(image, h * w + c0, c1 - c0)
            k.runs += 1
        for c in range(c0, c1):
            k.slot[k.count] = <int> (base + (h - top) * width + c - left if 0 <= c - left < width else trash)
            k.count += 1


cdef void _wino_make_block(const WinoGrid* q, intp index, real* room, WinoBlock* k) noexcept nogil:
    """Which pixels and tiles belong to a block. A slot is LANES numbers: one pixel of LANES channels."""
    cdef intp SH = q.mh * q.dh, SW = q.mw * q.dw, TH = _wino_ceil(q.oh, SH), TW = _wino_ceil(q.ow, SW)
    cdef intp R = index // q.col_blocks, C = index % q.col_blocks
    cdef intp r = q.n * TH * R // q.row_blocks, r1 = q.n * TH * (R + 1) // q.row_blocks
    cdef intp t0 = TW * C // q.col_blocks, t1 = TW * (C + 1) // q.col_blocks, left = t0 * SW - q.pl
    cdef intp image, h0, h1, top, rows, h, t, a, b, out = 0
    k.wi, k.wo = (t1 - t0) * SW + (q.rw - 1) * q.dw, (t1 - t0) * SW
    k.x.run = <WinoRun*> room
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
        _wino_region(&k.x, image, q.iw, max(0, top), min(q.ih, top + rows), a, b, k.slots, top, left, k.wi,
                     q.in_slots)
        _wino_region(&k.y, image, q.ow, h0 * SH, min(q.oh, h1 * SH), t0 * SW, min(q.ow, t1 * SW), out, h0 * SH,
                     t0 * SW, k.wo, 0)
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


cdef void _wino_pack(const real* x, intp cs, intp channels, intp count, const int* slot,
                     real* dst) noexcept nogil:
    """Pixels of up to LANES planes, cs apart, to slots; the last piece steps back, not to read too far."""
    cdef vec r[LANES]
    cdef intp p, i, c, n = min(count, <intp> LANES)
    for p in range(_wino_ceil(count, LANES)):
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


cdef void _wino_unpack(real* y, intp cs, intp channels, intp count, const int* slot, const real* src,
                       vec bias) noexcept nogil:
    """Slots to pixels of up to LANES planes, with the bias of their channels."""
    cdef vec r[LANES]
    cdef intp p, i, c, n = min(count, <intp> LANES)
    for p in range(_wino_ceil(count, LANES)):
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
