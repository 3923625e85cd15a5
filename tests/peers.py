"""PyTorch where it is installed, set up for many tiny problems, and the integers that make sums exact."""

from typing import Any

import pytest

torch: Any
try:
    import torch  # type: ignore[no-redef]
except ImportError:
    torch = None
else:
    torch.backends.mkldnn.enabled = False  # it compiles a kernel for every shape, 20 ms each


def needs_torch(test: Any) -> Any:
    """Decorator: skip without PyTorch; with it record gradients, whatever a test before has switched off."""
    skip = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
    return skip(test if torch is None else torch.enable_grad()(test))


def integers(rng: Any, shape: tuple[int, ...], dtype: str = "float64") -> Any:
    """Random numbers -4 to 4."""
    return rng.integers(-4, 5, shape).astype(dtype)
