"""31x31 depthwise convolutions trained in PyTorch twice from the same weights: as they are, and in fastconv.

A block of RepLKNet has a huge depthwise kernel and a 5x5 one beside it, which are added, or, when training is over, one
kernel. Points are to be spread into discs, whose radius the network has to find: what large kernels are for. The two
losses are printed side by side with the time of a step, then the speed of the merged network.
Ding et al., "Scaling Up Your Kernels to 31x31" (2022).

    OMP_WAIT_POLICY=passive python examples/replk_torch.py [--quick]
"""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import fastconv.torch


class LargeKernel(nn.Module):
    """1x1, GELU, a depthwise kernel beside a small one, 1x1; added to what comes in."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1)
        self.large = nn.Conv2d(channels, channels, kernel, padding="same", groups=channels)
        self.small: nn.Module | None = nn.Conv2d(channels, channels, 5, padding="same", groups=channels, bias=False)
        self.after = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(self.before(x))
        z = self.large(y)
        if self.small is not None:
            z = z + self.small(y)
        return x + self.after(z)

    def merge(self) -> None:
        """Add the small kernel to the middle of the large one."""
        if isinstance(self.small, nn.Conv2d):
            edge = (self.large.kernel_size[0] - 5) // 2
            with torch.no_grad():
                self.large.weight += nn.functional.pad(self.small.weight, (edge,) * 4)
            self.small = None


def discs(n: int, size: int, radius: int) -> tuple[Tensor, Tensor]:
    """Points (n, 1, size, size) and how many of them lie within a radius of each pixel."""
    points = (torch.rand(n, 1, size, size) < 0.01).float()
    side = torch.arange(-radius, radius + 1)
    disc = (side[:, None] ** 2 + side[None, :] ** 2 <= radius * radius).float()
    return points, nn.functional.conv2d(points, disc[None, None], padding=radius)


def train(net: nn.Module, x: Tensor, target: Tensor, steps: int) -> tuple[list[float], float]:
    """The loss of every step, and the seconds of the fastest one."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses, best = [], float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        loss = nn.functional.mse_loss(net(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        best = min(best, time.perf_counter() - start)
    return losses, best


def fastest(call: Callable[[], Tensor], repeat: int) -> float:
    """Seconds of the fastest of some calls."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a few steps on small images")
    args = parser.parse_args()
    torch.manual_seed(0)
    channels, size, n, steps = (4, 32, 1, 3) if args.quick else (16, 64, 4, 10)
    x, target = discs(n, size, 9)
    blocks = [LargeKernel(channels, 31) for _ in range(1 if args.quick else 2)]
    plain = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), *blocks, nn.Conv2d(channels, 1, 1))
    replaced = fastconv.torch.replace_convolutions(copy.deepcopy(plain))
    theirs, slow = train(plain, x, target, steps)
    ours, fast = train(replaced, x, target, steps)
    print("step    torch  fastconv")
    for k in range(0, steps, max(1, steps // 5)):
        print(f"{k:4d}  {theirs[k]:7.4f}  {ours[k]:7.4f}")
    print(f"{1e3 * slow:.1f} ms a step in torch, {1e3 * fast:.1f} with fastconv")
    assert max(abs(a / b - 1) for a, b in zip(theirs, ours, strict=True)) < 0.01, "the curves differ"
    for net in (plain, replaced):
        for block in list(net)[1:-1]:
            block.merge()
        net.eval()
    fastconv.torch.replace_convolutions(replaced, freeze=True)  # weights stay from here on: packed once
    with torch.no_grad():
        before, after = (fastest(lambda net=net: net(x), 3) for net in (plain, replaced))
    print(f"merged, for inference: {1e3 * before:.1f} ms in torch, {1e3 * after:.1f} with fastconv")


if __name__ == "__main__":
    main()
