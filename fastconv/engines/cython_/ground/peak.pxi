# The largest magnitude of an array, NaN and Inf above all finite ones: one pass, integer maxima of the bits.
cdef extern from *:
    """
    #ifdef FC_DOUBLE
    typedef uint64_t fc_bits;
    #define FC_MAGNITUDE 0x7fffffffffffffffull
    #else
    typedef uint32_t fc_bits;
    #define FC_MAGNITUDE 0x7fffffffu
    #endif
    static real fc_peak(const real *x, ptrdiff_t n) {
        const fc_bits *b = (const fc_bits *)x;
        fc_bits top = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            fc_bits v = b[i] & FC_MAGNITUDE;
            top = v > top ? v : top;
        }
        real out;
        memcpy(&out, &top, sizeof out);
        return out;
    }
    """
    real fc_peak(const real* x, intp n) nogil


def abs_peak(cnp.ndarray x, int threads):
    """max|x| as a float; NaN or Inf if x holds one."""
    cdef real part[64]
    cdef intp n = cnp.PyArray_SIZE(x), i, pieces = min(64, threads)
    cdef const real* p = data(x)
    if pieces == 1 or n < 1 << 15:
        return fc_peak(p, n)
    for i in prange(pieces, nogil=True, schedule="static", num_threads=threads):
        part[i] = fc_peak(p + n * i // pieces, n * (i + 1) // pieces - n * i // pieces)
    return fc_peak(part, pieces)
