# Winograd: which pixels and tiles belong to a block, and their way between images and slots. A slot is LANES numbers:
# one pixel of LANES channels; where channels lie last, it is copied as it lies.

cdef extern from *:
    """
    #define WINO_AHEAD 12 /* pixels from a prefetch to their use */
    """
    enum:
        WINO_AHEAD

cdef extern from "winograd/multiply.h" nogil:
    enum:
        WINO_TILES
        WINO_ROWS
        WINO_COLS
    void wino_products(int nt, const real* V, const real* U, real* M, intp mc, intp n, intp length, bint onto)
    void wino_sums(int nv, const real* Q, const real* X, intp xs, real* S, intp vs, intp ss, intp tiles, bint onto,
                   const real* next)

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


cdef void _wino_make_block(const WinogradPass* q, intp index, real* room, WinoBlock* k) noexcept nogil:
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


cdef void _wino_pack_planes(const real* x, intp cs, intp channels, intp count, const int* slot,
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


cdef void _wino_pack_pixels(const real* x, intp step, intp channels, intp count, const int* slot,
                            real* dst) noexcept nogil:
    """Up to LANES channels of pixels `step` apart to slots."""
    cdef intp p
    if channels == LANES:
        for p in range(count):
            fetch(x + (p + WINO_AHEAD) * step)
            vstore(dst + <intp> slot[p] * LANES, vload(x + p * step))
    else:
        for p in range(count):
            vstore(dst + <intp> slot[p] * LANES, vload_part(x + p * step, <int> channels))


cdef void _wino_pack(const WinoPixels* k, const real* x, intp groups, intp group, intp channels, intp c, intp plane,
                     bint last, real* slots) noexcept nogil:
    """Channels c .. c + LANES of a group to slots; `last`: the channels of x lie last."""
    cdef intp i, p = 0, all = groups * channels, n = min(channels - c, <intp> LANES), first = group * channels + c
    for i in range(k.runs):
        if last:
            _wino_pack_pixels(x + (k.run[i].image * plane + k.run[i].first) * all + first, all, n, k.run[i].count,
                              k.slot + p, slots)
        else:
            _wino_pack_planes(x + (k.run[i].image * all + first) * plane + k.run[i].first, plane, n, k.run[i].count,
                              k.slot + p, slots)
        p += k.run[i].count


cdef struct WinoStore:
    const real* slots
    const int* slot  # of every pixel
    real* y  # the first pixel, and the same of the residual, or NULL
    const real* residual
    vec bias
    intp step, channels, count  # numbers from a plane, or pixel, to the next


cdef inline void _wino_unpack_planes(int which, const void* args) noexcept nogil:
    """Slots to pixels of up to LANES planes; which - 1: the activation."""
    cdef const WinoStore* a = <const WinoStore*> args
    cdef vec r[LANES]
    cdef intp p, i, c, at, n = min(a.count, <intp> LANES)
    for p in range(_wino_ceil(a.count, LANES)):
        i = max(0, min(p * LANES, a.count - LANES))
        for c in range(LANES):
            r[c] = vload(a.slots + <intp> a.slot[i + c if i + c < a.count else 0] * LANES) + a.bias
        vtranspose(r)
        if a.channels == LANES and n == LANES:
            if a.residual != NULL:
                for c in range(LANES):
                    r[c] += vload(a.residual + c * a.step + i)
            for c in range(LANES):
                at = c * a.step + i
                fetch_w(a.y + at + 4 * LANES)
                vstore(a.y + at, fc_activate(r[c], which - 1))
        else:
            for c in range(a.channels):
                at = c * a.step + i
                if a.residual != NULL:
                    r[c] += vload_part(a.residual + at, <int> n)
                vstore_part(a.y + at, fc_activate(r[c], which - 1), <int> n)


cdef inline void _wino_unpack_pixels(int which, const void* args) noexcept nogil:
    """Slots to up to LANES channels of pixels."""
    cdef const WinoStore* a = <const WinoStore*> args
    cdef intp p, n = a.channels
    cdef vec v
    for p in range(a.count):
        v = vload(a.slots + <intp> a.slot[p] * LANES) + a.bias
        fetch_w(a.y + (p + WINO_AHEAD) * a.step)
        if n == LANES:
            if a.residual != NULL:
                v += vload(a.residual + p * a.step)
            vstore(a.y + p * a.step, fc_activate(v, which - 1))
        else:
            if a.residual != NULL:
                v += vload_part(a.residual + p * a.step, <int> n)
            vstore_part(a.y + p * a.step, fc_activate(v, which - 1), <int> n)


cdef void _wino_unpack(const WinogradPass* q, const WinoPixels* k, const real* slots, const real* bias,
                       const real* residual, real* y, intp group, intp c, int activation) noexcept nogil:
    """Slots to channels c .. c + LANES of a group of y, and all that follows a convolution; bias, residual or NULL."""
    cdef intp i, at, p = 0, all = q.g * q.co, plane = q.oh * q.ow, first = group * q.co + c
    cdef WinoStore a
    a.slots, a.residual, a.channels = slots, NULL, min(q.co - c, <intp> LANES)
    a.bias = vzero() if bias == NULL else vload_part(bias + first, <int> a.channels)
    a.step = all if q.y_last else plane
    for i in range(k.runs):
        at = k.run[i].image * all * plane
        at += k.run[i].first * all + first if q.y_last else first * plane + k.run[i].first
        a.y, a.slot, a.count = y + at, k.slot + p, k.run[i].count
        if residual != NULL:
            a.residual = residual + at
        if q.y_last:
            fc_cases(_wino_unpack_pixels, activation + 1, 9, &a)
        else:
            fc_cases(_wino_unpack_planes, activation + 1, 9, &a)
        p += k.run[i].count
