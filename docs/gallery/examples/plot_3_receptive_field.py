"""
What one output pixel sees
==========================

The gradient of one output pixel with respect to the image is not zero exactly where that pixel looks.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv

stacks = {
    "one 5x5": [(5, 1, 1)],
    "two 3x3": [(3, 1, 1)] * 2,
    "dilation 1, 2, 4": [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
    "stride 2 between": [(3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1)],
}

# %%
# Kernels of ones count the paths from a pixel to the output: middle pixels have more of them, so a stack of small
# kernels looks at the middle of its field rather than at its rim.


def paths(layers):
    seen = np.ones((1, 1, 1, 1))
    for k, stride, dilation in reversed(layers):
        seen = fastconv.conv_transpose2d(seen, np.ones((1, 1, k, k)), stride=stride, dilation=dilation)
    return seen[0, 0]


figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for axis, (name, layers) in zip(axes, stacks.items()):
    side = fastconv.receptive_field([{"kernel_size": k, "stride": s, "dilation": d} for k, s, d in layers]).size
    found = paths(layers)
    axis.imshow(np.log1p(found), cmap="Blues")
    axis.set(title=name, xlabel=f"sees {side} pixels a side", xticks=[], yticks=[])
    assert found.shape == (side, side)
