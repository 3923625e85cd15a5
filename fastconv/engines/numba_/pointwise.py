"""1x1 kernels on planes. The register blocks are those of direct: a row of weights is what a pixel's run of channels
is there, and a panel of pixels what packed weights are. Nothing is turned but x in grad_weight."""

from __future__ import annotations

from ..records import PointwisePass, places
from .direct.block import BLOCKS, RELU6, RESIDUAL, products_block
from .direct.numbers import ceil, nothing, split
from .direct.view import activate_numbers
from .ground import vector as v
from .ground.launch import step
from .ground.memory import address, clear, copy_strided, local
from .ground.transpose import load_block

at = places(PointwisePass)
_TILE = max(nv * nr for nv, nr in BLOCKS.items()) * 16  # numbers of the largest block


def pointwise_products(x, w, bias, residual, y, work, record, activation, threads):
    """y OUT (n, co, h, w) = activation(w x + bias + residual) of x IN (n, ci, h, w), w IN (co, ci // groups, 1, 1).

    bias IN (co,), residual IN as y, or None. work WORK [threads][room]. At a stride the record says which of x and y
    has the pixels between.
    """
    one, four = nothing(y.dtype.char, 1), nothing(y.dtype.char, 4)
    _pointwise_products(
        x, w, one if bias is None else bias, four if residual is None else residual, y, work, record, activation,
        threads,
    )  # fmt: skip


