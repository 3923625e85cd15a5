"""FFT tiles: the sizes and places that steps share, and the lanes of a vector.

Every share of a step has a table of numbers: the record `FftTiles`, then the addresses of its own scratch, of
twiddles and of routines.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ...records import FftTiles, length, places
from ..ground import vector as v
from ..ground.emit import I64, pointer
from ..ground.routines import Routines

intrinsic = extending.intrinsic(prefer_literal=True)

at = places(FftTiles)
SIZES = length(FftTiles)
#: addresses: of the taps' places; of scratch; two factors and twiddles of the transforms of tiles and of weights
PLACES, ROW, COLUMN, Y, A, KERNELS, WEIGHTS, PRODUCTS, ROWS, SUMS, RESIDUAL = range(SIZES, SIZES + 11)
TILE_H, TILE_W, KERNEL_H, KERNEL_W = range(SIZES + 11, SIZES + 23, 3)
ROUTINES = SIZES + 23

#: lanes: of each, the tile's first pixel in the planes, and its rows and columns that lie inside, from, to; then how
#: many there are, numbers to the next pixel and to the next row, what is inside for any lane (rows, columns) and for
#: all, and whether the lanes of a pixel lie side by side: channels last
ORIGIN, TOP, BOTTOM, LEFT, RIGHT = range(0, 80, 16)
LANES, STEP, PITCH, FIRST, LAST, RIGHT_ANY, TOP_ALL, BOTTOM_ALL, LEFT_ALL, RIGHT_ALL, BESIDE = range(80, 91)
CHANNELS, TILES_, OUTPUTS = range(3)  # what lanes are: neighbours; or outputs, and an input of the group of each
ADDS_BIAS, ADDS_RESIDUAL = 1, 2

shared = Routines(ROUTINES)
routine = shared.routine


@intrinsic
def table(typingctx):
    """table() -> the address of 128 integers on the stack."""

    def codegen(context, b, sig, args):
        return b.bitcast(cgutils.alloca_once(b, ir.ArrayType(I64, 128)), I64.as_pointer())

    return types.CPointer(types.int64)(), codegen


@intrinsic
def number(typingctx, a):
    """number(a) -> the address of an array, or an address, as a number."""
    return types.int64(a), lambda context, b, sig, args: b.ptrtoint(pointer(context, b, a, args[0], I64(0)), I64)


@intrinsic
def kept(typingctx, like, s, i):
    """kept(like, s, i) -> the address that is in s[i], of numbers of the same dtype."""
    kind = types.CPointer(like.dtype)

    def codegen(context, b, sig, args):
        return b.inttoptr(b.load(b.gep(args[1], [args[2]])), context.get_value_type(kind))

    return kind(like, s, types.intp), codegen


@intrinsic
def real(typingctx, like, x):
    """real(like, x) -> the number x in the dtype of an array."""
    return like.dtype(like, x), lambda context, b, sig, args: context.cast(b, args[1], x, like.dtype)


@v.copied
def ceil(a, b):
    return (a + b - 1) // b


@v.copied
def adding(bias, residual):
    """What is added to the sums of a forward pass."""
    return ADDS_BIAS * (bias.size > 0) + ADDS_RESIDUAL * (residual.size > 0)


@v.inline
def fill_table(q, place, twiddles, code, work, ithr, s):
    """The table of a share."""
    for i in range(SIZES):
        v.put(s, i, v.at(q, i))
    for i in range(code.size):
        v.put(s, ROUTINES + i, v.at(code, i))
    own = number(work) + (v.at(q, at.own) + ithr * v.at(q, at.per_thread)) * work.itemsize
    for i in range(RESIDUAL - PLACES):
        v.put(s, ROW + i, own + v.at(q, at.own_row + i) * work.itemsize)
    v.put(s, PLACES, number(place))
    for i in range(4):  # columns and rows of tiles, then of kernels
        factors = (at.h.n1, at.w.n1, at.h.m1, at.w.m1)[i]
        k = (TILE_H, TILE_W, KERNEL_H, KERNEL_W)[i]
        v.put(s, k, v.at(q, factors))
        v.put(s, k + 1, v.at(q, factors + 1))
        v.put(s, k + 2, number(twiddles) + v.at(q, at.twiddle_h + i) * twiddles.itemsize)


@routine("innnnnnnn")
def place_lanes(s, k, source, what, channel, tile, phase, count, c, L):
    """Lanes of source or destination: `count` channels (of all groups) or tiles, from those given on.

    Those that are missing are the last one again in a source, so that a vector of them can be read, but empty if
    they are tiles. If lanes are outputs, those of a source are input c of their groups.
    """
    side = 0 if source else at.h.dst.size - at.h.src.size
    channels, phases = v.at(s, at.g) * v.at(s, at.ci if source else at.co), v.at(s, at.w.sp if source else at.w.dp)
    high, wide = v.at(s, at.h.src.size + side), v.at(s, at.w.src.size + side)
    step, step_w = v.at(s, at.h.src.step + side), v.at(s, at.w.src.step + side)
    down, across, co = v.at(s, at.h.tiles), v.at(s, at.w.tiles), v.at(s, at.co)
    beside = v.at(s, at.src_last if source else at.dst_last)
    apart, pixel = (1, channels) if beside else (high * wide, 1)
    last = right_any = top_all = left_all = origin = image = top = bottom = left = right = y = x = 0
    first = bottom_all = right_all = 1 << 62
    for lane in range(L):
        if lane == 0 or (what == TILES_ and lane < count):
            t = tile + lane
            image = t // (down * across)
            y = step * (t // across % down) * v.at(s, at.h.out) + v.at(s, at.h.src.start + side)
            y += v.at(s, at.h.src.image + side) * (image // v.at(s, at.w.images) % v.at(s, at.h.images))
            y += v.at(s, at.h.src.phase + side) * (phase // phases)
            x = step_w * (t % across) * v.at(s, at.w.out) + v.at(s, at.w.src.start + side)
            x += v.at(s, at.w.src.image + side) * (image % v.at(s, at.w.images))
            x += v.at(s, at.w.src.phase + side) * (phase % phases)
            image //= v.at(s, at.h.images) * v.at(s, at.w.images)
            top, bottom = max(0, -(y // step)), max(0, -((y - high) // step))
            left, right = max(0, -(x // step_w)), max(0, -((x - wide) // step_w))
            first, last, right_any = min(first, top), max(last, bottom), max(right_any, right)
        if lane < count:
            plane = channel if what == TILES_ else channel + lane
            if what == OUTPUTS and source:
                plane = plane // co * v.at(s, at.ci) + c
            origin = image * channels * high * wide + plane * apart + (y * wide + x) * pixel
        elif what == TILES_ or not source:
            bottom = right = 0
        v.put(k, ORIGIN + lane, origin)
        v.put(k, TOP + lane, top)
        v.put(k, BOTTOM + lane, bottom)
        v.put(k, LEFT + lane, left)
        v.put(k, RIGHT + lane, right)
        top_all, bottom_all = max(top_all, top), min(bottom_all, bottom)
        left_all, right_all = max(left_all, left), min(right_all, right)
    for i, value in enumerate((count, step_w * pixel, step * wide * pixel, first, last, right_any, top_all,
                               bottom_all, left_all, right_all, beside)):  # fmt: skip
        v.put(k, LANES + i, value)


@routine("innnnnn")
def place_kernels(s, k, source, pairs, first, count, c, L):
    """Lanes are kernels, as planes of one row: input c of `count` outputs (of all groups) from the first on.

    Or, if `pairs`, so many pairs of an output and an input.
    """
    ci, co, taps = v.at(s, at.ci), v.at(s, at.co), v.at(s, at.taps)
    for lane in range(L):
        o = first + min(lane, count - 1)
        if pairs:
            o, c = o // ci, o % ci
        v.put(k, ORIGIN + lane, o // co * ci * co * taps + o % co * v.at(s, at.so) + c * v.at(s, at.sc))
        v.put(k, TOP + lane, 0)
        v.put(k, BOTTOM + lane, 1)
        v.put(k, LEFT + lane, 0)
        v.put(k, RIGHT + lane, taps if source or lane < count else 0)
    inside = taps if source or count == L else 0
    for i, value in enumerate((count, 1, 0, 0, 1, taps, 0, 1, 0, inside)):
        v.put(k, LANES + i, value)
