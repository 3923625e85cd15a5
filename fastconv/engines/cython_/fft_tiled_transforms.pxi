# FFT tiles: Fourier transforms of LANES signals side by side. A transform of length n1 * n2 is two passes (Cooley and
# Tukey 1965): signal n2 * j + i goes to frequency k + n1 * l. The inverse swaps real and imaginary parts, before and
# after.

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


cdef inline void _ft_dft2(FtC* a, FtC* b) noexcept nogil:
    cdef FtC t = _ft_sub(a[0], b[0])
    a[0] = _ft_add(a[0], b[0])
    b[0] = t


cdef inline void _ft_dft3(FtC* a, FtC* b, FtC* c) noexcept nogil:
    cdef vec h = vset(<real> 0.5), s = vset(<real> 0.8660254037844386)
    cdef FtC t = _ft_add(b[0], c[0]), d = _ft_sub(b[0], c[0])
    cdef FtC m = _ft_c(a.r - h * t.r, a.i - h * t.i)
    a[0] = _ft_add(a[0], t)
    b[0] = _ft_c(m.r + s * d.i, m.i - s * d.r)
    c[0] = _ft_c(m.r - s * d.i, m.i + s * d.r)


cdef inline void _ft_dft4(FtC* a, FtC* b, FtC* c, FtC* d) noexcept nogil:
    cdef FtC s = _ft_add(a[0], c[0]), t = _ft_sub(a[0], c[0])
    cdef FtC u = _ft_add(b[0], d[0]), v = _ft_turn(_ft_sub(b[0], d[0]))
    a[0] = _ft_add(s, u)
    b[0] = _ft_add(t, v)
    c[0] = _ft_sub(s, u)
    d[0] = _ft_sub(t, v)


cdef inline void _ft_dft5(FtC* a, FtC* b, FtC* c, FtC* d, FtC* e) noexcept nogil:
    cdef vec c1 = vset(<real> 0.30901699437494745), c2 = vset(<real> 0.8090169943749475)
    cdef vec s1 = vset(<real> 0.9510565162951535), s2 = vset(<real> 0.5877852522924731)
    cdef FtC p = _ft_add(b[0], e[0]), q = _ft_sub(b[0], e[0]), r = _ft_add(c[0], d[0]), s = _ft_sub(c[0], d[0])
    cdef FtC m = _ft_c(a.r + c1 * p.r - c2 * r.r, a.i + c1 * p.i - c2 * r.i)
    cdef FtC n = _ft_c(a.r - c2 * p.r + c1 * r.r, a.i - c2 * p.i + c1 * r.i)
    cdef FtC g = _ft_turn(_ft_c(s1 * q.r + s2 * s.r, s1 * q.i + s2 * s.i))
    cdef FtC h = _ft_turn(_ft_c(s2 * q.r - s1 * s.r, s2 * q.i - s1 * s.i))
    a[0] = _ft_add(_ft_add(a[0], p), r)
    b[0] = _ft_add(m, g)
    e[0] = _ft_sub(m, g)
    c[0] = _ft_add(n, h)
    d[0] = _ft_sub(n, h)


cdef inline void _ft_dft8(FtC* x) noexcept nogil:
    cdef vec h = vset(<real> 0.7071067811865476)
    cdef FtC e[4]
    cdef FtC o[4]
    cdef FtC t
    cdef int k
    for k in range(4):
        e[k] = x[2 * k]
        o[k] = x[2 * k + 1]
    _ft_dft4(e, e + 1, e + 2, e + 3)
    _ft_dft4(o, o + 1, o + 2, o + 3)
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


cdef inline void _ft_dft9(FtC* x) noexcept nogil:
    cdef vec c1 = vset(<real> 0.766044443118978), s1 = vset(<real> -0.6427876096865394)
    cdef vec c2 = vset(<real> 0.17364817766693041), s2 = vset(<real> -0.984807753012208)
    cdef vec c4 = vset(<real> -0.9396926207859083), s4 = vset(<real> -0.3420201433256689)
    cdef FtC t
    cdef int k
    for k in range(3):
        _ft_dft3(x + k, x + k + 3, x + k + 6)
    x[4] = _ft_mul(x[4], c1, s1)
    x[7] = _ft_mul(x[7], c2, s2)
    x[5] = _ft_mul(x[5], c2, s2)
    x[8] = _ft_mul(x[8], c4, s4)
    for k in range(3):
        _ft_dft3(x + 3 * k, x + 3 * k + 1, x + 3 * k + 2)
    for k in range(3):  # transpose the 3 x 3 result
        t = x[(k + 1) % 3 * 3 + k]
        x[(k + 1) % 3 * 3 + k] = x[k * 3 + (k + 1) % 3]
        x[k * 3 + (k + 1) % 3] = t


