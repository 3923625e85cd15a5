# Image filters, lanes = neighbouring numbers of a row; a colour image is a row of width * channels numbers whose
# taps lie `channels` apart, so nothing is ever split into planes.
#
# A thread owns a band of output rows and a strip of output columns. Where all neighbours lie in the image and need
# no conversion, they are read there; else they pass through a ring of bordered rows, converted to `real`. Any border
# is two tables: the image row (column) of every bordered row (column), -1 for cval. A block of output rows x vectors
# stays in registers.

cdef extern from "filters/block.h" nogil:
    enum:
        VBYTES
        FILTER_ROWS
        FILTER_WIDE
        FILTER_FLAT
        FILTER_GROUP
        FILTER_CHUNK
        FILTER_REAL
        FILTER_U8
        FILTER_U16
        FILTER_I16
        FILTER_F32
    ctypedef struct filter_weights:
        const real* w
        intp kh, kw, c
        real sign
    ctypedef struct filter_block:
        const filter_weights* f
        const char** rows
        intp at
        char* y
        intp ys
    vec filter_product(vec a, vec b)
    vec filter_held(vec a)
    intp filter_size(const int kind)
    const char* filter_number(const int kind, const void* p, intp at)
    void filter_put(const int kind, char* p, intp at, vec v)
    void filter_one_block(int tall, int narrow, int fold, int kind, int yk, const filter_block* b)


cdef void _filter_blocks(int R, bint fold, int kind, int yk, const char** rows, intp start, const filter_weights* f,
                         char* y, intp ys, intp width, real* tile) noexcept nogil:
    """`width` columns of R output rows, from number `start` of the bordered rows on.

    The last block goes through `tile`, for nothing is written behind the columns; of `real`, few are done vector by
    vector.
    """
    cdef intp at = 0, step = _filter_step(R), o
    cdef char* to
    cdef filter_block b = filter_block(f, rows, start, y, ys)
    while at < width:
        if width - at <= 2 * LANES and kind == FILTER_REAL and yk == FILTER_REAL:
            step = LANES
        b.at, b.y = start + at, <char*> filter_number(yk, y, at)
        if at + step > width:
            b.y, b.ys = <char*> tile, step
        filter_one_block(R > 1, step == LANES, fold, kind, yk, &b)
        if b.y == <char*> tile:
            for o in range(R):
                to = <char*> filter_number(yk, y, o * ys + at)
                memcpy(to, filter_number(yk, b.y, o * step), (width - at) * filter_size(yk))
        at += step


cdef inline int _filter_height(intp kh) noexcept nogil:
    """Output rows of a block."""
    return FILTER_ROWS if kh > 1 else 1


cdef inline intp _filter_step(int R) noexcept nogil:
    """Numbers of a row in a block."""
    return (FILTER_WIDE if R > 1 else FILTER_FLAT) * LANES
