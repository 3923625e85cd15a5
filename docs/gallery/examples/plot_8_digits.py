"""
A network learns to read
========================

1797 digits of 8x8 pixels, two convolutions, a few seconds: loss, what the first kernels have become, and what they
see.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastconv import nn

rng = np.random.default_rng(0)
images, labels = load_digits(return_X_y=True)
x = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
order = rng.permutation(len(x))
learn, test = order[:1200], order[1200:]

net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, rng=rng),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, rng=rng),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(512, 10, rng=rng),
)
history = nn.fit(
    net, x[learn], labels[learn], loss=nn.SoftmaxCrossEntropy(), optimiser=nn.Adam(net.parameters(), lr=0.002),
    epochs=8, batch_size=50, validation=(x[test], labels[test]), metric=nn.accuracy, seed=0, progress_bar=False,
)  # fmt: skip
print(f"{history.validation_metric[-1]:.1%} of the digits held out are read correctly")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy(history.loss, label="learned from")
left.semilogy(history.validation_loss, label="held out")
left.set(xlabel="epoch", title="cross entropy")
left.legend()
right.plot(history.validation_metric)
right.set(xlabel="epoch", title="accuracy on digits held out")
# %%
# The first layer's kernels, and one digit through each: strokes of one direction, edges, and ends.

kernels = net.parameters()[0].value
net.eval()
first, relu, *_ = net.children().values()
seen = relu(first(x[test[:1]]))[0]
figure, axes = plt.subplots(4, 8, figsize=(9, 4.8), layout="constrained")
for channel in range(16):
    above, below = axes[2 * (channel // 8), channel % 8], axes[2 * (channel // 8) + 1, channel % 8]
    above.imshow(kernels[channel, 0], cmap="PuOr", vmin=-0.9, vmax=0.9)
    below.imshow(seen[channel], cmap="gray")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
