"""Channel-wise grad_weight: rows of dy in registers, a sum a lane for every weight; see depthwise.py."""

from __future__ import annotations

from numba import njit

from ..ground import vector as v
from ..ground.launch import shared_step
from ..ground.memory import address, clear_vectors, local
from ..ground.target import VECTOR_BYTES
from . import tables as at
from .blocks import HALF, LOW, MASKS, TALL, advance, copy_block, gather_block
from .rows import gather_planes
from .steps import block_key, clear_borders, copy_in, fetch, next_run
from .tables import forward_bands

_ROOM = TALL * 16
_LINES = 64 // VECTOR_BYTES


def depthwise_grad_weight(dy, x, dw_, sh, sw, pt, pl, dh, dw, g, rows, height, left, width, share, parts, work,
                          threads):  # fmt: skip
    """dy, x IN; dw_ OUT; work WORK. Groups have `parts` partial sums each, which are added in order."""
    f = forward_bands(x.shape, dw_.shape, dy.shape, (sh, sw), (pt, pl), (dh, dw), g,
                      (rows, height, left, width, share), parts, x.itemsize)  # fmt: skip
    partial = dw_.reshape(1, -1)
    if parts > 1:
        partial = work[threads * share :][: parts * dw_.size].reshape(parts, -1)
    if f[at.STREAM]:
        gather_planes(dy, x, partial, f, threads)
    else:
        _sums(dy, x, partial, f, work, threads)
    if parts > 1:
        total = dw_.reshape(-1)
        total[...] = partial[0]
        for part in partial[1:]:
            total += part


@shared_step("dw", "work")
def _sums(dy, x, dw, f, work, share, shares):
    """dw [part][group][...]; a job: one group's weights, summed over one part of all bands of all images."""
    jobs, sums, t = v.at(f, at.G) * v.at(f, at.PARTS), share * v.at(f, at.SHARE), v.at(f, at.PHASES)
    buffer = sums + v.at(f, at.CD) * v.at(f, t + at.RUN) * v.at(f, t + at.COLS) * v.lanes(x)
    clear_borders(f, work, buffer)
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        _weight_job(dy, x, dw, f, work, sums, buffer, job)


@njit(inline="always")
def _weight_job(dy, x, dw, f, work, sums, buffer, job):
    L, tile, t = v.lanes(x), local(x, _ROOM), v.at(f, at.PHASES)
    cs, cd, g, bands = v.at(f, at.CS), v.at(f, at.CD), v.at(f, at.G), v.at(f, at.BANDS)
    h, w, oh, ow = v.at(f, at.SH), v.at(f, at.SW), v.at(f, at.DH), v.at(f, at.DW)
    rows, stride, pitch = v.at(f, at.ROWS), v.at(f, at.STEP), v.at(f, at.SPLIT) * v.at(f, at.WIDTH)
    run, cols, parts = v.at(f, t + at.RUN), v.at(f, t + at.COLS), v.at(f, at.PARTS)
    group, part, items, size = job % g, job // g, v.at(f, at.N) * bands, run * cols * L
    clear_vectors(work, sums, buffer)
    for i in range(items * part // parts, items * (part + 1) // parts):
        image, k0 = i // bands * g + group, i % bands * rows
        count = min(rows, oh - k0)
        copy_in(x, image * cs * h * w, f, k0 * stride + v.at(f, at.TOP), v.at(f, at.HEIGHT) - (rows - count) * stride,
                work, buffer)  # fmt: skip
        # another band, image or group is fetched meanwhile, some lines for every block
        following = (i + 1) % items
        k = following % bands * rows
        image_x = following // bands * g + group + (1 if following == 0 and group + 1 < g else 0)
        next_x, next_y = (image_x * cs * h + min(k * stride, h)) * w, (image_x * cd * oh + k) * ow
        steps = (count + TALL - 1) // TALL * ((ow + L - 1) // L)
        lines_x, lines_y = count * stride * w // (L * _LINES * steps) + 1, count * ow // (L * _LINES * steps) + 1
        for o in range(cd):
            block = 0
            for k in range(0, count, TALL):
                for q in range(0, ow, L):
                    if v.at(f, at.AHEAD):
                        for c in range(o, cs, cd):
                            fetch(x, next_x + c * h * w + block * lines_x, lines_x)
                        fetch(dy, next_y + o * oh * ow + block * lines_y, lines_y)
                        block += L * _LINES
                    _strip(f, t, work, buffer + k * stride * pitch + q, dy, ((image * cd + o) * oh + k0 + k) * ow + q,
                           ow, tile, min(TALL, count - k), min(ow - q, L), sums + o * size)  # fmt: skip
    for o in range(cd):
        _reduce(f, t, work, sums + o * size, dw, (part * g + group) * v.at(f, at.WG) + o * v.at(f, at.WD))


@njit(inline="always")
def _strip(f, t, x, ix, dy, iy, ys, tile, rows, cols, sums):
    """Exactly `rows` rows of one vector of columns, all taps: other rows may hold what the weights must not see."""
    L = v.lanes(x)
    run, count = v.at(f, t + at.RUN), v.at(f, t + at.COLS)
    stride, pitch = v.at(f, at.STEP), v.at(f, at.SPLIT) * v.at(f, at.WIDTH)
    source, step = address(dy, iy), ys
    if not MASKS and cols < L:
        copy_block(source, ys, address(tile, 0), L, rows, x, cols)
        source, step = address(tile, 0), L
    ix, done = ix + v.at(f, t + at.X0), 0
    while done < run:
        k, s, apart = next_run(run - done, run, stride)
        r = 0
        while r < rows:
            left = rows - r
            size = TALL if s == 1 and left >= TALL else HALF if left >= HALF else LOW if left >= LOW else 1
            gather_block(block_key(k, s, size), x, ix + r * s * apart * pitch, pitch * apart, f, t + at.AT, count,
                         advance(source, r * step), step, cols, x, sums)  # fmt: skip
            r += size
        done += k
        ix += k * pitch
        sums += k * count * L


@v.inline
def _reduce(f, t, sums, i, dw, o):
    """Lanes of every sum together."""
    L, run, stride, cols, done = v.lanes(dw), v.at(f, t + at.RUN), v.at(f, at.STEP), v.at(f, t + at.COLS), 0
    o += v.at(f, t + at.W0)
    while done < run:
        k, _, _ = next_run(run - done, run, stride)
        for j in range(cols):
            for u in range(done, done + k):
                v.put(dw, o + v.at(f, t + at.AT + cols + j) + u * v.at(f, t + at.DOWN), v.lane_sum(v.load(sums, i)))
                i += L
        done += k
