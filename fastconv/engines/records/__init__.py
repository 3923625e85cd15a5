"""The records that algorithms hand to steps: numbers with names, explained once.

A record is a NamedTuple of integers. It crosses the seam as an array of `intp`, made once by `pack` when a plan
is made: the Cython engine reads it as a C struct, which setup.py writes from this folder (``records.pxi``), the Numba
engine as ``r[at.field]`` with ``at = places(Kind)``. A field may be a record itself: ``q[at.axis.t]``.
Algorithms may import this folder and nothing else of the engines.

packing.py has the mechanism, each other file the records of one family. A record is imported here and named twice:
in `KINDS`, from which its C struct is written, and in ``__all__``.
"""

from __future__ import annotations

from typing import Any

from . import packing
from .depthwise import DepthwiseAxis, DepthwiseBands, DepthwiseLast, DepthwisePhase, DepthwiseRows
from .direct import DirectPass, DirectPhase
from .fft import FftAxis, FftPlane, FftProducts, FftSide, FftTiles
from .packing import length, pack, places
from .pointwise import PointwisePass
from .separable import SeparableBands
from .split_bf16 import SplitCopy, SplitProducts, SplitSums, SplitWeights
from .windows import ConvGeometry, FilterTasks, PoolWindows
from .winograd import WinogradPass

#: in the order of the C structs: a record that is a field comes first
KINDS = (
    ConvGeometry,
    PoolWindows,
    FilterTasks,
    SeparableBands,
    DirectPass,
    DirectPhase,
    PointwisePass,
    DepthwisePhase,
    DepthwiseBands,
    DepthwiseRows,
    DepthwiseAxis,
    DepthwiseLast,
    WinogradPass,
    FftProducts,
    FftSide,
    FftAxis,
    FftTiles,
    FftPlane,
    SplitCopy,
    SplitWeights,
    SplitProducts,
    SplitSums,
)


def kinds() -> dict[str, type[Any]]:
    """All records by name."""
    return {kind.__name__: kind for kind in KINDS}


def cython_source() -> str:
    """The C structs of all records, and for each a function that reads one from an array."""
    return packing.cython_source(kinds())


__all__ = [
    "KINDS",
    "ConvGeometry",
    "DepthwiseAxis",
    "DepthwiseBands",
    "DepthwiseLast",
    "DepthwisePhase",
    "DepthwiseRows",
    "DirectPass",
    "DirectPhase",
    "FftAxis",
    "FftPlane",
    "FftProducts",
    "FftSide",
    "FftTiles",
    "FilterTasks",
    "PointwisePass",
    "PoolWindows",
    "SeparableBands",
    "SplitCopy",
    "SplitProducts",
    "SplitSums",
    "SplitWeights",
    "WinogradPass",
    "cython_source",
    "kinds",
    "length",
    "pack",
    "places",
]