@step("y", "work")
def _pointwise_products(x, w, bias, residual, y, work, record, activation, share, shares):
    """Panels of pixels, a few at a time, each with all outputs of a group, or those of one way."""
    r, L = record, v.lanes(y)
    channels, pixels, ways, panel = r[at.channels], r[at.pixels], r[at.ways], share * r[at.room]
    width = r[at.nv] * L
    panels = ceil(pixels, width)
    total = r[at.n] * r[at.groups] * panels
    u, last = split(total, shares // ways, share // ways), split(total, shares // ways, share // ways + 1)
    while u < last:
        i, p = u // panels, u % panels * width
        n = min(min(last - u, r[at.keep]) * width, pixels - p)
        for c in range(channels):
            for j in range(0, n, width):
                wide = min(width, ceil(n - j, L) * L)
                to, from_ = panel + j * channels + c * wide, (i * channels + c) * pixels + p + j
                if r[at.picks]:
                    _pick(r, x, (i * channels + c) * r[at.x_pixels], p + j, min(wide, n - j), work, to, wide)
                    continue
                for k in range(0, wide, L):
                    v.store(work, to + k, v.load_part(x, from_ + k, n - j - k))
        for k in range(0, n, width):
            _panel(r, work, panel + k * channels, w, bias, residual, y, i, p + k, min(width, n - k), share % ways,
                   activation)  # fmt: skip
            u += 1


@v.copied
def _where(r, p):
    """Where pixel p of y lies in a plane of x, its column, and the way from behind a row's last one to the next row."""
    width, sw, down = r[at.width], r[at.sw], r[at.sh] * r[at.x_width]
    return p // width * down + p % width * sw, p % width, down - width * sw


@v.copied
def _pick(r, x, plane, p, n, work, to, wide):
    """n pixels from p on of a plane of x at a stride, and zeros up to `wide`."""
    here, column, skip = _where(r, p)
    done = 0
    while done < n:  # row by row
        m = min(n - done, r[at.width] - column)
        copy_strided(work, to + done, x, plane + here, m, r[at.sw])
        here, column, done = here + m * r[at.sw] + skip, 0, done + m
    clear(work, to + n, wide - n)


@v.copied
def _spread(r, tile, from_, p, n, y, plane):
    """n results from pixel p on go to a plane of x, and zeros to the pixels that no stride meets."""
    here, column, skip = _where(r, p)
    done = 0
    while done < n:
        m = min(n - done, r[at.width] - column)
        wide = m * r[at.sw] + (r[at.x_width] - r[at.width] * r[at.sw] if column + m == r[at.width] else 0)
        for row in range(here, min(here + r[at.sh] * r[at.x_width], r[at.x_pixels]), r[at.x_width]):
            clear(y, plane + row, wide)
        for k in range(m):
            v.put(y, plane + here + k * r[at.sw], v.at(tile, from_ + done + k))
        here, column, done = here + m * r[at.sw] + skip, 0, done + m


@v.copied
def _panel(r, work, panel, w, bias, residual, y, i, p, n, way, activation):
    """The outputs of a way for n pixels from p on; i: image and group."""
    L, channels, outputs, pixels, ways = v.lanes(y), r[at.channels], r[at.outputs], r[at.pixels], r[at.ways]
    tile = local(y, _TILE)
    nv, blocks, later = ceil(n, L), ceil(outputs, r[at.nr]), bias.size > 0 or activation > RELU6
    spreads = r[at.spreads]
    for b in range(split(blocks, ways, way), split(blocks, ways, way + 1)):
        o = split(outputs, blocks, b)
        rows = split(outputs, blocks, b + 1) - o
        to, own = (i * outputs + o) * pixels + p, i % r[at.groups] * outputs + o
        adds = RESIDUAL if residual.size and not later else 0
        target, out = (address(tile, 0), nv * L) if spreads else (address(y, to), pixels)
        products_block(nv, rows, address(w, own * channels), address(work, panel), target, address(bias, 0),
                       address(residual, to), 1, 1, channels, 0, 0, channels, out, n - (nv - 1) * L, adds,
                       0 if later else activation)  # fmt: skip
        for k in range(rows):
            if spreads:
                _spread(r, tile, k * nv * L, p, n, y, (i * outputs + o + k) * r[at.x_pixels])
            elif later:
                _finish(y, to + k * pixels, n, bias, own + k, residual, activation)


@v.copied
def _finish(y, to, n, bias, o, residual, activation):
    """The epilogue of n pixels of a plane."""
    L = v.lanes(y)
    b = v.splat_at(bias, o) if bias.size else v.zero(y)
    for j in range(0, n, L):
        s = v.load_part(y, to + j, n - j) + b
        if residual.size:
            s += v.load_part(residual, to + j, n - j)
        v.store_part(y, to + j, s, n - j)
    activate_numbers(y, to, n, activation)


@v.copied
def _pixels_to_lanes(r, x, plane, planes, p, n, work, to, pitch):
    """Lanes of n pixels from p on of up to as many planes."""
    L = v.lanes(x)
    if not r[at.picks]:
        for k in range(0, n, L):
            block = load_block(x, plane + p + k, r[at.x_pixels], planes, n - k)
            v.store_rows(work, to + k * pitch, pitch, v.transpose(block), n - k, L)
        return
    here, column, skip = _where(r, p)
    for k in range(n):
        for j in range(L):
            v.put(work, to + k * pitch + j, v.at(x, plane + here + min(j, planes - 1) * r[at.x_pixels]))
        here, column = here + r[at.sw], column + 1
        if column == r[at.width]:
            here, column = here + skip, 0


@step("sums", "work")
def pointwise_sums(x, dy, sums, work, record, share, shares):
    """sums OUT [threads][co][ci // groups] of x IN (n, ci, h, w) and dy IN (n, co, h, w).

    work WORK [threads][room]. Strips of pixels: x is turned, rows of dy are read in place.
    """
    r, L = record, v.lanes(x)
    channels, outputs, pixels, groups = r[at.channels], r[at.outputs], r[at.pixels], r[at.groups]
    width, strips, size, blocks = r[at.nv] * L, ceil(pixels, r[at.strip]), outputs * channels, ceil(outputs, r[at.nr])
    first, last = split(r[at.n] * strips, shares, share), split(r[at.n] * strips, shares, share + 1)
    lanes, mine = share * r[at.room], share * groups * size
    if first == last:
        clear(sums, mine, groups * size)
    for unit in range(first, last):
        p, n = split(pixels, strips, unit % strips), split(pixels, strips, unit % strips + 1)
        n -= p
        for g in range(groups):
            i = unit // strips * groups + g
            for c in range(0, channels, width):
                some = min(width, channels - c)
                nv = ceil(some, L)
                for j in range(0, some, L):
                    plane = (i * channels + c + j) * r[at.x_pixels]
                    _pixels_to_lanes(r, x, plane, some - j, p, n, work, lanes + j, nv * L)
                for b in range(blocks):
                    o = split(outputs, blocks, b)
                    to = mine + g * size + o * channels + c
                    # a strip's sum is its own: errors grow with the length of a strip only
                    products_block(nv, split(outputs, blocks, b + 1) - o, address(dy, (i * outputs + o) * pixels + p),
                                   address(work, lanes), address(sums, to), address(sums, to), address(sums, to), 1, 1,
                                   n, 0, 0, pixels, channels, some - (nv - 1) * L, RESIDUAL if unit > first else 0,
                                   0)  # fmt: skip
