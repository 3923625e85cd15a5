"""fastconv in SciPy's place, for programs that are not to be changed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .images.originals import original

_DOORS = ("ndimage", "signal")


class Patch:
    """What `patch_scipy` put in SciPy's place; a context manager that takes it away again."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()

    def undo(self) -> None:
        """Put SciPy's functions back; a second time does nothing."""
        while self._replaced:
            module, name, function = self._replaced.pop()
            setattr(module, name, function)


def patch_scipy() -> Patch:
    """Put the functions of `fastconv.ndimage` and `fastconv.signal` in the place of SciPy's, for the whole process.

    At once, and until the end of a ``with`` block or `Patch.undo`. Whoever looks a name up in `scipy.ndimage` or
    `scipy.signal` afterwards finds fastconv's function: ``scipy.ndimage.gaussian_filter(...)`` wherever it stands, and
    ``from scipy.ndimage import gaussian_filter`` if it runs later. A name that a module imported before stays SciPy's,
    and so do the calls that SciPy makes within itself. What is handed on to SciPy goes to its own functions.

    Returns
    -------
    Patch
        A context manager with a method ``undo``. Within another patch it changes nothing.

    Raises
    ------
    ImportError
        If SciPy is not there.

    Examples
    --------
    >>> import fastconv, scipy.ndimage
    >>> with fastconv.patch_scipy():
    ...     scipy.ndimage.gaussian_filter is fastconv.ndimage.gaussian_filter
    True
    """
    patch = Patch()
    for door in _DOORS:
        ours, package = import_module(f".{door}", __package__), f"scipy.{door}"
        module = import_module(package)
        for name in ours.__all__:
            if hasattr(module, name) and getattr(module, name) is not getattr(ours, name):
                original(package, name)  # found once, kept
                patch._replaced.append((module, name, getattr(module, name)))
                setattr(module, name, getattr(ours, name))
    return patch
