"""The textbook loops: slow, and the formula to read. Sums are float64, rounded once to the dtype of the result.

Shapes: x, dx (N, Ci, H, W); w, dw_ (Co, Ci/g, KH, KW); y, dy (N, Co, OH, OW). Steps s, top and left padding p,
dilation d. Output channel o belongs to group ``o // (Co/g)``, whose first input channel is that times Ci/g.
"""

from numba import float64, prange

from .ground.launch import step


@step("y")
def naive_forward(x, w, y, sh, sw, pt, pl, dh, dw, g):
    """y[n,o,i,j] = sum over c, a, b of x[n, c, i*sh - pt + a*dh, j*sw - pl + b*dw] * w[o,c,a,b]; x, w IN, y OUT."""
    (H, W), (N, Co, OH, OW), (_, Cg, KH, KW) = x.shape[2:], y.shape, w.shape
    for no in prange(N * Co):
        n, o = no // Co, no % Co
        first = o // (Co // g) * Cg
        for i in range(OH):
            for j in range(OW):
                total = 0.0
                for c in range(Cg):
                    for a in range(KH):
                        for b in range(KW):
                            h, v = i * sh - pt + a * dh, j * sw - pl + b * dw
                            if 0 <= h < H and 0 <= v < W:
                                total += float64(x[n, first + c, h, v]) * w[o, c, a, b]
                y[n, o, i, j] = total


@step("dx")
def naive_grad_input(dy, w, dx, sh, sw, pt, pl, dh, dw, g):
    """dx[n,c,h,v] = sum over o, a, b of dy[n,o,i,j] * w[o,c,a,b] where i*sh = h + pt - a*dh and j*sw = v + pl - b*dw.

    dy, w IN, dx OUT. Each value is gathered by itself, so threads never write to the same one.
    """
    (N, Ci, H, W), (Co, Cg, KH, KW), (OH, OW) = dx.shape, w.shape, dy.shape[2:]
    for nc in prange(N * Ci):
        n, c = nc // Ci, nc % Ci
        first = c // Cg * (Co // g)
        for h in range(H):
            for v in range(W):
                total = 0.0
                for a in range(KH):
                    for b in range(KW):
                        i, j = h + pt - a * dh, v + pl - b * dw
                        if i % sh == 0 and j % sw == 0 and 0 <= i < OH * sh and 0 <= j < OW * sw:
                            for o in range(first, first + Co // g):
                                total += float64(dy[n, o, i // sh, j // sw]) * w[o, c % Cg, a, b]
                dx[n, c, h, v] = total


@step("dw_")
def naive_grad_weight(dy, x, dw_, sh, sw, pt, pl, dh, dw, g):
    """dw_[o,c,a,b] = sum over n, i, j of dy[n,o,i,j] * x[n, c, i*sh - pt + a*dh, j*sw - pl + b*dw]; dw_ OUT."""
    (Co, Cg, KH, KW), (N, _, OH, OW), (H, W) = dw_.shape, dy.shape, x.shape[2:]
    for oc in prange(Co * Cg):
        o, c = oc // Cg, oc % Cg
        first = o // (Co // g) * Cg
        for a in range(KH):
            for b in range(KW):
                total = 0.0
                for n in range(N):
                    for i in range(OH):
                        for j in range(OW):
                            h, v = i * sh - pt + a * dh, j * sw - pl + b * dw
                            if 0 <= h < H and 0 <= v < W:
                                total += float64(dy[n, o, i, j]) * x[n, first + c, h, v]
                dw_[o, c, a, b] = total
