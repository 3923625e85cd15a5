"""The layers of Stanford's CS231n, assignment 2, by fastconv: same names, arguments and caches, against naive loops.

python examples/cs231n_layers.py
"""

from typing import Any

import numpy as np

import fastconv


def conv_forward_fast(x: Any, w: Any, b: Any, conv_param: dict[str, int]) -> tuple[Any, Any]:
    """x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param: "stride" and "pad"; gives the output and a cache."""
    out = fastconv.conv2d(x, w, b, stride=conv_param["stride"], padding=conv_param["pad"])
    return out, (x, w, b, conv_param)


def conv_backward_fast(dout: Any, cache: Any) -> tuple[Any, Any, Any]:
    """Gradients dx, dw, db."""
    x, w, _, conv_param = cache
    return fastconv.conv2d_backward(dout, x, w, stride=conv_param["stride"], padding=conv_param["pad"])


def max_pool_forward_fast(x: Any, pool_param: dict[str, int]) -> tuple[Any, Any]:
    """pool_param: "pool_height", "pool_width" and "stride"; gives the output and a cache."""
    size = pool_param["pool_height"], pool_param["pool_width"]
    out, indices = fastconv.max_pool2d(x, size, stride=pool_param["stride"], return_indices=True)
    return out, (x, indices, pool_param)


def max_pool_backward_fast(dout: Any, cache: Any) -> Any:
    """Gradient dx."""
    x, indices, pool_param = cache
    size = pool_param["pool_height"], pool_param["pool_width"]
    return fastconv.max_pool2d_backward(dout, x, size, stride=pool_param["stride"], indices=indices)


def conv_forward_naive(x: Any, w: Any, b: Any, conv_param: dict[str, int]) -> tuple[Any, Any]:
    """The definition, a window at a time."""
    s, p = conv_param["stride"], conv_param["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    (n, _, h, wd), (f, _, hh, ww) = padded.shape, w.shape
    out = np.empty((n, f, (h - hh) // s + 1, (wd - ww) // s + 1), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = padded[:, :, s * i : s * i + hh, s * j : s * j + ww]
            out[:, :, i, j] = np.einsum("nchw,fchw->nf", window, w) + b
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout: Any, cache: Any) -> tuple[Any, Any, Any]:
    """Every output adds to the gradients of what it was made of."""
    x, w, _, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    (hh, ww), dpadded, dw = w.shape[2:], np.zeros_like(padded), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, cols = slice(s * i, s * i + hh), slice(s * j, s * j + ww)
            dw += np.einsum("nf,nchw->fchw", dout[:, :, i, j], padded[:, :, rows, cols])
            dpadded[:, :, rows, cols] += np.einsum("nf,fchw->nchw", dout[:, :, i, j], w)
    return dpadded[:, :, p : padded.shape[2] - p, p : padded.shape[3] - p], dw, dout.sum(axis=(0, 2, 3))


def max_pool_forward_naive(x: Any, pool_param: dict[str, int]) -> tuple[Any, Any]:
    """The definition, a window at a time."""
    hh, ww, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    n, c, h, w = x.shape
    out = np.empty((n, c, (h - hh) // s + 1, (w - ww) // s + 1), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, s * i : s * i + hh, s * j : s * j + ww].max(axis=(2, 3))
    return out, (x, pool_param)


def max_pool_backward_naive(dout: Any, cache: Any) -> Any:
    """Each number goes to the first largest pixel of its window."""
    x, pool_param = cache
    hh, ww, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dout.shape):
        k, m = np.unravel_index(x[n, c, s * i : s * i + hh, s * j : s * j + ww].argmax(), (hh, ww))
        dx[n, c, s * i + k, s * j + m] += dout[n, c, i, j]
    return dx


def main() -> float:
    """The largest difference between fast and naive, relative to the largest number."""
    rng, worst = np.random.default_rng(231), 0.0
    x, w, b = rng.normal(size=(4, 3, 31, 31)), rng.normal(size=(25, 3, 3, 3)), rng.normal(size=25)
    conv, pool = {"stride": 2, "pad": 1}, {"pool_height": 3, "pool_width": 2, "stride": 2}
    convs = (conv_forward_fast, conv_backward_fast), (conv_forward_naive, conv_backward_naive)
    pools = (max_pool_forward_fast, max_pool_backward_fast), (max_pool_forward_naive, max_pool_backward_naive)
    for name, (fast, naive), arguments in (("conv", convs, (x, w, b, conv)), ("pool", pools, (x, pool))):
        (out, cache), (want, naive_cache) = fast[0](*arguments), naive[0](*arguments)
        dout = rng.normal(size=out.shape)
        got, wanted = fast[1](dout, cache), naive[1](dout, naive_cache)
        pairs = [(out, want), *(zip(got, wanted, strict=True) if name == "conv" else [(got, wanted)])]
        error = max(float(np.abs(a - e).max() / np.abs(e).max()) for a, e in pairs)
        print(f"{name}: output and gradients of {out.shape} differ by {error:.1e} from the naive ones")
        worst = max(worst, error)
    return worst


if __name__ == "__main__":
    main()
