# Direct convolution as contiguous runs: how blocks meet the source.
#
# A kernel row of kw * c numbers is one run of the image at any stride; with dilation, or in groups, every tap is one.
# Rows outside the image are runs left out. Where columns lie outside, a thread copies its band, zeros beside it; so it
# does where channels are planes, whose blocks are turned.
from libc.string cimport memcpy, memset

cdef extern from "direct/block.h" nogil:
    ctypedef struct direct_job:
        intp rows, taps, n, row, tap, pixel, out
        const real* bias
        const real* each
        int lanes, wide, onto, finish, activation
    ctypedef void direct_kernel(const direct_job* job, const real* x, const real* w, real* y,
                                const real* residual) noexcept
    direct_kernel* direct_of_products[5][15]
    direct_kernel* direct_of_sums[5][15]


cdef inline const DirectPhase* read_phases(cnp.ndarray a, const DirectPass* r) except NULL:
    if cnp.PyArray_SIZE(a) * sizeof(intp) != r.phases * sizeof(DirectPhase):
        raise ValueError("phases has a DirectPhase for each phase")
    return <const DirectPhase*> cnp.PyArray_DATA(a)


cdef struct View:
    const real* x                                           # pixel (0, 0) of image 0, even if it is not there
    intp image, row, pixel                                  # numbers between images, rows, pixels,
    intp over                                               # pixels of neighbouring outputs


cdef inline intp _outside(intp start, intp step, intp k) noexcept nogil:
    """How many of k taps from `start` on lie before 0."""
    return 0 if start >= 0 else min(k, (-start + step - 1) // step)


cdef inline intp _inside(intp start, intp step, intp k, intp size) noexcept nogil:
    """How many of k taps from `start` on lie before `size`."""
    return 0 if start >= size else min(k, (size - start + step - 1) // step)


cdef void _copy_row(const DirectPass* r, const real* x, intp n, intp row, intp a, intp e, real* d) noexcept nogil:
    """Columns [a, e) of a row, channels last; behind them some numbers may be spoilt."""
    cdef intp k = (r.c - 1) // LANES * LANES, pixels = (e - a + r.pick - 1) // r.pick
    if r.xplane == 0:
        memcpy(d, x + ((n * r.h + row) * r.w + a) * r.c, (e - a) * r.c * sizeof(real))
        return
    x += n * r.c * r.xplane + row * r.w + a
    while k >= 0:                                           # the last, which may spoil others, first
        planes_to_lanes(1, x + k * r.xplane, r.xplane, min(<intp> LANES, r.c - k), r.pick, pixels, d + k, r.c, 0)
        k -= LANES


cdef View _source(const DirectPass* r, const real* x, real* copy, intp n0, intp n1, intp i0, intp i1, intp j0,
                  intp j1) noexcept nogil:
    """The source as outputs [i0, i1) x [j0, j1) of any phase, of images [n0, n1), read it: in place, or in a copy."""
    cdef View v
    cdef intp row, n, top, bottom, left, right, a, e
    cdef real* d
    v.pixel, v.over = r.c, r.cs // r.pick * r.c
    if r.copied == 0:
        v.x, v.image, v.row = x, r.h * r.w * r.c, r.w * r.c
        return v
    top, bottom = max(<intp> 0, r.r0 + i0 * r.rs), min(r.h, r.r0 + (i1 - 1) * r.rs + r.high)
    left, right = r.c0 + j0 * r.cs, r.c0 + (j1 - 1) * r.cs + r.wide
    a, e = min(max(left, <intp> 0), right), max(left, min(right, r.w))      # the columns that there are
    if e < a:
        a = e = min(max(a, left), right)
    bottom = max(bottom, top)
    v.row = ((right - left - 1) // r.pick + 1) * r.c
    v.image = (bottom - top) * v.row
    if r.xplane and left == 0 and right == r.w and r.pick == 1 and (r.high > 1 or r.rs == 1):     # planes without gaps
        for n in range(n0, n1):
            _copy_row(r, x, n, top, 0, (bottom - top) * r.w, copy + (n - n0) * v.image)
        v.x = copy - n0 * v.image - top * v.row
        return v
    for n in range(n0, n1):
        for row in range(top, bottom):
            d = copy + (n - n0) * v.image + (row - top) * v.row
            if r.high == 1 and (row - r.r0) % r.rs:           # a row that no tap meets
                continue
            memset(d, 0, (a - left) * r.c * sizeof(real))
            if a < e:
                _copy_row(r, x, n, row, a, e, d + (a - left) * r.c)
            memset(d + (e - left) * r.c, 0, (right - e) * r.c * sizeof(real))
    v.x = copy - n0 * v.image - top * v.row - left // r.pick * r.c
    return v


cdef struct Ahead:                                          # what will be read next, of up to two arrays
    const char* at[2]
    intp left[2]                                            # bytes
    intp lines                                              # to ask for with each register block


cdef inline void _ask(Ahead* ahead) noexcept nogil:
    """Ask for the next lines: a last cache far away answers too late, and no prefetcher foresees the next block."""
    cdef intp k, i
    for i in range(2):
        for k in range(min(ahead.lines, (ahead.left[i] + 63) // 64)):
            fetch_l2(ahead.at[i] + 64 * k)
        ahead.at[i] += 64 * ahead.lines
        ahead.left[i] -= 64 * ahead.lines
