"""
Kernels of low rank
===================

A kernel that is a column times a row costs :math:`2K` products a pixel instead of :math:`K^2`. Any kernel is a sum
of such products, its singular values say how many of them matter.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv

u = np.linspace(-3, 3, 31)
x, y = np.meshgrid(u, u)
kernels = {
    "Gaussian": np.exp(-(x**2 + y**2) / 2),
    "turned Gaussian": np.exp(-((x + y) ** 2 + 5 * (x - y) ** 2) / 4),
    "disc": (x**2 + y**2 < 5).astype(float),
    "random": np.random.default_rng(0).standard_normal((31, 31)),
}

# %%
# ``separable_conv2d`` filters with columns into as many channels between, then adds up these with the rows.

image = np.random.default_rng(1).standard_normal((1, 1, 96, 96))


def approximate(kernel, rank):
    left, values, right = np.linalg.svd(kernel)
    columns = (left[:, :rank] * values[:rank]).T.reshape(rank, 1, -1)
    return fastconv.separable_conv2d(image, columns, right[:rank].reshape(1, rank, -1))


figure, axes = plt.subplots(2, 4, figsize=(10, 5), layout="constrained", height_ratios=(1, 1.1))
ranks = (1, 2, 3, 5, 8, 12, 17, 24, 31)
for (above, below), (name, kernel) in zip(axes.T, kernels.items()):
    exact = fastconv.conv2d(image, kernel[None, None])
    errors = [np.abs(approximate(kernel, rank) - exact).max() / np.abs(exact).max() for rank in ranks]
    above.imshow(kernel, cmap="Blues")
    above.set_title(name)
    above.set_axis_off()
    below.semilogy(ranks, np.maximum(errors, 1e-16), marker="o")
    below.set(xlabel="rank", ylim=(1e-17, 3))
axes[1, 0].set_ylabel("largest error")
# %%
# The Gaussian is exact at rank 1. The turned one needs nearly all to be exact, and 8 for an error of a thousandth; the
# disc has rows of few kinds; noise needs every one. A prepared plan finds the rank by itself, and takes an approximate
# one only where ``rtol`` allows it.

plan = fastconv.plan_conv2d(image.shape, kernels["Gaussian"][None, None])
print(plan.backend)
