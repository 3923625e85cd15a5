# FFT tiles: Fourier transforms of LANES signals side by side. A transform of length n1 * n2 is two passes (Cooley and
# Tukey 1965): signal n2 * j + i goes to frequency k + n1 * l. The inverse swaps real and imaginary parts, before and
# after.

cdef extern from *:
    """
    /* a vector that stays in a register: compilers would load it again for every use, more than L1 can give */
    FC_INLINE vec ft_held(const vec *p) {
        vec v = *p;
    #if FC_REGISTERS == 32
        __asm__("" : FC_REGISTER(v));
    #endif
        return v;
    }
    #define FT_ROW 26 /* vectors of a row between the passes, of up to 12 complex numbers */
    """
    vec ft_held(const vec* p) nogil
    enum:
        FT_ROW


cdef struct FtC:
    vec r, i

cdef struct FtTransform:
    intp n1, n2
    const real* twiddle  # [n1][n2] complex


cdef inline FtC _ft_c(vec r, vec i) noexcept nogil:
    cdef FtC c
    c.r = r
    c.i = i
    return c


cdef inline FtC _ft_add(FtC a, FtC b) noexcept nogil:
    return _ft_c(a.r + b.r, a.i + b.i)


cdef inline FtC _ft_sub(FtC a, FtC b) noexcept nogil:
    return _ft_c(a.r - b.r, a.i - b.i)


cdef inline FtC _ft_mul(FtC a, vec c, vec s) noexcept nogil:
    return _ft_c(a.r * c - a.i * s, a.i * c + a.r * s)


cdef inline FtC _ft_turn(FtC a) noexcept nogil:
    """-i a"""
    return _ft_c(a.i, -a.r)


cdef inline FtC _ft_plus(const int some, FtC a, FtC b) noexcept nogil:
    """a + b of which only the first (1), the second (2) or both (3) may not be zero."""
    return a if some == 1 else b if some == 2 else _ft_add(a, b)


cdef inline FtC _ft_minus(const int some, FtC a, FtC b) noexcept nogil:
    return a if some == 1 else _ft_c(-b.r, -b.i) if some == 2 else _ft_sub(a, b)


cdef inline void _ft_dft2(FtC* a, FtC* b) noexcept nogil:
    cdef FtC t = _ft_sub(a[0], b[0])
    a[0] = _ft_add(a[0], b[0])
    b[0] = t


cdef inline void _ft_dft3(const int some, FtC* a, FtC* b, FtC* c) noexcept nogil:
    """The bits of `some` tell which numbers may not be zero, here and below."""
    cdef vec h = vset(<real> 0.5), s = vset(<real> 0.8660254037844386)
    cdef FtC t, d, m
    if some == 1:
        b[0] = c[0] = a[0]
        return
    t, d = _ft_plus(some >> 1, b[0], c[0]), _ft_minus(some >> 1, b[0], c[0])
    if some & 1:
        m = _ft_c(a.r - h * t.r, a.i - h * t.i)
        a[0] = _ft_add(a[0], t)
    else:
        m = _ft_c(-h * t.r, -h * t.i)
        a[0] = t
    b[0] = _ft_c(m.r + s * d.i, m.i - s * d.r)
    c[0] = _ft_c(m.r - s * d.i, m.i + s * d.r)


cdef inline void _ft_dft4(const int some, FtC* a, FtC* b, FtC* c, FtC* d) noexcept nogil:
    """All numbers, or the first two."""
    cdef FtC s = a[0], t = a[0], u = b[0], v = _ft_turn(b[0])
    if some == 15:
        s, t = _ft_add(a[0], c[0]), _ft_sub(a[0], c[0])
        u, v = _ft_add(b[0], d[0]), _ft_turn(_ft_sub(b[0], d[0]))
    a[0] = _ft_add(s, u)
    b[0] = _ft_add(t, v)
    c[0] = _ft_sub(s, u)
    d[0] = _ft_sub(t, v)


cdef inline void _ft_dft5(const int some, FtC* a, FtC* b, FtC* c, FtC* d, FtC* e) noexcept nogil:
    """At least one of the second and the last, and of the two between them."""
    cdef vec c1 = vset(<real> 0.30901699437494745), c2 = vset(<real> 0.8090169943749475)
    cdef vec s1 = vset(<real> 0.9510565162951535), s2 = vset(<real> 0.5877852522924731)
    cdef int be = some >> 1 & 1 | some >> 3 & 2, cd = some >> 2 & 3
    cdef FtC p = _ft_plus(be, b[0], e[0]), q = _ft_minus(be, b[0], e[0])
    cdef FtC r = _ft_plus(cd, c[0], d[0]), s = _ft_minus(cd, c[0], d[0])
    cdef FtC m, n, g, h
    if some & 1:
        m = _ft_c(a.r + c1 * p.r - c2 * r.r, a.i + c1 * p.i - c2 * r.i)
        n = _ft_c(a.r - c2 * p.r + c1 * r.r, a.i - c2 * p.i + c1 * r.i)
        a[0] = _ft_add(_ft_add(a[0], p), r)
    else:
        m = _ft_c(c1 * p.r - c2 * r.r, c1 * p.i - c2 * r.i)
        n = _ft_c(c1 * r.r - c2 * p.r, c1 * r.i - c2 * p.i)
        a[0] = _ft_add(p, r)
    g = _ft_turn(_ft_c(s1 * q.r + s2 * s.r, s1 * q.i + s2 * s.i))
    h = _ft_turn(_ft_c(s2 * q.r - s1 * s.r, s2 * q.i - s1 * s.i))
    b[0] = _ft_add(m, g)
    e[0] = _ft_sub(m, g)
    c[0] = _ft_add(n, h)
    d[0] = _ft_sub(n, h)


