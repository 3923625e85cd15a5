"""What a backend is: one algorithm on one engine, as the planner and the plan see it.

An algorithm is one subclass in one file. It gets C-contiguous native float32 or float64 arrays, (n, c, h, w) or,
where its `layout` says so, (n, h, w, c), zero padding only and at least one image; it fills its whole output and
keeps nothing between calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.flops import compulsory_bytes, nominal_flops
from ..core.problem import ConvProblem
from ..engines.records import ConvGeometry, pack

if TYPE_CHECKING:
    from ..engines.kernels import Kernels

Array = np.ndarray[Any, Any]
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-24, "bfloat16": 2.0**-24}


ACTIVATIONS = ("", "relu", "relu6", "leaky_relu", "silu", "hardswish", "gelu", "sigmoid", "tanh")


def check_activation(activation: Any) -> str:
    """The name of an activation, empty for None."""
    if activation is None:
        return ""
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a string or None, got {activation!r}")
    if activation not in ACTIVATIONS[1:]:
        raise ValueError(f"activation must be None or one of {', '.join(ACTIVATIONS[1:])}, got {activation!r}")
    return activation


class Epilogue(NamedTuple):
    """What follows a forward pass, ``activation(conv + bias + residual)``, added in this order."""

    bias: Array | None  # (Co,)
    residual: Array | None  # as y
    activation: str  # one of ACTIVATIONS

    @property
    def code(self) -> int:
        """What steps take for the activation."""
        return ACTIVATIONS.index(self.activation)


class Rates(NamedTuple):
    """What one machine can do: see `fastconv.costs`."""

    fma_gflops: float  # one core, in the problem's dtype
    blas_gflops: float  # one core
    copy_gbs: float  # one core, bytes read plus written
    copy_gbs_all: float  # all cores together
    launch_us: float  # one parallel loop


class Cost(NamedTuple):
    """What a backend expects of a problem: operations it performs, bytes it moves, and the time of both."""

    flops: float
    bytes: float
    seconds: float


class Backend:
    """One algorithm on one engine.

    Attributes
    ----------
    algorithm, engine : str
        Together the name, ``algorithm/engine``.
    jit : bool
        True if a first call has to compile; ``auto`` then prefers a backend that does not.
    adds_bias : bool
        True if `forward` adds the bias itself; otherwise the plan does.
    fuses : bool
        True if `forward` takes an `Epilogue` in place of the bias and applies all of it in its last store.
    vector_bytes : int
        Width of the engine's vectors.
    bf16 : (str, str)
        The engine's unit for products of bfloat16, or an empty string and why there is none.
    least : float
        A run falls back, as for NaN, if the largest numbers or their product are below this, but not zero.
    spreads_nonfinite : bool
        True if one NaN or Inf of the input can reach outputs whose window does not hold it.
    by_value : bool
        True if the values of the weights decide whether and how it pays: see `with_weights`.
    note : str
        What `explain` says of the backend, beside its figures.
    """

    algorithm = ""
    engine = ""
    jit = False
    adds_bias = False
    fuses = False
    spreads_nonfinite = False
    by_value = False
    note = ""
    least = 0.0

    def __init__(
        self,
        engine: str = "",
        load: Callable[[str, str], Any] | None = None,
        vector_bytes: int = 16,
        bf16: tuple[str, str] = ("", ""),
    ) -> None:
        self.engine = engine or self.engine
        self.vector_bytes, self.bf16 = vector_bytes, bf16
        self.jit = self.engine == "numba"
        self._load = load

    @property
    def name(self) -> str:
        """``algorithm/engine``; an algorithm without an engine has its own name."""
        return f"{self.algorithm}/{self.engine}" if self.engine else self.algorithm

    def steps(self, dtype: str) -> Kernels:
        """The engine's loops for a dtype, loaded on first use."""
        if self._load is None:
            raise RuntimeError(f"{self.name} was made without an engine")
        found: Kernels = self._load(self.engine, dtype)
        return found

    def _lanes(self, p: ConvProblem) -> int:
        """Numbers of a vector."""
        return self.vector_bytes // p.itemsize

    def absent(self) -> str | None:
        """Why this backend cannot do anything on this machine, or None; `refuse` gives the same reason."""
        return None

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        """Why this backend cannot do the pass, or None."""
        return None

    def layout(self, p: ConvProblem, pass_: str) -> tuple[bool, bool]:
        """Whether the channels of x (dx) and y (dy) have to lie last in memory; ``p`` says how the caller's do.

        The plan transposes what lies otherwise, and `cost` is asked about the problem as it then is.
        """
        return False, False

    def with_weights(
        self, p: ConvProblem, pass_: str, w: Array, rtol: float | None, quick: bool = False
    ) -> Backend | None:
        """The backend for just these weights, if `by_value`; its cost, workspace and bounds are theirs.

        None if it is of no use to them. `quick` allows only a test that costs next to nothing; ``rtol`` is the
        error that the caller explicitly allowed, or None.
        """
        return None

    def configure(self, p: ConvProblem, pass_: str, threads: int) -> Any:
        """Tile and block sizes, a NamedTuple of ints; None if there is nothing to choose."""
        return None

    def floor(self, p: ConvProblem, pass_: str, threads: int, rates: Rates) -> float:
        """Seconds below which `cost` never is, found in microseconds: what cannot win is not configured."""
        return 0.0

    def cost(self, p: ConvProblem, pass_: str, cfg: Any, threads: int, rates: Rates) -> Cost:
        """Expected operations, bytes and seconds."""
        flops, moved = nominal_flops(p), compulsory_bytes(p)
        return Cost(flops, moved, flops / (rates.fma_gflops * 1e9))

    def saves(self, p: ConvProblem, cfg: Any, threads: int, rates: Rates) -> float:
        """Seconds of `cost` that a forward pass is spared by weights that `prepare` has seen."""
        return 0.0

    def workspace(self, p: ConvProblem, pass_: str, cfg: Any, threads: int) -> int:
        """Bytes of scratch memory that the pass wants in ``work``."""
        return 0

    def spares(self, p: ConvProblem, cfg: Any, threads: int) -> int:
        """Bytes of `workspace` that a forward pass does without if it has what `prepare` made of the weights."""
        return 0

    def error_bound(self, p: ConvProblem, pass_: str) -> float:
        """Probabilistic error bound relative to ``max|x| * sum|w|`` (Higham and Mary 2019)."""
        return plain_bound(p, pass_)

    def worst_case_bound(self, p: ConvProblem, pass_: str) -> float:
        """Deterministic error bound, same norm: ``K u`` for a sum of K products."""
        u = UNIT_ROUNDOFF[p.dtype]
        return u * (terms(p, pass_) + 1)

    def prepare(self, p: ConvProblem, cfg: Any, w: Array) -> Any:
        """Weights in the form that `forward` takes as ``packed``; None if it takes them as they are."""
        return None

    def forward(
        self,
        p: ConvProblem,
        cfg: Any,
        x: Array,
        w: Array,
        bias: Any,
        y: Array,
        work: Array,
        threads: int,
        packed: Any = None,
    ) -> None:
        """Fill ``y`` (N, Co, OH, OW); ``bias`` is an array (Co,) or None, or an `Epilogue` if the backend `fuses`."""
        raise NotImplementedError

    def grad_input(self, p: ConvProblem, cfg: Any, dy: Array, w: Array, dx: Array, work: Array, threads: int) -> None:
        """Fill ``dx`` (N, Ci, H, W)."""
        raise NotImplementedError

    def grad_weight(self, p: ConvProblem, cfg: Any, dy: Array, x: Array, dw: Array, work: Array, threads: int) -> None:
        """Fill ``dw`` (Co, Ci // groups, KH, KW)."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<backend {self.name}>"


@lru_cache(1024)
def geometry(p: ConvProblem) -> Array:
    """The record of a problem's windows, `records.ConvGeometry`."""
    return pack(ConvGeometry(p.kh, p.kw, p.ow, p.sh, p.sw, p.pt, p.pl, p.dh, p.dw, p.g))


def terms(p: ConvProblem, pass_: str) -> int:
    """How many products are summed into one number of the result."""
    if pass_ == "grad_weight":
        return max(1, p.n * p.oh * p.ow)
    return (p.ci if pass_ == "forward" else p.co) // p.g * p.kh * p.kw


def plain_bound(p: ConvProblem, pass_: str, block: int = 2**62) -> float:
    """Error of a plain sum of K products in the problem's own precision, summed in blocks.

    Rounding errors that are independent with zero mean grow like ``sqrt(K) u``, Higham and Mary, "A new
    approach to probabilistic rounding error analysis" (SIAM J. Sci. Comput. 2019), theorem 2.4; blocks
    of b terms, then their sums, make that ``(sqrt(b) + sqrt(K / b)) u`` (section 4.1).
    """
    k, block = terms(p, pass_), max(block, 1)
    return UNIT_ROUNDOFF[p.dtype] * (math.sqrt(min(k, block)) + math.sqrt(max(k / block, 1)))
