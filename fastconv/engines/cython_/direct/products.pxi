# forward and grad_input: bands of register blocks, panel by panel of weights.
#
# Where outputs are planes, blocks go to a tile, pixels x outputs, which is turned while the cache holds it.


cdef enum:
    DIRECT_TURN = 64                                        # pixels of a tile: some lines of each plane


cdef struct DirectProducts:
    const DirectPass* r
    const DirectPhase* phases
    const intp* order                                       # place of a tap of w among packed ones, or -1
    const real* x
    const real* u                                           # packed weights; NULL: every thread packs its panels
    const real* w
    const real* bias
    const real* residual
    real* y
    real* work
    intp jobs                                               # of all crews
    int activation


cdef intp _band_end(const DirectPass* r, intp b, intp last, intp columns) noexcept nogil:
    """One behind the last register block of the band that begins with block b: whole images, rows or part of one."""
    cdef intp image = r.oh * columns, images = min(r.band, last - b) // image, e
    if b % image == 0 and images:
        return b + images * image
    e = min(min(last, b + r.band), b - b % image + image)
    return e // columns * columns if e < last and e // columns * columns > b else e


cdef void _products_part(const void* arguments, intp first, intp last, intp ithr, bint again) noexcept nogil:
    """Jobs [first, last) of a crew's, band by band."""
    cdef const DirectProducts* a = <const DirectProducts*> arguments
    cdef const DirectPass* r = a.r
    cdef intp columns = (r.ow + r.nr - 1) // r.nr, image = r.oh * columns, width = r.nv * LANES
    cdef intp panels = r.groups * ((r.og + width - 1) // width), e, p, n0, n1, i0, i1, j0, j1
    cdef intp begin = split(panels, ithr % r.ways, r.ways), end = split(panels, ithr % r.ways + 1, r.ways)
    cdef intp b = split(r.n * image, first, a.jobs)
    cdef real* scratch = a.work + ithr * r.room
    cdef real* tile = scratch + r.copied
    cdef real* panel
    cdef View v
    cdef Ahead ahead
    cdef bint packed = again and r.keep
    last = split(r.n * image, last, a.jobs)
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
            panel = tile + r.tile + (p - begin) * r.keep * width * r.taps * r.cg
            ahead = _next_panel(a, p + 1 if p + 1 < end else begin, p + 1 == end, e, last, packed, e - b)
            _band_panel(a, &v, tile, panel, packed, p, b, e, columns, &ahead)
        b = e
        packed = r.keep


cdef Ahead _next_panel(const DirectProducts* a, intp p, bint again, intp e, intp last, bint packed,
                       intp blocks) noexcept nogil:
    """The weights of the panel that comes next, to be asked for while so many blocks of the one before are at work."""
    cdef const DirectPass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, K = r.cg * r.taps, o = p % panels * width
    cdef Ahead ahead
    memset(&ahead, 0, sizeof(ahead))
    if packed or (again and (e >= last or r.keep)):
        return ahead
    if a.u != NULL:
        ahead.at[0], ahead.left[0] = <const char*> (a.u + p * width * K), width * K * sizeof(real)
    elif not r.swapped:
        ahead.at[0] = <const char*> (a.w + (p // panels * r.og + o) * r.cg * r.kernel)
        ahead.left[0] = min(width, r.og - o) * r.cg * r.kernel * sizeof(real)
    ahead.lines = ahead.left[0] // (64 * blocks * r.phases) + 1
    return ahead


cdef void _turn(const DirectProducts* a, const real* tile, intp nv, intp outputs, intp at, intp n) noexcept nogil:
    """The outputs of n pixels to their planes, from y[at] on, with what is left of the epilogue."""
    cdef const DirectPass* r = a.r
    cdef intp k, j
    if r.ypixel > 1:                                        # between the pixels of other phases
        for k in range(outputs):
            for j in range(n):
                a.y[at + j * r.ypixel] = tile[j * nv * LANES + k]
            at += r.yplane
        return
    for k in range(nv):
        lanes_to_planes(1, 0, tile + k * LANES, nv * LANES, a.y + at + k * LANES * r.yplane, r.yplane,
                        min(<intp> LANES, outputs - k * LANES), n, vzero())
    if a.residual != NULL or a.activation > FC_RELU6:
        for k in range(outputs):
            fc_epilogue_rows(a.activation, a.y + at, NULL, _place(a.residual, at), 0, 1, n, 1, 0)
            at += r.yplane


cdef void _band_panel(const DirectProducts* a, const View* v, real* tile, real* panel, bint packed, intp p, intp b,
                      intp e, intp columns, Ahead* ahead) noexcept nogil:
    """Register blocks [b, e) of a panel of outputs; panel: a thread's place for weights, packed: that are there."""
    cdef const DirectPass* r = a.r
    cdef intp width = r.nv * LANES, panels = (r.og + width - 1) // width, g = p // panels, first = p % panels * width
    cdef intp outputs = min(width, r.og - first), nv = (outputs + LANES - 1) // LANES, c0, c1, t, f
    cdef intp chunks = (r.cg + r.chunk - 1) // r.chunk
    cdef const real* u = _place(a.u, p * width * r.taps * r.cg)
    cdef real* place
    cdef direct_job job
    job.out, job.wide = nv * LANES if r.yplane else r.ypixel, r.yplane > 0
    job.lanes = <int> (outputs - (nv - 1) * LANES)
    job.bias, job.each, job.activation = _place(a.bias, g * r.og + first), NULL, a.activation
    if r.yplane and (a.residual != NULL or a.activation > FC_RELU6):
        job.activation = 0                                  # see _turn
    for t in range(chunks):
        c0, c1 = t * r.chunk, min(r.cg, (t + 1) * r.chunk)
        job.onto, job.finish = t > 0, c1 == r.cg
        if u == NULL:
            place = panel + r.keep * c0 * r.taps * nv * LANES
            if not packed:
                _pack_chunk(r, a.order, a.w, g, first, outputs, nv, c0, c1, place)
        else:
            place = <real*> u + c0 * r.taps * nv * LANES
        for f in range(r.phases):
            _phase_products(a, a.phases + f, v, &job, tile + f * r.tile // r.phases, place, nv, outputs,
                            g * r.og + first, g * r.cg + c0, c1 - c0, b, e, columns, ahead)


cdef void _phase_products(const DirectProducts* a, const DirectPhase* f, const View* v, direct_job* job, real* tile,
                          const real* w, intp nv, intp outputs, intp o, intp c, intp channels, intp b, intp e,
                          intp columns, Ahead* ahead) noexcept nogil:
    """Register blocks [b, e) of a phase, split as the largest phase is: outputs from o on, channels from c on."""
    cdef const DirectPass* r = a.r
    cdef direct_kernel** kernels = direct_of_products[nv]
    cdef bint whole = not job.onto and job.finish           # no sums to go on from, here or later
    cdef intp place = f.y0 + o * (r.yplane if r.yplane else 1), row_size = f.kw * channels * nv * LANES
    cdef intp most = max(<intp> 1, DIRECT_TURN // r.nr) if whole and r.yplane else columns
    cdef intp start = b // columns * r.ow + split(r.ow, b % columns, columns)
    cdef intp i, k, k1, j, j0, row, top, bottom, at, size, block = b
    cdef const real* x = v.x + f.c0 * v.pixel + c
    cdef real* y
    w += f.before * channels * nv * LANES
    job.row, job.pixel = f.rd * v.row, v.over
    job.taps, job.n, job.tap = f.kw, channels, f.cd * v.pixel
    if job.tap == job.n:                                    # neighbouring taps are one run
        job.taps, job.n = 1, f.kw * job.n
    while block < e:                                        # a row of outputs, or part of it
        i, k = block // columns, block % columns
        k1 = min(min(columns, k + e - block), k + most)
        block += k1 - k
        if i % r.oh >= f.oh:
            continue
        row = f.r0 + i % r.oh * r.rs
        top, bottom = _outside(row, f.rd, f.kh), _inside(row, f.rd, f.kh, r.h)
        job.rows = max(<intp> 0, bottom - top)
        at, j0 = place + i // r.oh * r.yimage + i % r.oh * r.yrow, split(r.ow, k, columns)
        y = a.y + at
        if r.yplane:
            y = tile + (-j0 if whole else i * r.ow - start) * job.out
        for k in range(k, k1):
            j = split(r.ow, k, columns)
            size = min(f.ow, split(r.ow, k + 1, columns)) - j
            if size > 0:
                _ask(ahead)
                kernels[size](
                    job, x + i // r.oh * v.image + (row + top * f.rd) * v.row + j * job.pixel, w + top * row_size,
                    y + j * job.out, NULL if r.yplane else _place(a.residual, at + j * job.out))
        if r.yplane and job.finish:
            _turn(a, y + j0 * job.out, nv, outputs, at + j0 * r.ypixel, min(f.ow, split(r.ow, k1, columns)) - j0)


def direct_products(cnp.ndarray x, u, cnp.ndarray w, bias, residual, cnp.ndarray y, cnp.ndarray work,
                    cnp.ndarray record, cnp.ndarray phases, cnp.ndarray order, int activation, int threads):
    """y OUT (n, oh, ow, co) = activation(conv + bias + residual) of x IN (n, h, w, ci), or a phase of grad_input;
    either with its channels as planes, if the record says so.

    u IN: packed weights, or None, then w IN (co, ci // groups, kh, kw) is packed panel by panel. bias IN (co,),
    residual IN as y, or None. work WORK [threads][room].
    """
    cdef DirectProducts a
    a.r, a.x, a.w = read_DirectPass(record), data(x), data(w)
    a.y, a.work, a.activation = data(y), data(work), activation
    a.phases, a.order = read_phases(phases, a.r), <const intp*> cnp.PyArray_DATA(order)
    a.u = NULL if u is None else data(u)
    a.bias = NULL if bias is None else data(bias)
    a.residual = NULL if residual is None else data(residual)
    a.jobs = min(threads // a.r.ways * a.r.units, a.r.n * a.r.oh * ((a.r.ow + a.r.nr - 1) // a.r.nr))
    with nogil:
        launch_parts(_products_part, &a, a.jobs, threads, a.r.ways)
