# The largest magnitude of an array, NaN and Inf above all finite ones: one pass, integer maxima of the bits.
cdef extern from *:
    """
    #ifdef FC_DOUBLE
    typedef uint64_t peak_bits;
    #define PEAK_MAGNITUDE 0x7fffffffffffffffull
    #else
    typedef uint32_t peak_bits;
    #define PEAK_MAGNITUDE 0x7fffffffu
    #endif
    static real peak_of(const real *x, ptrdiff_t n) {
        const peak_bits *b = (const peak_bits *)x;
        peak_bits top = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            peak_bits v = b[i] & PEAK_MAGNITUDE;
            top = v > top ? v : top;
        }
        real out;
        memcpy(&out, &top, sizeof out);
        return out;
    }
    """
    real peak_of(const real* x, intp n) nogil


cdef struct PeakCall:
    const real* x
    intp n
    real* part  # of each share


cdef void _peak_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const PeakCall* f = <const PeakCall*> args
    cdef intp first = split(f.n, ithr, nthr)
    f.part[ithr] = peak_of(f.x + first, split(f.n, ithr + 1, nthr) - first)


def abs_peak(cnp.ndarray x, int threads):
    """max|x| as a float; NaN or Inf if x holds one."""
    cdef real part[64]
    cdef PeakCall f = PeakCall(data(x), cnp.PyArray_SIZE(x), &part[0])
    cdef intp shares = min(64, threads) if f.n >= 1 << 15 else 1
    part[0] = 0
    with nogil:
        launch(_peak_share, &f, shares)
    return part[0] if shares == 1 else peak_of(part, shares)
