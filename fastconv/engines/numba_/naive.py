"""The textbook loops: slow, and the formula to read. Sums are float64, rounded once to the dtype of the result.

Shapes: x, dx (N, Ci, H, W); w, dw (Co, Ci/g, KH, KW); y, dy (N, Co, OH, OW). q: `records.ConvGeometry`, steps s, top
and left padding p, dilation d. Output channel o belongs to group ``o // (Co/g)``, whose first input channel is that
times Ci/g.
"""

from numba import float64

from ..records import ConvGeometry, places
from .ground.launch import step

at = places(ConvGeometry)


@step("y")
def naive_forward(x, w, y, q, ithr, nthr):
    """y[n,o,i,j] = sum over c, a, b of x[n, c, i*sh - pt + a*dh, j*sw - pl + b*dw] * w[o,c,a,b]; x, w IN, y OUT."""
    (H, W), (N, Co, OH, OW), (_, Cg, KH, KW) = x.shape[2:], y.shape, w.shape
    sh, sw, pt, pl, dh, dw = q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh], q[at.dw]
    for no in range(N * Co * ithr // nthr, N * Co * (ithr + 1) // nthr):
        n, o = no // Co, no % Co
        first = o // (Co // q[at.g]) * Cg
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
def naive_grad_input(dy, w, dx, q, ithr, nthr):
    """dx[n,c,h,v] = sum over o, a, b of dy[n,o,i,j] * w[o,c,a,b] where i*sh = h + pt - a*dh and j*sw = v + pl - b*dw.

    dy, w IN, dx OUT. Each value is gathered by itself, so threads never write to the same one.
    """
    (N, Ci, H, W), (Co, Cg, KH, KW), (OH, OW) = dx.shape, w.shape, dy.shape[2:]
    sh, sw, pt, pl, dh, dw, g = q[at.sh], q[at.sw], q[at.pt], q[at.pl], q[at.dh], q[at.dw], q[at.g]
    for nc in range(N * Ci * ithr // nthr, N * Ci * (ithr + 1) // nthr):
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


@step("dw")
def naive_grad_weight(dy, x, dw, q, ithr, nthr):
    """dw[o,c,a,b] = sum over n, i, j of dy[n,o,i,j] * x[n, c, i*sh - pt + a*dh, j*sw - pl + b*dw]; dw OUT."""
    (Co, Cg, KH, KW), (N, _, OH, OW), (H, W) = dw.shape, dy.shape, x.shape[2:]
    sh, sw, pt, pl = q[at.sh], q[at.sw], q[at.pt], q[at.pl]
    for oc in range(Co * Cg * ithr // nthr, Co * Cg * (ithr + 1) // nthr):
        o, c = oc // Cg, oc % Cg
        first = o // (Co // q[at.g]) * Cg
        for a in range(KH):
            for b in range(KW):
                total = 0.0
                for n in range(N):
                    for i in range(OH):
                        for j in range(OW):
                            h, v = i * sh - pt + a * q[at.dh], j * sw - pl + b * q[at.dw]
                            if 0 <= h < H and 0 <= v < W:
                                total += float64(dy[n, o, i, j]) * x[n, first + c, h, v]
                dw[o, c, a, b] = total
