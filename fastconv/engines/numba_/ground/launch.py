"""Turns a function into a step: compiled on first use, kept on disk, run serially or in parallel, safely.

`step` is the decorator of steps. The decorated function is plain Numba code that does one share of the work: its last
arguments are ``ithr, nthr``, in the place of which callers pass ``threads``. Shares run on the threads of the compiled
kernels; where nothing is compiled, in a parallel loop of Numba's. ``threads == 1`` starts no threads, and on Numba's
neither do calls that must not:

* in a forked child (GNU OpenMP kills it, TBB and workqueue lose their threads),
* from inside somebody's parallel region, if the layer is Numba's ``workqueue``. That layer aborts the process when
  two threads launch at once, so launches on it take turns.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.np.numpy_support import from_dtype
from numba.np.ufunc.parallel import get_num_threads, get_thread_count, threading_layer

from . import shares
from .target import LEVEL

# without _nrt nothing can be allocated and no references are counted, which helpers with branches pay dearly for
_OPTIONS: dict[str, Any] = {"_nrt": False, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_AUTOMATIC = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
_PARALLEL = {"prange": True} | dict.fromkeys(_AUTOMATIC, False)  # quicker to compile, and nothing runs unasked


def _source_stamp() -> str:
    """Changes with any source file of this engine: intrinsics and helpers are compiled into the steps."""
    engine = Path(__file__).parents[1]
    text = b"".join(
        path.read_bytes() for path in [*sorted(engine.rglob("*.py")), *sorted((engine.parent / "records").glob("*.py"))]
    )
    return hashlib.sha256(text).hexdigest()


_STAMP = _source_stamp()


class _Files(IndexDataCacheFile):
    """The index and the files of a cache; a damaged index is an empty one."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # unpickling raises anything
            return {}


class _Cache(FunctionCache):
    """Numba's cache on disk, which by itself looks only at the function's own source, and raises on damage."""

    def __init__(self, function: Callable, parallel: bool) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), _STAMP
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamp)
        self._variant = LEVEL, parallel

    def _index_key(self, sig: Any, codegen: Any) -> tuple:
        return (*super()._index_key(sig, codegen), *self._variant)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        try:
            saved_key, payload = self._cache_file.load(key)
            # two processes that compile at once may give one file name to two functions
            return self._impl.rebuild(target_context, payload) if saved_key == key else None
        except Exception:  # absent, damaged or foreign: compile instead
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if self._impl.check_cachable(data):
            key = self._index_key(sig, data.codegen)
            with contextlib.suppress(OSError):  # nowhere to write: the next process compiles again
                self._cache_file.save(key, (key, self._impl.reduce(data)))


class Step:
    """A step: call it with its arguments and the number of threads.

    It is compiled for the dtype of its first argument, an array; floats among the others are float64, integers
    64-bit. Arrays must be C-contiguous. Those that the step does not write may be read-only, and are so for the
    compiler: a step that writes to an input does not compile. It is compiled once, for one thread as for many: who
    runs its shares calls it by its address (shares.py).
    """

    def __init__(self, function: Callable, outputs: tuple[str, ...], fused: bool = True) -> None:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        self._function, self._readonly = function, [name not in outputs for name in names]
        self._compiled: dict[tuple, Any] = {}
        self._fused = fused
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any) -> None:
        threads, args = args[-1], args[:-1]
        if threads == 1 or not (_POOL or _may_launch()):
            try:
                run = self._compiled[args[0].dtype.char, False]
            except KeyError:
                run = self._compile(args)
            for share in range(threads):
                run(*args, share, threads)
            return
        try:
            start, step, loop = self._compiled[args[0].dtype.char, True]
        except KeyError:
            start, step, loop = self._parallel(args)
        if _POOL:
            start(step, loop, threads, args)
        else:
            _in_turn(start, (step, loop, min(threads, get_thread_count()), threads, args))

    def _parallel(self, args: tuple) -> Any:
        """What starts all shares, the address of the step, and of who runs them."""
        run = self._compile(args)
        key, integers = (args[0].dtype.char, True), (types.intp,) * 3
        with _state.compiling:
            if not _POOL and "loop" not in _shared:
                _shared["loop"] = _jit(shares.every_share, integers, True)
            if key not in self._compiled:
                packed = types.Tuple(self._signature((*args, 0, 0))[:-2])
                if _POOL:
                    start, loop = _jit(shares.on_pool, (*integers, packed), False), _POOL
                else:
                    start = _jit(shares.on_loop, (*integers, types.intp, packed), False)
                    loop = _address(_shared["loop"])
                self._compiled[key] = start, _address(run), loop
        return self._compiled[key]

    def _compile(self, args: tuple) -> Any:
        key = args[0].dtype.char, False
        with _state.compiling:
            if key not in self._compiled:
                self._compiled[key] = _jit(self._function, self._signature((*args, 0, 1)), False, self._fused)
        return self._compiled[key]

    def _signature(self, args: tuple) -> tuple:
        return tuple(_numba_type(arg, readonly) for arg, readonly in zip(args, self._readonly, strict=True))


