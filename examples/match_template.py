"""Where a pattern lies in an image, whatever the light: OpenCV's matchTemplate with TM_CCOEFF_NORMED in three filters.

    python examples/match_template.py

The score of a place is the correlation coefficient of the pattern and the window there. With the mean taken off the
pattern, its product with a window does not see the window's own mean; the variance of the window is the mean of its
squares minus the square of its mean. `anchor=(0, 0)` puts scores where windows begin.
"""

from typing import Any

import numpy as np

import fastconv


def match(image: Any, pattern: Any) -> Any:
    """Correlation coefficients (H - KH + 1, W - KW + 1) of a pattern (KH, KW) with every window of an image (H, W)."""
    (h, w), (kh, kw) = image.shape, pattern.shape
    x = image - image.mean()  # small numbers, whose squares do not cancel
    t = pattern - pattern.mean()

    def windows(a: Any, kernel: Any) -> Any:
        return fastconv.filter2d(a, kernel, mode="constant", anchor=(0, 0))[: h - kh + 1, : w - kw + 1]

    box = np.full((kh, kw), 1 / (kh * kw))
    spread = (windows(x * x, box) - windows(x, box) ** 2) * kh * kw
    norm = np.sqrt(np.maximum(spread, 0) * (t * t).sum())
    return np.divide(windows(x, t), norm, out=np.zeros_like(norm), where=norm > 1e-9)


def main() -> tuple[int, int]:
    rng = np.random.default_rng(0)
    image = rng.random((400, 600))
    pattern = image[123:153, 456:496] * 0.3 + 0.1  # seen in a dimmer light
    score = match(image, pattern)
    row, col = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
    print(f"the pattern lies at ({row}, {col}), with a coefficient of {score.max():.3f}")
    return row, col


if __name__ == "__main__":
    main()