cdef inline void _ft_dft8(const bint half, FtC* x) noexcept nogil:
    cdef vec h = vset(<real> 0.7071067811865476)
    cdef FtC e[4]
    cdef FtC o[4]
    cdef FtC t
    cdef int k, some = 3 if half else 15
    for k in range(2 if half else 4):
        e[k] = x[2 * k]
        o[k] = x[2 * k + 1]
    _ft_dft4(some, e, e + 1, e + 2, e + 3)
    _ft_dft4(some, o, o + 1, o + 2, o + 3)
    x[0] = _ft_add(e[0], o[0])
    x[4] = _ft_sub(e[0], o[0])
    t = _ft_turn(o[2])
    x[2] = _ft_add(e[2], t)
    x[6] = _ft_sub(e[2], t)
    t = _ft_c(o[1].r + o[1].i, o[1].i - o[1].r)
    x[1] = _ft_c(e[1].r + h * t.r, e[1].i + h * t.i)
    x[5] = _ft_c(e[1].r - h * t.r, e[1].i - h * t.i)
    t = _ft_c(o[3].i - o[3].r, o[3].r + o[3].i)
    x[3] = _ft_c(e[3].r + h * t.r, e[3].i - h * t.i)
    x[7] = _ft_c(e[3].r - h * t.r, e[3].i + h * t.i)


cdef inline void _ft_dft9(const bint half, FtC* x) noexcept nogil:
    cdef vec c1 = vset(<real> 0.766044443118978), s1 = vset(<real> -0.6427876096865394)
    cdef vec c2 = vset(<real> 0.17364817766693041), s2 = vset(<real> -0.984807753012208)
    cdef vec c4 = vset(<real> -0.9396926207859083), s4 = vset(<real> -0.3420201433256689)
    cdef FtC t
    cdef int k
    _ft_dft3(3 if half else 7, x, x + 3, x + 6)
    _ft_dft3(3 if half else 7, x + 1, x + 4, x + 7)
    _ft_dft3(1 if half else 7, x + 2, x + 5, x + 8)
    x[4] = _ft_mul(x[4], c1, s1)
    x[7] = _ft_mul(x[7], c2, s2)
    x[5] = _ft_mul(x[5], c2, s2)
    x[8] = _ft_mul(x[8], c4, s4)
    for k in range(3):
        _ft_dft3(7, x + 3 * k, x + 3 * k + 1, x + 3 * k + 2)
    for k in range(3):  # transpose the 3 x 3 result
        t = x[(k + 1) % 3 * 3 + k]
        x[(k + 1) % 3 * 3 + k] = x[k * 3 + (k + 1) % 3]
        x[k * 3 + (k + 1) % 3] = t


cdef inline void _ft_dft35(const int n, const int some, FtC* x) noexcept nogil:
    if n == 3: _ft_dft3(some, x, x + 1, x + 2)
    else: _ft_dft5(some, x, x + 1, x + 2, x + 3, x + 4)


cdef inline void _ft_prime_factors(const int a, const int b, const int s0, const int s1, const int s2, const int s3,
                                   FtC* x) noexcept nogil:
    """Length a * b without twiddles (Good 1958): index b * i + a * j, frequency by remainders."""
    cdef FtC y[12]
    cdef int i, j, k
    for i in range(a):
        for j in range(b):
            y[i * b + j] = x[(b * i + a * j) % (a * b)]
    _ft_dft35(b, s0, y)
    _ft_dft35(b, s1, y + b)
    if a == 4:
        _ft_dft35(b, s2, y + 2 * b)
        _ft_dft35(b, s3, y + 3 * b)
    for j in range(b):
        if a == 2: _ft_dft2(y + j, y + b + j)
        else: _ft_dft4(15, y + j, y + b + j, y + 2 * b + j, y + 3 * b + j)
    for k in range(a * b):
        x[k] = y[k % a * b + k % b]


cdef inline void _ft_dft(const int n, const bint half, FtC* x) noexcept nogil:
    """Of n numbers, or of the first half of them (and the middle one) while the others are zero."""
    if n == 4: _ft_dft4(3 if half else 15, x, x + 1, x + 2, x + 3)
    elif n == 5: _ft_dft5(7 if half else 31, x, x + 1, x + 2, x + 3, x + 4)
    elif n == 6: _ft_prime_factors(2, 3, 3 if half else 7, 4 if half else 7, 7, 7, x)
    elif n == 8: _ft_dft8(half, x)
    elif n == 9: _ft_dft9(half, x)
    elif n == 10: _ft_prime_factors(2, 5, 7 if half else 31, 24 if half else 31, 31, 31, x)
    elif half: _ft_prime_factors(4, 3, 3, 1, 4, 6, x)
    else: _ft_prime_factors(4, 3, 7, 7, 7, 7, x)


