"""
An image with holes
===================

Dead pixels are NaN, and a plain filter spreads them. Normalised convolution divides what is there by the weights
that were there.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

import fastconv

image = plt.imread(get_sample_data("grace_hopper.jpg"))[120:300, 150:340].mean(axis=2)
rng = np.random.default_rng(0)
image[rng.random(image.shape) < 0.002] = np.nan
image[60:68] = np.nan

line = np.exp(-0.5 * (np.arange(-10, 11) / 2.0) ** 2)
kernel = np.outer(line, line) / line.sum() ** 2

figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), layout="constrained")
pictures = {
    "some pixels and 8 lines are gone": image,
    'nan="propagate"': fastconv.filter2d(image, kernel),
    'nan="ignore"': fastconv.filter2d(image, kernel, nan="ignore"),
}
for axis, (name, a) in zip(axes, pictures.items()):
    axis.imshow(a, cmap="gray", vmin=0, vmax=255)
    axis.set_title(name, fontsize=10)
    axis.set_facecolor("#D55E00")
    axis.set(xticks=[], yticks=[])

# %%
# ``fastconv.astropy.convolve`` does the same under astropy's name and arguments.
