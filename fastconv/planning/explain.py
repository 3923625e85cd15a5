"""What was chosen and why: `Explanation`, `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..algorithms.base import check_activation
from ..core.arguments import integer, shape_of
from ..core.arrays import as_array, ready
from ..core.layouts import channels_first, is_nhwc, shape_forms
from ..core.problem import PASSES, ConvProblem
from ..core.renamed import renamed
from ..core.threads import get_num_threads
from ..core.typing import Activation, ArrayLike, IntPair, Layout, Padding, PaddingMode, Pass, Shape
from . import planner, registry
from .rows import Row


class Explanation:
    """The backends considered for one problem, as a table.

    Attributes
    ----------
    problem : ConvProblem
    rows : list of dict
        One a backend and pass: pass, backend, status ("chosen", "candidate" or "refused"), kind (see
        `fastconv.planning.rows`; "fallback" is what runs instead of the chosen one for NaN and Inf), reason, flops,
        bytes (moved), workspace_bytes, predicted_seconds, measured_seconds (by `tune`, else None),
        error_bound, worst_case_bound (both relative to ``max|x| * sum|w|`` of the output channel).
    """

    def __init__(self, problem: ConvProblem, rows: list[dict[str, Any]]) -> None:
        self.problem, self.rows = problem, rows

    @property
    def chosen(self) -> str:
        """Name of the backend that would run (of the first pass); empty if none can."""
        return next((r["backend"] for r in self.rows if r["status"] == "chosen"), "")

    def __str__(self) -> str:
        measured = any(r["measured_seconds"] is not None for r in self.rows)
        head = ["backend", "status", "Gflop", "MB moved", "MB work"]
        head += ["predicted ms", "measured ms", "bound", "worst case"]
        widths = [len(h) for h in head]
        lines: list[list[str]] = []
        for pass_ in dict.fromkeys(r["pass"] for r in self.rows):
            lines.append([f"{self.problem} {pass_}"])
            for r in sorted((r for r in self.rows if r["pass"] == pass_), key=_order):
                cells = [r["backend"], r["status"], *_figures(r)]
                widths = [max(w, len(c)) for w, c in zip(widths, cells, strict=True)]
                lines.append([*cells, r["reason"]])
        out = []
        for cells in lines:
            if len(cells) == 1:
                out += [cells[0], _line([*head, "reason"], widths, measured)]
            else:
                out.append(_line(cells, widths, measured))
        return "\n".join(out)

    __repr__ = __str__


def _order(r: dict[str, Any]) -> tuple[int, float]:
    return ("chosen", "candidate", "refused").index(r["status"]), r["measured_seconds"] or r["predicted_seconds"]


def _figures(r: dict[str, Any]) -> list[str]:
    if r["status"] == "refused" and not r["flops"]:
        return [""] * 7
    taken = r["measured_seconds"]
    return [
        f"{r['flops'] / 1e9:.3f}",
        f"{r['bytes'] / 1e6:.2f}",
        f"{r['workspace_bytes'] / 1e6:.2f}",
        f"{r['predicted_seconds'] * 1e3:.3f}",
        "" if taken is None else f"{taken * 1e3:.3f}",
        f"{r['error_bound']:.1e}",
        f"{r['worst_case_bound']:.1e}",
    ]


def _line(cells: Sequence[str], widths: list[int], measured: bool) -> str:
    out = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=False))]
    if not measured:
        del out[6]
    return "  ".join(["", *out, cells[-1]]).rstrip()


@renamed(x_shape="input_shape", w_shape="weight_shape")
def explain(
    input_shape: Shape,
    weight_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    activation: Activation | None = None,
    pass_: Pass = "forward",
    dtype: DTypeLike = "float32",
    backend: str = "auto",
    rtol: float | None = None,
    max_workspace: int | None = None,
    weights: ArrayLike | None = None,
) -> Explanation:
    """Every backend's operations, bytes, workspace, predicted time and error bounds, and the choice.

    Parameters
    ----------
    input_shape : (N, Ci, H, W) or (Ci, H, W); with ``layout="NHWC"`` (N, H, W, Ci) or (H, W, Ci)
    weight_shape : (Co, Ci // groups, KH, KW)
        Both by their old names, ``x_shape`` and ``w_shape``, with a DeprecationWarning.
    stride, padding, dilation, groups, padding_mode, backend, rtol
        As in `fastconv.conv2d`.
    layout : {"NCHW", "NHWC"}
        "NHWC" also for arrays of the shape (N, Ci, H, W) whose channels lie last in memory.
    activation : str, optional
        As in `fastconv.conv2d`; of the forward pass.
    pass_ : {"forward", "grad_input", "grad_weight"}
    dtype : {"float32", "float64", "float16", "bfloat16"}
    max_workspace : int, optional
        Bytes of scratch memory that may be used.
    weights : array of ``weight_shape``, optional
        With the weights themselves, the choice is that of `fastconv.plan_conv2d`, and backends that depend on
        their values say what they found.

    Returns
    -------
    Explanation
        ``str()`` is a table, ``rows`` are dicts.

    Raises
    ------
    TypeError, ValueError
        As `fastconv.conv2d`.
    """
    if pass_ not in PASSES:
        raise ValueError(f"pass_ must be one of {', '.join(PASSES)}, got {pass_!r}")
    nhwc, fused = is_nhwc(layout), check_activation(activation)
    if fused and pass_ != "forward":
        raise ValueError(f"activation must be None in {pass_}, got {activation!r}")
    shape = channels_first("input_shape", shape_of("input_shape", input_shape, *shape_forms(nhwc)), nhwc)
    names, options = ("input_shape", "weight_shape"), (stride, padding, dilation, groups, padding_mode)
    p = ConvProblem.from_shapes(shape, weight_shape, *options, _dtype_name(dtype), names)
    p = p._replace(x_last=nhwc, y_last=nhwc)
    limit = None if max_workspace is None else integer("max_workspace", max_workspace, 0)
    if backend != "auto":
        registry.find_backends(backend)
    w = None if weights is None else ready(as_array("weights", weights), p.dtype)
    if w is not None and w.shape != p.w_shape:
        raise ValueError(f"weights must have shape {p.w_shape}, got {w.shape}")
    rows = planner.candidates(p, pass_, planner.check_rtol(rtol), get_num_threads(), limit, backend, w, fused)
    return Explanation(p, [as_dict(pass_, r) for r in rows])


def as_dict(pass_: str, r: Row, measured: float | None = None) -> dict[str, Any]:
    return {"pass": pass_, **r._asdict(), "measured_seconds": measured}


def _dtype_name(dtype: DTypeLike) -> str:
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        raise TypeError(f"dtype must be float16, float32 or float64, got {dtype!r}") from None
