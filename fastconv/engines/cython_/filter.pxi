# Image filters, lanes = neighbouring numbers of a row; a colour image is a row of width * channels numbers whose
# taps lie `channels` apart, so nothing is ever split into planes.
#
# A thread owns a band of output rows and a strip of output columns. The image rows that it needs pass through a ring
# of bordered rows, converted to `real`; any border is two tables: the image row (column) of every bordered row
# (column), -1 for cval. A block of output rows x vectors stays in registers.

cdef extern from *:
    """
    #define FC_ROWS (VBYTES == 64 ? 6 : 4) /* blocks of output rows x vectors: FC_ROWS x FC_WIDE, */
    #define FC_WIDE (VBYTES == 64 ? 4 : 3)
    #define FC_FLAT (VBYTES == 64 ? 8 : 4) /* and 1 x FC_FLAT for kernels of one row */
    #define FC_NARROW 11 /* kernel columns up to which unaligned loads beat transposed blocks */
    #define FC_CHUNK (VBYTES == 64 ? 8 : 12) /* vectors of column sums at a time, a multiple of FC_WIDE and FC_FLAT */
    #define FC_GROUP (LANES > 8 ? LANES : 8) /* rows between the columns and the rows of a separable kernel */

    /* a product that must not be fused into a sum: float64 sums are those of plain C, number by number */
    FC_INLINE vec fc_product(vec a, vec b) {
        vec p = a * b;
    #if defined(FC_DOUBLE) && VBYTES == 64
        __asm__("" : "+v"(p));
    #elif defined(FC_DOUBLE) && defined(__x86_64__)
        __asm__("" : "+x"(p));
    #elif defined(FC_DOUBLE) && defined(__aarch64__)
        __asm__("" : "+w"(p));
    #endif
        return p;
    }

    /* a loaded vector that stays in a register: the compiler would load it anew for every product */
    FC_INLINE vec fc_held(vec a) {
    #if VBYTES == 64
        __asm__("" : "+v"(a));
    #elif defined(__x86_64__)
        __asm__("" : "+x"(a));
    #elif defined(__aarch64__)
        __asm__("" : "+w"(a));
    #endif
        return a;
    }
    """
    vec fc_product(vec a, vec b) nogil
    vec fc_held(vec a) nogil
    enum:
        FC_ROWS
        FC_WIDE
        FC_FLAT
        FC_GROUP
        FC_NARROW
        FC_CHUNK

cdef struct Picture:            # what all threads share
    const char* x               # (H, W, C) of kind xk
    char* y                     # (OH, OW, C) of kind yk
    int xk, yk
    intp w, oh, ow, c           # image width; output sizes; channels
    const intp* rows            # image row of each of oh + kh - 1 bordered rows
    const intp* cols            # image column of each of ow + kw - 1 bordered columns
    intp in0, in1               # bordered columns [in0, in1) are neighbours in the image
    real cval
    intp kh, kw
    intp strip, band            # columns and rows of a task
    intp pitch                  # numbers from one buffered row to the next
    real sign                   # of a folded kernel
    bint fold

cdef struct Sources:            # where a thread finds the rows of its strip
    real** edge                 # bordered rows
    real** rows                 # rows of the image: numbers [a, b + reach) are the same there
    intp a, b


cdef inline void _filter_taps(const int R, const int V, const int fold, const int first, const int last, vec* a,
                              const real* p, const real* w, const Picture* f, intp n, vec sign) noexcept nogil:
    """One bordered row for output rows [first, last) of a block: n taps, weights of a column at distance kh."""
    cdef vec x[8]
    cdef vec b
    cdef int o, j
    cdef const real* q = p + (f.kw - 1) * f.c
    while True:
        for j in range(V):
            x[j] = vload(p + j * LANES)
            if fold:
                x[j] += sign * vload(q + j * LANES)
            x[j] = fc_held(x[j])
        for o in range(R):
            if first <= o and o < last:
                b = vset(w[o])
                for j in range(V):
                    a[o * V + j] += fc_product(b, x[j])
        n -= 1
        if n == 0:
            break
        w += f.kh
        p += f.c
        q -= f.c


