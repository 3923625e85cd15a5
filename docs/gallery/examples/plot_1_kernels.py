"""
What a kernel does to a photograph
==================================

A convolution replaces each pixel by a weighted sum of its neighbourhood; the weights are the kernel.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

import fastconv

photograph = plt.imread(get_sample_data("grace_hopper.jpg"))[120:300, 150:340]

# %%
# Numbers of one sign that add up to one blur; a large one among negative ones sharpens; numbers that add up to zero
# find what changes.

line = np.exp(-0.5 * (np.arange(-7, 8) / 2.5) ** 2)
kernels = {
    "box, 5x5": np.full((5, 5), 1 / 25),
    "Gaussian, 15x15": np.outer(line, line) / line.sum() ** 2,
    "sharpen": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "edges": np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "Sobel, across": np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
}

# %%
# The image is uint8, so results are rounded and cut to 0..255, as in OpenCV.

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
axes[0, 0].imshow(photograph)
axes[0, 0].set_title("as it is")
for axis, (name, kernel) in zip(axes.flat[1:], kernels.items()):
    axis.imshow(fastconv.filter2d(photograph, kernel))
    axis.set_title(name)
for axis in axes.flat:
    axis.set_axis_off()