cdef inline void _ft_prime_factors(const int a, const int b, FtC* x) noexcept nogil:
    """Length a * b without twiddles (Good 1958): index b * i + a * j, frequency by remainders."""
    cdef FtC y[12]
    cdef int i, j, k
    for i in range(a):
        for j in range(b):
            y[i * b + j] = x[(b * i + a * j) % (a * b)]
    for i in range(a):
        if b == 3: _ft_dft3(y + i * b, y + i * b + 1, y + i * b + 2)
        else: _ft_dft5(y + i * b, y + i * b + 1, y + i * b + 2, y + i * b + 3, y + i * b + 4)
    for j in range(b):
        if a == 2: _ft_dft2(y + j, y + b + j)
        else: _ft_dft4(y + j, y + b + j, y + 2 * b + j, y + 3 * b + j)
    for k in range(a * b):
        x[k] = y[k % a * b + k % b]


cdef inline void _ft_dft(const int n, FtC* x) noexcept nogil:
    if n == 4: _ft_dft4(x, x + 1, x + 2, x + 3)
    elif n == 5: _ft_dft5(x, x + 1, x + 2, x + 3, x + 4)
    elif n == 6: _ft_prime_factors(2, 3, x)
    elif n == 8: _ft_dft8(x)
    elif n == 9: _ft_dft9(x)
    elif n == 10: _ft_prime_factors(2, 5, x)
    else: _ft_prime_factors(4, 3, x)


cdef inline void _ft_first(const int n, intp n2, const vec* re, const vec* im, intp step, intp count,
                           vec* y, intp row) noexcept nogil:
    """Length-n transforms of the n2 interleaved signals: y[k][i] complex, `row` vectors from k to k + 1."""
    cdef FtC x[12]
    cdef intp i, full
    cdef int k
    for i in range(n2):
        full = (count - i + n2 - 1) // n2
        for k in range(n):
            if k < full:
                x[k] = _ft_c(re[k * n2 * step], im[k * n2 * step])
            else:
                x[k] = _ft_c(vzero(), vzero())
        _ft_dft(n, x)
        for k in range(n):
            y[k * row] = x[k].r
            y[k * row + 1] = x[k].i
        re += step
        im += step
        y += 2


cdef inline void _ft_last(const int n, intp n1, const vec* re, const vec* im, intp step, intp row, intp count,
                          const real* w, vec* outr, vec* outi, intp out, intp kept) noexcept nogil:
    """Twiddles and length-n transforms of the n1 rows; frequency k + n1 * l to out[frequency] if it is kept."""
    cdef FtC x[12]
    cdef intp k, full
    cdef int l
    for k in range(min(n1, kept)):
        for l in range(n):
            if l < count:
                x[l] = _ft_c(re[l * step], im[l * step])
            else:
                x[l] = _ft_c(vzero(), vzero())
        for l in range(1, n):
            x[l] = _ft_mul(x[l], vset(w[2 * l]), vset(w[2 * l + 1]))
        _ft_dft(n, x)
        full = (kept - k + n1 - 1) // n1
        for l in range(n):
            if l < full:
                outr[l * n1 * out] = x[l].r
                outi[l * n1 * out] = x[l].i
        re += row
        im += row
        w += 2 * n
        outr += out
        outi += out


cdef void _ft_transform(const FtTransform* f, const vec* re, const vec* im, intp step, intp count, vec* outr,
                        vec* outi, intp out, intp kept, vec* y) noexcept nogil:
    """The first `kept` frequencies of a complex signal whose first `count` numbers are not zero; y: scratch."""
    cdef intp n1 = f.n1, n2 = f.n2, row = 2 * f.n2 + 2
    if count <= n2:  # the first pass would only copy
        row = 0
    else:
        if n1 == 4: _ft_first(4, n2, re, im, step, count, y, row)
        elif n1 == 5: _ft_first(5, n2, re, im, step, count, y, row)
        elif n1 == 6: _ft_first(6, n2, re, im, step, count, y, row)
        elif n1 == 8: _ft_first(8, n2, re, im, step, count, y, row)
        elif n1 == 9: _ft_first(9, n2, re, im, step, count, y, row)
        elif n1 == 10: _ft_first(10, n2, re, im, step, count, y, row)
        else: _ft_first(12, n2, re, im, step, count, y, row)
        re, im, step, count = y, y + 1, 2, n2
    if n2 == 4: _ft_last(4, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    elif n2 == 5: _ft_last(5, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    elif n2 == 6: _ft_last(6, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    elif n2 == 8: _ft_last(8, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    elif n2 == 9: _ft_last(9, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    elif n2 == 10: _ft_last(10, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
    else: _ft_last(12, n1, re, im, step, row, count, f.twiddle, outr, outi, out, kept)
