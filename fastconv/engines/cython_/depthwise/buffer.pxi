# Channel-wise kernels, lanes = output pixels of a row: the buffer and the tables that all passes share.
#
# A job is a band of output rows of one image and group. The source rows that it needs are copied once into a
# zero-padded buffer, columns split by their remainder modulo the stride; from there on every tap is a fixed
# distance, whatever stride, dilation and padding are, and a block of output rows stays in registers.

cdef extern from *:
    """
    #define DW_LINE (64 / (int)sizeof(real)) /* numbers of a cache line */
    #define DW_TALL (VBYTES == 64 ? 14 : 8) /* output rows whose sums stay in registers */
    #define DW_HALF (DW_TALL / 2)
    #define DW_LOW (DW_TALL / 4)

    /* a value the compiler must keep in a register: it would load it again for each of its uses */
    static inline __attribute__((always_inline)) vec dw_hold(vec v) {
    #if VBYTES == 64
        __asm__("" : "+v"(v));
    #elif defined(__x86_64__)
        __asm__("" : "+x"(v));
    #endif
        return v;
    }

    /* sums of a block of rows; unrolled, since an array that is indexed by a variable lives in memory */
    static inline __attribute__((always_inline)) void dw_take_rows(vec *a, const int R, const real *y, Py_ssize_t ys,
                                                                   int rows, int lanes) {
        FC_UNROLL for (int r = 0; r < R; r++)
            if (r < rows) a[r] = lanes == LANES ? vload(y + r * ys) : vload_part(y + r * ys, lanes);
    }
    static inline __attribute__((always_inline)) void dw_put_rows(const vec *a, const int R, real *y, Py_ssize_t ys,
                                                                  int rows, int lanes) {
        if (lanes == LANES) {
            FC_UNROLL for (int r = 0; r < R; r++) if (r < rows) vstore(y + r * ys, a[r]);
        } else {
            FC_UNROLL for (int r = 0; r < R; r++) if (r < rows) vstore_part(y + r * ys, a[r], lanes);
        }
    }
    """
    void dw_take_rows(vec* a, int R, const real* y, intp ys, int rows, int lanes) nogil
    void dw_put_rows(const vec* a, int R, real* y, intp ys, int rows, int lanes) nogil
    vec dw_hold(vec v) nogil
    enum:
        DW_LINE
        DW_TALL
        DW_HALF
        DW_LOW

cdef struct DwAxis:  # taps of one axis by growing source position: first + i * step holds tap + i * turn
    intp n
    intp first
    intp step
    intp tap
    intp turn

cdef struct DwTaps:  # what one output sums: `cols` columns of `run` taps that lie on consecutive source rows
    intp run
    intp cols
    intp* at  # where a column reads, from the corner of the block
    intp* weight  # its first weight
    intp x0
    intp w0
    intp down  # from one weight of a column to the next

cdef struct DwGeometry:
    intp cs, cd, g  # channels of a group in the source and the destination, groups
    intp sh_, sw_, dh_, dw_  # source height and width, destination height and width
    intp step, split  # source rows an output row; source columns are split by their remainder modulo `split`
    intp uh, uw  # destination rows and columns come from this many phases
    intp rows, bands  # output rows of a job (of each phase), jobs of an image and group
    intp height, left, width  # buffer: rows, columns in front of the image, columns of one remainder
    intp pt  # padding above the image, for grad_input at stride 2
    intp top  # source row of buffer row 0, for output row 0
    intp wd, ws, wg  # weights from one destination channel, source channel and group to the next
    intp share  # numbers of scratch memory a thread
    int stream  # rows stream by at this stride, see rows.pxi; or 0
    bint ahead  # fetch the next job's images: they come from beyond L2


cdef inline DwAxis _dw_correlation_axis(intp k, intp dilation, intp before) noexcept nogil:
    """Output i reads source i * stride + first + tap * dilation."""
    return DwAxis(k, -before, dilation, 0, 1)


