# Channel-wise kernels, lanes = output pixels of a row: shared parts, forward and grad_input.
#
# A job is a band of output rows of one image and group. The source rows that it needs are copied once into a
# zero-padded buffer, columns split by their remainder modulo the stride; from there on every tap is a fixed
# distance, whatever stride, dilation and padding are, and a block of output rows stays in registers.
cdef extern from *:
    """
    #define FC_TALL (VBYTES == 64 ? 14 : 8) /* output rows whose sums stay in registers */
    #define FC_HALF (FC_TALL / 2)
    #define FC_LOW (FC_TALL / 4)

    /* a value the compiler must keep in a register: it would load it again for each of its uses */
    static inline __attribute__((always_inline)) vec fc_hold(vec v) {
    #if VBYTES == 64
        __asm__("" : "+v"(v));
    #elif defined(__x86_64__)
        __asm__("" : "+x"(v));
    #endif
        return v;
    }
    """
    vec fc_hold(vec v) nogil
    enum:
        FC_TALL
        FC_HALF
        FC_LOW

cdef struct Axis:  # taps of one axis by growing source position: first + i * step holds tap + i * turn
    intp n
    intp first
    intp step
    intp tap
    intp turn

cdef struct Taps:  # what one output sums: `cols` columns of `run` taps that lie on consecutive source rows
    intp run
    intp cols
    intp* at  # where a column reads, from the corner of the block
    intp* weight  # its first weight
    intp x0
    intp w0
    intp down  # from one weight of a column to the next

cdef struct Geometry:
    intp cs, cd, g  # channels of a group in the source and the destination, groups
    intp sh_, sw_, dh_, dw_  # source height and width, destination height and width
    intp step, split  # source rows an output row; source columns are split by their remainder modulo `split`
    intp uh, uw  # destination rows and columns come from this many phases
    intp rows, bands  # output rows of a job (of each phase), jobs of an image and group
    intp height, left, width  # buffer: rows, columns in front of the image, columns of one remainder
    intp used  # columns that must be zero where there is no image
    intp top  # source row of buffer row 0, for output row 0
    intp wd, ws, wg  # weights from one destination channel, source channel and group to the next
    intp share  # numbers of scratch memory a thread


cdef inline Axis correlation_axis(intp k, intp dilation, intp before) noexcept nogil:
    """Output i reads source i * stride + first + tap * dilation."""
    return Axis(k, -before, dilation, 0, 1)


cdef inline Axis adjoint_axis(intp k, intp stride, intp dilation, intp before, intp phase) noexcept nogil:
    """Output i * stride + phase reads source i + first + ...: the taps that land on whole strides, last one first."""
    cdef Axis a = Axis(0, 0, 1, 0, -1)
    cdef intp t
    for t in range(k - 1, -1, -1):
        if (phase + before - t * dilation) % stride == 0:
            if a.n == 0:
                a.first = (phase + before - t * dilation) / stride
                a.tap = t
            elif a.n == 1:
                a.step = (phase + before - t * dilation) / stride - a.first
                a.turn = t - a.tap
            a.n += 1
    return a


cdef inline intp tabulate(const Geometry* f, Taps* t, Axis r, Axis c, intp kw, intp* room) noexcept nogil:
    """Fill `t`; its tables start at `room`. Returns the numbers taken."""
    cdef intp ch, u, v, j = 0, edge = f.split * f.left, pitch = f.split * f.width, col
    cdef bint runs = r.step == 1 and r.n > 1 and f.step <= 2
    cdef intp count = 1 if runs else r.n
    t.run = r.n if runs else 1
    t.cols = f.cs * count * c.n
    t.at, t.weight = room, room + t.cols
    t.x0, t.w0, t.down = (r.first - f.top) * pitch, r.tap * kw, r.turn * kw
    for ch in range(f.cs):
        for u in range(count):
            for v in range(c.n):
                col = c.first + v * c.step + edge
                t.at[j] = (ch * f.height + u * r.step) * pitch + col % f.split * f.width + col / f.split
                t.weight[j] = ch * f.ws + u * r.turn * kw + c.tap + v * c.turn
                j += 1
    return 2 * t.cols


