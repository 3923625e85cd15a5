"""What is kept of a call of `ndimage` for the next of its kind: everything but pixels."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from ..core import workspace
from ..core.arrays import tell_of_mask
from ..core.threads import get_num_threads
from ..core.typing import Array
from ..engines import loader
from . import filtering
from .ndimage_calls import Line, Odd, Terms, freeze, is_real
from .ndimage_passes import LONGEST, NARROW, TALL, TOGETHER, Pass, chain, each_plane, prepared

#: longest axis of images, and bytes of weights, whose plans are kept: they hold them, and tables of positions
KEPT = 1 << 15
#: pixels of images below which sums in float64 take less time, and are better anyway
SMALL = 1 << 14
#: numbers of a stack from which on threads take slabs of it, each with all its passes
LARGE = 1 << 20
#: whether float32 images are summed in float32
single: ContextVar[bool] = ContextVar("single", default=False)


class Plan:
    """A function of an image, of fixed shape and dtypes."""

    def __init__(self, shape: tuple[int, ...], to: Any, one: Pass, terms: int = 1) -> None:
        self._shape, self._to, self._pass, self._terms = shape, to, one, terms

    def __call__(self, x: Array, output: Array | None) -> Array | None:
        """The result, in ``output`` if there is one."""
        flags = x.flags
        image = x if flags.c_contiguous and flags.aligned else np.require(x, None, ("C", "A"))
        if output is None:
            y = np.empty(self._shape, self._to)
            self._pass(image, y)
            return y
        flags, shared = output.flags, np.may_share_memory(x, output)
        if shared and self._terms > 1:
            return None  # SciPy's second term reads the first
        if flags.c_contiguous and flags.aligned and not shared:
            self._pass(image, output)
        else:
            output[...] = self(x, None)
        return output


TermsOf = Callable[..., Terms]


def filtered(terms_of: TermsOf, input: Any, output: Any, *args: Any) -> Array | None:
    """The result, or None where SciPy must do it."""
    return planned(_plan, terms_of, input, output, *args)


def planned(make: Any, what: Any, input: Any, output: Any, *args: Any) -> Array | None:
    """The result of the plan that ``make`` makes and keeps; weights, if there are any, come first."""
    x, out = input, None
    if type(input) is not np.ndarray:
        tell_of_mask("input", input, 5)
        x = np.asarray(input)
    if isinstance(output, np.ndarray):
        out, output = output, output.dtype
        if out.shape != x.shape or not out.flags.writeable:
            return None
    elif output is not None and not isinstance(output, (type, str, np.dtype)):
        return None
    if (x.size > KEPT and max(x.shape) > KEPT) or (type(args[0]) is bytes and len(args[0]) > KEPT):
        make = make.__wrapped__
    try:
        args = freeze(args)
    except Odd:
        return None
    plan = make(what, x.shape, x.dtype, output, get_num_threads(), single.get(), *args)
    return None if plan is None else plan(x, out)  # type: ignore[no-any-return]


def kept(make: Callable[..., Any]) -> Any:
    """Plans by their arguments, and None for those that SciPy must judge."""

    @lru_cache(512, typed=True)
    def plan_of(*args: Any) -> Any:
        try:
            return make(*args)
        except Odd:
            return None

    return plan_of


@kept
def _plan(
    terms_of: TermsOf, shape: tuple[int, ...], dtype: Any, to: Any, threads: int, single: bool, *args: Any
) -> Plan:
    to = checked(shape, dtype, to)
    chains, magnitude = terms_of(len(shape), *args)
    single = single and dtype == to == np.float32
    return Plan(shape, to, by_slabs(shape, chains, magnitude, dtype, to, threads, single), len(chains))


def checked(shape: tuple[int, ...], dtype: Any, to: Any) -> Any:
    """The dtype of the result for an array that is filtered here."""
    try:
        to = np.dtype(dtype.name if to is None else to)
    except TypeError:
        raise Odd from None
    if not prod(shape) or not shape or not is_real(dtype) or not is_real(to):
        raise Odd
    return to


def by_slabs(
    shape: tuple[int, ...], chains: list[list[Line]], magnitude: bool, read: Any, to: Any, threads: int, single: bool
) -> Pass:
    """All passes on some planes of a stack after the other: what lies between passes stays in the cache."""
    if not all(chains):
        raise Odd  # a copy
    lead = min(line.axis for lines in chains for line in lines)
    slabs, slab = prod(shape[:lead]), shape[lead:]
    if slabs == 1 or len(chains) == len(chains[0]) == 1:
        return _sum(shape, chains, magnitude, read, to, threads, single)
    moved = [[line._replace(axis=line.axis - lead + 1) for line in lines] for lines in chains]
    beside = threads if prod(shape) >= LARGE and slabs >= threads else 1
    some = min(-(-slabs // beside), max(1, TOGETHER // beside // prod(slab)))
    sizes, inner = {some, slabs % some} - {0}, 1 if beside > 1 else threads
    passes = {n: _sum((n, *slab), moved, magnitude, read, to, inner, single) for n in sizes}
    return partial(_by_slabs, (slabs, *slab), some, passes, beside)


def _by_slabs(shape: tuple[int, ...], some: int, passes: dict[int, Pass], beside: int, x: Array, y: Array) -> None:
    x, y = x.reshape(shape), y.reshape(shape)
    starts = range(0, shape[0], some)

    def share(k: int) -> None:
        for i in starts[k * len(starts) // beside : (k + 1) * len(starts) // beside]:
            n = min(some, shape[0] - i)
            passes[n](x[i : i + n], y[i : i + n])

    if beside == 1:
        share(0)
        return
    with ThreadPoolExecutor(beside - 1) as others:  # one start for all passes, where steps' threads meet at each
        rest = [others.submit(share, k) for k in range(1, beside)]
        share(0)
        for one in rest:
            one.result()


def _sum(
    shape: tuple[int, ...], chains: list[list[Line]], magnitude: bool, read: Any, to: Any, threads: int, single: bool
) -> Pass:
    parts = [_chain(shape, lines, read, to, threads, single) for lines in chains]
    return partial(_add, parts, magnitude) if magnitude or len(parts) > 1 else parts[0]


def _add(parts: list[Pass], magnitude: bool, x: Array, y: Array) -> None:
    """The sum of terms in the dtype of the result, or the root of the sum of their squares, as SciPy adds them."""
    parts[0](x, y)
    if magnitude:
        np.multiply(y, y, y)
    room = workspace.borrow("int16", y.nbytes)  # chains take theirs from other dtypes
    try:
        term = room[: -(-y.nbytes // 2)].view("uint8")[: y.nbytes].view(y.dtype).reshape(y.shape)
        for part in parts[1:]:
            part(x, term)
            np.add(y, np.multiply(term, term, term) if magnitude else term, y)
    finally:
        workspace.give_back("int16", room)
    if magnitude:
        np.sqrt(y, y, casting="unsafe")


def _chain(shape: tuple[int, ...], lines: list[Line], read: Any, to: Any, threads: int, single: bool) -> Pass:
    if single and len(lines) == 2 and (both := _in_float32(shape, lines[0], lines[1], threads)):
        return both
    last = len(shape) - 1
    narrow = shape[last] <= NARROW and prod(shape[:last]) >= TALL
    if narrow and len(lines) == 1 and lines[0].weights is None and lines[0].axis == 0 and last == 1:
        if shape[1] < loader.vector_bytes() // 8 or shape[0] > LONGEST:
            raise Odd  # SciPy's loop takes less time than to turn them
        narrow = False
    if narrow and any(line.axis == last or line.weights is None for line in lines):
        turned = shape[last], *shape[:last]
        moved = [line._replace(axis=(line.axis + 1) % len(shape)) for line in lines]
        return _turned((prod(shape[:last]), shape[last]), turned, chain(turned, moved, read, to, threads), read, to)
    return chain(shape, lines, read, to, threads)


def _turned(matrix: tuple[int, int], turned: tuple[int, ...], inner: Pass, read: Any, to: Any) -> Pass:
    """Rows of a few numbers are filtered as a few long ones."""
    there, back, n = transposition(read), transposition(to), prod(matrix)
    half, whole, flipped = n * read.itemsize, n * (read.itemsize + to.itemsize), matrix[::-1]

    def call(x: Array, y: Array) -> None:
        room = workspace.borrow("int8", whole)  # a chain takes its own from "uint8"
        try:
            source = room[:half].view(read).reshape(flipped)
            result = room[half:whole].view(to).reshape(flipped)
            there(x.reshape(matrix), source)
            inner(source.reshape(turned), result.reshape(turned))
            back(result, y.reshape(matrix))
        finally:
            workspace.give_back("int8", room)

    return call


def transposition(dtype: Any) -> Pass:
    """What fills a matrix whose rows are the columns of another; both are C-contiguous."""
    if dtype.itemsize < 4:
        return lambda x, y: np.copyto(y, x.T)
    floats = "float64" if dtype.itemsize == 8 else "float32"  # any numbers of this size pass for floats
    flip = filtering.steps(floats)[1].to_channels_first
    return lambda x, y: flip(x.view(floats)[None, None], y.view(floats)[None, :, None], 1)


def _in_float32(shape: tuple[int, ...], first: Line, second: Line, threads: int) -> Pass | None:
    """Both passes at once, if they are along neighbouring axes and commute where ``cval`` stands outside."""
    down, right = sorted((first, second), key=lambda line: line.axis)
    if down.weights is None or right.weights is None or right.axis - down.axis != 1:
        return None
    outside = [one for one in (first, second) if one.mode == "zeros"]
    if outside and first.cval and any(abs(float(one.weights.sum()) - 1) > 1e-6 for one in (down, right)):  # type: ignore[union-attr]
        return None
    h, w = shape[down.axis], shape[right.axis]
    if h * w < SMALL:
        return None
    planes, image = prod(shape[: down.axis]), (h, w, prod(shape[right.axis + 1 :]))
    see = filtering.window(
        image, (down.first, right.first), (h + down.size - 1, w + right.size - 1), (down.mode, right.mode), down.cval
    )
    column, line = np.array(down.weights[::-1], np.float32), np.array(right.weights, np.float32)
    both = prepared("separable", image, see, "float32", 0, threads, column, line)
    return both if planes == 1 else partial(each_plane, both, planes)