cdef inline void _filter_block(const int R, const int V, const int K, const int fold, real** rows, intp at,
                               const real* w, const Picture* f, real* y, intp ys) noexcept nogil:
    """y OUT: R rows at distance ys of V vectors; w [kw][kh], each column from the bottom up.

    K is kh where that is below R, else 0. Row i meets outputs i - kh + 1 to i: fewer than R at both ends.
    """
    cdef vec a[32]
    cdef intp n = (f.kw + 1) / 2 if fold else f.kw, i, last = f.kh - 1
    cdef vec sign = vset(f.sign), zero = fc_held(vzero())
    cdef int o, j
    for j in range(R * V):
        a[j] = zero
    if K:
        _filter_taps(R, V, fold, 0, 1, a, rows[0] + at, w + K - 1, f, n, sign)
        if R + K > 2: _filter_taps(R, V, fold, 2 - K, min(R, 2), a, rows[1] + at, w + K - 2, f, n, sign)
        if R + K > 3: _filter_taps(R, V, fold, 3 - K, min(R, 3), a, rows[2] + at, w + K - 3, f, n, sign)
        if R + K > 4: _filter_taps(R, V, fold, 4 - K, min(R, 4), a, rows[3] + at, w + K - 4, f, n, sign)
        if R + K > 5: _filter_taps(R, V, fold, 5 - K, min(R, 5), a, rows[4] + at, w + K - 5, f, n, sign)
        if R + K > 6: _filter_taps(R, V, fold, 6 - K, min(R, 6), a, rows[5] + at, w + K - 6, f, n, sign)
        if R + K > 7: _filter_taps(R, V, fold, 7 - K, R, a, rows[6] + at, w + K - 7, f, n, sign)
        if R + K > 8: _filter_taps(R, V, fold, 8 - K, R, a, rows[7] + at, w + K - 8, f, n, sign)
        if R + K > 9: _filter_taps(R, V, fold, 9 - K, R, a, rows[8] + at, w + K - 9, f, n, sign)
        if R + K > 10: _filter_taps(R, V, fold, 10 - K, R, a, rows[9] + at, w + K - 10, f, n, sign)
    else:
        if R > 1: _filter_taps(R, V, fold, 0, 1, a, rows[0] + at, w + last, f, n, sign)
        if R > 2: _filter_taps(R, V, fold, 0, 2, a, rows[1] + at, w + last - 1, f, n, sign)
        if R > 3: _filter_taps(R, V, fold, 0, 3, a, rows[2] + at, w + last - 2, f, n, sign)
        if R > 4: _filter_taps(R, V, fold, 0, 4, a, rows[3] + at, w + last - 3, f, n, sign)
        if R > 5: _filter_taps(R, V, fold, 0, 5, a, rows[4] + at, w + last - 4, f, n, sign)
        for i in range(R - 1, f.kh):
            _filter_taps(R, V, fold, 0, R, a, rows[i] + at, w + last - i, f, n, sign)
        if R > 1: _filter_taps(R, V, fold, 1, R, a, rows[last + 1] + at, w - 1, f, n, sign)
        if R > 2: _filter_taps(R, V, fold, 2, R, a, rows[last + 2] + at, w - 2, f, n, sign)
        if R > 3: _filter_taps(R, V, fold, 3, R, a, rows[last + 3] + at, w - 3, f, n, sign)
        if R > 4: _filter_taps(R, V, fold, 4, R, a, rows[last + 4] + at, w - 4, f, n, sign)
        if R > 5: _filter_taps(R, V, fold, 5, R, a, rows[last + 5] + at, w - 5, f, n, sign)
    for o in range(R):
        for j in range(V):
            vstore(y + o * ys + j * LANES, a[o * V + j])


cdef void _filter_blocks(int R, bint fold, real** rows, intp start, const real* w, const Picture* f, real* y, intp ys,
                         intp width, real* tile) noexcept nogil:
    """`width` columns of R output rows, from number `start` of the bordered rows on.

    The last block goes through `tile`, for nothing is written behind the columns.
    """
    cdef intp at = 0, step = _filter_step(R), s = ys, o
    cdef real* to
    while at < width:
        to = y + at
        if at + step > width:
            to, s = tile, step
        if R == 1: _filter_block(1, FC_FLAT, 0, 0, rows, start + at, w, f, to, s)
        elif f.kh == 2: _filter_block(FC_ROWS, FC_WIDE, 2, 0, rows, start + at, w, f, to, s)
        elif f.kh == 3: _filter_block(FC_ROWS, FC_WIDE, 3, 0, rows, start + at, w, f, to, s)
        elif FC_ROWS > 4 and f.kh == 4: _filter_block(FC_ROWS, FC_WIDE, 4, 0, rows, start + at, w, f, to, s)
        elif FC_ROWS > 5 and f.kh == 5: _filter_block(FC_ROWS, FC_WIDE, 5, 0, rows, start + at, w, f, to, s)
        elif fold: _filter_block(FC_ROWS, FC_WIDE, 0, 1, rows, start + at, w, f, to, s)
        else: _filter_block(FC_ROWS, FC_WIDE, 0, 0, rows, start + at, w, f, to, s)
        if to == tile:
            for o in range(R):
                memcpy(y + o * ys + at, tile + o * step, (width - at) * sizeof(real))
        at += step


cdef void _filter_pieces(int R, bint fold, const Sources* s, const real* w, const Picture* f, real* y, intp ys,
                         intp width, real* tile) noexcept nogil:
    """The same from two sources: in the image itself where all neighbours lie there, else in bordered rows."""
    _filter_blocks(R, fold, s.edge, 0, w, f, y, ys, min(s.a, width), tile)
    if s.a < s.b: _filter_blocks(R, fold, s.rows, s.a, w, f, y + s.a, ys, s.b - s.a, tile)
    if s.b < width: _filter_blocks(R, fold, s.edge, s.b, w, f, y + s.b, ys, width - s.b, tile)


cdef inline int _filter_height(intp kh) noexcept nogil:
    """Output rows of a block."""
    return FC_ROWS if kh > 1 else 1


cdef inline intp _filter_step(int R) noexcept nogil:
    """Numbers of a row in a block."""
    return (FC_WIDE if R > 1 else FC_FLAT) * LANES
