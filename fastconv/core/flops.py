"""Operation and byte counts of a problem: the yardstick that every backend is measured with."""

from __future__ import annotations

from .problem import HALVES, ConvProblem


def nominal_flops(p: ConvProblem) -> int:
    """Floating-point operations of the textbook formula, the same for all three passes.

    Each output pixel is a sum of ``KH * KW * Ci / groups`` products: two operations a term, border
    taps included.
    """
    return 2 * p.n * p.co * p.oh * p.ow * (p.ci // p.g) * p.kh * p.kw


def valid_tap_flops(p: ConvProblem) -> int:
    """As `nominal_flops`, without the taps that fall on zero padding."""
    taps = _valid_taps(p.ih, p.kh, p.sh, p.pt, p.dh, p.oh) * _valid_taps(p.iw, p.kw, p.sw, p.pl, p.dw, p.ow)
    return 2 * p.n * p.co * (p.ci // p.g) * taps


def compulsory_bytes(p: ConvProblem) -> int:
    """Bytes that any algorithm has to move: input, weights and output once each."""
    pixels = p.n * (p.ci * p.ih * p.iw + p.co * p.oh * p.ow)
    return (pixels + p.co * (p.ci // p.g) * p.kh * p.kw) * (2 if p.dtype in HALVES else p.itemsize)


def _valid_taps(size: int, k: int, stride: int, before: int, dilation: int, out: int) -> int:
    """Pairs (output, tap) along one axis whose input lies inside the image."""
    total = 0
    for t in range(k):
        first = t * dilation - before  # input position of output 0
        lo = max(0, -(first // stride))
        hi = min(out, (size - 1 - first) // stride + 1)
        total += max(0, hi - lo)
    return total
