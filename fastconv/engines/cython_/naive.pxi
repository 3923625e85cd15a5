# The textbook loops; sums in float64, rounded once. Layouts: x (N, Ci, H, W), w (Co, Ci/g, KH, KW), y (N, Co, OH, OW).

cdef struct NaiveSizes:
    intp N, Ci, H, W, Co, Cg, Og, KH, KW, OH, OW  # Cg, Og: channels and outputs of a group
    intp sh, sw, pt, pl, dh, dw
    const real* a
    const real* b
    real* out


cdef NaiveSizes _naive_sizes(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray q) except *:
    """What all three steps know: x or dx, w or dw, y or dy."""
    cdef const ConvGeometry* p = read_ConvGeometry(q)
    return NaiveSizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1],
                      w.shape[0] // p.g, w.shape[2],
                      w.shape[3], y.shape[2], y.shape[3], p.sh, p.sw, p.pt, p.pl, p.dh, p.dw, NULL, NULL, NULL)


def naive_forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, cnp.ndarray q, int threads):
    """y[n,o,i,j] = sum over c,u,v of w[o,c,u,v] * x[n, c, i*sh + u*dh - pt, j*sw + v*dw - pl]."""
    cdef NaiveSizes s = _naive_sizes(x, w, y, q)
    s.a, s.b, s.out = data(x), data(w), data(y)
    with nogil:
        launch(_naive_forward, &s, threads)


cdef void _naive_forward(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef NaiveSizes s = (<const NaiveSizes*> args)[0]
    cdef intp t, c, u, v, i, j, row, col
    cdef const real* x
    cdef const real* w
    cdef double total
    for t in range(split(s.N * s.Co, ithr, nthr), split(s.N * s.Co, ithr + 1, nthr)):
        x = s.a + (t // s.Co * s.Ci + t % s.Co // s.Og * s.Cg) * s.H * s.W
        w = s.b + t % s.Co * s.Cg * s.KH * s.KW
        for i in range(s.OH):
            for j in range(s.OW):
                total = 0
                for c in range(s.Cg):
                    for u in range(s.KH):
                        row = i * s.sh + u * s.dh - s.pt
                        if 0 <= row < s.H:
                            for v in range(s.KW):
                                col = j * s.sw + v * s.dw - s.pl
                                if 0 <= col < s.W:
                                    total += <double> w[(c * s.KH + u) * s.KW + v] * x[(c * s.H + row) * s.W + col]
                s.out[(t * s.OH + i) * s.OW + j] = <real> total


def naive_grad_input(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, cnp.ndarray q, int threads):
    """dx[n,c,r,q] = sum over o,u,v of w[o,c,u,v] * dy[n, o, (r + pt - u*dh) / sh, (q + pl - v*dw) / sw]."""
    cdef NaiveSizes s = _naive_sizes(dx, w, dy, q)
    s.a, s.b, s.out = data(dy), data(w), data(dx)
    with nogil:
        launch(_naive_grad_input, &s, threads)


cdef void _naive_grad_input(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef NaiveSizes s = (<const NaiveSizes*> args)[0]
    cdef intp t, c, o, u, v, r, q, i, j
    cdef const real* d
    cdef const real* w
    cdef double total
    for t in range(split(s.N * s.Ci, ithr, nthr), split(s.N * s.Ci, ithr + 1, nthr)):
        c = t % s.Ci
        d = s.a + (t // s.Ci * s.Co + c // s.Cg * s.Og) * s.OH * s.OW
        w = s.b + (c // s.Cg * s.Og * s.Cg + c % s.Cg) * s.KH * s.KW
        for r in range(s.H):
            for q in range(s.W):
                total = 0
                for u in range(s.KH):
                    i = r + s.pt - u * s.dh
                    if i >= 0 and i % s.sh == 0 and i // s.sh < s.OH:
                        for v in range(s.KW):
                            j = q + s.pl - v * s.dw
                            if j >= 0 and j % s.sw == 0 and j // s.sw < s.OW:
                                for o in range(s.Og):
                                    total += (<double> w[(o * s.Cg * s.KH + u) * s.KW + v]
                                              * d[(o * s.OH + i // s.sh) * s.OW + j // s.sw])
                s.out[(t * s.H + r) * s.W + q] = <real> total


def naive_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw, cnp.ndarray q, int threads):
    """dw[o,c,u,v] = sum over n,i,j of dy[n,o,i,j] * x[n, c, i*sh + u*dh - pt, j*sw + v*dw - pl]."""
    cdef NaiveSizes s = _naive_sizes(x, dw, dy, q)
    s.a, s.b, s.out = data(dy), data(x), data(dw)
    with nogil:
        launch(_naive_grad_weight, &s, threads)


cdef void _naive_grad_weight(const void* args, intp ithr, intp nthr) noexcept nogil:
    cdef NaiveSizes s = (<const NaiveSizes*> args)[0]
    cdef intp t, o, n, u, v, i, j, row, col
    cdef const real* d
    cdef const real* x
    cdef double total
    for t in range(split(s.Co * s.Cg, ithr, nthr), split(s.Co * s.Cg, ithr + 1, nthr)):
        o = t // s.Cg
        d = s.a + o * s.OH * s.OW
        x = s.b + (o // s.Og * s.Cg + t % s.Cg) * s.H * s.W
        for u in range(s.KH):
            for v in range(s.KW):
                total = 0
                for n in range(s.N):
                    for i in range(s.OH):
                        row = i * s.sh + u * s.dh - s.pt
                        if 0 <= row < s.H:
                            for j in range(s.OW):
                                col = j * s.sw + v * s.dw - s.pl
                                if 0 <= col < s.W:
                                    total += (<double> d[(n * s.Co * s.OH + i) * s.OW + j]
                                              * x[(n * s.Ci * s.H + row) * s.W + col])
                s.out[(t * s.KH + u) * s.KW + v] = <real> total