cdef inline void copy_row(const Geometry* f, const real* s, real* d) noexcept nogil:
    cdef intp i = 0, q, n, w = f.sw_, edge = (w + f.split - 1) / f.split
    cdef vec a, b
    for q in range(f.split):
        clear(d + q * f.width, 0, f.left)
        clear(d + q * f.width, f.left + (edge + LANES - 1) / LANES * LANES, f.used)
    d += f.left
    if f.split == 1:
        while i + LANES <= w:
            vstore(d + i, vload(s + i))
            i += LANES
        if i < w:
            vstore(d + i, vload_part(s + i, <int> (w - i)))
    elif f.split == 2:
        while i < edge:
            n = w - 2 * i
            if n >= 2 * LANES:
                a, b = vload(s + 2 * i), vload(s + 2 * i + LANES)
            else:
                a = vload_part(s + 2 * i, <int> min(n, LANES))
                b = vload_part(s + 2 * i + LANES, <int> max(n - LANES, 0))
            vstore(d + i, veven(a, b))
            vstore(d + f.width + i, vodd(a, b))
            i += LANES
    else:
        for q in range(f.split):
            for i in range((edge + LANES - 1) / LANES * LANES):
                n = i * f.split + q
                d[q * f.width + i] = s[n] if n < w else 0


cdef inline void clear(real* d, intp i, intp end) noexcept nogil:
    """Whole vectors of zeros."""
    while i < end:
        vstore(d + i, vzero())
        i += LANES


cdef void copy_in(const Geometry* f, const real* x, intp first, intp count, real* b) noexcept nogil:
    """Source rows first .. first + count - 1 of a group's channels into the buffer, zeros outside the image."""
    cdef intp c, r, pitch = f.split * f.width
    cdef real* d
    for c in range(f.cs):
        for r in range(count):
            d = b + (c * f.height + r) * pitch
            if 0 <= first + r < f.sh_:
                copy_row(f, x + (c * f.sh_ + first + r) * f.sw_, d)
            else:
                clear(d, 0, pitch)


cdef inline void tap(const int K, const int S, const int R, const int i, const int r, vec* a, const vec* k,
                     vec x) noexcept nogil:
    if i < K and r >= i and (r - i) % S == 0 and (r - i) / S < R:
        a[(r - i) / S] += k[i] * x


cdef inline void feed(const int K, const int S, const int R, const int r, vec* a, const vec* k,
                      const real* p, intp pitch) noexcept nogil:
    """Source row r of a block: one load for all output rows that read it."""
    cdef vec x
    if r < (R - 1) * S + K:
        x = fc_hold(vload(p + r * pitch))
        tap(K, S, R, 0, r, a, k, x)
        tap(K, S, R, 1, r, a, k, x)
        tap(K, S, R, 2, r, a, k, x)
        tap(K, S, R, 3, r, a, k, x)
        tap(K, S, R, 4, r, a, k, x)
        tap(K, S, R, 5, r, a, k, x)
        tap(K, S, R, 6, r, a, k, x)


cdef inline void feed5(const int K, const int S, const int R, const int r, vec* a, const vec* k,
                       const real* p, intp pitch) noexcept nogil:
    feed(K, S, R, r, a, k, p, pitch)
    feed(K, S, R, r + 1, a, k, p, pitch)
    feed(K, S, R, r + 2, a, k, p, pitch)
    feed(K, S, R, r + 3, a, k, p, pitch)
    feed(K, S, R, r + 4, a, k, p, pitch)


cdef inline void block(const int K, const int S, const int R, const Taps* t, const real* x, intp pitch, const real* w,
                       real* y, intp ys, int rows, int lanes, bint first, real bias) noexcept nogil:
    """R output rows of one vector of columns: K taps of every column added to y, or to the bias.

    Written out row by row (arguments are constants): the compiler would not unroll a loop as long as this.
    """
    cdef vec a[14]
    cdef vec k[7]
    cdef int r, i
    cdef intp j
    cdef const real* p
    for r in range(R):
        a[r] = vset(bias)
        if not first and r < rows:
            a[r] = vload(y + r * ys) if lanes == LANES else vload_part(y + r * ys, lanes)
    for j in range(t.cols):
        p = x + t.at[j]
        for i in range(K):
            k[i] = vset(w[t.weight[j] + i * t.down])
        feed5(K, S, R, 0, a, k, p, pitch)
        feed5(K, S, R, 5, a, k, p, pitch)
        feed5(K, S, R, 10, a, k, p, pitch)
        feed5(K, S, R, 15, a, k, p, pitch)
    if lanes == LANES:
        for r in range(R):
            if r < rows:
                vstore(y + r * ys, a[r])
    else:
        for r in range(R):
            if r < rows:
                vstore_part(y + r * ys, a[r], lanes)


