"""The table of backends. Order is preference among equals; the reference stands last."""

from __future__ import annotations

import threading
import warnings

from ..algorithms.base import Backend
from ..algorithms.depthwise import Depthwise
from ..algorithms.direct import Direct
from ..algorithms.fft import Fft
from ..algorithms.fft_tiled import FftTiled
from ..algorithms.im2col import Im2col
from ..algorithms.naive import Naive
from ..algorithms.pointwise import Pointwise
from ..algorithms.reference import Reference
from ..algorithms.separable import Separable
from ..algorithms.split_bf16 import SplitBf16, SplitBf16x1, SplitBf16x6
from ..algorithms.winograd import Winograd
from ..core.problem import PASSES
from ..engines import loader

BACKENDS: tuple[tuple[type[Backend], str], ...] = (
    (Depthwise, "cython"),
    (Depthwise, "numba"),
    (Direct, "cython"),
    (Direct, "numba"),
    (Pointwise, "cython"),
    (Pointwise, "numba"),
    (Winograd, "cython"),
    (Winograd, "numba"),
    (FftTiled, "cython"),
    (FftTiled, "numba"),
    (Separable, "cython"),
    (Separable, "numba"),
    (SplitBf16x1, "cython"),
    (SplitBf16, "cython"),
    (SplitBf16x6, "cython"),
    (Fft, "cython"),
    (Fft, "numba"),
    (Im2col, "cython"),
    (Im2col, "numba"),
    (Naive, "cython"),
    (Naive, "numba"),
    (Reference, ""),
)

_table: dict[str, Backend] = {}
_lock = threading.RLock()
_generation = 0  # counts changes: plans made before one are stale


def _own() -> dict[str, Backend]:
    """The table, built on first use together with the plug-ins that other packages announce."""
    global _table
    if not _table:
        with _lock:
            if not _table:
                made = (
                    algorithm(engine, loader.load, loader.vector_bytes(engine), loader.bf16(engine))
                    for algorithm, engine in BACKENDS
                )
                _table = {b.name: b for b in made}
                _load_entry_points()
    return _table


def _load_entry_points() -> None:
    from importlib.metadata import entry_points

    for point in entry_points(group="fastconv.backends"):
        try:
            made = point.load()
            register_backend(made() if isinstance(made, type) else made)
        except Exception as error:  # a broken plug-in must not take fastconv down
            warnings.warn(f"backend plug-in {point.name} = {point.value} could not be loaded: {error}", stacklevel=2)


def list_backends() -> list[str]:
    """Names of all backends, ``algorithm/engine``, in order of preference.

    Returns
    -------
    list of str
    """
    return list(_own())


def get_backend(name: str) -> Backend:
    """The backend of a name.

    Parameters
    ----------
    name : str
        ``algorithm/engine``.

    Returns
    -------
    Backend

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    try:
        return _own()[name]
    except KeyError:
        raise ValueError(f"backend must be one of {', '.join(_own())}, got {name!r}") from None


def find_backends(name: str) -> list[Backend]:
    """Backends that ``backend=name`` may mean: one of the full name, or all engines of an algorithm."""
    table = _own()
    if name in table:
        return [table[name]]
    found = [b for b in table.values() if b.algorithm == name]
    if not found:
        names = [*dict.fromkeys(b.algorithm for b in table.values()), *table]
        raise ValueError(f"backend must be 'auto' or one of {', '.join(dict.fromkeys(names))}, got {name!r}")
    return found


def all_backends() -> list[Backend]:
    """Every backend, in order of preference."""
    return list(_own().values())


def register_backend(backend: Backend) -> None:
    """Add a backend; it is planned, explained, tuned and tested like the built-in ones.

    Packages announce theirs by the entry-point group ``fastconv.backends``: a `Backend` subclass that
    needs no arguments, or an instance. A backend of the same name is replaced.

    Parameters
    ----------
    backend : Backend

    Raises
    ------
    TypeError
        If ``backend`` is no instance of `fastconv.Backend`.
    ValueError
        If it has no name of the form ``algorithm/engine``, or none of the three passes.
    """
    if not isinstance(backend, Backend):
        raise TypeError(f"backend must be an instance of fastconv.Backend, got {backend!r}")
    if not backend.algorithm or "/" in backend.algorithm or "/" in backend.engine:
        raise ValueError(f"backend must have an algorithm and an engine without slashes, got {backend.name!r}")
    if not any(getattr(type(backend), pass_) is not getattr(Backend, pass_) for pass_ in PASSES):
        raise ValueError(f"backend {backend.name!r} must define at least one of {', '.join(PASSES)}")
    global _generation
    with _lock:
        table = _own()
        last = table.pop("reference", None) if backend.name != "reference" else None
        table[backend.name] = backend
        if last is not None:
            table["reference"] = last
        _generation += 1


def unregister_backend(name: str) -> None:
    """Take a backend out of the table again.

    Parameters
    ----------
    name : str

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    global _generation
    get_backend(name)
    with _lock:
        del _table[name]
        _generation += 1


def generation() -> int:
    """Changes whenever the table does."""
    return _generation
