"""FFT tiles: the sizes and places that steps share, and the lanes of a vector.

Every share of a step has a table of numbers: the sizes, as algorithms/fft_tiled_layout.py lists them, then the
addresses of its own scratch, of twiddles and of routines.
"""

from __future__ import annotations

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from ..ground import vector as v
from ..ground.emit import I64, pointer
from ..ground.routines import Routines

intrinsic = extending.intrinsic(prefer_literal=True)

#: an axis, see FtAxis in engines/cython_/fft_tiled/lanes.pxi
(T, N1, N2, M1, M2, OUT, COUNT_, REACH, IMAGES, SRC, SRC_STEP, SRC_A, SRC_B, SRC_0, DST, DST_STEP, DST_A, DST_B, DST_0,
 SP, DP) = range(21)  # fmt: skip
H, W = 0, 21  # the axes
#: the other sizes, see FtGrid there
(N, G, CI, CO, SO, SC, TAPS, KERNEL, ROW_K, CIB, COB, SBLOCKS, DBLOCKS, TILES, TILE_BLOCK, DST_BLOCK, SRC_CHUNK,
 ROW_A, UNIT_A, ROW_X, UNIT_X, ROW_R, UNIT_R, ROW_Z, UNIT_Z, ROW_W, ROW_P, AT_X, AT_R, AT_Z, OWN, PER_THREAD,
 OWN_ROW, OWN_COL, OWN_Y, OWN_A, OWN_TAPS, OWN_W, OWN_P, OWN_R, OWN_SUMS, TW_H, TW_W, TW_MH, TW_MW,
 LANES_ARE_TILES, PARTS, SIZES) = range(42, 90)  # fmt: skip
#: addresses: of the taps' places; of scratch; two factors and twiddles of the transforms of tiles and of weights
PLACES, ROW, COLUMN, Y, A, KERNELS, WEIGHTS, PRODUCTS, ROWS, SUMS = range(SIZES, 99)
TILE_H, TILE_W, KERNEL_H, KERNEL_W = range(99, 111, 3)
ROUTINES = 111

#: lanes: of each, the tile's first pixel in the planes, and its rows and columns that lie inside, from, to; then how
#: many there are, pixels to the next one and to the next row, what is inside for any lane (rows, columns) and for all
ORIGIN, TOP, BOTTOM, LEFT, RIGHT = range(0, 80, 16)
LANES, STEP, PITCH, FIRST, LAST, RIGHT_ANY, TOP_ALL, BOTTOM_ALL, LEFT_ALL, RIGHT_ALL = range(80, 90)
CHANNELS, TILES_, OUTPUTS = range(3)  # what lanes are: neighbours; or outputs, and an input of the group of each

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


@v.inline
def fill_table(q, code, twiddles, work, share, s):
    """The table of a share."""
    for i in range(SIZES):
        v.put(s, i, v.at(q, i))
    for i in range(code.size):
        v.put(s, ROUTINES + i, v.at(code, i))
    own = number(work) + (v.at(q, OWN) + share * v.at(q, PER_THREAD)) * work.itemsize
    for i in range(SUMS - PLACES):
        v.put(s, ROW + i, own + v.at(q, OWN_ROW + i) * work.itemsize)
    v.put(s, PLACES, number(q) + SIZES * q.itemsize)
    for i in range(4):  # the heights of tiles and kernels, then their widths
        k = TILE_H + 3 * (i // 2 + i % 2 * 2)
        v.put(s, k, v.at(q, W * (i // 2) + N1 + i % 2 * 2))
        v.put(s, k + 1, v.at(q, W * (i // 2) + N2 + i % 2 * 2))
        v.put(s, k + 2, number(twiddles) + v.at(q, TW_H + i // 2 + i % 2 * 2) * twiddles.itemsize)


@routine("innnnnnnn")
def place_lanes(s, k, source, what, channel, tile, phase, count, c, L):
    """Lanes of source or destination: `count` channels (of all groups) or tiles, from those given on.

    Those that are missing are the last one again in a source, so that a vector of them can be read, but empty if
    they are tiles. If lanes are outputs, those of a source are input c of their groups.
    """
    side = 0 if source else DST - SRC
    channels, phases = v.at(s, G) * v.at(s, CI if source else CO), v.at(s, W + (SP if source else DP))
    high, wide = v.at(s, H + SRC + side), v.at(s, W + SRC + side)
    step, step_w = v.at(s, H + SRC_STEP + side), v.at(s, W + SRC_STEP + side)
    down, across, co = v.at(s, H + COUNT_), v.at(s, W + COUNT_), v.at(s, CO)
    last = right_any = top_all = left_all = origin = image = top = bottom = left = right = y = x = 0
    first = bottom_all = right_all = 1 << 62
    for lane in range(L):
        if lane == 0 or (what == TILES_ and lane < count):
            t = tile + lane
            image = t // (down * across)
            y = step * (t // across % down) * v.at(s, H + OUT) + v.at(s, H + SRC_0 + side)
            y += v.at(s, H + SRC_A + side) * (image // v.at(s, W + IMAGES) % v.at(s, H + IMAGES))
            y += v.at(s, H + SRC_B + side) * (phase // phases)
            x = step_w * (t % across) * v.at(s, W + OUT) + v.at(s, W + SRC_0 + side)
            x += v.at(s, W + SRC_A + side) * (image % v.at(s, W + IMAGES))
            x += v.at(s, W + SRC_B + side) * (phase % phases)
            image //= v.at(s, H + IMAGES) * v.at(s, W + IMAGES)
            top, bottom = max(0, -(y // step)), max(0, -((y - high) // step))
            left, right = max(0, -(x // step_w)), max(0, -((x - wide) // step_w))
            first, last, right_any = min(first, top), max(last, bottom), max(right_any, right)
        if lane < count:
            plane = channel if what == TILES_ else channel + lane
            if what == OUTPUTS and source:
                plane = plane // co * v.at(s, CI) + c
            origin = (image * channels + plane) * high * wide + y * wide + x
        elif what == TILES_ or not source:
            bottom = right = 0
        v.put(k, ORIGIN + lane, origin)
        v.put(k, TOP + lane, top)
        v.put(k, BOTTOM + lane, bottom)
        v.put(k, LEFT + lane, left)
        v.put(k, RIGHT + lane, right)
        top_all, bottom_all = max(top_all, top), min(bottom_all, bottom)
        left_all, right_all = max(left_all, left), min(right_all, right)
    for i, value in enumerate((count, step_w, step * wide, first, last, right_any, top_all, bottom_all, left_all,
                               right_all)):  # fmt: skip
        v.put(k, LANES + i, value)


@routine("innnnnn")
def place_kernels(s, k, source, pairs, first, count, c, L):
    """Lanes are kernels, as planes of one row: input c of `count` outputs (of all groups) from the first on.

    Or, if `pairs`, so many pairs of an output and an input.
    """
    ci, co, taps = v.at(s, CI), v.at(s, CO), v.at(s, TAPS)
    for lane in range(L):
        o = first + min(lane, count - 1)
        if pairs:
            o, c = o // ci, o % ci
        v.put(k, ORIGIN + lane, o // co * ci * co * taps + o % co * v.at(s, SO) + c * v.at(s, SC))
        v.put(k, TOP + lane, 0)
        v.put(k, BOTTOM + lane, 1)
        v.put(k, LEFT + lane, 0)
        v.put(k, RIGHT + lane, taps if source or lane < count else 0)
    inside = taps if source or count == L else 0
    for i, value in enumerate((count, 1, 0, 0, 1, taps, 0, 1, 0, inside)):
        v.put(k, LANES + i, value)
