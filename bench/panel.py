"""The panel of filtered photographs, and the pictures as text so that a chart can be redrawn from JSON."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from bench.style import save

_CROP = (slice(130, 290), slice(160, 330))  # rows and columns of the face


def encode(pictures: dict[str, np.ndarray]) -> dict[str, str]:
    """Pictures uint8 (H, W, 3) as base64 JPEG."""
    return {title: _encode_one(picture) for title, picture in pictures.items()}


def _encode_one(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=88)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def decode(pictures: dict[str, str]) -> dict[str, np.ndarray]:
    """The inverse of `encode`, but for what JPEG loses."""
    return {title: np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for title, text in pictures.items()}


def draw_panel(pictures: dict[str, np.ndarray], folder: Path) -> str:
    """Each picture as a whole and, below it, enlarged where the face is."""
    figure, axes = plt.subplots(
        2,
        len(pictures),
        figsize=(2.25 * len(pictures), 4.9),
        gridspec_kw={"height_ratios": [1.18, 1]},
        squeeze=False,
        layout="constrained",
    )
    for column, (title, picture) in zip(axes.T, pictures.items(), strict=True):
        column[0].imshow(picture)
        column[0].set_title(title, fontsize=10)
        column[1].imshow(picture[_CROP], interpolation="nearest")
        for axis in column:
            axis.set_axis_off()
    figure.suptitle("The photograph through fastconv.conv2d (below: the face, enlarged)", fontsize=12)
    return save(figure, folder, "photograph")
