"""Routines: functions that are compiled once for a dtype, and called by their address from steps and each other.

Numba would compile a helper again into every step that calls it. The first argument of a routine is a table of
64-bit numbers, where steps put the addresses of all routines; the others are numbers and addresses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import extending, types
from numba.np.numpy_support import from_dtype

from . import launch
from .emit import I64

_TABLE = types.CPointer(types.int64)


class Routines:
    """Some routines, whose addresses are in the table from `place` on."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._functions: list[tuple[Callable, str]] = []
        self._compiled: dict[np.dtype, tuple] = {}

    def routine(self, kinds: str) -> Callable[[Callable], Any]:
        """Decorator: the function becomes its call. kinds, of the arguments after the table: n for a number, a for an
        address of numbers of the dtype, i for one of 64-bit integers."""

        def decorate(function: Callable) -> Any:
            place = I64(self._place + len(self._functions))
            self._functions.append((function, kinds))

            def call(typingctx, s, *args):
                dtypes = [arg.dtype for arg, kind in zip(args, kinds, strict=True) if kind == "a"]
                signature = _signature(kinds, *dtypes[:1])

                def codegen(context, b, sig, args):
                    kind = context.call_conv.get_function_type(types.none, signature)
                    address = b.inttoptr(b.load(b.gep(args[0], [place])), kind.as_pointer())
                    context.call_conv.call_function(b, address, types.none, signature, args)
                    return context.get_dummy_value()

                return types.void(*signature), codegen

            names = ["typingctx", *inspect.signature(function).parameters]
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            call.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore
            call.__name__, call.__doc__ = function.__name__, function.__doc__
            return extending.intrinsic(call)

        return decorate

    def addresses(self, dtype: np.dtype) -> np.ndarray:
        """Where the routines for a dtype are; they are compiled on the first call."""
        if dtype not in self._compiled:
            real = from_dtype(dtype)
            with launch.compiling():
                if dtype not in self._compiled:
                    runs = [launch.compiled(f, _signature(kinds, real)) for f, kinds in self._functions]
                    self._compiled[dtype] = np.array([address for _, address in runs], np.int64), runs
        found: np.ndarray = self._compiled[dtype][0]
        return found


def _signature(kinds: str, dtype: types.Type = types.float64) -> tuple:
    known = {"n": types.int64, "a": types.CPointer(dtype), "i": _TABLE}
    return (_TABLE, *(known[kind] for kind in kinds))
