# 1x1 kernels over very few pixels: a matrix times a vector, weights read once and as they lie.


cdef struct FewPixels:
    const real* x
    const real* w
    const real* bias
    const real* residual
    real* y
    intp pixels, groups, cg, og
    int activation


cdef void _few_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    """Outputs four by four: a row of weights each, lanes = channels."""
    cdef const FewPixels* a = <const FewPixels*> arguments
    cdef intp fours = (a.og + 3) // 4, outputs = min(<intp> 4, a.og), co = a.groups * a.og, k, g, o, p, c, rest
    cdef int t
    cdef vec s[4]
    cdef real sums[4]
    cdef vec b
    cdef const real* w[4]
    cdef const real* x
    for k in range(split(a.groups * fours, ithr, nthr), split(a.groups * fours, ithr + 1, nthr)):
        g = k // fours
        o = g * a.og + min(k % fours * 4, max(<intp> 0, a.og - 4))  # the last four may be some of those before
        for t in range(4):
            w[t] = a.w + min(o + t, co - 1) * a.cg
        for p in range(a.pixels):
            x = a.x + (p * a.groups + g) * a.cg
            for t in range(4):
                s[t] = vzero()
            for c in range(a.cg // LANES):
                b = vload(x + c * LANES)
                for t in range(4):
                    s[t] += vload(w[t] + c * LANES) * b
            rest = a.cg % LANES
            if rest:
                c = a.cg - rest
                b = vload_part(x + c, <int> rest)
                for t in range(4):
                    s[t] += vload_part(w[t] + c, <int> rest) * b
            for t in range(4):
                sums[t] = vsum(s[t])
            fc_epilogue_rows(a.activation, sums, _place(a.bias, o), _place(a.residual, p * co + o), 0, 1, outputs, 1, 1)
            memcpy(a.y + p * co + o, sums, outputs * sizeof(real))


def direct_few_pixels(cnp.ndarray x, cnp.ndarray w, bias, residual, cnp.ndarray y, intp pixels, intp groups,
                      int activation,
                      int threads):
    """y OUT (pixels, co) = activation(w x + bias + residual) of x IN (pixels, ci), w IN (co, ci // groups, 1, 1)."""
    cdef FewPixels a
    a.x, a.w, a.y, a.pixels, a.groups, a.activation = data(x), data(w), data(y), pixels, groups, activation
    a.cg, a.og = w.shape[1], w.shape[0] // groups
    a.bias = NULL if bias is None else data(bias)
    a.residual = NULL if residual is None else data(residual)
    with nogil:
        launch(_few_share, &a, threads)
