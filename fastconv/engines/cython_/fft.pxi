# Products of spectra, summed over channels. Lanes are neighbouring frequencies; real and imaginary parts alternate.
#
# Sums of x * re(w) and of x * im(w) are kept apart: that is two FMAs a vector, and the parts of w alone are shuffled.
cdef extern from *:
    """
    #define FC_RE(i, k) ((i) & ~1)
    #define FC_IM(i, k) ((i) | 1)
    #define FC_SWAP(i, k) ((i) ^ 1)
    FC_INLINE vec fft_re(vec a) { return FC_SHUFFLE(a, a, FC_RE, 0); }
    FC_INLINE vec fft_im(vec a) { return FC_SHUFFLE(a, a, FC_IM, 0); }
    FC_INLINE vec fft_swap(vec a) { return FC_SHUFFLE(a, a, FC_SWAP, 0); }
    """
    vec fft_re(vec a) nogil
    vec fft_im(vec a) nogil
    vec fft_swap(vec a) nogil

cdef enum:
    FFT_X = 4                       # spectra of x, and of w, in registers
    FFT_W = 2

cdef struct Steps:                  # numbers from one spectrum to the next
    intp xi, xk, xg, wj, wk, wg, yi, yj, yg


cdef inline void _spectra(const int ni, const int nj, const bint part, const real* x, const real* w, real* y, intp K,
                          const Steps* s, vec sign, bint add, int n) noexcept nogil:
    """y[i][j] (+)= sum over k of x[i][k] * w[j][k], or its conjugate, at one vector of frequencies, n numbers of it."""
    cdef vec a[FFT_X][FFT_W]
    cdef vec b[FFT_X][FFT_W]
    cdef vec v[FFT_X]
    cdef vec f
    cdef vec re
    cdef vec im
    cdef int i, j
    cdef intp k
    cdef real* out
    for i in range(ni):
        for j in range(nj):
            a[i][j] = vzero()
            b[i][j] = vzero()
    for k in range(K):
        for i in range(ni):
            v[i] = vload_part(x + i * s.xi, n) if part else vload(x + i * s.xi)
            fetch(x + i * s.xi + LANES)
        for j in range(nj):
            f = vload_part(w + j * s.wj, n) if part else vload(w + j * s.wj)
            fetch(w + j * s.wj + LANES)
            re = fft_re(f)
            im = fft_im(f)
            for i in range(ni):
                a[i][j] += v[i] * re
                b[i][j] += v[i] * im
        x += s.xk
        w += s.wk
    for i in range(ni):
        for j in range(nj):
            f = a[i][j] + fft_swap(b[i][j]) * sign
            out = y + i * s.yi + j * s.yj
            if part:
                vstore_part(out, f + vload_part(out, n) if add else f, n)
            else:
                vstore(out, f + vload(out) if add else f)


cdef void _spectra_of(intp ni, intp nj, const real* x, const real* w, real* y, intp K, const Steps* s, vec sign, bint add,
                      int n) noexcept nogil:
    cdef intp i, j
    if n < LANES:
        for i in range(ni):
            for j in range(nj):
                _spectra(1, 1, True, x + i * s.xi, w + j * s.wj, y + i * s.yi + j * s.yj, K, s, sign, add, n)
    elif ni == 4 and nj == 2: _spectra(4, 2, False, x, w, y, K, s, sign, add, n)
    elif ni == 4: _spectra(4, 1, False, x, w, y, K, s, sign, add, n)
    elif ni == 3 and nj == 2: _spectra(3, 2, False, x, w, y, K, s, sign, add, n)
    elif ni == 3: _spectra(3, 1, False, x, w, y, K, s, sign, add, n)
    elif ni == 2 and nj == 2: _spectra(2, 2, False, x, w, y, K, s, sign, add, n)
    elif ni == 2: _spectra(2, 1, False, x, w, y, K, s, sign, add, n)
    elif nj == 2: _spectra(1, 2, False, x, w, y, K, s, sign, add, n)
    else: _spectra(1, 1, False, x, w, y, K, s, sign, add, n)


cdef void _spectra_range(const real* x, const real* w, real* y, intp I, intp J, intp K, const Steps* s, bint conjugate,
                         bint add, intp f0, intp f1) noexcept nogil:
    """All products at the frequencies of numbers [f0, f1)."""
    cdef intp i, j, f = f0, ni, wide = FFT_X if LANES * sizeof(real) == 64 else 2
    cdef int n
    cdef real signs[16]
    cdef vec sign
    for i in range(16):
        signs[i] = 1 if (i % 2 == 0) == conjugate else -1
    sign = vload(signs)
    while f < f1:
        n = <int> min(<intp> LANES, f1 - f)
        i = 0
        while i < I:
            ni = min(wide, I - i)
            j = 0
            while j < J:
                _spectra_of(ni, min(<intp> FFT_W, J - j), x + i * s.xi + f, w + j * s.wj + f, y + i * s.yi + j * s.yj + f, K,
                            s, sign, add, n)
                j += FFT_W
            i += wide
        f += LANES


def spectral_multiply(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, intp size, intp groups, tuple counts, tuple steps,
                      bint conjugate, bint add, int threads):
    """y[g, i, j] OUT (INOUT if `add`) = sum over k of x[g, i, k] * w[g, j, k], or times its conjugate.

    Arrays hold spectra of `size` numbers each, real and imaginary parts in turn. counts: I, J, K; steps, in numbers:
    from i, k and g to the next in x, from j, k and g in w, from i, j and g in y. Parallel over groups and frequencies.
    """
    cdef Steps s
    cdef intp I, J, K, t, g, f0, f1, chunks, vectors = (size + LANES - 1) // LANES
    I, J, K = counts
    s.xi, s.xk, s.xg, s.wj, s.wk, s.wg, s.yi, s.yj, s.yg = steps
    cdef const real* xp = data(x)
    cdef const real* wp = data(w)
    cdef real* yp = data(y)
    chunks = min(vectors, (4 * threads + groups - 1) // groups)
    if threads == 1:
        with nogil:
            for g in range(groups):
                _spectra_range(xp + g * s.xg, wp + g * s.wg, yp + g * s.yg, I, J, K, &s, conjugate, add, 0, size)
        return
    for t in prange(groups * chunks, nogil=True, schedule="static", num_threads=threads):
        g = t // chunks
        f0 = vectors * (t % chunks) // chunks * LANES
        f1 = min(size, vectors * (t % chunks + 1) // chunks * LANES)
        _spectra_range(xp + g * s.xg, wp + g * s.wg, yp + g * s.yg, I, J, K, &s, conjugate, add, f0, f1)
