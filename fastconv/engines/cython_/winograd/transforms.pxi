# Winograd: the transforms (Lavin and Gray 2016), lanes = channels. Coefficients: algorithms/winograd_matrices.py.

cdef extern from *:
    """
    /* outputs and taps (grad_weight: the other way round) of the transforms, from 1 on; first those of one axis */
    static const int wino_outputs[] = {0, 4, 4, 2, 4, 2, 3, 4, 2, 4};
    static const int wino_taps[] = {0, 3, 5, 7, 7, 3, 3, 3, 5, 5};
    #define WINO_FORMS 9
    #define WINO_FLAT 4
    """
    const int wino_outputs[]
    const int wino_taps[]
    enum:
        WINO_FORMS
        WINO_FLAT


cdef int _wino_form(const WinogradPass* q) noexcept nogil:
    """Which of these transforms the pass takes."""
    cdef int form
    for form in range(1, WINO_FORMS + 1):
        if ((form <= WINO_FLAT) == (q.flat != 0) and wino_taps[form] == max(q.rh, q.rw)
                and wino_outputs[form] == max(q.mh, q.mw)):
            return form
    return 0


cdef struct WinoTiles:
    const WinogradPass* q
    const WinoBlock* k
    const real* source
    real* to
    const real* coef
    intp c  # first channel

# One-dimensional transforms of n points, P pairs among them, and infinity if n is even; strides in vectors.
cdef inline void _wino_input_1d(const int n, const vec* d, intp ds, vec* v, intp vs,
                                const vec* z) noexcept nogil:
    cdef int P = (n - 1) // 2, i, k
    cdef vec e, o
    for i in range(2 - n % 2):  # zero, infinity
        e = d[(2 * P + i) * ds]
        for k in range(P):
            e += z[k] * d[(2 * k + i) * ds]
        v[i * (n - 1) * vs] = e
    for i in range(P):
        e = d[2 * P * ds]
        o = d[(2 * P - 1) * ds]
        for k in range(P - 1):
            e += z[P + i * P + 1 + k] * d[(2 * k + 2) * ds]
            o += z[P + i * P + 1 + k] * d[(2 * k + 1) * ds]
        v[(2 * i + 1) * vs] = e + z[P + i * P] * o
        v[(2 * i + 2) * vs] = e - z[P + i * P] * o


cdef inline void _wino_output_1d(const int n, const int m, const vec* v, intp vs, vec* y, intp ys,
                                 const vec* a) noexcept nogil:
    cdef vec s[4]
    cdef vec d[4]
    cdef vec sum
    cdef int P = (n - 1) // 2, i, j
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
        if j == m - 1 and n % 2 == 0:
            sum += v[(n - 1) * vs]
        y[j * ys] = sum


cdef inline void _wino_weight_1d(const int n, const int r, const vec* w, intp ws, vec* u, intp us,
                                 const vec* g) noexcept nogil:
    cdef vec e, o
    cdef int P = (n - 1) // 2, i, j
    u[0] = g[0] * w[0]
    if n % 2 == 0:
        u[(n - 1) * us] = w[(r - 1) * ws]
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


cdef inline void _wino_input_tile(const int n, const bint flat, const vec* d, intp rs, intp cs, vec* v,
                                  intp vs, const vec* z) noexcept nogil:
    """n x n pixels (rs, cs apart) to n * n frequencies; n pixels along cs if flat."""
    cdef vec a[64]
    cdef int i
    if flat:
        _wino_input_1d(n, d, cs, v, vs, z)
        return
    for i in range(n):
        _wino_input_1d(n, d + i * cs, rs, a + i, n, z)
    for i in range(n):
        _wino_input_1d(n, a + i * n, 1, v + i * n * vs, vs, z)


cdef inline void _wino_output_tile(const int n, const int m, const bint flat, const vec* v, intp vs, vec* y,
                                   intp rs, intp cs, const vec* a) noexcept nogil:
    cdef vec t[64]
    cdef int i
    if flat:
        _wino_output_1d(n, m, v, vs, y, cs, a)
        return
    for i in range(n):
        _wino_output_1d(n, m, v + i * vs, n * vs, t + i, n, a)
    for i in range(m):
        _wino_output_1d(n, m, t + i * n, 1, y + i * rs, cs, a)


cdef inline void _wino_weight_tile(const int n, const int r, const bint flat, const vec* w, intp rs, intp cs,
                                   vec* u, intp us, const vec* g) noexcept nogil:
    """r x r taps (rs, cs apart) to n * n frequencies; r taps along cs if flat."""
    cdef vec t[64]
    cdef int i
    if flat:
        _wino_weight_1d(n, r, w, cs, u, us, g)
        return
    for i in range(r):
        _wino_weight_1d(n, r, w + i * cs, rs, t + i, r, g)
    for i in range(n):
        _wino_weight_1d(n, r, t + i * r, 1, u + i * n * us, us, g)


cdef inline void _wino_spread(const real* coef, vec* c, const int count) noexcept nogil:
    cdef int i
    for i in range(count):
        c[i] = vset(coef[i])