def step(*outputs: str, fused: bool = True) -> Callable[[Callable], Step]:
    """Decorator: make a `Step` of a function that writes to the arguments named `outputs`.

    `fused` lets a product and a sum become one instruction, which rounds once.
    """
    return lambda function: Step(function, outputs, fused)


def _jit(function: Callable, signature: tuple, parallel: bool, fused: bool = True) -> Any:
    """Compile a function, or find it on disk."""
    options = _OPTIONS | {"parallel": _PARALLEL if parallel else False} | ({} if fused else {"fastmath": False})
    run: Any = njit(**options)(function)
    with contextlib.suppress(RuntimeError):  # no cache if neither __pycache__ nor ~/.cache can be written
        run._cache = _Cache(function, parallel)
    run.compile(signature)
    run.disable_compile()
    return run


def _address(run: Any) -> int:
    """Where the code of a compiled function is, in Numba's own calling convention."""
    (compiled,) = run.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def compiling() -> Any:
    """The lock under which functions are compiled."""
    return _state.compiling


def compiled(function: Callable, signature: tuple) -> tuple[Any, int]:
    """The compiled function, to be kept, and the address of its code."""
    run = _jit(function, signature, False)
    return run, _address(run)


def _pool() -> int:
    """The address of `fc_launch` (cython_/ground/pool.h), 0 if nothing is compiled."""
    try:
        from ...cython_ import _pool  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        return 0
    return int(_pool.LAUNCH)


_POOL = _pool()
_shared: dict[str, Any] = {}  # the parallel loop of all steps


def _numba_type(arg: Any, readonly: bool) -> types.Type:
    if isinstance(arg, np.ndarray):
        return types.Array(from_dtype(arg.dtype), arg.ndim, "C", readonly=readonly)
    if isinstance(arg, bool):
        return types.boolean
    return types.float64 if isinstance(arg, float) else types.intp


class _State:
    """What a forked child must not inherit."""

    def __init__(self, forked: bool) -> None:
        self.forked, self.started = forked, False
        self.compiling, self.launching = threading.RLock(), threading.Lock()


_state = _State(forked=False)


def _after_fork() -> None:
    global _state
    _state = _State(forked=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _may_launch() -> bool:
    """Whether this thread may start a parallel loop."""
    if _state.forked or get_thread_count() == 1:
        return False
    if not _state.started:
        get_num_threads()  # chooses the layer and starts its threads
        _state.started = True
    if threading_layer() != "workqueue":
        return True
    return not isinstance(threading.current_thread(), threading._DummyThread)  # not one of Numba's workers


def _in_turn(run: Callable, args: tuple) -> Any:
    """Start a parallel loop, one at a time where the layer asks for it."""
    if threading_layer() != "workqueue":
        return run(*args)
    with _state.launching:
        return run(*args)
