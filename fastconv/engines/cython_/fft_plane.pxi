# One transform of a whole plane: the lanes are its rows, two to a complex signal, and then its columns.
#
# A transform has a pass for each factor of its length; passes sort by themselves (Stockham's; Van Loan, "Computational
# Frameworks for the Fast Fourier Transform", 1992). The inverse swaps real and imaginary parts, before and after.
# A spectrum lies in blocks of LANES columns, row by row: [block][row][re, im][lane]; all of it is doubled.

cdef struct FpAxis:
    intp length, passes
    const intp* radices
    const real* twiddles  # of every pass but the last: [p][k - 1] complex, exp(-2 pi i p k / numbers that are left)


cdef struct FpPass:
    intp m, s, kept
    const vec* re  # two vectors from one number to the next, here and below
    const vec* im
    const real* w
    vec* outr
    vec* outi


cdef struct FpCall:
    const FftPlane* q
    FpAxis h, w
    const real* x
    const real* kernel  # its spectrum
    real* y
    vec* spectrum
    vec* own  # two signals a thread


cdef inline void _fp_pass(const int n, const bint half, const FpPass* a) noexcept nogil:
    """Transforms of length n, of signals m * s numbers apart, twiddled and sorted."""
    cdef FtC x[12]
    cdef intp p, q, apart = 2 * a.m * a.s
    cdef int k
    cdef const real* w = a.w
    cdef const vec* re = a.re
    cdef const vec* im = a.im
    cdef vec* outr = a.outr
    cdef vec* outi = a.outi
    for p in range(a.m):
        for q in range(a.s):
            for k in range((n + 1) // 2 if half else n):
                x[k] = _ft_c(ft_held(re + k * apart), ft_held(im + k * apart))
            _ft_dft(n, half, x)
            outr[0] = x[0].r
            outi[0] = x[0].i
            for k in range(1, n):
                x[k] = _ft_mul(x[k], vset(w[2 * k - 2]), vset(w[2 * k - 1]))
                outr[2 * k * a.s] = x[k].r
                outi[2 * k * a.s] = x[k].i
            re, im, outr, outi = re + 2, im + 2, outr + 2, outi + 2
        w += 2 * (n - 1)
        outr += 2 * (n - 1) * a.s
        outi += 2 * (n - 1) * a.s


cdef inline void _fp_last(const int n, const bint half, const FpPass* a) noexcept nogil:
    """The last pass: its first `kept` results."""
    cdef FtC x[12]
    cdef intp q
    cdef int k
    for q in range(min(a.s, a.kept)):
        for k in range((n + 1) // 2 if half else n):
            x[k] = _ft_c(ft_held(a.re + 2 * (q + k * a.s)), ft_held(a.im + 2 * (q + k * a.s)))
        _ft_dft(n, half, x)
        for k in range(n):
            if q + k * a.s < a.kept:
                a.outr[2 * (q + k * a.s)] = x[k].r
                a.outi[2 * (q + k * a.s)] = x[k].i


cdef inline void _fp_pass_of_all(int n, const void* args) noexcept nogil:
    if _ft_radix(n):
        _fp_pass(n, False, <const FpPass*> args)


cdef inline void _fp_pass_of_half(int n, const void* args) noexcept nogil:
    if _ft_radix(n):
        _fp_pass(n, True, <const FpPass*> args)


cdef inline void _fp_last_of_all(int n, const void* args) noexcept nogil:
    if _ft_radix(n):
        _fp_last(n, False, <const FpPass*> args)


cdef intp _fp_reach(const FpAxis* f, intp count) noexcept nogil:
    """Numbers of a signal that are read if those from `count` on are zero."""
    cdef intp half = (f.radices[0] + 1) // 2 * (f.length // f.radices[0])
    return half if count <= half and f.passes > 1 else f.length


cdef void _fp_transform(const FpAxis* f, const vec* re, const vec* im, intp count, intp kept, vec* a, vec* b,
                        vec* outr, vec* outi) noexcept nogil:
    """The first `kept` frequencies of a complex signal, zero from `count` on (as far as _fp_reach tells). In between it
    is in a, then b, and so on."""
    cdef FpPass s
    cdef intp i
    s.m, s.s, s.re, s.im, s.w, s.kept = f.length, 1, re, im, f.twiddles, kept
    for i in range(f.passes - 1):
        s.m //= f.radices[i]
        s.outr, s.outi = (b, b + 1) if i % 2 else (a, a + 1)
        if i == 0 and _fp_reach(f, count) < f.length:
            fc_cases(_fp_pass_of_half, <int> f.radices[i], 12, &s)
        else:
            fc_cases(_fp_pass_of_all, <int> f.radices[i], 12, &s)
        s.w += 2 * s.m * (f.radices[i] - 1)
        s.s *= f.radices[i]
        s.re, s.im = s.outr, s.outi
    s.outr, s.outi = outr, outi
    fc_cases(_fp_last_of_all, <int> f.radices[f.passes - 1], 12, &s)


cdef void _fp_load(const FftPlane* q, const real* x, intp row, intp reach, vec* a) noexcept nogil:
    """2 * LANES rows: the first LANES are real parts, the others imaginary; zero around, as far as `reach`."""
    cdef vec m[LANES]
    cdef intp i, j, half, l, r
    for i in range(_ft_ceil(q.cols, LANES)):
        j = i * LANES
        for half in range(2):
            for l in range(LANES):
                r = row + half * LANES + l
                m[l] = vzero()
                if r < q.rows:
                    m[l] = (vload(x + r * q.cols + j) if j + LANES <= q.cols else
                            vload_part(x + r * q.cols + j, <int> (q.cols - j)))
            vtranspose(m)
            for l in range(LANES):
                a[2 * (q.left + j + l) + half] = m[l]
    for i in range(2 * q.left):
        a[i] = vzero()
    for i in range(2 * (q.left + q.cols), 2 * reach):
        a[i] = vzero()


cdef void _fp_store(const FftPlane* q, const vec* a, intp row, real* y) noexcept nogil:
    """The reverse."""
    cdef vec m[LANES]
    cdef intp i, j, half, l, r
    for i in range(_ft_ceil(q.ow, LANES)):
        j = i * LANES
        for half in range(2):
            for l in range(LANES):
                m[l] = a[2 * (j + l) + half]
            vtranspose(m)
            for l in range(min(<intp> LANES, q.oh - row - half * LANES)):
                r = row + half * LANES + l
                if j + LANES <= q.ow: vstore(y + r * q.ow + j, m[l])
                else: vstore_part(y + r * q.ow + j, m[l], <int> (q.ow - j))


cdef void _fp_separate(const FftPlane* q, const vec* a, intp row, vec* spectrum) noexcept nogil:
    """Half the spectra of 2 * LANES real rows, from those of LANES complex signals."""
    cdef vec m[4][LANES]
    cdef const vec* p
    cdef const vec* n
    cdef vec* to
    cdef intp b, l, k, v, columns = q.tw // 2 + 1
    for b in range(_ft_ceil(columns, LANES)):
        for l in range(LANES):
            v = min(b * LANES + l, columns - 1)  # what is behind the last column is of no use, but finite
            p, n = a + 2 * v, a + 2 * (q.tw - v if v else 0)
            m[0][l], m[1][l] = p[0] + n[0], p[1] - n[1]
            m[2][l], m[3][l] = p[1] + n[1], n[0] - p[0]
        for k in range(4):
            vtranspose(m[k])
        for k in range(2):
            to = spectrum + 2 * (b * q.th + q.top + row + k * LANES)
            for l in range(min(<intp> LANES, q.rows - row - k * LANES)):
                to[2 * l] = m[2 * k][l]
                to[2 * l + 1] = m[2 * k + 1][l]


cdef void _fp_join(const FftPlane* q, const vec* spectrum, intp row, vec* a) noexcept nogil:
    """The reverse, for rows of outputs."""
    cdef vec m[4][LANES]
    cdef const vec* s
    cdef intp b, l, k, v, columns = q.tw // 2 + 1
    for b in range(_ft_ceil(columns, LANES)):
        for k in range(2):
            s = spectrum + 2 * (b * q.th + row + k * LANES)
            for l in range(LANES):
                m[2 * k][l] = m[2 * k + 1][l] = vzero()
                if row + k * LANES + l < q.oh:
                    m[2 * k][l], m[2 * k + 1][l] = s[2 * l], s[2 * l + 1]
        for k in range(4):
            vtranspose(m[k])
        for l in range(min(<intp> LANES, columns - b * LANES)):
            v = b * LANES + l
            if v:
                a[2 * (q.tw - v)] = m[0][l] + m[3][l]
                a[2 * (q.tw - v) + 1] = m[2][l] - m[1][l]
            a[2 * v] = m[0][l] - m[3][l]
            a[2 * v + 1] = m[1][l] + m[2][l]


cdef inline vec* _fp_own(const FpCall* f, intp ithr, vec** other) noexcept nogil:
    """Two signals of a thread."""
    cdef vec* a = f.own + ithr * 4 * f.q.signal
    other[0] = a + 2 * f.q.signal
    return a


cdef void _fp_rows(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Spectra of all rows of the plane."""
    cdef const FpCall* f = <const FpCall*> args
    cdef const FftPlane* q = f.q
    cdef intp i, blocks = _ft_ceil(q.rows, 2 * LANES), reach = _fp_reach(&f.w, q.left + q.cols)
    cdef vec* b
    cdef vec* a = _fp_own(f, ithr, &b)
    cdef vec* out = b if q.passes_w % 2 else a
    for i in range(split(blocks, ithr, nthr), split(blocks, ithr + 1, nthr)):
        _fp_load(q, f.x, 2 * LANES * i, reach, a)
        _fp_transform(&f.w, a, a + 1, q.left + q.cols, q.tw, b, a, out, out + 1)
        _fp_separate(q, out, 2 * LANES * i, f.spectrum)


cdef void _fp_columns(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Spectra of all columns, or their products with the kernel's, and back."""
    cdef const FpCall* f = <const FpCall*> args
    cdef const FftPlane* q = f.q
    cdef intp i, u, last = q.top + q.rows, blocks = _ft_ceil(q.tw // 2 + 1, LANES), reach = _fp_reach(&f.h, last)
    cdef const vec* k
    cdef vec re, im, scale = vset(<real> 0.25 / <real> (q.th * q.tw))
    cdef vec* b
    cdef vec* a = _fp_own(f, ithr, &b)
    cdef vec* s
    cdef vec* x
    for i in range(split(blocks, ithr, nthr), split(blocks, ithr + 1, nthr)):
        s = f.spectrum + 2 * i * q.th
        memset(s, 0, 2 * q.top * sizeof(vec))
        if reach > last:
            memset(s + 2 * last, 0, 2 * (reach - last) * sizeof(vec))
        x = a if q.passes_h % 2 else b
        _fp_transform(&f.h, s, s + 1, last, q.th, a, b, x, x + 1)
        if f.kernel == NULL:
            for u in range(2 * q.th):
                s[u] = x[u] * scale
            continue
        k = <const vec*> f.kernel + 2 * i * q.th
        for u in range(q.th):
            re, im = x[2 * u], x[2 * u + 1]
            x[2 * u] = re * k[2 * u] + im * k[2 * u + 1]
            x[2 * u + 1] = im * k[2 * u] - re * k[2 * u + 1]
        if x == a: _fp_transform(&f.h, x + 1, x, q.th, q.oh, b, a, s + 1, s)
        else: _fp_transform(&f.h, x + 1, x, q.th, q.oh, a, b, s + 1, s)


cdef void _fp_rows_back(const void* args, intp ithr, intp nthr) noexcept nogil:
    """Rows of outputs."""
    cdef const FpCall* f = <const FpCall*> args
    cdef const FftPlane* q = f.q
    cdef intp i, blocks = _ft_ceil(q.oh, 2 * LANES)
    cdef vec* b
    cdef vec* a = _fp_own(f, ithr, &b)
    cdef vec* out = b if q.passes_w % 2 else a
    for i in range(split(blocks, ithr, nthr), split(blocks, ithr + 1, nthr)):
        _fp_join(q, f.spectrum, 2 * LANES * i, a)
        _fp_transform(&f.w, a + 1, a, q.tw, q.ow, b, a, out + 1, out)
        _fp_store(q, out, 2 * LANES * i, f.y)


cdef FpCall _fp_call(cnp.ndarray work, cnp.ndarray q, cnp.ndarray radices, cnp.ndarray twiddles) except *:
    """The rest is filled in by the step."""
    cdef FpCall f
    cdef const intp* r = <const intp*> cnp.PyArray_DATA(radices)
    memset(&f, 0, sizeof(f))
    f.q = read_FftPlane(q)
    if f.q.lanes != LANES:
        raise ValueError(f"q must be for vectors of {LANES} numbers, got {f.q.lanes}")
    f.h = FpAxis(f.q.th, f.q.passes_h, r, data(twiddles))
    f.w = FpAxis(f.q.tw, f.q.passes_w, r + f.q.passes_h, data(twiddles) + f.q.twiddle_w)
    f.own = <vec*> (data(work) + f.q.own)
    return f


def fft_plane_spectrum(cnp.ndarray x, cnp.ndarray spectrum, cnp.ndarray work, cnp.ndarray q, cnp.ndarray radices,
                       cnp.ndarray twiddles, int threads):
    """spectrum OUT: of the plane and zeros around it, scaled for the way there and back."""
    cdef FpCall f = _fp_call(work, q, radices, twiddles)
    f.x, f.spectrum = data(x), <vec*> data(spectrum)
    with nogil:
        launch(_fp_rows, &f, threads)
        launch(_fp_columns, &f, threads)


def fft_plane_correlate(cnp.ndarray x, cnp.ndarray spectrum, cnp.ndarray y, cnp.ndarray work, cnp.ndarray q,
                        cnp.ndarray radices, cnp.ndarray twiddles, int threads):
    """y OUT: the plane, with zeros around it, correlated with what has the spectrum."""
    cdef FpCall f = _fp_call(work, q, radices, twiddles)
    f.x, f.kernel, f.y, f.spectrum = data(x), data(spectrum), data(y), <vec*> data(work)
    with nogil:
        launch(_fp_rows, &f, threads)
        launch(_fp_columns, &f, threads)
        launch(_fp_rows_back, &f, threads)
