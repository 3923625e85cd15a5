"""A residual network on small colour images: residual blocks, batch normalisation, augmentation.

    python examples/resnet_cifar_like.py

The images are made of scikit-learn's digits: 16 x 16 pixels, each digit in a colour of its own on a ground of another,
with noise. The network is that of He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016),
section 4.2, with one block a stage. Images lie with their channels last, which the convolutions like best.
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from fastconv import nn

WIDTHS = 16, 32, 64
EPOCHS = 8


def convolution(ci: int, co: int, k: int, stride: int, rng: np.random.Generator) -> list[nn.Layer]:
    """A convolution without bias, since batch normalisation follows, which has one."""
    return [nn.Conv2d(ci, co, k, stride=stride, padding=k // 2, bias=False, rng=rng), nn.BatchNorm2d(co)]


def block(ci: int, co: int, stride: int, rng: np.random.Generator) -> list[nn.Layer]:
    """Two convolutions beside a shortcut, which is a 1x1 convolution where the shape changes; then a ReLU."""
    body = nn.Sequential(*convolution(ci, co, 3, stride, rng), nn.ReLU(), *convolution(co, co, 3, 1, rng))
    shortcut = None if ci == co and stride == 1 else nn.Sequential(*convolution(ci, co, 1, stride, rng))
    return [nn.Residual(body, shortcut), nn.ReLU()]


def resnet(rng: np.random.Generator) -> nn.Sequential:
    layers: list[nn.Layer] = [*convolution(3, WIDTHS[0], 3, 1, rng), nn.ReLU()]
    for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
        layers += block(before, width, 1 if before == width else 2, rng)
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(WIDTHS[-1], 10, rng=rng))


def images(rng: np.random.Generator) -> tuple[Any, Any]:
    """Colour images (N, 3, 16, 16), channels last in memory, of mean about 0; and labels."""
    digits, labels = load_digits(return_X_y=True)
    ink = (digits / 16).reshape(-1, 8, 8, 1).repeat(2, axis=1).repeat(2, axis=2)
    colour, ground = rng.uniform(0.5, 1, (2, len(ink), 1, 1, 3))
    x = ink * colour - (1 - ink) * ground + rng.normal(0, 0.1, (len(ink), 16, 16, 3))
    return x.astype(np.float32).transpose(0, 3, 1, 2), labels


def main() -> float:
    rng = np.random.default_rng(0)
    x, labels = images(rng)
    net = resnet(rng)
    print(net.summary(x.shape))
    nn.fit(
        net,
        x[:1400],
        labels[:1400],
        loss=nn.SoftmaxCrossEntropy(),
        optimiser=nn.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
        schedule=nn.schedules.cosine(0.1, EPOCHS),
        epochs=EPOCHS,
        batch_size=50,
        augment=[nn.augment.shift(2), nn.augment.noise(0.05)],
        validation=(x[1400:], labels[1400:]),
        metric=nn.accuracy,
        seed=0,
    )
    found = nn.accuracy(nn.predict(net, x[1400:]), labels[1400:])
    print(f"{found:.1%} of {len(x) - 1400} images are read correctly")
    return found


if __name__ == "__main__":
    main()
