# Products of spectra, summed over channels. Lanes are neighbouring frequencies; real and imaginary parts alternate.
#
# Sums of x * re(w) and of x * im(w) are kept apart: that is two FMAs a vector, and the parts of w alone are shuffled.
cdef extern from *:
    """
    #define FFT_RE(i, k) ((i) & ~1)
    #define FFT_IM(i, k) ((i) | 1)
    #define FFT_SWAP(i, k) ((i) ^ 1)
    FC_INLINE vec fft_re(vec a) { return FC_SHUFFLE(a, a, FFT_RE, 0); }
    FC_INLINE vec fft_im(vec a) { return FC_SHUFFLE(a, a, FFT_IM, 0); }
    FC_INLINE vec fft_swap(vec a) { return FC_SHUFFLE(a, a, FFT_SWAP, 0); }
    """
    vec fft_re(vec a) nogil
    vec fft_im(vec a) nogil
    vec fft_swap(vec a) nogil

cdef enum:
    FFT_X = 4                       # spectra of x, and of w, in registers
    FFT_W = 2

cdef struct FftProduct:             # one register block
    const real* x
    const real* w
    real* y
    const FftProducts* q
    vec sign
    bint add
    int n                           # valid numbers of a vector

cdef struct FftCall:
    const FftProducts* q
    const real* x
    const real* w
    real* y
    bint conjugate, add
    intp chunks                     # of a group's frequencies


cdef inline void _spectra(const int ni, const int nj, const bint part, const real* x, const real* w, real* y,
                          const FftProducts* s, vec sign, bint add, int n) noexcept nogil:
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
    for k in range(s.k):
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


cdef inline void _spectra_whole(int ni, int nj, const void* args) noexcept nogil:
    cdef const FftProduct* f = <const FftProduct*> args
    _spectra(ni, nj, False, f.x, f.w, f.y, f.q, f.sign, f.add, LANES)


cdef void _spectra_of(int ni, int nj, const FftProduct* f) noexcept nogil:
    cdef intp i, j
    if f.n == LANES:
        fc_cases2(_spectra_whole, ni, nj, FFT_X, FFT_X, 0, 0, f)
        return
    for i in range(ni):
        for j in range(nj):
            _spectra(1, 1, True, f.x + i * f.q.xi, f.w + j * f.q.wj, f.y + i * f.q.yi + j * f.q.yj, f.q, f.sign,
                     f.add, f.n)


cdef void _spectra_range(const FftCall* call, intp g, intp f0, intp f1) noexcept nogil:
    """All products of group g at the frequencies of numbers [f0, f1)."""
    cdef const FftProducts* q = call.q
    cdef intp i, j, f = f0, wide = FFT_X if FC_REGISTERS == 32 else 2
    cdef FftProduct one
    cdef real signs[16]
    for i in range(16):
        signs[i] = 1 if (i % 2 == 0) == call.conjugate else -1
    one.q, one.sign, one.add = q, vload(signs), call.add
    while f < f1:
        one.n = <int> min(<intp> LANES, f1 - f)
        i = 0
        while i < q.i:
            j = 0
            while j < q.j:
                one.x = call.x + g * q.xg + i * q.xi + f
                one.w = call.w + g * q.wg + j * q.wj + f
                one.y = call.y + g * q.yg + i * q.yi + j * q.yj + f
                _spectra_of(<int> min(wide, q.i - i), <int> min(<intp> FFT_W, q.j - j), &one)
                j += FFT_W
            i += wide
        f += LANES


cdef void _spectra_share(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef const FftCall* f = <const FftCall*> args
    cdef intp vectors = (f.q.size + LANES - 1) // LANES, jobs = f.q.groups * f.chunks, t, k
    for t in range(split(jobs, ithr, nthr), split(jobs, ithr + 1, nthr)):
        k = t % f.chunks
        _spectra_range(f, t // f.chunks, vectors * k // f.chunks * LANES,
                       min(f.q.size, vectors * (k + 1) // f.chunks * LANES))


def spectral_multiply(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray q, bint conjugate, bint add,
                      int threads):
    """y[g, i, j] INOUT (+)= sum over k of x[g, i, k] * w[g, j, k], or times its conjugate; added only if `add`.

    Arrays hold spectra, real and imaginary parts in turn. Parallel over groups and frequencies.
    """
    cdef const FftProducts* p = read_FftProducts(q)
    cdef intp vectors = (p.size + LANES - 1) // LANES
    cdef FftCall f = FftCall(p, data(x), data(w), data(y), conjugate, add, 1)
    if threads > 1:
        f.chunks = min(vectors, (4 * threads + p.groups - 1) // p.groups)
    with nogil:
        launch(_spectra_share, &f, threads)
