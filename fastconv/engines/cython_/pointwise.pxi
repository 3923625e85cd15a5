# 1x1 kernels on planes. The register blocks are those of direct: a row of weights is what a pixel's run of channels is
# there, and a panel of pixels what packed weights are. Nothing is turned but x in grad_weight.


cdef struct Pointwise:
    const PointwisePass* r
    const real* x
    const real* w                                           # rows of weights; in grad_weight dy
    const real* bias
    const real* residual
    real* y
    real* work
    int activation


cdef inline void _pixels(const PointwisePass* r, const real* x, intp n, intp left, real* d) noexcept nogil:
    """Panels [channels][nv * LANES] of n pixels of each plane; the next ones are asked for, as far as there are any."""
    cdef intp c, j, k, vectors = (n + LANES - 1) // LANES, nv, ahead = (min(n, left) * sizeof(real) + 63) // 64
    cdef real* to
    for c in range(r.channels):
        j = 0
        while j < vectors:                                  # panel by panel
            nv = min(r.nv, vectors - j)
            to = d + (j * r.channels + c * nv) * LANES
            for k in range(nv):
                if (j + k + 1) * LANES <= n:
                    vstore(to + k * LANES, vload(x + (j + k) * LANES))
                else:
                    vstore(to + k * LANES, vload_part(x + (j + k) * LANES, <int> (n - (j + k) * LANES)))
            j += nv
        for j in range(ahead):
            fetch_l2(<const char*> (x + n) + j * 64)        # planes may meet in one set of the first cache
        x += r.pixels


cdef inline intp _pick_at(const PointwisePass* r, intp p) noexcept nogil:
    """Where pixel p of y lies in a plane of x."""
    return p // r.width * r.sh * r.x_width + p % r.width * r.sw


cdef inline void _pick(const PointwisePass* r, const real* x, intp p, intp n, real* d) noexcept nogil:
    """As `_pixels` at a stride: n pixels from p on of each plane, whose first is x."""
    cdef intp width = r.nv * LANES, skip = r.sh * r.x_width - r.width * r.sw, last = (n - 1) // width * width
    cdef intp wide = (n - last + LANES - 1) // LANES * LANES, ahead = n * r.sw * r.sh * sizeof(real) // 64
    cdef intp first = p % r.width, c, j, k, t, column
    cdef const real* from_
    cdef real* to
    x += _pick_at(r, p)
    for c in range(r.channels):
        from_, column, t = x + c * r.x_pixels, first, 0
        while t < n:                                        # to the end of a row or of a panel
            to = d + t // width * width * r.channels + c * (wide if t >= last else width) + t % width
            k = min(min(n - t, r.width - column), width - t % width)
            for j in range(k):
                to[j] = from_[j * r.sw]
            t, column, from_ = t + k, column + k, from_ + k * r.sw
            if column == r.width:
                column, from_ = 0, from_ + skip
        to = d + last * r.channels + c * wide
        for j in range(n - last, wide):
            to[j] = 0
        for j in range(ahead):
            fetch_l2(<const char*> from_ + j * 64)


cdef inline void _spread(const PointwisePass* r, const real* s, intp p, intp n, real* x) noexcept nogil:
    """n results from pixel p on go to a plane of x, and zeros to the pixels that no stride meets."""
    cdef intp at = _pick_at(r, p), column = p % r.width, edge = r.x_width - r.width * r.sw, k, h, m, wide
    while n > 0:
        m = min(n, r.width - column)
        wide = m * r.sw + (edge if column + m == r.width else 0)
        h = at
        while h < min(at + r.sh * r.x_width, r.x_pixels):
            memset(x + h, 0, wide * sizeof(real))
            h += r.x_width
        for k in range(m):
            x[at + k * r.sw] = s[k]
        at += m * r.sw + r.sh * r.x_width - r.width * r.sw
        s, n, column = s + m, n - m, 0


