"""``python -m fastconv selftest``: every compiled backend on small problems against SciPy, and what is installed.

The first thing to ask for in a bug report. Takes half a minute; the Numba engine, which compiles on first use and so
takes minutes, is tested where nothing is compiled, or on request.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .core.errors import BackendRefused
from .core.problem import PASSES, ConvProblem, parse
from .core.threads import num_threads
from .core.typing import Array
from .engines import loader
from .images.filter2d import filter2d
from .operations.conv2d import conv2d
from .operations.gradients import conv2d_grad_input, conv2d_grad_weight
from .planning.config import config_text
from .planning.registry import all_backends

PROBLEMS = """
n1ci1ih1iw1co1kh1kw1 n2ci33ih5iw7co31kh1kw1sh2sw2 n1ci3ih5iw9co2kh3kw3sh2sw3pt3pb0pl0pr4 n1ci70ih5iw5co66kh3kw3ph1pw1
n2ci13ih7iw11co11kh3kw3ph1pw1 n1ci31ih15iw17co33kh3kw3ph1pw1 n2ci4ih6iw7co6kh3kw3ph1pw1g2
n4ci16ih24iw25co16kh3kw3ph1pw1 n1ci33ih9iw9co33kh7kw7ph3pw3g33 n1ci16ih9iw7co16kh3kw3sh2sw2ph1pw1g16
n1ci3ih30iw31co16kh7kw7sh2sw2ph3pw3 n1ci2ih33iw31co2kh31kw31ph15pw15 n1ci1ih40iw37co1kh15kw21
n2ci18ih17iw19co33kh3kw3ph2pw2dh2dw2 n2ci16ih9iw10co24kh1kw1 n1ci20ih11iw22co50kh4kw5sh3sw3pt2pb1pl0pr3
n2ci24ih40iw41co24kh5kw5ph2pw2 n1ci130ih12iw13co36kh3kw3ph1pw1
"""
DTYPES = ("float32", "float64")


def spread(a: Array, rows: int, columns: int) -> Array:
    """Zeros between the numbers of the last two axes: a kernel of that dilation, a gradient of that stride."""
    h, w = a.shape[-2:]
    out = np.zeros((*a.shape[:-2], (h - 1) * rows + 1, (w - 1) * columns + 1))
    out[..., ::rows, ::columns] = a
    return out


def by_scipy(p: ConvProblem, pass_: str, x: Array, w: Array, dy: Array) -> Array:
    """One pass in float64 by `scipy.signal`: the formulas of Dumoulin and Visin (2016), chapter 4."""
    from scipy.signal import convolve2d, correlate2d

    image = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (p.pt, p.pb), (p.pl, p.pr)))
    wide, apart = spread(w, p.dh, p.dw), spread(dy, p.sh, p.sw)
    out = {"forward": np.zeros(p.y_shape), "grad_input": np.zeros_like(image), "grad_weight": np.zeros(p.w_shape)}[
        pass_
    ]
    inputs, outputs = p.ci // p.g, p.co // p.g
    for n, o, c in np.ndindex(p.n, p.co, inputs):
        i = o // outputs * inputs + c
        if pass_ == "forward":
            out[n, o] += correlate2d(image[n, i], wide[o, c], "valid")[:: p.sh, :: p.sw]
        elif pass_ == "grad_input":
            full = convolve2d(apart[n, o], wide[o, c])
            out[n, i, : full.shape[0], : full.shape[1]] += full
        else:
            out[o, c] += correlate2d(image[n, i], apart[n, o], "valid")[:: p.dh, :: p.dw][: p.kh, : p.kw]
    return out[:, :, p.pt : p.pt + p.ih, p.pl : p.pl + p.iw] if pass_ == "grad_input" else out


def by_backend(name: str, p: ConvProblem, pass_: str, x: Array, w: Array, dy: Array) -> Array:
    """One pass by the public call."""
    stride, padding, dilation = (p.sh, p.sw), ((p.pt, p.pb), (p.pl, p.pr)), (p.dh, p.dw)
    if pass_ == "forward":
        return conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=p.g, backend=name)
    call, second, shape = {
        "grad_input": (conv2d_grad_input, w, p.x_shape),
        "grad_weight": (conv2d_grad_weight, x, p.w_shape),
    }[pass_]
    return call(dy, second, shape, stride=stride, padding=padding, dilation=dilation, groups=p.g, backend=name)


def norm(pass_: str, x: Array, w: Array, dy: Array) -> float:
    """The most that an output can be: what stated bounds are relative to."""
    a, b, axes = {"forward": (x, w, (1, 2, 3)), "grad_input": (dy, w, (0, 2, 3)), "grad_weight": (x, dy, (0, 2, 3))}[
        pass_
    ]
    return float(np.abs(a).max() * np.abs(b).sum(axis=axes).max() * (w.shape[0] if pass_ == "grad_input" else 1))


def wrong(names: list[str], text: str, pass_: str) -> Iterator[tuple[str, str]]:
    """(backend, what is wrong, or nothing) for all that compute a pass of a problem, over dtypes and threads."""
    whole = parse(f"{text}_f64")
    rng = np.random.default_rng(len(text) + whole.ci)
    data = [rng.integers(-3, 4, shape) for shape in (whole.x_shape, whole.w_shape, whole.y_shape)]
    want = by_scipy(whole, pass_, *data)
    for dtype in DTYPES:
        p, operands = whole._replace(dtype=dtype), [a.astype(dtype) for a in data]
        for backend in all_backends():
            if backend.name not in names:
                continue
            for threads in (1, 2):
                try:
                    with num_threads(threads):
                        got = by_backend(backend.name, p, pass_, *operands)
                except BackendRefused:
                    continue
                off = np.abs(got - want).max() if got.shape == want.shape else np.inf
                bound = 0.0  # sums of small integers are exact, but where values are transformed
                if backend.spreads_nonfinite:
                    bound = backend.error_bound(p, pass_) * norm(pass_, *operands)
                told = f"{backend.name} {pass_} {p} on {threads} threads: off by {off:.2e}, allowed {bound:.2e}"
                yield backend.name, "" if off <= bound else told


def wrong_filters() -> Iterator[tuple[str, str]]:
    """The same for image filters, which are not backends."""
    from scipy.ndimage import correlate

    rng = np.random.default_rng(0)
    for h, w, kh, kw in ((1, 1, 3, 3), (5, 70, 3, 5), (64, 65, 7, 7), (131, 33, 15, 15)):
        image, kernel = rng.integers(-3, 4, (h, w)).astype(np.float32), rng.integers(-3, 4, (kh, kw)).astype(np.float32)
        got, want = (call(image.astype(float), kernel, mode="mirror") for call in (filter2d, correlate))
        off = np.abs(got - want).max()
        bound = 1e-12 * np.abs(image).max() * np.abs(kernel).sum()
        yield "filter2d", "" if off <= bound else f"filter2d {h}x{w} kernel {kh}x{kw}: off by {off:.2e}"


def selftest(numba: bool = False) -> int:
    """Print the configuration and the verdict; returns the number of wrong results."""
    left_out = "" if numba or loader.absent("cython") else "numba"
    present = [b for b in all_backends() if not (loader.absent(b.engine) or b.absent())]
    names = [b.name for b in present if b.engine != left_out]
    print(config_text(), flush=True)
    right, bad = dict.fromkeys([*names, "filter2d"], 0), []
    found = (case for text in PROBLEMS.split() for pass_ in PASSES for case in wrong(names, text, pass_))
    for cases in (found, wrong_filters()):
        for name, told in cases:
            right[name] += not told
            if told:
                bad.append(told)
                print(f"WRONG {told}", flush=True)
    print(", ".join(f"{name}: {count}" for name, count in right.items()))
    if names == ["reference"]:
        bad.append("no engine")
        print("WRONG no engine is installed: neither compiled kernels nor Numba (pip install fastconv[numba])")
    print(f"{sum(right.values())} results right, {len(bad)} wrong")
    return len(bad)
