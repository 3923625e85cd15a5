"""
A convolution is a matrix
=========================

Each output is a weighted sum of inputs, so there is a matrix that does it: sparse, with the same nine numbers in
every row.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv

rng = np.random.default_rng(0)
w = rng.standard_normal((1, 1, 3, 3))
cases = {
    "padding 1": {"padding": 1},
    "no padding": {},
    "stride 2": {"stride": 2, "padding": 1},
    "dilation 2": {"dilation": 2, "padding": 2},
}

figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), layout="constrained")
for axis, (name, options) in zip(axes, cases.items()):
    matrix = fastconv.conv2d_matrix(w, (1, 8, 8), **options)
    axis.spy(matrix, markersize=1.6, color="#0072B2")
    axis.set(title=name, xlabel=f"{matrix.shape[0]} x {matrix.shape[1]}", xticks=[], yticks=[])

    x = rng.standard_normal((1, 8, 8))
    assert np.allclose(matrix @ x.ravel(), fastconv.conv2d(x, w, **options).ravel())
    dy = rng.standard_normal(fastconv.conv2d(x, w, **options).shape)
    dx = fastconv.conv2d_grad_input(dy, w, x.shape, **options)
    assert np.allclose(matrix.T @ dy.ravel(), dx.ravel())  # the gradient is the transpose

# %%
# A block on the diagonal is what a row of the image does to a row of the result, the blocks beside it are the rows
# above and below; with stride 2 every other row of the matrix is gone, and its transpose makes images larger.
