"""Sizes of a pass, whichever it is: those of what is summed over, and of what comes out."""

from __future__ import annotations

from ..core.problem import ConvProblem


def sides(p: ConvProblem, pass_: str) -> tuple[int, int, int, int]:
    """Channels summed over, output channels (both a group), output rows and columns."""
    if pass_ == "grad_input":
        return p.co // p.g, p.ci // p.g, p.ih, p.iw
    return p.ci // p.g, p.co // p.g, p.oh, p.ow


def source(p: ConvProblem, pass_: str) -> tuple[int, int]:
    """Rows and columns of the image that is read."""
    return (p.oh, p.ow) if pass_ == "grad_input" else (p.ih, p.iw)
