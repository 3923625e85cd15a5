"""
The convolution theorem
=======================

The spectrum of a convolution is the product of the spectra, whatever the size of the kernel.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

import fastconv

image = plt.imread(get_sample_data("grace_hopper.jpg"))[100:356, 130:386].mean(axis=2)
line = np.exp(-0.5 * (np.arange(-15, 16) / 4.0) ** 2)
kernel = np.outer(line, line) / line.sum() ** 2

blurred = fastconv.filter2d(image, kernel, mode="wrap")

# %%
# The kernel is put on a canvas of the image's size, its middle at the origin; the border is periodic, as the
# transform's.

canvas = np.zeros_like(image)
canvas[:31, :31] = kernel
canvas = np.roll(canvas, (-15, -15), axis=(0, 1))
product = np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(canvas)).real
print(f"largest difference {np.abs(product - blurred).max():.1e} of {image.max():.0f}")


def spectrum(a):
    return np.log10(1e-3 + np.abs(np.fft.fftshift(np.fft.fft2(a))))


figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
for (above, below), (name, a) in zip(axes.T, {"image": image, "kernel": canvas, "blurred": blurred}.items()):
    above.imshow(np.fft.fftshift(a) if name == "kernel" else a, cmap="gray")
    below.imshow(spectrum(a), cmap="gray")
    above.set_title(name)
    below.set_title("its spectrum")
    above.set_axis_off()
    below.set_axis_off()

# %%
# A blur keeps low frequencies, in the middle, and drops the rest. ``fastconv`` does it tile by tile, so that spectra
# stay in cache: ``backend="fft_tiled"``.
