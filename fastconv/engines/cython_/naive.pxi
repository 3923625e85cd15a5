# The textbook loops; sums in float64, rounded once. Layouts: x (N, Ci, H, W), w (Co, Ci/g, KH, KW), y (N, Co, OH, OW).


def naive_forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, intp sh, intp sw, intp pt, intp pl,
                  intp dh, intp dw, intp g, int threads):
    """y[n,o,i,j] = sum over c,u,v of w[o,c,u,v] * x[n, c, i*sh + u*dh - pt, j*sw + v*dw - pl]."""
    cdef intp N = x.shape[0], Ci = x.shape[1], H = x.shape[2], W = x.shape[3]
    cdef intp Co = w.shape[0], Cg = w.shape[1], KH = w.shape[2], KW = w.shape[3], OH = y.shape[2], OW = y.shape[3]
    cdef const real* xp = data(x)
    cdef const real* wp = data(w)
    cdef real* yp = data(y)
    cdef intp t
    if threads == 1:
        with nogil:
            for t in range(N * Co):
                _forward_plane(xp + (t // Co * Ci + t % Co // (Co // g) * Cg) * H * W, wp + t % Co * Cg * KH * KW,
                               yp + t * OH * OW, Cg, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)
        return
    for t in prange(N * Co, nogil=True, schedule="static", num_threads=threads):
        _forward_plane(xp + (t // Co * Ci + t % Co // (Co // g) * Cg) * H * W, wp + t % Co * Cg * KH * KW,
                       yp + t * OH * OW, Cg, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)


cdef void _forward_plane(const real* x, const real* w, real* y, intp Cg, intp H, intp W, intp KH, intp KW,
                         intp OH, intp OW, intp sh, intp sw, intp pt, intp pl, intp dh, intp dw) noexcept nogil:
    cdef intp c, u, v, i, j, row, col
    cdef double s
    for i in range(OH):
        for j in range(OW):
            s = 0
            for c in range(Cg):
                for u in range(KH):
                    row = i * sh + u * dh - pt
                    if 0 <= row < H:
                        for v in range(KW):
                            col = j * sw + v * dw - pl
                            if 0 <= col < W:
                                s = s + <double> w[(c * KH + u) * KW + v] * x[(c * H + row) * W + col]
            y[i * OW + j] = <real> s


def naive_grad_input(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, intp sh, intp sw, intp pt, intp pl,
                     intp dh, intp dw, intp g, int threads):
    """dx[n,c,r,q] = sum over o,u,v of w[o,c,u,v] * dy[n, o, (r + pt - u*dh) / sh, (q + pl - v*dw) / sw]."""
    cdef intp N = dx.shape[0], Ci = dx.shape[1], H = dx.shape[2], W = dx.shape[3]
    cdef intp Co = w.shape[0], Cg = w.shape[1], KH = w.shape[2], KW = w.shape[3], OH = dy.shape[2], OW = dy.shape[3]
    cdef intp Og = Co // g, t
    cdef const real* dp = data(dy)
    cdef const real* wp = data(w)
    cdef real* xp = data(dx)
    if threads == 1:
        with nogil:
            for t in range(N * Ci):
                _grad_input_plane(dp + (t // Ci * Co + t % Ci // Cg * Og) * OH * OW,
                                  wp + (t % Ci // Cg * Og * Cg + t % Ci % Cg) * KH * KW, xp + t * H * W,
                                  Og, Cg, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)
        return
    for t in prange(N * Ci, nogil=True, schedule="static", num_threads=threads):
        _grad_input_plane(dp + (t // Ci * Co + t % Ci // Cg * Og) * OH * OW,
                          wp + (t % Ci // Cg * Og * Cg + t % Ci % Cg) * KH * KW, xp + t * H * W,
                          Og, Cg, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)


cdef void _grad_input_plane(const real* dy, const real* w, real* dx, intp Og, intp Cg, intp H, intp W, intp KH, intp KW,
                            intp OH, intp OW, intp sh, intp sw, intp pt, intp pl, intp dh, intp dw) noexcept nogil:
    cdef intp o, u, v, r, q, i, j
    cdef double s
    for r in range(H):
        for q in range(W):
            s = 0
            for u in range(KH):
                i = r + pt - u * dh
                if i >= 0 and i % sh == 0 and i // sh < OH:
                    for v in range(KW):
                        j = q + pl - v * dw
                        if j >= 0 and j % sw == 0 and j // sw < OW:
                            for o in range(Og):
                                s = s + <double> w[(o * Cg * KH + u) * KW + v] * dy[(o * OH + i // sh) * OW + j // sw]
            dx[r * W + q] = <real> s


def naive_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, intp sh, intp sw, intp pt, intp pl,
                      intp dh, intp dw, intp g, int threads):
    """dw[o,c,u,v] = sum over n,i,j of dy[n,o,i,j] * x[n, c, i*sh + u*dh - pt, j*sw + v*dw - pl]."""
    cdef intp N = x.shape[0], Ci = x.shape[1], H = x.shape[2], W = x.shape[3]
    cdef intp Co = dw_.shape[0], Cg = dw_.shape[1], KH = dw_.shape[2], KW = dw_.shape[3]
    cdef intp OH = dy.shape[2], OW = dy.shape[3], t
    cdef const real* dp = data(dy)
    cdef const real* xp = data(x)
    cdef real* wp = data(dw_)
    if threads == 1:
        with nogil:
            for t in range(Co * Cg):
                _grad_weight_plane(dp + t // Cg * OH * OW, xp + (t // Cg // (Co // g) * Cg + t % Cg) * H * W,
                                   wp + t * KH * KW, N, Ci, Co, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)
        return
    for t in prange(Co * Cg, nogil=True, schedule="static", num_threads=threads):
        _grad_weight_plane(dp + t // Cg * OH * OW, xp + (t // Cg // (Co // g) * Cg + t % Cg) * H * W,
                           wp + t * KH * KW, N, Ci, Co, H, W, KH, KW, OH, OW, sh, sw, pt, pl, dh, dw)


cdef void _grad_weight_plane(const real* dy, const real* x, real* w, intp N, intp Ci, intp Co, intp H, intp W,
                             intp KH, intp KW, intp OH, intp OW, intp sh, intp sw, intp pt, intp pl,
                             intp dh, intp dw) noexcept nogil:
    cdef intp n, u, v, i, j, row, col
    cdef double s
    for u in range(KH):
        for v in range(KW):
            s = 0
            for n in range(N):
                for i in range(OH):
                    row = i * sh + u * dh - pt
                    if 0 <= row < H:
                        for j in range(OW):
                            col = j * sw + v * dw - pl
                            if 0 <= col < W:
                                s = s + <double> dy[(n * Co * OH + i) * OW + j] * x[(n * Ci * H + row) * W + col]
            w[u * KW + v] = <real> s
