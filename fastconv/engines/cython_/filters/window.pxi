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
        FILTER_CHUNK

cdef struct FilterWeights:
    const real* w               # [kw][kh], each column from the bottom up; of a folded kernel the left half
    intp kh, kw
    intp c                      # channels: taps along a row lie so many numbers apart
    real sign                   # of a folded kernel


cdef struct FilterBlock:
    const FilterWeights* f
    const char** rows           # bordered rows
    intp at                     # where the block begins in them
    char* y
    intp ys


cdef inline void _filter_taps(const int R, const int V, const int fold, const int kind, const int first,
                              const int last, vec* a, const FilterBlock* block, intp i, intp n,
                              vec sign) noexcept nogil:
    """Bordered row i for output rows [first, last) of a block: n taps."""
    cdef const FilterWeights* f = block.f
    cdef vec x[8]
    cdef vec b
    cdef int o, j
    cdef const char* p = _number(kind, block.rows[i], block.at)
    cdef const char* q = _number(kind, p, (f.kw - 1) * f.c)
    cdef const real* w = f.w + f.kh - 1 - i
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
                               const int yk, const FilterBlock* b) noexcept nogil:
    """y OUT of kind yk: R rows at distance ys of V vectors.

    K is kh where that is below R, else 0. Row i meets outputs i - kh + 1 to i: fewer than R at both ends.
    """
    cdef vec a[32]
    cdef const FilterWeights* f = b.f
    cdef intp n = (f.kw + 1) / 2 if fold else f.kw, i, last = f.kh - 1
    cdef vec sign = vset(f.sign), zero = filter_held(vzero())
    cdef int o, j
    for j in range(R * V):
        a[j] = zero
    if K:
        _filter_taps(R, V, fold, kind, 0, 1, a, b, 0, n, sign)
        if R + K > 2: _filter_taps(R, V, fold, kind, 2 - K, 2, a, b, 1, n, sign)
        if R + K > 3: _filter_taps(R, V, fold, kind, 3 - K, 3, a, b, 2, n, sign)
        if R + K > 4: _filter_taps(R, V, fold, kind, 4 - K, 4, a, b, 3, n, sign)
        if R + K > 5: _filter_taps(R, V, fold, kind, 5 - K, 5, a, b, 4, n, sign)
        if R + K > 6: _filter_taps(R, V, fold, kind, 6 - K, 6, a, b, 5, n, sign)
        if R + K > 7: _filter_taps(R, V, fold, kind, 7 - K, 7, a, b, 6, n, sign)
        if R + K > 8: _filter_taps(R, V, fold, kind, 8 - K, 8, a, b, 7, n, sign)
        if R + K > 9: _filter_taps(R, V, fold, kind, 9 - K, 9, a, b, 8, n, sign)
        if R + K > 10: _filter_taps(R, V, fold, kind, 10 - K, 10, a, b, 9, n, sign)
    else:
        if R > 1: _filter_taps(R, V, fold, kind, 0, 1, a, b, 0, n, sign)
        if R > 2: _filter_taps(R, V, fold, kind, 0, 2, a, b, 1, n, sign)
        if R > 3: _filter_taps(R, V, fold, kind, 0, 3, a, b, 2, n, sign)
        if R > 4: _filter_taps(R, V, fold, kind, 0, 4, a, b, 3, n, sign)
        if R > 5: _filter_taps(R, V, fold, kind, 0, 5, a, b, 4, n, sign)
        for i in range(R - 1, f.kh):
            _filter_taps(R, V, fold, kind, 0, R, a, b, i, n, sign)
        if R > 1: _filter_taps(R, V, fold, kind, 1, R, a, b, last + 1, n, sign)
        if R > 2: _filter_taps(R, V, fold, kind, 2, R, a, b, last + 2, n, sign)
        if R > 3: _filter_taps(R, V, fold, kind, 3, R, a, b, last + 3, n, sign)
        if R > 4: _filter_taps(R, V, fold, kind, 4, R, a, b, last + 4, n, sign)
        if R > 5: _filter_taps(R, V, fold, kind, 5, R, a, b, last + 5, n, sign)
    for o in range(R):
        for j in range(V):
            _put(yk, b.y, o * b.ys + j * LANES, a[o * V + j])


# Columns are summed from `real` or bytes to `real`, rows from `real` to `real` or bytes (a kernel of one row: also from
# bytes). Few rows: fewer than a block has, all met by unrolled code.
cdef inline void _filter_tall_real(int K, const void* args) noexcept nogil:
    _filter_block(FILTER_ROWS, FILTER_WIDE, K, 0, FILTER_REAL, FILTER_REAL, <const FilterBlock*> args)


cdef inline void _filter_tall_bytes(int K, const void* args) noexcept nogil:
    _filter_block(FILTER_ROWS, FILTER_WIDE, K, 0, FILTER_U8, FILTER_REAL, <const FilterBlock*> args)


cdef inline void _filter_pick(int R, bint fold, int kind, int yk, const FilterBlock* b) noexcept nogil:
    if R == 1:
        if sizeof(real) == 4 and kind == FILTER_U8: _filter_block(1, FILTER_FLAT, 0, 0, FILTER_U8, FILTER_REAL, b)
        elif sizeof(real) == 4 and yk == FILTER_U8: _filter_block(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_U8, b)
        else: _filter_block(1, FILTER_FLAT, 0, 0, FILTER_REAL, FILTER_REAL, b)
    elif sizeof(real) == 4 and kind == FILTER_U8:
        fc_cases_or_any(_filter_tall_bytes, <int> b.f.kh, FILTER_ROWS - 1, b)
    elif fold:
        _filter_block(FILTER_ROWS, FILTER_WIDE, 0, 1, FILTER_REAL, FILTER_REAL, b)
    else:
        fc_cases_or_any(_filter_tall_real, <int> b.f.kh, FILTER_ROWS - 1, b)


cdef void _filter_blocks(int R, bint fold, int kind, int yk, const char** rows, intp start, const FilterWeights* f,
                         char* y, intp ys, intp width, real* tile) noexcept nogil:
    """`width` columns of R output rows, from number `start` of the bordered rows on.

    The last block goes through `tile`, for nothing is written behind the columns.
    """
    cdef intp at = 0, step = _filter_step(R), o
    cdef FilterBlock b = FilterBlock(f, rows, start, y, ys)
    while at < width:
        b.at, b.y = start + at, <char*> _number(yk, y, at)
        if at + step > width:
            b.y, b.ys = <char*> tile, step
        _filter_pick(R, fold, kind, yk, &b)
        if b.y == <char*> tile:
            for o in range(R):
                memcpy(<char*> _number(yk, y, o * ys + at), _number(yk, b.y, o * step), (width - at) * _size_of(yk))
        at += step


cdef inline int _filter_height(intp kh) noexcept nogil:
    """Output rows of a block."""
    return FILTER_ROWS if kh > 1 else 1


cdef inline intp _filter_step(int R) noexcept nogil:
    """Numbers of a row in a block."""
    return (FILTER_WIDE if R > 1 else FILTER_FLAT) * LANES
