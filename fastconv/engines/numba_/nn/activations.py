"""Activations and their gradients, number by number: one pass over memory, whatever the layout."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.epilogue import activate, slope
from ..ground.launch import step


def activation(x, y, code, threads):
    """y (as x) OUT: the activation of x (any); code is its place in ACTIVATIONS."""
    _activation(x.reshape(-1), y.reshape(-1), code, threads)


def activation_backward(dy, x, dx, code, threads):
    """dx (as x) OUT: dy (as x) times the activation's derivative at x (any)."""
    _activation_backward(dy.reshape(-1), x.reshape(-1), dx.reshape(-1), code, threads)


@step("y")
def _activation(x, y, code, share, shares):
    L = v.lanes(x)
    vectors = -(-x.size // L)  # shares do not meet within one
    for j in range(vectors * share // shares * L, min(x.size, vectors * (share + 1) // shares * L), L):
        v.store_part(y, j, activate(v.load_part(x, j, x.size - j), code), x.size - j)


@step("dx")
def _activation_backward(dy, x, dx, code, share, shares):
    L = v.lanes(x)
    vectors = -(-x.size // L)
    for j in range(vectors * share // shares * L, min(x.size, vectors * (share + 1) // shares * L), L):
        n = x.size - j
        v.store_part(dx, j, v.load_part(dy, j, n) * slope(v.load_part(x, j, n), code), n)
