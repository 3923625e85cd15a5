# forward and grad_input: bands of register blocks, panel by panel of weights.
#
# Where outputs are planes, blocks go to a tile, pixels x outputs, which is turned while the cache holds it.


cdef enum:
    RUNS_TURN = 64                                          # pixels of a tile: some lines of each plane


cdef struct RunsProducts:
    const RunsPass* r
    const real* x
    const real* u                                           # packed weights; NULL: every thread packs its panels
    const real* w
    const real* bias
    const real* residual
    real* y
    real* work
    int activation


cdef inline const real* _place(const real* a, intp at) noexcept nogil:
    """a[at:], of an array that may be absent."""
    if a == NULL:
        return NULL
    return a + at


cdef intp _band_end(const RunsPass* r, intp b, intp last, intp columns) noexcept nogil:
    """One behind the last register block of the band that begins with block b: whole images, rows or part of one."""
    cdef intp image = r.oh * columns, images = min(r.band, last - b) // image, e
    if b % image == 0 and images:
        return b + images * image
    e = min(min(last, b + r.band), b - b % image + image)
    return e // columns * columns if e < last and e // columns * columns > b else e


cdef void _products_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    cdef const RunsProducts* a = <const RunsProducts*> arguments
    cdef const RunsPass* r = a.r
    cdef intp columns = (r.ow + r.nr - 1) // r.nr, image = r.oh * columns, width = r.nv * LANES
    cdef intp panels = r.groups * ((r.og + width - 1) // width), crews = nthr // r.ways, crew = ithr // r.ways
    cdef intp b, e, last, p, begin, end, n0, n1, i0, i1, j0, j1, mine = ithr % r.ways
    cdef intp first
    cdef real* scratch = a.work + ithr * r.room
    cdef real* tile = scratch + r.copied
    cdef real* panel
    cdef View v
    if crew >= crews:
        return
    begin, end = split(panels, mine, r.ways), split(panels, mine + 1, r.ways)
    b = first = split(r.n * image, crew, crews)
    last = split(r.n * image, crew + 1, crews)
    while b < last:
        e = _band_end(r, b, last, columns)
        n0, n1 = b // image, (e - 1) // image + 1
        i0, i1, j0, j1 = 0, r.oh, 0, r.ow
        if n1 - n0 == 1:
            i0, i1 = b % image // columns, (e - 1) % image // columns + 1
        if i1 - i0 == 1:
            j0, j1 = split(r.ow, b % columns, columns), split(r.ow, (e - 1) % columns + 1, columns)
        v = _source(r, a.x, scratch, n0, n1, i0, i1, j0, j1)
        for p in range(begin, end):
            panel = tile + r.tile + (p - begin) * r.keep * width * r.kh * r.kw * r.cg
            _band_products(a, &v, tile, panel, b > first and r.keep, p, b, e, columns)
        b = e


cdef void _turn(const RunsProducts* a, const real* tile, intp nv, intp outputs, intp at, intp n) noexcept nogil:
    """The outputs of n pixels to their planes, from y[at] on, with what is left of the epilogue."""
    cdef const RunsPass* r = a.r
    cdef intp k
    for k in range(nv):
        lanes_to_planes(1, 0, tile + k * LANES, nv * LANES, a.y + at + k * LANES * r.yplane, r.yplane,
                        min(<intp> LANES, outputs - k * LANES), n, vzero())
    if a.residual != NULL or a.activation > FC_RELU:
        for k in range(outputs):
            fc_epilogue_rows(a.activation, a.y + at, NULL, _place(a.residual, at), 0, 1, n, 1, 0)
            at += r.yplane


cdef void _band_products(const RunsProducts* a, const View* v, real* tile, real* panel, bint packed, intp p, intp b,
                         intp e, intp columns) noexcept nogil:
    """Register blocks [b, e) of one panel of outputs; panel: a thread's place for weights, packed: that are there."""
    cdef const RunsPass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, g = p // panels, first = p % panels * width
    cdef intp outputs = min(width, r.og - first), nv = (outputs + LANES - 1) // LANES, taps = r.kh * r.kw
    cdef intp chunks = (r.cg + r.chunk - 1) // r.chunk, most = columns, whole = b // columns * r.ow
    cdef intp c0, c1, t, i, k, k1, j, j0, row, top, bottom, block, at
    cdef intp place = r.y0 + g * r.og + first
    cdef runs_kernel** kernels = runs_of_products[nv]
    cdef const real* u = _place(a.u, p * width * taps * r.cg)
    cdef const real* w
    cdef const real* x
    cdef real* y
    cdef runs_job job
    job.row, job.pixel, job.out, job.wide = r.rd * v.row, v.over, r.ypixel, r.yplane
    job.bias = _place(a.bias, g * r.og + first)
    job.lanes, job.activation = <int> (outputs - (nv - 1) * LANES), a.activation
    if r.yplane:
        place, job.out = r.y0 + (g * r.og + first) * r.yplane, nv * LANES
        most = max(<intp> 1, RUNS_TURN // r.nr) if chunks == 1 else columns
        whole += split(r.ow, b % columns, columns)          # the first pixel of the band
        if a.residual != NULL or a.activation > FC_RELU:
            job.activation = 0
    for t in range(chunks):
        c0, c1 = t * r.chunk, min(r.cg, (t + 1) * r.chunk)
        if u == NULL:
            w = panel + r.keep * c0 * taps * nv * LANES
            if not packed:
                _pack_chunk(r, a.w, g, first, outputs, nv, c0, c1, panel + r.keep * c0 * taps * nv * LANES)
        else:
            w = u + c0 * taps * nv * LANES
        job.onto, job.finish = t > 0, c1 == r.cg
        job.taps, job.n, job.tap = r.kw, c1 - c0, r.cd * v.pixel
        if job.tap == job.n:                                # neighbouring taps are one run
            job.taps, job.n = 1, r.kw * job.n
        x = v.x + r.c0 * v.pixel + g * r.cg + c0
        block = b
        while block < e:                                    # a row of outputs, or part of it
            i, k = block // columns, block % columns
            k1 = min(min(columns, k + e - block), k + most)
            row = r.r0 + i % r.oh * r.rs
            top, bottom = _outside(row, r.rd, r.kh), _inside(row, r.rd, r.kh, r.h)
            job.rows = max(<intp> 0, bottom - top)
            at, j0 = place + i // r.oh * r.yimage + i % r.oh * r.yrow, split(r.ow, k, columns)
            if r.yplane:
                y = tile - j0 * job.out
                if chunks > 1:
                    y = tile + (i * r.ow - whole) * job.out
            else:
                y = a.y + at
            block += k1 - k
            for k in range(k, k1):
                j = split(r.ow, k, columns)
                kernels[split(r.ow, k + 1, columns) - j](
                    &job, x + i // r.oh * v.image + (row + top * r.rd) * v.row + j * job.pixel,
                    w + top * r.kw * (c1 - c0) * nv * LANES, y + j * job.out,
                    NULL if r.yplane else _place(a.residual, at + j * job.out))
            if r.yplane and job.finish:
                _turn(a, y + j0 * job.out, nv, outputs, at + j0, split(r.ow, k1, columns) - j0)


def runs_products(cnp.ndarray x, u, cnp.ndarray w, bias, residual, cnp.ndarray y, cnp.ndarray work, cnp.ndarray record,
                  int activation, int threads):
    """y OUT (n, oh, ow, co) = activation(conv + bias + residual) of x IN (n, h, w, ci), or a phase of grad_input;
    either with its channels as planes, if the record says so.

    u IN: packed weights, or None, then w IN (co, ci // groups, kh, kw) is packed panel by panel. bias IN (co,),
    residual IN as y, or None. work WORK [threads][room].
    """
    cdef RunsProducts a
    a.r, a.x, a.w, a.y, a.work, a.activation = read_RunsPass(record), data(x), data(w), data(y), data(work), activation
    a.u = NULL if u is None else data(u)
    a.bias = NULL if bias is None else data(bias)
    a.residual = NULL if residual is None else data(residual)
    with nogil:
        launch(_products_share, &a, threads)
