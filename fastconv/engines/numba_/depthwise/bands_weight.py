"""Channel-wise grad_weight: rows of dy in registers, a sum a lane for every weight; see bands.py."""

from __future__ import annotations

from ..ground import vector as v
from ..ground.launch import step
from ..ground.memory import address, clear_vectors, local
from .bands import LINES, ROOM, at, block_key, clear_buffer, copy_in, fetch, next_run, phase
from .blocks import HALF, LOW, MASKS, TALL, advance, copy_block, gather_block


@step("sums", "work")
def depthwise_bands_sums(dy, x, sums, q, phases, places, work, share, shares):
    """sums OUT [parts][as dw] of dy IN, x IN; a job: one group's weights, summed over one part of all bands of all
    images. work WORK [threads][share]."""
    jobs, own, t = q[at.groups] * q[at.parts], share * q[at.share], phases[0]
    buffer = own + q[at.outputs] * t[phase.run] * t[phase.columns] * v.lanes(x)
    clear_buffer(q, work, buffer)
    for job in range(jobs * share // shares, jobs * (share + 1) // shares):
        _job(dy, x, sums, q, t, places, work, own, buffer, job)


@v.copied
def _job(dy, x, sums, q, t, places, work, own, buffer, job):
    L, tile, channels, outputs, groups = v.lanes(x), local(x, ROOM), q[at.channels], q[at.outputs], q[at.groups]
    h, w, oh, ow, bands = q[at.height], q[at.width], q[at.out_height], q[at.out_width], q[at.bands]
    rows, stride, pitch, parts = q[at.rows], q[at.step], q[at.split] * q[at.line], q[at.parts]
    group, part, items, size = job % groups, job // groups, q[at.images] * bands, t[phase.run] * t[phase.columns] * L
    clear_vectors(work, own, buffer)
    for i in range(items * part // parts, items * (part + 1) // parts):
        image, k0 = i // bands * groups + group, i % bands * rows
        count = min(rows, oh - k0)
        lines = q[at.lines] - (rows - count) * stride
        copy_in(x, image * channels * h * w, q, k0 * stride + q[at.top], lines, work, buffer)
        # another band, image or group is fetched meanwhile, some lines for every block
        following = (i + 1) % items
        k = following % bands * rows
        image_x = following // bands * groups + group + (1 if following == 0 and group + 1 < groups else 0)
        next_x, next_y = (image_x * channels * h + min(k * stride, h)) * w, (image_x * outputs * oh + k) * ow
        steps = (count + TALL - 1) // TALL * ((ow + L - 1) // L)
        lines_x, lines_y = count * stride * w // (L * LINES * steps) + 1, count * ow // (L * LINES * steps) + 1
        for o in range(outputs):
            block = 0
            for k in range(0, count, TALL):
                for j in range(0, ow, L):
                    if q[at.ahead]:
                        for c in range(o, channels, outputs):
                            fetch(x, next_x + c * h * w + block * lines_x, lines_x)
                        fetch(dy, next_y + o * oh * ow + block * lines_y, lines_y)
                        block += L * LINES
                    corner, iy = buffer + k * stride * pitch + j, ((image * outputs + o) * oh + k0 + k) * ow + j
                    high, n = min(TALL, count - k), min(ow - j, L)
                    _strip(q, t, places, work, corner, dy, iy, ow, tile, high, n, own + o * size)
    for o in range(outputs):
        _reduce(q, t, places, work, own + o * size, sums, (part * groups + group) * q[at.group] + o * q[at.output])


@v.copied
def _strip(q, t, places, x, ix, dy, iy, ys, tile, rows, cols, sums):
    """Exactly `rows` rows of one vector of columns, all taps: other rows may hold what the weights must not see."""
    L, run, count, stride, pitch = v.lanes(x), t[phase.run], t[phase.columns], q[at.step], q[at.split] * q[at.line]
    source, step = address(dy, iy), ys
    if not MASKS and cols < L:
        copy_block(source, ys, address(tile, 0), L, rows, x, cols)
        source, step = address(tile, 0), L
    ix, at_t, done = ix + t[phase.source], t[phase.start], 0
    while done < run:
        k, s, apart = next_run(run - done, run, stride)
        r = 0
        while r < rows:
            left = rows - r
            size = TALL if s == 1 and left >= TALL else HALF if left >= HALF else LOW if left >= LOW else 1
            which, at_x, rows_of_dy = block_key(k, s, size), ix + r * s * apart * pitch, advance(source, r * step)
            gather_block(which, x, at_x, pitch * apart, places, at_t, count, rows_of_dy, step, cols, x, sums)
            r += size
        done += k
        ix += k * pitch
        sums += k * count * L


@v.inline
def _reduce(q, t, places, work, i, dw, o):
    """Lanes of every sum together."""
    L, run, cols, done, weight = v.lanes(dw), t[phase.run], t[phase.columns], 0, t[phase.start] + t[phase.columns]
    o += t[phase.weight]
    while done < run:
        k, _, _ = next_run(run - done, run, q[at.step])
        for j in range(cols):
            for u in range(done, done + k):
                v.put(dw, o + places[weight + j] + u * t[phase.down], v.lane_sum(v.load(work, i)))
                i += L
        done += k
