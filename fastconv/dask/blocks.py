"""How a dask array is cut: windows, halos, Dask's `map_overlap`, threads."""

from __future__ import annotations

import inspect
import itertools
import math
import multiprocessing
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeAlias

import dask
import dask.array as da
import numpy as np
from dask.array.overlap import ensure_minimum_chunksize
from dask.delayed import Delayed, delayed

from ..core.arguments import integer
from ..core.arrays import foreign
from ..core.threads import get_num_threads, num_threads
from ..core.typing import Array

_LARGE = 1 << 20  # bytes of an argument that goes to a worker once, not with every task
P = ParamSpec("P")


class Windows(NamedTuple):
    """Windows along an axis: output i sees ``span`` pixels from ``i * stride - before`` on."""

    span: int
    before: int
    out: int
    wraps: bool = False
    stride: int = 1
    after: int = 0  # padding at the end

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that a block needs from its neighbours, wherever it begins; Dask wraps equal numbers only."""
        low, high = self.before, max(self.span - 1 - self.before, 0)
        return (max(low, high, self.after),) * 2 if self.wraps else (low, high)

    @property
    def least(self) -> int:
        """Pixels that a block must have to serve its neighbours and its own border, and to have an output."""
        return max(*self.halo, self.after) + self.stride


Axes: TypeAlias = dict[int, Windows]
#: the pixel that a block begins at, with its halo, and its first output and the one behind its last
Place: TypeAlias = tuple[int, int, int]


def _overlapping(
    function: Any, x: Any, axes: Axes, whole: int | None, like: Array, weights: Any = None, **given: Any
) -> Any:
    """``function(block, places, axes=axes, **given)`` for every block of ``x`` with its halo.

    The result has the dtype of ``like``, and its length along the axis ``whole``, which is not split. ``weights`` of
    the pixels, of as many axes, are one of the arguments.
    """
    cut = _merged(x, axes, whole)
    ends = [np.cumsum((0, *c)).tolist() for c in cut]
    pieces, chunks = [list(itertools.pairwise(e)) for e in ends], list(cut)
    if whole is not None:
        chunks[whole] = (like.shape[whole],)
    depth: dict[int, Any] = dict.fromkeys(range(x.ndim), 0)
    for k, a in axes.items():
        low, high = a.halo if len(cut[k]) > 1 else (0, 0)  # an axis in one piece has its own border
        depth[k] = low if a.wraps else (low, high)
        first, last = (-low, x.shape[k] + high) if a.wraps else (0, x.shape[k])
        pieces[k] = [(max(m - low, first), min(n + high, last)) for m, n in pieces[k]]
        outputs = [*(min(-(-e // a.stride), a.out) for e in ends[k][:-1]), a.out]
        chunks[k] = tuple(n - m for m, n in itertools.pairwise(outputs))
    told = {
        "chunks": tuple(chunks), "dtype": like.dtype, "meta": np.empty((0,) * x.ndim, like.dtype),
        "function": function, "pieces": pieces, "threads": _threads(), "given": {"axes": axes, **given},
    }  # fmt: skip
    stored = _stored(x)
    if weights is None and stored is not None and not any(p[0][0] < 0 for p in pieces):
        return da.map_blocks(_read, stored=stored, **told)  # type: ignore[no-untyped-call]
    around = {k: "periodic" if k in axes and axes[k].wraps and depth[k] else "none" for k in depth}
    arrays = [x if cut == x.chunks else x.rechunk(cut)]
    if weights is not None:
        arrays.append(weights.rechunk((*cut[:2], *weights.shape[2:])))
    return da.map_overlap(  # type: ignore[no-untyped-call]
        _task, *arrays, depth=depth, boundary=around, trim=False, allow_rechunk=False, **told
    )


def _merged(x: Any, axes: Axes, whole: int | None) -> tuple[tuple[int, ...], ...]:
    """The chunks of the array, channels in one piece, and none too small for its windows."""
    chunks, small = list(x.chunks), []
    if whole is not None:
        chunks[whole] = (x.shape[whole],)
    for k, a in axes.items():
        if len(chunks[k]) > 1 and min(chunks[k]) < a.least:
            small.append(f"{min(chunks[k])} pixels along axis {k} (at least {a.least} are needed)")
            fits = a.least <= x.shape[k]
            chunks[k] = ensure_minimum_chunksize(a.least, chunks[k]) if fits else (x.shape[k],)  # type: ignore[no-untyped-call]
    if small:
        warnings.warn(f"chunks smaller than their halo are merged: {', '.join(small)}", stacklevel=4)
    return tuple(chunks)


def _stored(x: Any) -> Any:
    """What `dask.array.from_array` or `from_zarr` reads, if ``x`` is that and read without a lock; else None.

    Blocks with their halos are cut from it. Blocks that are read once and handed to their neighbours stay in memory, a
    dozen for each worker.
    """
    name = f"original-{x.name}"
    layers = x.dask.layers
    how = getattr(getattr(layers[x.name], "task", None), "kwargs", None)
    if set(layers) != {name, x.name} or how is None or how.get("lock"):
        return None
    return Delayed(name, {name: layers[name][name]})  # type: ignore[no-untyped-call]


def _threads() -> int | None:
    """What the configuration says at the time of the call; it goes with the tasks, wherever they run."""
    n = dask.config.get("fastconv.num-threads", None)
    return None if n is None else integer("fastconv.num-threads", n, 1)


def _task(
    block: Any, *weights: Any, function: Any, pieces: Any, threads: int | None, given: Any, block_info: Any
) -> Array:
    """One block, and maybe the weights of its pixels.

    Only a scheduler that runs one task at a time does so in the main thread of a main process.
    """
    at, outputs = block_info[None]["chunk-location"], block_info[None]["array-location"]
    places = {k: (pieces[k][at[k]][0], *outputs[k]) for k in given["axes"]}
    alone = threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None
    for w in weights:
        w = w[:, :, 0] if w.ndim == 3 and w.shape[2] == 1 else w  # of all channels
        given = {**given, "arguments": {**given["arguments"], "weights": np.asarray(w)}}
    with num_threads(threads or (get_num_threads() if alone else 1)):
        found: Array = function(np.asarray(block), places, **given)
    return found


def _read(stored: Any, pieces: Any, block_info: Any, **told: Any) -> Array:
    """The same, of a block that is read here."""
    where = tuple(slice(*p[i]) for p, i in zip(pieces, block_info[None]["chunk-location"], strict=True))
    return _task(stored[where], pieces=pieces, block_info=block_info, **told)


def _trimmed(block: Array, places: dict[int, Place], axes: Axes, call: Any, arguments: Any) -> Array:
    """A filter whose result has the size of its image: what it makes of the halo is cut off."""
    inside = [slice(None)] * block.ndim
    for k, (begin, start, stop) in places.items():
        inside[k] = slice(start - begin, stop - begin)
    found: Array = call(block, **arguments)[tuple(inside)]
    return found


def _padded(block: Array, places: dict[int, Place], axes: Axes, call: Any, arguments: Any) -> Array:
    """An operation with padding of its own: the first window is put at the first output, and padding at the edges."""
    seen, wanted, pads = [slice(None)] * block.ndim, [slice(None)] * block.ndim, []
    for k, (begin, start, stop) in places.items():
        a, first = axes[k], start * axes[k].stride - axes[k].before
        short = (stop - 1) * a.stride - a.before + a.span - (begin + block.shape[k])
        seen[k], wanted[k] = slice(max(first - begin, 0), None), slice(stop - start)
        pads.append((max(begin - first, 0), min(max(short, 0), a.after)))
    found: Array = call(block[tuple(seen)], **arguments, padding=tuple(pads))[tuple(wanted)]
    return found


_DOC = """{summary}

