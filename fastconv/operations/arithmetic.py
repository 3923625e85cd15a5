"""The arithmetic of convolutional networks: sizes, parameters, operations and receptive fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..core.arguments import Pads, padding_pairs, paddings, pair, shape_of, step_pair
from ..core.flops import nominal_flops
from ..core.problem import ConvProblem
from ..core.typing import IntPair, Padding, Shape

#: a kernel size, a tuple or a mapping of `_FIELDS`
Layer: TypeAlias = int | Sequence[object] | Mapping[str, object]

_FIELDS = ("kernel_size", "stride", "padding", "dilation")


class ReceptiveField(NamedTuple):
    """What `receptive_field` returns: ints, or (height, width) pairs if any layer has a pair."""

    size: int | Any
    stride: int | Any
    start: int | Any


def conv2d_output_shape(
    input_shape: Shape,
    weight_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[int, ...]:
    """Shape of what `conv2d` returns.

    Parameters
    ----------
    input_shape : (N, Ci, H, W) or (Ci, H, W)
    weight_shape : (Co, Ci // groups, KH, KW)
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    (N, Co, OH, OW), or (Co, OH, OW)
        ``floor((in + before + after - dilation * (k - 1) - 1) / stride) + 1`` pixels an axis.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; the message names the argument.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 15.

    Examples
    --------
    >>> from fastconv import conv2d_output_shape
    >>> conv2d_output_shape((1, 4, 6), (1, 1, 3, 3), stride=2, padding=1)
    (1, 2, 3)
    >>> conv2d_output_shape((3, 12, 12), (3, 1, 5, 5), groups=3)
    (3, 8, 8)
    """
    p = _problem(input_shape, weight_shape, stride, padding, dilation, groups)
    return p.y_shape[4 - len(input_shape) :]


def conv2d_parameters(weight_shape: Shape, *, bias: bool = True) -> int:
    """Learned numbers of a convolution, ``KH * KW * (Ci // groups) * Co``, and ``Co`` more with a bias.

    Parameters
    ----------
    weight_shape : (Co, Ci // groups, KH, KW)
    bias : bool

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If the shape is none.

    Examples
    --------
    >>> from fastconv import conv2d_parameters
    >>> conv2d_parameters((64, 3, 7, 7))
    9472
    >>> 785 * 1000 + 1001 * 10  # two dense layers on 28 x 28 pixels, in comparison
    795010
    """
    co, cg, kh, kw = shape_of("weight_shape", weight_shape, "(Co, Ci // groups, KH, KW)")
    if min(co, cg, kh, kw) < 1:
        raise ValueError(f"weight_shape must have no empty axis, got {(co, cg, kh, kw)}")
    return co * cg * kh * kw + (co if bias else 0)


def conv2d_flops(
    input_shape: Shape,
    weight_shape: Shape,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> int:
    """Operations of the textbook formula, the same for each of the three passes.

    A multiplication and an addition for every output pixel, tap and input channel, the taps on the border
    included: ``2 * N * OH * OW * Co * KH * KW * (Ci // groups)``.

    Parameters
    ----------
    input_shape, weight_shape, stride, padding, dilation, groups
        As in `conv2d_output_shape`.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; the message names the argument.

    Examples
    --------
    Two 3x3 layers see as much as one of 5x5 and cost 18/25 of it, 1x5 and 5x1 cost 10/25:

    >>> from fastconv import conv2d_flops
    >>> image = (64, 28, 28)
    >>> one = conv2d_flops(image, (64, 64, 5, 5), padding=2)
    >>> 2 * conv2d_flops(image, (64, 64, 3, 3), padding=1) / one
    0.72
    >>> row = conv2d_flops(image, (64, 64, 1, 5), padding=(0, 2))
    >>> column = conv2d_flops(image, (64, 64, 5, 1), padding=(2, 0))
    >>> (row + column) / one
    0.4
    """
    return nominal_flops(_problem(input_shape, weight_shape, stride, padding, dilation, groups))


def receptive_field(layers: Sequence[Layer]) -> ReceptiveField:
    """Which pixels of the input an output pixel of a stack of layers can see.

    Parameters
    ----------
    layers : sequence, the first layer first
        Each a kernel size, a tuple ``(kernel_size, stride, padding, dilation)`` whose end may be left out,
        or a mapping with those names. Convolutions and pools are the same here; defaults are stride 1,
        padding 0, dilation 1 (a pool has to state its stride). Each number may be a (height, width) pair,
        the padding also ((top, bottom), (left, right)).

    Returns
    -------
    ReceptiveField
        ``size``: pixels across; ``stride``: pixels from one output to the next; ``start``: first pixel that
        output 0 sees, negative where that is padding. Output i sees ``start + i * stride`` and the
        ``size - 1`` pixels behind it.

    Raises
    ------
    ValueError
        If ``layers`` is no sequence of layers; the message names the one at fault.

    References
    ----------
    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill (2019),
    equations 2 to 4.

    Examples
    --------
    >>> from fastconv import receptive_field
    >>> receptive_field([3, 3])
    ReceptiveField(size=5, stride=1, start=0)
    >>> receptive_field([(7, 2, 3), (3, 2, 1)])
    ReceptiveField(size=11, stride=4, start=-5)
    >>> receptive_field([dict(kernel_size=3, dilation=d, padding=d) for d in (1, 2, 4)]).size
    15
    """
    if isinstance(layers, (str, bytes, Mapping)) or not isinstance(layers, Sequence):
        raise ValueError(f"layers must be a sequence of layers, got {layers!r}")
    size, stride, start = [1, 1], [1, 1], [0, 0]
    square = True
    for index, layer in enumerate(layers):
        try:
            k, s, before, d, equal = _layer(layer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"layers[{index}]: {error}, in {layer!r}") from None
        square = square and equal
        for axis in (0, 1):
            start[axis] -= before[axis] * stride[axis]
            size[axis] += d[axis] * (k[axis] - 1) * stride[axis]
            stride[axis] *= s[axis]
    if square:
        return ReceptiveField(size[0], stride[0], start[0])
    return ReceptiveField((size[0], size[1]), (stride[0], stride[1]), (start[0], start[1]))


def halo(kernel_size: IntPair, *, stride: IntPair = 1, padding: Padding = 0, dilation: IntPair = 1) -> Pads:
    """Rows and columns that a tile of an image needs from its neighbours.

    Output i belongs to the tile of the pixel ``i * stride``, so tiles whose first row and column are multiples of the
    stride share no output and leave none out. Padding stays at the edges of the image: inside it is what the
    neighbours hold.

    Parameters
    ----------
    kernel_size, stride, dilation : int or (height, width)
    padding : int, (height, width), ((top, bottom), (left, right)), "valid", "same" or "full"
        Of the whole image; "same" is that of an image whose sides are multiples of the stride. Filters of images
        (`filter2d`, scipy.ndimage) have ``kernel_size // 2``.

    Returns
    -------
    ((top, bottom), (left, right))
        ``top`` is the padding in front, ``bottom`` is ``dilation * (k - 1) + 1 - stride - top``, at least 0.

    Raises
    ------
    TypeError, ValueError
        For numbers that `conv2d` refuses too; the message names the argument.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 15.

    Examples
    --------
    An even kernel, on bands of 16 rows that are cut by hand:

    >>> import numpy as np, fastconv
    >>> image, kernel = np.arange(64.0 * 48).reshape(64, 48), np.arange(24.0).reshape(6, 4)
    >>> (top, bottom), _ = fastconv.halo(kernel.shape, padding=(kernel.shape[0] // 2, kernel.shape[1] // 2))
    >>> top, bottom
    (3, 2)
    >>> y = np.empty_like(image)
    >>> for i in range(0, 64, 16):
    ...     first = max(i - top, 0)
    ...     y[i : i + 16] = fastconv.filter2d(image[first : i + 16 + bottom], kernel)[i - first :][:16]
    >>> bool((y == fastconv.filter2d(image, kernel)).all())
    True
    """
    sizes, strides = pair("kernel_size", kernel_size, 1), step_pair("stride", stride)
    axes = tuple(zip(strides, sizes, strides, step_pair("dilation", dilation), strict=True))
    (top, bottom), (left, right) = (
        (before, max(d * (k - 1) + 1 - s - before, 0))
        for (before, _), (_, k, s, d) in zip(paddings(padding, axes), axes, strict=True)
    )
    return (top, bottom), (left, right)


def _layer(layer: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int], bool]:
    """Kernel, stride, padding before, dilation, and whether both axes are written as one."""
    if isinstance(layer, Mapping):
        values = dict(layer)
    elif isinstance(layer, (tuple, list)):
        if not 1 <= len(layer) <= len(_FIELDS):
            raise ValueError(f"a layer is ({', '.join(_FIELDS)})")
        values = dict(zip(_FIELDS, layer, strict=False))
    else:
        values = {"kernel_size": layer}
    if "kernel_size" not in values or not set(values) <= set(_FIELDS):
        raise ValueError(f"a layer has a kernel_size and may have {', '.join(_FIELDS[1:])}")
    k, s = pair("kernel_size", values["kernel_size"], 1), step_pair("stride", values.get("stride", 1))
    d, pads = step_pair("dilation", values.get("dilation", 1)), padding_pairs(values.get("padding", 0))
    equal = not any(isinstance(v, (tuple, list)) for v in values.values())
    return k, s, (pads[0][0], pads[1][0]), d, equal


def _problem(
    input_shape: Shape, weight_shape: Shape, stride: IntPair, padding: Padding, dilation: IntPair, groups: int
) -> ConvProblem:
    names = "input_shape", "weight_shape"
    return ConvProblem.from_shapes(input_shape, weight_shape, stride, padding, dilation, groups, names=names)
