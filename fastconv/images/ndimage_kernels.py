"""Kernels of two dimensions on an image, and on every plane of a stack."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..core.typing import Array
from . import filtering
from .ndimage_calls import Odd, axes_of, border, each, number, origin_of, whole
from .ndimage_passes import EPSILON, TOGETHER, prepared, readable
from .ndimage_plans import Plan, checked, kept, planned

#: numbers of a plane up to which planes are filtered as one tall image
_PLANE = 1 << 14
#: columns of images for which vectors are too long
_FEW = 3


def kernel(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, convolution: bool
) -> Array | None:
    """The result, or None for SciPy to do it."""
    w = np.asarray(weights)
    if w.dtype.kind not in "iufb" or w.ndim != 2 or not w.size:
        return None
    w = w.astype(np.float64, copy=False)
    return planned(_plan, w.shape, input, output, w.tobytes(), mode, cval, origin, axes, convolution)


class Finite:
    """A plan for images that are finite: SciPy leaves out weights of nought, and so does not make NaN of 0 * Inf."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __call__(self, x: Array, output: Array | None) -> Array | None:
        return self._plan(x, output) if x.dtype.kind != "f" or is_finite(x) else None


def is_finite(x: Array) -> bool:
    """A sum is finite only if all its numbers are, but for overflows."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(x, axis=None)) or np.isfinite(x).all())


@kept
def _plan(
    taps: tuple[int, int],
    shape: tuple[int, ...],
    dtype: Any,
    to: Any,
    threads: int,
    single: bool,
    weights: bytes,
    mode: Any,
    cval: Any,
    origin: Any,
    axes: Any,
    convolution: bool,
) -> Any:
    to = checked(shape, dtype, to)
    w = np.frombuffer(weights).reshape(taps)
    chosen, shifts = axes_of(axes, len(shape)), [whole(o) for o in each(origin, 2)]
    if len(chosen) != 2 or chosen[1] - chosen[0] != 1:
        raise Odd
    if convolution:
        w = w[::-1, ::-1]
        shifts = [-s - (n % 2 == 0) for s, n in zip(shifts, w.shape, strict=True)]
    first = [-(n // 2) - origin_of(s, n) for s, n in zip(shifts, w.shape, strict=True)]
    if shape[chosen[1]] * prod(shape[chosen[1] + 1 :]) <= _FEW < shape[chosen[0]]:
        raise Odd  # lanes are columns: SciPy's loop is as fast
    used = np.abs(w) > EPSILON
    if not used.all() and not np.isfinite(number(cval)):
        raise Odd
    compute = "float32" if single and dtype == to == np.float32 else "float64"
    planes, (h, width), c = prod(shape[: chosen[0]]), shape[chosen[0] : chosen[1] + 1], prod(shape[chosen[1] + 1 :])
    step = _Planes(planes, (h, width, c), np.where(used, w, 0.0), first, border(mode), number(cval), compute, threads)
    plan = Plan(shape, to, readable(step, dtype, to))
    return plan if used.all() else Finite(plan)


class _Planes:
    """The kernel on planes (H, W, C). Small ones are one tall image, whose rows between planes nobody wants."""

    def __init__(
        self,
        planes: int,
        image: tuple[int, int, int],
        w: Array,
        first: list[int],
        mode: str,
        cval: float,
        compute: str,
        threads: int,
    ) -> None:
        h, width, c = image
        kh, kw = w.shape
        some = min(planes, max(1, TOGETHER // prod(image))) if prod(image) <= _PLANE and kh <= 2 * h else 1
        self._some, self._planes, self._image, self._height = some, planes, image, h + kh - 1
        see = filtering.window((h, width), (first[0], first[1]), (h + kh - 1, width + kw - 1), (mode, mode), cval)
        self._steps = {}
        for n in {some, planes % some} - {0}:
            shift = h * np.arange(n)[:, None]
            rows = np.where(see.rows < 0, -1, see.rows + shift).ravel()
            output = n * self._height - (kh - 1), width, c
            laid = np.array(w.T[:, ::-1], compute, order="C")
            shown = replace(see, image=(n * h, width), rows=rows, inside_rows=(0, 0), zeros=None, kept=False)
            self._steps[n] = prepared("direct", output, shown, compute, 0, threads, laid)

    def __call__(self, x: Array, y: Array) -> None:
        if self._planes == 1:
            self._steps[1](x, y)
            return
        (h, *row), some = self._image, self._some
        x, y = x.reshape(self._planes, h, *row), y.reshape(self._planes, h, *row)
        if some == 1:
            for image, result in zip(x, y, strict=True):
                self._steps[1](image, result)
            return
        tall = np.empty((some, self._height, *row), y.dtype)
        for i in range(0, self._planes, some):
            n = min(some, self._planes - i)
            written = n * self._height - (self._height - h)
            self._steps[n](x[i : i + n], tall.reshape(-1, *row)[:written])
            y[i : i + n] = tall[:n, :h]