cdef inline DwAxis _dw_adjoint_axis(intp k, intp stride, intp dilation, intp before,
                                    intp phase) noexcept nogil:
    """Output i * stride + phase reads source i + first + ...: the taps on whole strides, last one first."""
    cdef DwAxis a = DwAxis(0, 0, 1, 0, -1)
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


cdef inline intp _dw_tabulate(const DwGeometry* f, DwTaps* t, DwAxis r, DwAxis c, intp kw,
                              intp* room) noexcept nogil:
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


cdef inline void _dw_clear(real* d, intp i, intp end) noexcept nogil:
    """Whole vectors of zeros."""
    while i < end:
        vstore(d + i, vzero())
        i += LANES


cdef inline void _dw_copy_row(const DwGeometry* f, const real* s, real* d) noexcept nogil:
    """One source row; the columns around it are zero already."""
    cdef intp i = 0, q, n, w = f.sw_
    cdef vec a, b
    d += f.left
    if f.split == 1:
        while i + LANES <= w:
            vstore(d + i, vload(s + i))
            i += LANES
        if i < w:
            vstore(d + i, vload_part(s + i, <int> (w - i)))
    elif f.split == 2:
        while 2 * (i + LANES) <= w:
            a, b = vload(s + 2 * i), vload(s + 2 * i + LANES)
            vstore(d + i, veven(a, b))
            vstore(d + f.width + i, vodd(a, b))
            i += LANES
        n = w - 2 * i
        if n > 0:
            a, b = vload_part(s + 2 * i, <int> min(n, LANES)), vzero()
            if n > LANES:
                b = vload_part(s + 2 * i + LANES, <int> (n - LANES))
            vstore(d + i, veven(a, b))
            vstore(d + f.width + i, vodd(a, b))
    else:
        for q in range(f.split):
            for i in range((w - q + f.split - 1) / f.split):
                d[q * f.width + i] = s[i * f.split + q]


cdef void _dw_copy_in(const DwGeometry* f, const real* x, intp first, intp count, real* b) noexcept nogil:
    """Source rows first .. first + count - 1 of a group's channels into the buffer, zeros for those outside."""
    cdef intp c, r, pitch = f.split * f.width
    cdef real* d
    for c in range(f.cs):
        for r in range(count):
            d = b + (c * f.height + r) * pitch
            if 0 <= first + r < f.sh_:
                _dw_copy_row(f, x + (c * f.sh_ + first + r) * f.sw_, d)
            else:
                _dw_clear(d, 0, pitch)


cdef inline intp _dw_next_run(intp left) noexcept nogil:
    """How many of the kernel rows left to do go into one block: sizes that are compiled."""
    return 7 if left >= 7 else 5 if left >= 5 else 3 if left >= 3 else left


cdef inline void _dw_fetch(const real* p, intp lines) noexcept nogil:
    cdef intp i
    for i in range(lines):
        fetch(p + i * DW_LINE)


cdef inline void _dw_fetch_l2(const real* p, intp lines) noexcept nogil:
    cdef intp i
    for i in range(lines):
        fetch_l2(p + i * DW_LINE)


cdef inline void _dw_fetch_w(const real* p, intp lines) noexcept nogil:
    cdef intp i
    for i in range(lines):
        fetch_w(p + i * DW_LINE)


cdef inline bint _dw_beyond_cache(const DwGeometry* f, intp n) noexcept nogil:
    """Whether images come from beyond L2."""
    return n * f.g * (f.cs * f.sh_ * f.sw_ + f.cd * f.dh_ * f.dw_) * sizeof(real) > (1 << 20)


cdef inline intp _dw_table_size(intp numbers) noexcept nogil:
    """Numbers of the dtype that a table of so many intp takes, whole cache lines."""
    return (numbers * sizeof(intp) + 63) / 64 * 64 / sizeof(real)