cdef void _pointwise_part(const void* arguments, intp u, intp last, intp ithr, bint again) noexcept nogil:
    """Panels of pixels, a few at a time, each with all outputs of a group, or those of one way."""
    cdef const Pointwise* a = <const Pointwise*> arguments
    cdef const PointwisePass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.pixels + width - 1) // width, way = ithr % r.ways, i, p, n, k
    cdef real* panel = a.work + ithr * r.room
    while u < last:
        i, p = u // panels, u % panels * width
        n = min(min(last - u, r.keep) * width, r.pixels - p)
        if r.picks:
            _pick(r, a.x + i * r.channels * r.x_pixels, p, n, panel)
        else:
            _pixels(r, a.x + i * r.channels * r.pixels + p, n, r.pixels - p - n, panel)
        for k in range((n + width - 1) // width):
            _pointwise_panel(a, i, p + k * width, min(width, n - k * width), panel + k * width * r.channels, way)
            u += 1


cdef inline void _ask_rows(const PointwisePass* r, const real* y, intp rows, intp plane) noexcept nogil:
    """Ask for rows of results that come soon."""
    cdef intp k, j, bytes = r.nv * LANES * sizeof(real)
    for k in range(rows):
        for j in range(0, bytes, 64):
            fetch_w(<const char*> (y + k * plane) + j)


cdef void _pointwise_panel(const Pointwise* a, intp i, intp p, intp n, const real* panel, intp way) noexcept nogil:
    """The outputs of a way for n pixels from p on; i: image and group."""
    cdef const PointwisePass* r = a.r
    cdef intp blocks = (r.outputs + r.nr - 1) // r.nr, nv = (n + LANES - 1) // LANES, b, o, rows, at, k
    cdef intp group = i % r.groups * r.outputs
    cdef intp even = r.outputs // blocks, more = r.outputs % blocks             # rows of a block; blocks of one more
    cdef intp first = split(blocks, way, r.ways), last = split(blocks, way + 1, r.ways)
    cdef intp plane = r.x_pixels if r.spreads else r.pixels, here = _pick_at(r, p) if r.spreads else p
    cdef real tile[14 * 4 * LANES]
    cdef real* y = a.y + i * r.outputs * plane + here
    cdef direct_job job
    memset(&job, 0, sizeof(job))
    job.rows = job.taps = job.finish = 1
    job.n = r.channels
    job.pixel, job.out = r.channels, nv * LANES if r.spreads else r.pixels
    job.activation, job.lanes = a.activation, <int> (n - (nv - 1) * LANES)
    o = first * even + min(first, more)
    _ask_rows(r, y + o * plane, even + (first < more), plane)
    for b in range(first, last):
        rows = even + (b < more)
        at = (i * r.outputs + o) * plane + here
        y = a.y + at
        if b + 1 < last:
            _ask_rows(r, y + rows * plane, rows, plane)
        if r.spreads:
            y = tile
        job.each = _place(a.bias, group + o)
        direct_of_products[nv][rows](&job, a.w + (group + o) * r.channels, panel, y, _place(a.residual, at))
        o += rows
        for k in range(rows if r.spreads else 0):
            _spread(r, tile + k * nv * LANES, p, n, a.y + at - here + k * plane)


def pointwise_products(cnp.ndarray x, cnp.ndarray w, bias, residual, cnp.ndarray y, cnp.ndarray work,
                       cnp.ndarray record, int activation, int threads):
    """y OUT (n, co, h, w) = activation(w x + bias + residual) of x IN (n, ci, h, w), w IN (co, ci // groups, 1, 1).

    bias IN (co,), residual IN as y, or None. work WORK [threads][room]. At a stride the record says which of x and y
    has the pixels between.
    """
    cdef Pointwise a
    a.r, a.x, a.w, a.y, a.work = read_PointwisePass(record), data(x), data(w), data(y), data(work)
    cdef intp width = a.r.nv * LANES
    a.activation = activation
    a.bias = NULL if bias is None else data(bias)
    a.residual = NULL if residual is None else data(residual)
    with nogil:
        launch_parts(_pointwise_part, &a, a.r.n * a.r.groups * ((a.r.pixels + width - 1) // width), threads, a.r.ways)


cdef inline void _pixels_to_lanes(const PointwisePass* r, const real* x, intp p, intp n, intp planes, real* d,
                                  intp pitch) noexcept nogil:
    """Lanes of n pixels from p on of up to LANES planes, whose first is x."""
    cdef intp column = p % r.width, m
    if not r.picks:
        planes_to_lanes(1, x + p, r.x_pixels, planes, 1, n, d, pitch, n)
        return
    x += _pick_at(r, p)
    while n > 0:                                            # row by row
        m = min(n, r.width - column)
        planes_to_lanes(1, x, r.x_pixels, planes, r.sw, m, d, pitch, r.sh * r.x_width)
        x += m * r.sw + r.sh * r.x_width - r.width * r.sw
        d, n, column = d + m * pitch, n - m, 0


cdef void _pointwise_sums_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    """Strips of pixels: x is turned, rows of dy are read in place."""
    cdef const Pointwise* a = <const Pointwise*> arguments
    cdef const PointwisePass* r = a.r
    cdef intp width = r.nv * LANES, strips = (r.pixels + r.strip - 1) // r.strip, size = r.outputs * r.channels
    cdef intp blocks = (r.outputs + r.nr - 1) // r.nr, unit, k, i, g, p, q, c, some, nv, j, b, o, rows
    cdef intp panels = (r.channels + width - 1) // width
    cdef intp first = split(r.n * strips, ithr, nthr), last = split(r.n * strips, ithr + 1, nthr)
    cdef real* lanes = a.work + ithr * r.room
    cdef real* sums = a.y + ithr * r.groups * size
    cdef real* to
    cdef direct_job job
    if first == last:
        memset(sums, 0, r.groups * size * sizeof(real))
    memset(&job, 0, sizeof(job))
    job.rows = job.taps = job.finish = 1
    job.pixel, job.out = r.pixels, r.channels
    for unit in range(first, last):
        k = unit % strips
        p = split(r.pixels, k, strips)
        job.n = split(r.pixels, k + 1, strips) - p
        for g in range(r.groups):
            i = unit // strips * r.groups + g
            for q in range(panels):
                c = q * width
                some = min(width, r.channels - c)
                nv = (some + LANES - 1) // LANES
                job.lanes = <int> (some - (nv - 1) * LANES)
                for j in range(nv):
                    _pixels_to_lanes(r, a.x + (i * r.channels + c + j * LANES) * r.x_pixels, p, job.n,
                                     min(<intp> LANES, some - j * LANES), lanes + j * LANES, nv * LANES)
                for b in range(blocks):
                    o = split(r.outputs, b, blocks)
                    rows = split(r.outputs, b + 1, blocks) - o
                    to = sums + g * size + o * r.channels + c
                    # a strip's sum is its own: errors grow with the length of a strip only
                    direct_of_products[nv][rows](
                        &job, a.w + (i * r.outputs + o) * r.pixels + p, lanes, to, to if unit > first else NULL)


def pointwise_sums(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray sums, cnp.ndarray work, cnp.ndarray record,
                   int threads):
    """sums OUT [threads][co][ci // groups] of x IN (n, ci, h, w) and dy IN (n, co, h, w).

    work WORK [threads][room].
    """
    cdef Pointwise a
    a.r, a.x, a.w, a.y, a.work = read_PointwisePass(record), data(x), data(dy), data(sums), data(work)
    with nogil:
        launch(_pointwise_sums_share, &a, threads)