cdef inline void by_rows(const int K, const int S, const Taps* t, const real* x, intp pitch, const real* w,
                         real* y, intp ys, int rows, int lanes, bint first, real bias) noexcept nogil:
    if S == 1 and rows > FC_HALF:
        block(K, 1, FC_TALL, t, x, pitch, w, y, ys, rows, lanes, first, bias)
    elif rows > FC_LOW:
        block(K, S, FC_HALF, t, x, pitch, w, y, ys, rows, lanes, first, bias)
    else:
        block(K, S, FC_LOW, t, x, pitch, w, y, ys, rows, lanes, first, bias)


cdef inline intp next_run(intp left) noexcept nogil:
    """How many of the kernel rows left to do go into one block: sizes that are compiled."""
    return 7 if left >= 7 else 5 if left >= 5 else 3 if left >= 3 else left


cdef void strip(const Geometry* f, const Taps* t, const real* x, const real* w, real* y, intp ys, int rows, int lanes,
                real bias) noexcept nogil:
    """Up to FC_TALL rows (FC_HALF at stride 2) of one vector of columns, all taps."""
    cdef intp u = 0, k, pitch = f.split * f.width
    x += t.x0
    w += t.w0
    while u < t.run:
        k = next_run(t.run - u)
        if t.run == 1:  # rows at any distance
            by_rows(1, 1, t, x, f.step * pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif f.step == 2:
            if k == 7:
                by_rows(7, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            elif k == 5:
                by_rows(5, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            elif k == 3:
                by_rows(3, 2, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
            else:
                k = 1
                by_rows(1, 1, t, x, 2 * pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 7:
            by_rows(7, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 5:
            by_rows(5, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 3:
            by_rows(3, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        elif k == 2:
            by_rows(2, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        else:
            by_rows(1, 1, t, x, pitch, w, y, ys, rows, lanes, u == 0, bias)
        u += k
        x += k * pitch
        w += k * t.down


cdef inline void interleave(const Geometry* f, const real* z, real* y, intp ys, int rows, intp cols) noexcept nogil:
    """Phases of the columns, FC_TALL vectors each, into `cols` columns of the destination."""
    cdef intp r, i, L = LANES
    cdef vec a, b
    for r in range(rows):
        if f.uw == 2:
            a = vziplo(vload(z + r * L), vload(z + (FC_TALL + r) * L))
            b = vziphi(vload(z + r * L), vload(z + (FC_TALL + r) * L))
            if cols >= 2 * L:
                vstore(y + r * ys, a)
                vstore(y + r * ys + L, b)
            else:
                vstore_part(y + r * ys, a, <int> (cols if cols < L else L))
                if cols > L:
                    vstore_part(y + r * ys + L, b, <int> (cols - L))
        else:
            for i in range(cols):
                y[r * ys + i] = z[(i % f.uw * FC_TALL + r) * L + i / f.uw]


cdef void filter_job(const Geometry* f, const Taps* taps, const real* x, const real* w, const real* bias, real* y,
                     intp job, real* buffer) noexcept nogil:
    """One band of one image and group."""
    cdef intp band = job % f.bands, n = job / f.bands / f.g, g = job / f.bands % f.g, k0 = band * f.rows
    cdef intp k, o, q, a, b, end, high, cols, most = FC_TALL if f.step != 2 else FC_HALF
    cdef intp pitch = f.split * f.width, count = min(f.rows, (f.dh_ + f.uh - 1) / f.uh - k0)
    cdef real* z = buffer
    cdef const real* wo
    cdef const real* corner
    cdef real* yo
    cdef real* target
    cdef real start
    buffer += 0 if f.uw == 1 else f.uw * FC_TALL * LANES
    x += (n * f.g + g) * f.cs * f.sh_ * f.sw_
    copy_in(f, x, k0 * f.step + f.top, min(f.height, (count - 1) * f.step + f.height - (f.rows - 1) * f.step), buffer)
    for o in range(f.cd):
        wo = w + g * f.wg + o * f.wd
        yo = y + ((n * f.g + g) * f.cd + o) * f.dh_ * f.dw_
        start = bias[g * f.cd + o] if bias != NULL else 0
        for a in range(f.uh):
            end = min(k0 + f.rows, (f.dh_ - a + f.uh - 1) / f.uh)
            k = k0
            while k < end:
                high = min(most, end - k)
                q = 0
                while q * f.uw < f.dw_:
                    corner = buffer + (k - k0) * f.step * pitch + q
                    cols = f.dw_ - q * f.uw
                    target = yo + (k * f.uh + a) * f.dw_ + q * f.uw
                    if f.uw == 1:
                        strip(f, taps + a, corner, wo, target, f.uh * f.dw_, <int> high, <int> min(cols, LANES), start)
                    else:
                        for b in range(f.uw):
                            strip(f, taps + a * f.uw + b, corner, wo, z + b * FC_TALL * LANES, LANES, <int> high, LANES, 0)
                        interleave(f, z, target, f.uh * f.dw_, <int> high, min(cols, f.uw * LANES))
                    q += LANES
                k += high


cdef void run_filter(Geometry* f, const Taps* taps, const real* x, const real* w, const real* bias, real* y, intp n,
                     real* buffers, int threads) noexcept:
    """All jobs; each thread has `share` numbers of `buffers` to itself."""
    cdef intp job
    if threads == 1:
        with nogil:
            for job in range(n * f.g * f.bands):
                filter_job(f, taps, x, w, bias, y, job, buffers)
        return
    for job in prange(n * f.g * f.bands, nogil=True, schedule="static", num_threads=threads):
        filter_job(f, taps, x, w, bias, y, job, buffers + threadid() * f.share)


def depthwise_forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray bias, cnp.ndarray y, intp sh, intp sw, intp pt, intp pl,
                      intp dh, intp dw, intp g, intp rows, intp height, intp left, intp width, intp share,
                      cnp.ndarray work, int threads):
    """x, w, bias (Co, or empty) IN; y OUT; work WORK. The block sizes are those of algorithms/depthwise.py."""
    cdef intp Cg = w.shape[1], Og = w.shape[0] / g, KH = w.shape[2], KW = w.shape[3]
    cdef Geometry f
    f.cs, f.cd, f.g, f.sh_, f.sw_, f.dh_, f.dw_ = Cg, Og, g, x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    f.step, f.split, f.uh, f.uw, f.top = sh, sw, 1, 1, -pt
    f.rows, f.bands, f.height, f.left, f.width, f.share = rows, (f.dh_ + rows - 1) / rows, height, left, width, share
    f.used = min(width, (left + f.dw_ + ((KW - 1) * dw) / sw + LANES) / LANES * LANES)
    f.wd, f.ws, f.wg = Cg * KH * KW, KH * KW, Og * Cg * KH * KW
    cdef Taps t
    cdef intp taken = tabulate(&f, &t, correlation_axis(KH, dh, pt), correlation_axis(KW, dw, pl), KW, <intp*> data(work))
    run_filter(&f, &t, data(x), data(w), data(bias) if bias.shape[0] else NULL, data(y), x.shape[0],
               data(work) + table_size(taken), threads)


def depthwise_grad_input(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, intp sh, intp sw, intp pt, intp pl,
                         intp dh, intp dw, intp g, intp rows, intp height, intp left, intp width, intp share,
                         intp top, cnp.ndarray work, int threads):
    """dy, w IN; dx OUT; work WORK. Every remainder of dx's rows and columns modulo the stride is one phase."""
    cdef intp Cg = w.shape[1], Og = w.shape[0] / g, KH = w.shape[2], KW = w.shape[3], a, b, taken
    cdef Geometry f
    f.cs, f.cd, f.g, f.sh_, f.sw_, f.dh_, f.dw_ = Og, Cg, g, dy.shape[2], dy.shape[3], dx.shape[2], dx.shape[3]
    f.step, f.split, f.uh, f.uw, f.top = 1, 1, sh, sw, top
    f.rows, f.bands, f.height, f.left, f.width, f.share = rows, ((f.dh_ + sh - 1) / sh + rows - 1) / rows, height, left, width, share
    f.used = width
    f.wd, f.ws, f.wg = KH * KW, Cg * KH * KW, Og * Cg * KH * KW
    cdef Taps* t = <Taps*> data(work)
    taken = sh * sw * sizeof(Taps) / sizeof(intp)
    for a in range(sh):
        for b in range(sw):
            taken += tabulate(&f, t + a * sw + b, adjoint_axis(KH, sh, dh, pt, a), adjoint_axis(KW, sw, dw, pl, b), KW,
                              <intp*> data(work) + taken)
    run_filter(&f, t, data(dy), data(w), NULL, data(dx), dy.shape[0], data(work) + table_size(taken), threads)


cdef inline intp table_size(intp numbers) noexcept nogil:
    """Numbers of the dtype that a table of so many intp takes, whole cache lines."""
    return (numbers * sizeof(intp) + 63) / 64 * 64 / sizeof(real)
