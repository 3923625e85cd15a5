"""Convolutions inside a function that Numba compiles: a blurred image is made sharp again.

    python examples/inside_numba.py

Richardson (1972) and Lucy (1974): the estimate is blurred and compared with what was seen, pixel by pixel; the
quotients go back by the adjoint of the blur. `conv2d` is the blur, `conv2d_grad_input` its adjoint; the arithmetic
between them is written as loops over pixels, which Numba makes fast.
"""

from typing import Any

import numba
import numpy as np

import fastconv


@numba.njit
def richardson_lucy(seen: Any, kernel: Any, steps: int) -> Any:
    """An estimate (1, 1, H, W) of what, blurred by the kernel (1, 1, KH, KW), was seen."""
    pad = kernel.shape[2] // 2, kernel.shape[3] // 2
    share = fastconv.conv2d_grad_input(np.ones_like(seen), kernel, seen.shape, padding=pad)  # less than 1 at the border
    estimate = np.full_like(seen, seen.mean())
    for _ in range(steps):
        quotient = fastconv.conv2d(estimate, kernel, padding=pad)
        for i in np.ndindex(seen.shape):
            quotient[i] = seen[i] / max(quotient[i], 1e-6)
        back = fastconv.conv2d_grad_input(quotient, kernel, seen.shape, padding=pad)
        for i in np.ndindex(seen.shape):
            estimate[i] *= back[i] / share[i]
    return estimate


@numba.njit(parallel=True)
def all_of_them(seen: Any, kernel: Any, steps: int) -> Any:
    """Image by image (N, 1, H, W), side by side."""
    found = np.empty_like(seen)
    for n in numba.prange(len(seen)):
        found[n : n + 1] = richardson_lucy(seen[n : n + 1], kernel, steps)
    return found


def stars(rng: np.random.Generator, n: int, size: int) -> Any:
    """Images of a dim sky with some stars, (n, 1, size, size)."""
    sky = np.full((n, 1, size, size), 0.02)
    for image in sky[:, 0]:
        places = rng.integers(8, size - 8, (2, 25))
        image[places[0], places[1]] = rng.uniform(0.3, 1, 25)
    return sky


def main() -> None:
    sky = stars(np.random.default_rng(0), 8, 64)
    line = np.exp(-(np.arange(-4, 5) ** 2) / 2.0)
    kernel = (np.outer(line, line) / line.sum() ** 2)[None, None]
    seen = fastconv.conv2d(sky, kernel, padding=4)
    found = all_of_them(seen, kernel, 300)
    for name, image in (("as seen", seen), ("made sharp", found)):
        print(f"mean square error, {name}: {np.square(image - sky).mean():.2e}")


if __name__ == "__main__":
    main()
