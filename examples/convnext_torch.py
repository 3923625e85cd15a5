"""A small ConvNeXt trained in PyTorch twice from the same weights: as it is, and with its convolutions in fastconv.

The two losses are printed side by side with the time of a step. Images are gratings in noise, to be told apart by
their direction. Liu et al., "A ConvNet for the 2020s" (2022).

    OMP_WAIT_POLICY=passive python examples/convnext_torch.py [--quick] [--channels-last]
"""

import argparse
import copy
import time
from itertools import pairwise

import torch
from torch import Tensor, nn

import fastconv.torch


class Norm(nn.Module):
    """Layer norm over the channels of every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Depthwise 7x7, then a network of one hidden layer at every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Norm(channels),
            nn.Conv2d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def network(widths: tuple[int, ...], classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), Norm(widths[0]), Block(widths[0])]
    for before, width in pairwise(widths):
        layers += [Norm(before), nn.Conv2d(before, width, 2, stride=2), Block(width), Block(width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def gratings(n: int, size: int, classes: int) -> tuple[Tensor, Tensor]:
    """Images (n, 3, size, size) and the class of each."""
    target = torch.arange(n) % classes
    angle = (target * torch.pi / classes)[:, None, None]
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.sin(0.7 * (rows * torch.sin(angle) + columns * torch.cos(angle)))
    return waves[:, None] + 0.5 * torch.randn(n, 3, size, size), target


def train(net: nn.Module, x: Tensor, target: Tensor, steps: int) -> tuple[list[float], float]:
    """The loss of every step, and the seconds of the fastest one."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    losses, best = [], float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        loss = nn.functional.cross_entropy(net(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        best = min(best, time.perf_counter() - start)
    return losses, best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a few steps on small images")
    parser.add_argument("--channels-last", action="store_true", help="images whose channels lie last in memory")
    args = parser.parse_args()
    torch.manual_seed(0)
    widths, size, steps = ((8, 16), 16, 3) if args.quick else ((40, 80, 160), 64, 20)
    x, target = gratings(8 if args.quick else 32, size, 4)
    plain = network(widths, 4)
    if args.channels_last:
        x, plain = x.contiguous(memory_format=torch.channels_last), plain.to(memory_format=torch.channels_last)
    replaced = fastconv.torch.replace_convolutions(copy.deepcopy(plain))
    theirs, slow = train(plain, x, target, steps)
    ours, fast = train(replaced, x, target, steps)
    print("step   torch  fastconv")
    for k in range(0, steps, max(1, steps // 5)):
        print(f"{k:4d}  {theirs[k]:.4f}  {ours[k]:.4f}")
    print(f"{1e3 * slow:.1f} ms a step in torch, {1e3 * fast:.1f} with fastconv")
    assert max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) < 0.02, "the curves differ"


if __name__ == "__main__":
    main()
