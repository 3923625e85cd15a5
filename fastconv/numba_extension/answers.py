"""The ordinary calls, as compiled code asks for them. Numba is not imported here.

Functions that were compiled by older versions, and kept on disk, ask `caller` of this module by the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import BackendRefused, WorkspaceError
from ..images.filter2d import filter2d
from ..operations.average_pooling import avg_pool2d
from ..operations.conv2d import conv2d
from ..operations.gradients import conv2d_grad_input, conv2d_grad_weight
from ..operations.pooling import max_pool2d

FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (conv2d, conv2d_grad_input, conv2d_grad_weight, max_pool2d, avg_pool2d, filter2d)
}
#: what compiled code raises for codes 1, 2, ..: the first that fits. Their order stays, for code that is on disk.
ERRORS = (BackendRefused, ValueError, TypeError, WorkspaceError, MemoryError, KeyboardInterrupt, RuntimeError)


def caller(call: str) -> tuple[Any, ...]:
    """What compiled code calls with the values of arguments, for a code of `ERRORS` or 0, its text, and the result.

    ``call`` holds the function's name, "C" if its results must be C-contiguous or "A", and of every argument the name
    and the dtype ("x:float32"), nothing behind the colon if it is no array. The dtypes follow what is returned.
    Arguments that were constants when the call was compiled have a value instead ("dtype=uint8").
    """
    name, layout, *arguments = call.split()
    constants = (argument.split("=") for argument in arguments if "=" in argument)
    names, dtypes = zip(*(argument.split(":") for argument in arguments if ":" in argument), strict=True)
    contiguous = layout == "C"
    given = ", ".join((*(f"{n}={n}" for n in names), *(f"{n}={value!r}" for n, value in constants)))
    function = eval(f"lambda {', '.join(names)}: call({given})", {"call": FUNCTIONS[name]})  # a third of what ** takes

    def answer(*values: Any) -> tuple[int, str, Any]:
        try:
            result = function(*values)
            return 0, "", _contiguous(result) if contiguous else result
        except BaseException as error:  # compiled code between here and its caller cannot pass it on
            return _failure(error)

    return answer, *(np.dtype(dtype) if dtype else None for dtype in dtypes)


def _contiguous(result: Any) -> Any:
    """One-channel arrays may lie either way: those that compiled code takes for C-contiguous are so."""
    if isinstance(result, tuple):
        return tuple(np.ascontiguousarray(a) for a in result)
    return result if result.flags.c_contiguous else np.ascontiguousarray(result)


def _failure(error: BaseException) -> tuple[int, str, None]:
    for code, kind in enumerate(ERRORS, 1):
        if isinstance(error, kind):
            return code, str(error), None
    return len(ERRORS), f"{type(error).__name__}: {error}", None
