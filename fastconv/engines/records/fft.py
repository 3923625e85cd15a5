"""Products of spectra, and convolution by tiles of FFTs."""

from __future__ import annotations

from typing import NamedTuple


class FftProducts(NamedTuple):
    """Products of spectra, y[g, i, j] = sum over k of x[g, i, k] * w[g, j, k]; distances in numbers."""

    size: int  # numbers of a spectrum
    groups: int
    i: int
    j: int
    k: int
    xi: int  # from one i, k, group to the next in x
    xk: int
    xg: int
    wj: int
    wk: int
    wg: int
    yi: int
    yj: int
    yg: int


class FftSide(NamedTuple):
    """Pixels of the source (or destination) along one axis of a tile of FFTs.

    Row r of a tile is pixel ``step * (tile * out + r) + image * of the image + phase * of the phase + start``.
    """

    size: int  # pixels
    step: int
    image: int
    phase: int
    start: int


class FftAxis(NamedTuple):
    """One axis of tiles of FFTs, of a dense problem: phases of strides and dilations are images or channels."""

    t: int  # length of transforms; its two factors for tiles, and for weights
    n1: int
    n2: int
    m1: int
    m2: int
    out: int  # outputs of a tile
    tiles: int
    taps: int  # of a phase
    images: int  # phases that are images of their own
    src: FftSide
    dst: FftSide
    sp: int  # phases that are channels, of the source and of the destination
    dp: int


class FftTiles(NamedTuple):
    """Convolution by tiles of FFTs. Sizes count vectors, unless they are channels or said to be numbers."""

    h: FftAxis
    w: FftAxis
    lanes: int  # of a vector
    lanes_are_tiles: int  # 1: lanes are tiles of a channel, otherwise channels
    src_last: int  # 1: channels lie last in memory, lanes are channels
    dst_last: int
    g: int
    ci: int  # source and destination channels of a group
    co: int
    so: int  # numbers of the weights between outputs, between inputs
    sc: int
    taps: int  # of a whole kernel
    kernel: int  # all phases of a kernel; a row of it, as far as transforms read
    row_k: int
    cib: int  # channels in vectors; with their phases
    cob: int
    sblocks: int
    dblocks: int
    tiles: int  # in all
    tile_block: int  # tiles, vectors of outputs, vectors of inputs that are taken together
    dst_block: int
    src_chunk: int
    parts: int  # grad_weight: runs of tiles that have sums of their own
    row_a: int  # from one to the next: rows of a tile,
    unit_a: int
    row_x: int  # spectra of tiles,
    unit_x: int
    row_r: int  # row transforms of weights,
    unit_r: int
    row_z: int  # rows of sums,
    unit_z: int
    row_w: int  # frequencies of a column of weights, of products
    row_p: int
    spectra: int  # numbers in front of what threads share: spectra of tiles, row transforms of weights, sums,
    kernels: int
    sums: int
    own: int  # and of what each has of its own
    per_thread: int
    own_row: int  # in there: two rows of pixels,
    own_column: int  # a column of a tile, and of a kernel,
    own_pass: int  # between the two passes of a transform,
    own_rows: int  # rows of a tile,
    own_taps: int  # kernels,
    own_weights: int  # columns of weights,
    own_products: int  # of products,
    own_kernels: int  # row transforms of weights,
    own_sums: int  # spectra of sums,
    own_residual: int  # and two rows of the residual
    twiddle_h: int  # numbers in front of the twiddle factors of tiles' columns and rows, of kernels'
    twiddle_w: int
    twiddle_mh: int
    twiddle_mw: int


class FftPlane(NamedTuple):
    """One transform of a plane with zeros around it, and of what comes of it; places count numbers."""

    rows: int  # of the plane
    cols: int
    top: int  # zeros before them
    left: int
    oh: int  # outputs: the first ones
    ow: int
    th: int  # lengths of transforms
    tw: int
    passes_h: int  # their factors, one behind the other in ``radices``
    passes_w: int
    twiddle_w: int  # where the twiddle factors of rows begin
    lanes: int  # numbers of a vector
    signal: int  # complex vectors of a thread's signal, of which it has two
    own: int  # where these begin in the scratch memory, behind the spectrum