cdef inline void _wino_input_loop(int form, const void* args) noexcept nogil:
    cdef const WinoTiles* a = <const WinoTiles*> args
    cdef const WinogradPass* q = a.q
    cdef const vec* slots = <const vec*> a.source
    cdef vec z[32]
    cdef int n = wino_outputs[form] + wino_taps[form] - 1, P = (n - 1) // 2
    cdef intp groups = _wino_ceil(a.k.tiles, WINO_TILES), rs = q.dh * a.k.wi, cs = q.dw if q.along_w else rs
    cdef intp vs = q.vf // LANES, g, t0, t1, t
    cdef real* v
    _wino_spread(a.coef, z, P + P * P)
    for g in range(groups):
        t0, t1 = a.k.tiles * g // groups, a.k.tiles * (g + 1) // groups
        v = a.to + (t0 * q.cip + (t1 - t0) * a.c if q.held == 0 else t0 * LANES + q.held * a.c)  # held: all tiles
        for t in range(t0, t1):
            _wino_input_tile(n, form <= WINO_FLAT, slots + a.k.tile[2 * t], rs, cs, <vec*> v, vs, z)
            v += LANES


cdef void _wino_inputs(const WinogradPass* q, const WinoBlock* k, const real* slots, real* V, intp c,
                       const real* coef) noexcept nogil:
    """The tiles of a block, channels c .. c + LANES, from slots to V."""
    cdef WinoTiles a = WinoTiles(q, k, slots, V, coef, c)
    fc_cases(_wino_input_loop, _wino_form(q), WINO_FORMS, &a)


cdef inline void _wino_output_loop(int form, const void* args) noexcept nogil:
    cdef const WinoTiles* a = <const WinoTiles*> args
    cdef const WinogradPass* q = a.q
    cdef const vec* M = <const vec*> a.source
    cdef vec* slots = <vec*> a.to
    cdef vec c[32]
    cdef int m = wino_outputs[form], n = m + wino_taps[form] - 1, P = (n - 1) // 2
    cdef intp rs = q.dh * a.k.wo, cs = q.dw if q.along_w else rs, t
    _wino_spread(a.coef + P + P * P, c, m * P)
    for t in range(a.k.tiles):
        _wino_output_tile(n, m, form <= WINO_FLAT, M + t, q.mf // LANES, slots + a.k.tile[2 * t + 1], rs, cs, c)


cdef void _wino_outputs(const WinogradPass* q, const WinoBlock* k, const real* M, real* slots,
                        const real* coef) noexcept nogil:
    """One vector of output channels of all tiles, from M to slots."""
    cdef WinoTiles a = WinoTiles(q, k, M, slots, coef, 0)
    fc_cases(_wino_output_loop, _wino_form(q), WINO_FORMS, &a)


cdef void _wino_gather(const real* w, intp step, intp rows, intp count, intp room, vec* t) noexcept nogil:
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


cdef struct WinoFilters:
    const WinogradPass* q
    const real* w
    real* U
    const real* coef
    intp room, outputs, ci  # numbers from w on that may be read; filters


cdef inline void _wino_weight_loop(int form, const void* args) noexcept nogil:
    cdef const WinoFilters* a = <const WinoFilters*> args
    cdef const WinogradPass* q = a.q
    cdef const real* w = a.w
    cdef vec t[16 * 25 + 16]
    cdef vec g[32]
    cdef int r = wino_taps[form], n = wino_outputs[form] + r - 1, P = (n - 1) // 2
    cdef bint flat = form <= WINO_FLAT
    cdef intp taps = r if flat else r * r, step = -1 if q.flip else 1, c = 0, k, many
    _wino_spread(a.coef + P + P * P + (n - r + 1) * P, g, 1 + P * r)
    while c < a.ci:
        many = min(a.ci - c, 16)
        if q.sc == taps:  # filters of neighbouring channels follow each other
            _wino_gather(w + c * taps, q.so, a.outputs, many * taps, a.room - c * taps, t)
        else:
            for k in range(many):
                _wino_gather(w + (c + k) * q.sc, q.so, a.outputs, taps, a.room - (c + k) * q.sc, t + k * taps)
        for k in range(many):
            _wino_weight_tile(n, r, flat, t + k * taps + (taps - 1 if q.flip else 0), r * step, step,
                              <vec*> (a.U + 2 * (c + k) * LANES), q.uf // LANES, g)
        c += many


cdef void _wino_weight_panel(const WinogradPass* q, const real* w, intp group, intp o, intp k, intp ci, real* U,
                             const real* coef) noexcept nogil:
    """Outputs o .. o + 2*LANES of a group, input channels k .. k + ci."""
    cdef intp per_group = q.ci * q.co * q.rh * q.rw, at, s
    cdef WinoFilters a
    for s in range(2):
        at = group * per_group + (o + s * LANES) * q.so + k * q.sc
        a = WinoFilters(q, w + at, U + s * LANES, coef, q.g * per_group - at, min(q.co - o - s * LANES, <intp> LANES),
                        ci)
        fc_cases(_wino_weight_loop, _wino_form(q), WINO_FORMS, &a)
