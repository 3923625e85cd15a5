"""LeNet learns handwritten digits: NumPy and fastconv, and scikit-learn for nothing but its 1797 images of 8 x 8.

    python examples/lenet_digits.py [CURVE.png]

Takes some seconds and prints the accuracy on a third of the images, which it has not learned from: 98 % or more.
"""

import sys
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from fastconv import nn

EPOCHS = 30


def lenet(rng: np.random.Generator) -> nn.Sequential:
    """LeCun et al. (1998) with ReLU, and pooled once, by maxima: the images are a quarter as wide as theirs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64, rng=rng),
        nn.ReLU(),
        nn.Dropout(0.25, rng=rng),
        nn.Linear(64, 10, init=nn.init.xavier, rng=rng),
    )


def digits(rng: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Images and labels: two thirds to learn from, a third to be tested by."""
    images, labels = load_digits(return_X_y=True)
    x, order = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32), rng.permutation(len(images))
    learn, test = order[:1200], order[1200:]
    return x[learn], labels[learn], x[test], labels[test]


def draw(history: nn.History, file: str) -> None:
    """Loss and accuracy, epoch by epoch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.semilogy(history.loss, label="learned from")
    left.semilogy(history.validation_loss, label="held out")
    left.set(xlabel="epoch", title="cross entropy")
    left.legend()
    right.plot(history.validation_metric)
    right.set(xlabel="epoch", title="accuracy on images held out", ylim=(0.9, 1))
    figure.savefig(file)
    print("wrote", file)


def main(curve: str | None = None) -> float:
    rng = np.random.default_rng(0)
    x, labels, x_test, labels_test = digits(rng)
    net = lenet(rng)
    print(net.summary(x.shape))
    history = nn.fit(
        net,
        x,
        labels,
        loss=nn.SoftmaxCrossEntropy(),
        optimiser=nn.Adam(net.parameters(), lr=0.002),
        schedule=nn.schedules.cosine(0.002, EPOCHS),
        epochs=EPOCHS,
        batch_size=50,
        augment=[nn.augment.rotate(10)],  # no shifts: each digit fills its image
        validation=(x_test, labels_test),
        metric=nn.accuracy,
        seed=0,
    )
    if curve:
        draw(history, curve)
    found = nn.accuracy(nn.predict(net, x_test), labels_test)
    print(f"{found:.1%} of {len(x_test)} images are read correctly")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
