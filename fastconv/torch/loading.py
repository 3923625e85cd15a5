"""Loads PyTorch so that its waiting threads leave the cores to ours.

Threads of libgomp spin for milliseconds after every parallel loop of PyTorch, on cores that a convolution wants: a
step of training takes half as long again. libgomp reads how long once, when it is loaded. Where that is yet to come,
and nobody has said otherwise, it is told to spin for microseconds. Whoever imports torch first sets
OMP_WAIT_POLICY=passive.
"""

from __future__ import annotations

import os
import sys

_NAME = "GOMP_SPINCOUNT"


def load() -> None:
    """Import torch; the environment is as before afterwards."""
    told = any(name in os.environ for name in (_NAME, "OMP_WAIT_POLICY"))
    if told or "torch" in sys.modules:
        return
    os.environ[_NAME] = "1000"
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[_NAME]


load()
