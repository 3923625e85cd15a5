# Winograd convolution, forward and grad_input. Tiles of x become V[f][group][ci/LANES][tile][LANES], weights
# U[panel][chunk of ci][f][ci][2*LANES]; the products M[f][2][tile][LANES] of a panel of 2*LANES outputs go back
# through the output transform. A group of tiles is what the register block holds.


cdef void _wino_fetch_weights(const WinogradPass* q, const real* w, intp group, intp o, intp k, intp part,
                              intp parts) noexcept nogil:
    """Prefetch one of so many parts of the panel that _wino_weight_panel will read next."""
    cdef intp taps = q.rh * q.rw, outputs = min(2 * <intp> LANES, q.co - o), channels = min(q.kc, q.ci - k)
    cdef intp rows, count, step, i, r
    if outputs <= 0:
        return
    rows, count, step = outputs, channels * taps, q.so
    if q.sc != taps:
        rows, count, step = channels, outputs * taps, q.sc
    w += group * q.ci * q.co * taps + o * q.so + k * q.sc
    for i in range(count * part // parts // 16, count * (part + 1) // parts // 16):
        for r in range(rows):
            fetch(w + r * step + 16 * i)


cdef void _wino_input_part(const WinogradPass* q, const real* x, intp group, intp first, intp stop,
                           const WinoBlock* k, real* V, real* area, const real* coef) noexcept nogil:
    """Pack and transform vectors first .. stop of a group's channels; area: the thread's own memory."""
    cdef intp v
    cdef real* slots = area + q.at_in
    memset(slots, 0, k.slots * LANES * sizeof(real))  # what lies outside the image stays zero
    for v in range(first, stop):
        _wino_pack(&k.x, x, q.g, group, q.ci, v * LANES, q.ih * q.iw, q.x_last, slots)
        _wino_inputs(q, k, slots, V, v * LANES, coef)


cdef struct WinoCall:
    const WinogradPass* q
    const real* x
    const real* w
    const real* u  # transformed weights; NULL: each panel is transformed when it is needed
    const real* bias
    const real* residual
    real* y
    real* work
    const real* coef
    int activation
    intp block  # that all threads share


cdef void _wino_panel_part(const WinoCall* a, intp group, intp o, const WinoBlock* k, const real* V,
                           real* area) noexcept nogil:
    """Outputs o .. o + 2*LANES of a block: weights unless u has them, products, inverse transform, store."""
    cdef const WinogradPass* q = a.q
    cdef intp chunks = _wino_ceil(q.ci, q.kc), groups = _wino_ceil(k.tiles, WINO_TILES)
    cdef intp F = (q.mh + q.rh - 1) * (q.mw + q.rw - 1), j, f, g, t, e, n, s
    cdef real* M = area + q.at_m
    cdef real* slots = area + q.at_out
    cdef const real* u = area + q.at_u
    for j in range(chunks):
        n = min(q.kc, q.ci - j * q.kc)
        if a.u != NULL:
            u = a.u + ((group * _wino_ceil(q.co, 2 * LANES) + o // (2 * LANES)) * chunks + j) * q.chunk
        else:
            _wino_weight_panel(q, a.w, group, o, j * q.kc, n, area + q.at_u, a.coef)
        for f in range(F):
            if a.u == NULL:
                _wino_fetch_weights(q, a.w, group, o + 2 * LANES * ((j + 1) // chunks), (j + 1) % chunks * q.kc, f, F)
            for g in range(groups):
                t, e = k.tiles * g // groups, k.tiles * (g + 1) // groups
                wino_products(<int> (e - t), V + f * q.vf + t * q.cip + (e - t) * j * q.kc, u + f * q.uf,
                              M + f * q.mf + t * LANES, k.tiles * LANES, n, q.sum, j > 0)
    for s in range(min(2, _wino_ceil(q.co - o, LANES))):
        _wino_outputs(q, k, M + s * k.tiles * LANES, slots, a.coef)
        _wino_unpack(q, &k.y, slots, a.bias, a.residual, a.y, group, o + s * LANES, a.activation)


cdef void _wino_weights_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    """A share of all weights, from w to y."""
    cdef const WinoCall* a = <const WinoCall*> args
    cdef const WinogradPass* q = a.q
    cdef intp panels = _wino_ceil(q.co, 2 * LANES), chunks = _wino_ceil(q.ci, q.kc), i, k
    cdef intp total = q.g * panels * chunks
    for i in range(split(total, ithr, nthr), split(total, ithr + 1, nthr)):
        k = i % chunks * q.kc
        _wino_weight_panel(q, a.w, i // chunks // panels, i // chunks % panels * 2 * LANES, k, min(q.kc, q.ci - k),
                           a.y + i * q.chunk, a.coef)


cdef void _wino_tiles_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    """Blocks of tiles, through all stages."""
    cdef const WinoCall* a = <const WinoCall*> args
    cdef const WinogradPass* q = a.q
    cdef intp i, group, o
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    for i in range(first, end):
        _wino_make_block(q, i, <real*> (k + 1), k)
        for group in range(q.g):
            _wino_input_part(q, a.x, group, 0, _wino_ceil(q.ci, LANES), k, area + q.at_v, area, a.coef)
            for o in range(_wino_ceil(q.co, 2 * LANES)):
                _wino_panel_part(a, group, o * 2 * LANES, k, area + q.at_v, area)


cdef void _wino_inputs_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Vectors of channels of a block, transformed for all threads."""
    cdef const WinoCall* a = <const WinoCall*> args
    cdef const WinogradPass* q = a.q
    cdef intp vectors = _wino_ceil(q.ci, LANES), i = split(q.g * vectors, ithr, nthr), n
    cdef intp stop = split(q.g * vectors, ithr + 1, nthr)
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    _wino_make_block(q, a.block, <real*> (k + 1), k)
    while i < stop:
        n = min(stop - i, vectors - i % vectors)
        _wino_input_part(q, a.x, i // vectors, i % vectors, i % vectors + n, k, a.work + i // vectors * q.group_v,
                         area, a.coef)
        i += n


cdef void _wino_panels_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil:
    """Panels of outputs of that block."""
    cdef const WinoCall* a = <const WinoCall*> args
    cdef const WinogradPass* q = a.q
    cdef intp panels = _wino_ceil(q.co, 2 * LANES), i
    cdef real* area = a.work + q.shared + ithr * q.per_thread
    cdef WinoBlock* k = <WinoBlock*> (area + q.at_table)
    if not again:
        _wino_make_block(q, a.block, <real*> (k + 1), k)
    for i in range(first, end):
        _wino_panel_part(a, i // panels, i % panels * 2 * LANES, k, a.work + i // panels * q.group_v, area)


cdef inline real* _wino_data_or_null(cnp.ndarray a) noexcept:
    return data(a) if cnp.PyArray_SIZE(a) else NULL


def winograd_weights(cnp.ndarray w, cnp.ndarray u, cnp.ndarray q, cnp.ndarray coef, int threads):
    """u OUT: all weights transformed, [group][panel][chunk][f][ci][2*LANES]."""
    cdef WinoCall a
    a.q, a.w, a.y, a.coef = read_WinogradPass(q), data(w), data(u), data(coef)
    with nogil:
        launch(_wino_weights_share, &a, threads)


def winograd_tiles(cnp.ndarray x, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray residual, cnp.ndarray y,
                   cnp.ndarray work, cnp.ndarray q, cnp.ndarray coef, int activation, int threads):
    """y OUT, from transformed weights u; a thread takes its blocks of tiles through all stages. bias and residual may
    be empty."""
    cdef WinoCall a
    a.q, a.x, a.u, a.y, a.work, a.coef = read_WinogradPass(q), data(x), data(u), data(y), data(work), data(coef)
    a.bias, a.residual, a.activation = _wino_data_or_null(bias), _wino_data_or_null(residual), activation
    with nogil:
        launch_parts(_wino_tiles_part, &a, a.q.row_blocks * a.q.col_blocks, threads)


def winograd_panels(cnp.ndarray x, cnp.ndarray w, cnp.ndarray u, cnp.ndarray bias, cnp.ndarray residual,
                    cnp.ndarray y, cnp.ndarray work, cnp.ndarray q, cnp.ndarray coef, int activation, int threads):
    """y OUT; all threads transform a block of x, then each takes panels of outputs, whose weights it transforms
    when it needs them (or finds in u, if that is not empty)."""
    cdef WinoCall a
    a.q, a.x, a.w, a.y, a.work, a.coef = read_WinogradPass(q), data(x), data(w), data(y), data(work), data(coef)
    a.u, a.activation = _wino_data_or_null(u), activation
    a.bias, a.residual = _wino_data_or_null(bias), _wino_data_or_null(residual)
    with nogil:
        for a.block in range(a.q.row_blocks * a.q.col_blocks):
            launch(_wino_inputs_share, &a, threads)
            launch_parts(_wino_panels_part, &a, a.q.g * _wino_ceil(a.q.co, 2 * LANES), threads)
