# Image filters, lanes = neighbouring numbers of a row; a colour image is a row of width * channels numbers whose
# taps lie `channels` apart, so nothing is ever split into planes.
#
# A thread owns a band of output rows and a strip of output columns. Where all neighbours lie in the image and need
# no conversion, they are read there; else they pass through a ring of bordered rows, converted to `real`. Any border
# is two tables: the image row (column) of every bordered row (column), -1 for cval. A block of output rows x vectors
# stays in registers.

cdef extern from *:
    """
    #define FILTER_ROWS (VBYTES == 64 ? 6 : 4) /* blocks of output rows x vectors: FILTER_ROWS x FILTER_WIDE, */
    #define FILTER_WIDE (VBYTES == 64 ? 4 : 3)
    #define FILTER_FLAT (VBYTES == 64 ? 8 : 4) /* and 1 x FILTER_FLAT for kernels of one row */
    #define FILTER_NARROW (VBYTES == 64 ? 21 : 11) /* kernel columns up to which transposed blocks do not pay */
    #define FILTER_CHUNK (VBYTES == 64 ? 8 : 12) /* vectors of column sums at a time, a multiple of FILTER_WIDE and FILTER_FLAT */
    #define FILTER_GROUP (LANES > 8 ? LANES : 8) /* rows between the columns and the rows of a separable kernel */

    /* a product that must not be fused into a sum: float64 sums are those of plain C, number by number */
    FC_INLINE vec filter_product(vec a, vec b) {
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
    FC_INLINE vec filter_held(vec a) {
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
    vec filter_product(vec a, vec b) nogil
    vec filter_held(vec a) nogil
    enum:
        VBYTES
        FILTER_ROWS
        FILTER_WIDE
        FILTER_FLAT
        FILTER_GROUP
        FILTER_NARROW
        FILTER_CHUNK

cdef struct FilterPicture:            # what all threads share
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
    const char** edge           # bordered rows of `real`
    const char** rows           # rows of the image, of this kind: numbers [a, b + reach) are the same there
    int kind
    intp a, b


cdef inline void _filter_taps(const int R, const int V, const int fold, const int kind, const int first,
                              const int last, vec* a, const char** rows, intp i, intp at, const real* w,
                              const FilterPicture* f, intp n, vec sign) noexcept nogil:
    """Bordered row i for output rows [first, last) of a block: n taps, weights of a column at distance kh."""
    cdef vec x[8]
    cdef vec b
    cdef int o, j
    cdef const char* p = _number(kind, rows[i], at)
    cdef const char* q = _number(kind, p, (f.kw - 1) * f.c)
    w += f.kh - 1 - i
    while True:
        for j in range(V):
            x[j] = _get(kind, p, j * LANES)
            if fold:
                x[j] += sign * _get(kind, q, j * LANES)
            x[j] = filter_held(x[j])
        for o in range(R):
            if first <= o and o < last:
                b = vset(w[o])
                for j in range(V):
                    a[o * V + j] += filter_product(b, x[j])
        n -= 1
        if n == 0:
            break
        w += f.kh
        p = _number(kind, p, f.c)
        q = _number(kind, q, -f.c)


cdef inline void _filter_block(const int R, const int V, const int K, const int fold, const int kind,
                               const int yk, const char** rows, intp at, const real* w, const FilterPicture* f, char* y,
                               intp ys) noexcept nogil:
    """y OUT of kind yk: R rows at distance ys of V vectors; w [kw][kh], each column from the bottom up.

    K is kh where that is below R, else 0. Row i meets outputs i - kh + 1 to i: fewer than R at both ends.
    """
    cdef vec a[32]
    cdef intp n = (f.kw + 1) / 2 if fold else f.kw, i, last = f.kh - 1
    cdef vec sign = vset(f.sign), zero = filter_held(vzero())
    cdef int o, j
    for j in range(R * V):
        a[j] = zero
    if K:
        _filter_taps(R, V, fold, kind, 0, 1, a, rows, 0, at, w, f, n, sign)
        if R + K > 2: _filter_taps(R, V, fold, kind, 2 - K, 2, a, rows, 1, at, w, f, n, sign)
        if R + K > 3: _filter_taps(R, V, fold, kind, 3 - K, 3, a, rows, 2, at, w, f, n, sign)
        if R + K > 4: _filter_taps(R, V, fold, kind, 4 - K, 4, a, rows, 3, at, w, f, n, sign)
        if R + K > 5: _filter_taps(R, V, fold, kind, 5 - K, 5, a, rows, 4, at, w, f, n, sign)
        if R + K > 6: _filter_taps(R, V, fold, kind, 6 - K, 6, a, rows, 5, at, w, f, n, sign)
        if R + K > 7: _filter_taps(R, V, fold, kind, 7 - K, 7, a, rows, 6, at, w, f, n, sign)
        if R + K > 8: _filter_taps(R, V, fold, kind, 8 - K, 8, a, rows, 7, at, w, f, n, sign)
        if R + K > 9: _filter_taps(R, V, fold, kind, 9 - K, 9, a, rows, 8, at, w, f, n, sign)
        if R + K > 10: _filter_taps(R, V, fold, kind, 10 - K, 10, a, rows, 9, at, w, f, n, sign)
    else:
        if R > 1: _filter_taps(R, V, fold, kind, 0, 1, a, rows, 0, at, w, f, n, sign)
        if R > 2: _filter_taps(R, V, fold, kind, 0, 2, a, rows, 1, at, w, f, n, sign)
        if R > 3: _filter_taps(R, V, fold, kind, 0, 3, a, rows, 2, at, w, f, n, sign)
        if R > 4: _filter_taps(R, V, fold, kind, 0, 4, a, rows, 3, at, w, f, n, sign)
        if R > 5: _filter_taps(R, V, fold, kind, 0, 5, a, rows, 4, at, w, f, n, sign)
        for i in range(R - 1, f.kh):
            _filter_taps(R, V, fold, kind, 0, R, a, rows, i, at, w, f, n, sign)
        if R > 1: _filter_taps(R, V, fold, kind, 1, R, a, rows, last + 1, at, w, f, n, sign)
        if R > 2: _filter_taps(R, V, fold, kind, 2, R, a, rows, last + 2, at, w, f, n, sign)
        if R > 3: _filter_taps(R, V, fold, kind, 3, R, a, rows, last + 3, at, w, f, n, sign)
        if R > 4: _filter_taps(R, V, fold, kind, 4, R, a, rows, last + 4, at, w, f, n, sign)
        if R > 5: _filter_taps(R, V, fold, kind, 5, R, a, rows, last + 5, at, w, f, n, sign)
    for o in range(R):
        for j in range(V):
            _put(yk, y, o * ys + j * LANES, a[o * V + j])


cdef void _filter_blocks(int R, bint fold, int kind, int yk, const char** rows, intp start, const real* w,
                         const FilterPicture* f, char* y, intp ys, intp width, real* tile) noexcept nogil:
    """`width` columns of R output rows, from number `start` of the bordered rows on.

    The last block goes through `tile`, for nothing is written behind the columns. Only the columns of a separable
    kernel are summed from bytes, and only its rows to bytes.
    """
    cdef intp at = 0, step = _filter_step(R), s = ys, o
    cdef char* to
    while at < width:
        to = <char*> _number(yk, y, at)
        if at + step > width:
            to, s = <char*> tile, step
        if R == 1: _filter_flat(kind, yk, rows, start + at, w, f, to, s)
        elif kind == FILTER_U8 and sizeof(real) == 4: _filter_tall(FILTER_U8, rows, start + at, w, f, to, s)
        elif fold: _filter_block(FILTER_ROWS, FILTER_WIDE, 0, 1, FILTER_REAL, FILTER_REAL, rows, start + at, w, f, to, s)
        else: _filter_tall(FILTER_REAL, rows, start + at, w, f, to, s)
        if to == <char*> tile:
            for o in range(R):
                memcpy(<char*> _number(yk, y, o * ys + at), _number(yk, to, o * step), (width - at) * _size_of(yk))
        at += step


cdef inline void _filter_tall(const int kind, const char** rows, intp at, const real* w, const FilterPicture* f, char* y,
                              intp ys) noexcept nogil:
    if f.kh == 2: _filter_block(FILTER_ROWS, FILTER_WIDE, 2, 0, kind, FILTER_REAL, rows, at, w, f, y, ys)
    elif f.kh == 3: _filter_block(FILTER_ROWS, FILTER_WIDE, 3, 0, kind, FILTER_REAL, rows, at, w, f, y, ys)
    elif FILTER_ROWS > 4 and f.kh == 4: _filter_block(FILTER_ROWS, FILTER_WIDE, 4, 0, kind, FILTER_REAL, rows, at, w, f, y, ys)
    elif FILTER_ROWS > 5 and f.kh == 5: _filter_block(FILTER_ROWS, FILTER_WIDE, 5, 0, kind, FILTER_REAL, rows, at, w, f, y, ys)
    else: _filter_block(FILTER_ROWS, FILTER_WIDE, 0, 0, kind, FILTER_REAL, rows, at, w, f, y, ys)


cdef inline void _filter_flat(int kind, int yk, const char** rows, intp at, const real* w, const FilterPicture* f, char* y,
                              intp ys) noexcept nogil:
    if sizeof(real) == 4 and kind == FILTER_U8:
        _filter_block(1, FILTER_FLAT, 0, 0, FILTER_U8, FILTER_REAL, rows, at, w, f, y, ys)
    elif sizeof(real) == 4 and yk == FILTER_U8:
        _filter_block(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_U8, rows, at, w, f, y, ys)
    else:
        _filter_block(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_REAL, rows, at, w, f, y, ys)


cdef void _filter_pieces(int R, bint fold, const Sources* s, const real* w, const FilterPicture* f, real* y, intp ys,
                         intp width, real* tile) noexcept nogil:
    """The same from two sources: in the image itself where all neighbours lie there, else in bordered rows."""
    cdef char* to = <char*> y
    _filter_blocks(R, fold, FILTER_REAL, FILTER_REAL, s.edge, 0, w, f, to, ys, min(s.a, width), tile)
    if s.a < s.b:
        to = <char*> (y + s.a)
        _filter_blocks(R, fold, s.kind, FILTER_REAL, s.rows, s.a, w, f, to, ys, s.b - s.a, tile)
    if s.b < width:
        to = <char*> (y + s.b)
        _filter_blocks(R, fold, FILTER_REAL, FILTER_REAL, s.edge, s.b, w, f, to, ys, width - s.b, tile)


cdef inline int _filter_height(intp kh) noexcept nogil:
    """Output rows of a block."""
    return FILTER_ROWS if kh > 1 else 1


cdef inline intp _filter_step(int R) noexcept nogil:
    """Numbers of a row in a block."""
    return (FILTER_WIDE if R > 1 else FILTER_FLAT) * LANES