Parameters
----------
{first} : dask array {form}
    Of NumPy arrays, with known chunk sizes.
{others}
    As in `{name}`.

Returns
-------
dask array {form}
    Cut as ``{first}`` is. Nothing is computed yet.

Raises
------
TypeError, ValueError
    As `{name}`, when called; also if ``{first}`` is no dask array of numbers, or has unknown chunk sizes.
"""


def door(call: Callable[P, Any], form: str) -> Callable[[Callable[..., Axes]], Callable[P, Any]]:
    """``call`` for dask arrays; what is decorated says by which windows, from the array and all other arguments.

    The first parameter is the array. Arrays that are filled, or have the shape of the result, are left out.
    """
    known = inspect.signature(call)
    left_out = ("out", "residual", "return_indices")
    first, *others = (p for p in known.parameters.values() if p.name not in left_out)
    weighs = any(p.name == "weights" and p.default is None for p in others)  # pixels, by an array of their shape
    lazy = "dask.array.Array"
    signature = known.replace(parameters=[first.replace(annotation=lazy), *others], return_annotation=lazy)
    sample: Callable[..., Any] = call
    adds = any(p.name == "padding" for p in others)
    home = "fastconv.ndimage" if call.__module__.startswith("fastconv.ndimage") else "fastconv"
    name = f"{home}.{call.__name__}"

    def decorated(windows: Callable[..., Axes]) -> Callable[P, Any]:
        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            arguments: dict[str, Any] = dict(bound.arguments)
            whole: int | None
            x = _checked(first.name, arguments.pop(first.name))
            if isinstance(arguments.get("output"), np.ndarray | da.Array):
                raise TypeError("output must be a dtype: the result is a new dask array")
            if adds:
                axes = windows(x, **arguments)
                del arguments["padding"]
                whole = min(set(range(x.ndim - 3, x.ndim)) - set(axes))
                least = [axes[k].span if k in axes else x.shape[k] if k == whole else 1 for k in range(x.ndim)]
                like = sample(np.zeros(least, x.dtype), **arguments)
            else:  # a filter of one pixel finds fault with arguments that windows cannot be told from
                pixel = np.zeros((1, 1, *x.shape[2:])[: x.ndim], x.dtype)
                weights = _weights(arguments.pop("weights"), x) if weighs else None
                like = sample(pixel, **arguments, **({} if weights is None else {"weights": np.ones((1, 1))}))
                axes, whole = windows(x, **arguments), 2 if x.ndim == 3 else None
            given = {k: delayed(v) if getattr(v, "nbytes", 0) > _LARGE else v for k, v in arguments.items()}
            step = _padded if adds else _trimmed
            return _overlapping(step, x, axes, whole, like, None if adds else weights, call=call, arguments=given)

        function.__name__ = function.__qualname__ = call.__name__
        function.__module__ = windows.__module__
        function.__signature__ = signature  # type: ignore[attr-defined]
        function.__annotations__ = {first.name: lazy, **{p.name: p.annotation for p in others}, "return": lazy}
        function.__doc__ = _DOC.format(
            summary=windows.__doc__, first=first.name, form=form, others=", ".join(p.name for p in others), name=name
        )
        return function

    return decorated


def _checked(name: str, x: Any) -> Any:
    if not isinstance(x, da.Array):
        raise TypeError(f"{name} must be a dask array, got {type(x).__name__}")
    if not isinstance(x._meta, np.ndarray) or isinstance(x._meta, np.ma.MaskedArray) or x.dtype.hasobject:
        raise TypeError(f"{name} must hold numbers in NumPy arrays, got {x.dtype} in {type(x._meta).__name__}")
    if any(math.isnan(n) for n in x.shape):
        raise ValueError(f"{name} must have known chunk sizes, got {x.chunks}: call its compute_chunk_sizes() first")
    return x


def _weights(given: Any, x: Any) -> Any:
    """Weights of the pixels of ``x`` as a dask array of as many axes; what they hold is looked at block by block."""
    if given is None:
        return None
    w = given if isinstance(given, da.Array) else da.from_array(foreign("weights", given))  # type: ignore[no-untyped-call]
    if w.dtype.kind not in "buif":
        raise TypeError(f"weights must hold real numbers, got {w.dtype}")
    if w.shape not in (x.shape, x.shape[:2]):
        raise ValueError(f"weights must have shape {' or '.join(map(str, {x.shape[:2], x.shape}))}, got {w.shape}")
    return w[:, :, None] if w.ndim < x.ndim else w