cdef inline void _ft_first(const int n, const bint half, intp n2, const vec* re, const vec* im, intp step,
                           vec* y) noexcept nogil:
    """Length-n transforms of the n2 interleaved signals: y[k][i] complex."""
    cdef FtC x[12]
    cdef intp i
    cdef int k
    for i in range(n2):
        for k in range((n + 1) // 2 if half else n):
            x[k] = _ft_c(ft_held(re + k * n2 * step), ft_held(im + k * n2 * step))
        _ft_dft(n, half, x)
        for k in range(n):
            y[k * FT_ROW] = x[k].r
            y[k * FT_ROW + 1] = x[k].i
        re += step
        im += step
        y += 2


cdef inline void _ft_last(const int n, intp n1, const vec* y, intp row, const real* w, vec* outr, vec* outi, intp out,
                          intp kept, intp ahead) noexcept nogil:
    """Twiddles and length-n transforms of the n1 rows; frequency k + n1 * l to out[frequency] if it is kept."""
    cdef FtC x[12]
    cdef intp k, full
    cdef int l
    for k in range(min(n1, kept)):
        for l in range(n):
            x[l] = _ft_c(ft_held(y + 2 * l), ft_held(y + 2 * l + 1))
        for l in range(1, n):
            x[l] = _ft_mul(x[l], vset(w[2 * l]), vset(w[2 * l + 1]))
        _ft_dft(n, False, x)
        if (n - 1) * n1 + k < kept:
            for l in range(n):
                outr[l * n1 * out] = x[l].r
                outi[l * n1 * out] = x[l].i
            if ahead:
                for l in range(n):
                    fetch_w(outr + l * n1 * out + ahead)
                    fetch_w(outi + l * n1 * out + ahead)
        else:
            full = (kept - k + n1 - 1) // n1
            for l in range(n):
                if l < full:
                    outr[l * n1 * out] = x[l].r
                    outi[l * n1 * out] = x[l].i
        y += row
        w += 2 * n
        outr += out
        outi += out


cdef struct FtPass:
    intp other  # the other factor
    const vec* re  # of the signal; what lies between the passes
    const vec* im
    vec* y
    intp step, row, out, kept, ahead
    const real* w
    vec* outr
    vec* outi


cdef inline bint _ft_radix(int n) noexcept nogil:
    return 4 <= n <= 6 or 8 <= n <= 10 or n == 12


cdef inline void _ft_first_of_all(int n, const void* args) noexcept nogil:
    cdef const FtPass* a = <const FtPass*> args
    if _ft_radix(n):
        _ft_first(n, False, a.other, a.re, a.im, a.step, a.y)


cdef inline void _ft_first_of_half(int n, const void* args) noexcept nogil:
    cdef const FtPass* a = <const FtPass*> args
    if _ft_radix(n):
        _ft_first(n, True, a.other, a.re, a.im, a.step, a.y)


cdef inline void _ft_last_of_all(int n, const void* args) noexcept nogil:
    cdef const FtPass* a = <const FtPass*> args
    if _ft_radix(n):
        _ft_last(n, a.other, a.y, a.row, a.w, a.outr, a.outi, a.out, a.kept, a.ahead)


cdef intp _ft_reach(const FtTransform* f, intp count) noexcept nogil:
    """Numbers of a signal that are read if those from `count` on are zero."""
    cdef intp half = (f.n1 + 1) // 2 * f.n2
    return f.n2 if count <= f.n2 else half if count <= half else f.n1 * f.n2


cdef void _ft_transform(const FtTransform* f, const vec* re, const vec* im, intp step, intp count, vec* outr,
                        vec* outi, intp out, intp kept, vec* y, intp ahead) noexcept nogil:
    """The first `kept` frequencies of a complex signal, zero from `count` on (as many zeros as _ft_reach tells are
    there). y: scratch; what lies `ahead` of the result is wanted next."""
    cdef intp n1 = f.n1, n2 = f.n2, reach = _ft_reach(f, count), row = FT_ROW, i
    cdef FtPass a
    if reach == n2:  # the first pass would only copy
        row = 0
        for i in range(n2):
            y[2 * i] = re[i * step]
            y[2 * i + 1] = im[i * step]
    else:
        a.other, a.re, a.im, a.step, a.y = n2, re, im, step, y
        if reach < n1 * n2:
            fc_cases(_ft_first_of_half, <int> n1, 12, &a)
        else:
            fc_cases(_ft_first_of_all, <int> n1, 12, &a)
    a.other, a.y, a.row, a.w, a.outr, a.outi, a.out, a.kept, a.ahead = (
        n1, y, row, f.twiddle, outr, outi, out, kept, ahead)
    fc_cases(_ft_last_of_all, <int> n2, 12, &a)
