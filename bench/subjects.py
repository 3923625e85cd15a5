"""The calls into fastconv that are measured: one layer, one pass, one backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import fastconv
from bench.oracle import TOLERANCE
from bench.workloads import Layer, Tensors, matches
from fastconv.planning import planner


def backends(patterns: Iterable[str] = ()) -> list[str]:
    """Names of the backends that fit one of the shell-style `patterns` (all of them without a pattern)."""
    patterns = list(patterns)
    return [name for name in fastconv.list_backends() if matches(name, patterns)]


def refusal(backend: str, layer: Layer, pass_: str, dtype: str) -> str | None:
    """Why `backend` does not compute this pass over this layer to float precision, or None."""
    found, problem = fastconv.get_backend(backend), layer.problem(dtype)
    reason = found.refuse(problem, pass_)
    if reason is None and (bound := found.error_bound(problem, pass_)) > TOLERANCE[dtype]:
        return f"its error bound {bound:.1e} is for callers that allow it"
    return reason


def call_of(layer: Layer, pass_: str, tensors: Tensors, backend: str = "auto") -> Callable[[], np.ndarray]:
    """The call that is timed: what a user would type, weights unprepared, a new array for the result."""
    x, w, dy = tensors
    options = {**layer.options, "backend": backend}
    if pass_ == "forward":
        return lambda: fastconv.conv2d(x, w, **options)
    if pass_ == "grad_input":
        return lambda: fastconv.conv2d_grad_input(dy, w, x.shape, **options)
    return lambda: fastconv.conv2d_grad_weight(dy, x, w.shape, **options)


def prepared_call_of(layer: Layer, tensors: Tensors, backend: str = "auto", **more: Any) -> Callable[[], np.ndarray]:
    """The forward pass of a plan whose weights were prepared before; `more` goes to `fastconv.plan_conv2d`."""
    x, w, _ = tensors
    plan = fastconv.plan_conv2d(x.shape, w, **layer.options, backend=backend, **more)
    return lambda: plan(x)


def chosen(layer: Layer, pass_: str, layout: str = "nchw", dtype: str = "float32") -> str:
    """Name of the backend that auto takes for arrays of a layout."""
    problem = layer.problem(dtype)
    if layout == "nhwc" and "x_last" in problem._fields:  # else the plan does not depend on it
        flags: dict[str, Any] = {"x_last": True, "y_last": True}
        problem = problem._replace(**flags)
    return str(planner.plan(problem, pass_, "auto", None, fastconv.get_num_threads()).backend.name)


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether this version of fastconv's `function` has the argument."""
    return argument in inspect.signature(function).parameters
