"""A convolution problem as a plain tuple of integers and strings: what is computed, never how.

Sizes follow the output formula of Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (2016), relationship 15, with separate padding before and after:
``out = floor((in + before + after - dilation * (k - 1) - 1) / stride) + 1``.
"""

from __future__ import annotations

import operator
import re
from typing import Any, NamedTuple

PASSES = ("forward", "grad_input", "grad_weight")
PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "circular")
PADDING_NAMES = ("valid", "same", "full")
DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16"}
_DTYPE_OF = {short: name for name, short in DTYPES.items()}
_LAYOUTS = {(False, False): "", (True, True): "_nhwc", (True, False): "_xl", (False, True): "_yl"}
_MAX_BYTES = 2**62


class ConvProblem(NamedTuple):
    """One 2-D convolution: shapes, stride, padding, dilation, groups, padding mode and dtype.

    Sizes are pixels and channels: ``n`` images of ``ci`` channels of ``ih`` x ``iw`` pixels, ``co``
    output channels, a ``kh`` x ``kw`` kernel, stride ``sh, sw``, padding ``pt, pb, pl, pr`` (top,
    bottom, left, right), dilation ``dh, dw``, ``g`` groups. ``x_last`` and ``y_last`` say whether the channels of
    the input (and its gradient) and of the output (and its gradient) lie last in memory; shapes do not change.
    """

    n: int
    ci: int
    ih: int
    iw: int
    co: int
    kh: int
    kw: int
    sh: int = 1
    sw: int = 1
    pt: int = 0
    pb: int = 0
    pl: int = 0
    pr: int = 0
    dh: int = 1
    dw: int = 1
    g: int = 1
    mode: str = "zeros"
    dtype: str = "float32"
    x_last: bool = False
    y_last: bool = False

    @property
    def oh(self) -> int:
        """Output height."""
        return output_size(self.ih, self.kh, self.sh, self.pt + self.pb, self.dh)

    @property
    def ow(self) -> int:
        """Output width."""
        return output_size(self.iw, self.kw, self.sw, self.pl + self.pr, self.dw)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input, ``(N, Ci, H, W)``."""
        return self.n, self.ci, self.ih, self.iw

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights, ``(Co, Ci // groups, KH, KW)``."""
        return self.co, self.ci // self.g, self.kh, self.kw

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output, ``(N, Co, OH, OW)``."""
        return self.n, self.co, self.oh, self.ow

    @property
    def itemsize(self) -> int:
        """Bytes a number takes while it is computed with (float16 is computed in float32)."""
        return 8 if self.dtype == "float64" else 4

    @classmethod
    def from_shapes(
        cls,
        x_shape: tuple[int, ...],
        w_shape: tuple[int, ...],
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        padding_mode: str = "zeros",
        dtype: str = "float32",
    ) -> ConvProblem:
        """Check the arguments of a call and make its problem.

        Parameters
        ----------
        x_shape : (N, Ci, H, W) or (Ci, H, W)
        w_shape : (Co, Ci // groups, KH, KW)
        stride, dilation : int or pair of ints, at least 1
        padding : int, pair, pair of pairs, "valid", "same" or "full"
        groups : int that divides Ci and Co
        padding_mode : one of "zeros", "reflect", "symmetric", "replicate", "circular"
        dtype : "float32", "float64" or "float16"

        Raises
        ------
        ValueError
            For impossible shapes or options; the message names the argument.
        TypeError
            For options that are no integers.
        """
        xs = _shape("x", x_shape, (3, 4), "(N, Ci, H, W) or (Ci, H, W)")
        co, cg, kh, kw = _shape("w", w_shape, (4,), "(Co, Ci // groups, KH, KW)")
        n, ci, ih, iw = xs if len(xs) == 4 else (1, *xs)
        for name, value in (("channels", ci), ("height", ih), ("width", iw)):
            if value < 1:
                raise ValueError(f"x must have at least one pixel and channel, got {name} {value} in shape {xs}")
        if min(co, cg, kh, kw) < 1:
            raise ValueError(f"w must have no empty axis, got shape {(co, cg, kh, kw)}")
        g = integer("groups", groups, 1)
        if ci % g or co % g:
            raise ValueError(f"groups must divide the {ci} input and {co} output channels, got {g}")
        if ci != cg * g:
            raise ValueError(
                f"w has {cg} channels a group, so x must have {cg} * {g} (groups) = {cg * g} channels, got {ci}"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        if dtype not in DTYPES:
            raise TypeError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        sh, sw = pair("stride", stride, 1)
        dh, dw = pair("dilation", dilation, 1)
        (pt, pb), (pl, pr) = paddings(padding, ((ih, kh, sh, dh), (iw, kw, sw, dw)))
        for axis, size, k, pads, d in (("height", ih, kh, pt + pb, dh), ("width", iw, kw, pl + pr, dw)):
            if size + pads < d * (k - 1) + 1:
                raise ValueError(
                    f"w is larger than the padded x: kernel {axis} {k} with dilation {d} spans {d * (k - 1) + 1}, "
                    f"padded input {axis} is {size + pads}"
                )
        p = cls(n, ci, ih, iw, co, kh, kw, sh, sw, pt, pb, pl, pr, dh, dw, g, padding_mode, dtype)
        if max(_product(p.y_shape), n * ci * (ih + pt + pb) * (iw + pl + pr)) * p.itemsize > _MAX_BYTES:
            raise ValueError(f"x, w and padding ask for arrays beyond 64-bit addresses: {p}")
        return p

    def padded(self) -> ConvProblem:
        """The same problem on an input whose border is already written: no padding, zeros mode."""
        ih, iw = self.ih + self.pt + self.pb, self.iw + self.pl + self.pr
        return self._replace(ih=ih, iw=iw, pt=0, pb=0, pl=0, pr=0, mode="zeros")

    def adjoint(self) -> ConvProblem | None:
        """The forward problem that computes grad_input from dy and the flipped, channel-swapped weights.

        None unless stride is 1 (other strides are one such problem a phase).
        """
        if (self.sh, self.sw) != (1, 1):
            return None
        eh, ew = self.dh * (self.kh - 1), self.dw * (self.kw - 1)
        return self._replace(
            ci=self.co, ih=self.oh, iw=self.ow, co=self.ci,
            pt=eh - self.pt, pb=eh - self.pb, pl=ew - self.pl, pr=ew - self.pr, x_last=self.y_last, y_last=self.x_last,
        )  # fmt: skip

    def __str__(self) -> str:
        text = "".join(f"{k}{getattr(self, k)}" for k in ("n", "ci", "ih", "iw", "co", "kh", "kw"))
        text += "".join(f"{k}{getattr(self, k)}" for k in ("sh", "sw") if getattr(self, k) != 1)
        if (self.pt, self.pl) == (self.pb, self.pr):
            text += "".join(f"{k}{v}" for k, v in (("ph", self.pt), ("pw", self.pl)) if v)
        else:
            text += f"pt{self.pt}pb{self.pb}pl{self.pl}pr{self.pr}"
        text += "".join(f"{k}{getattr(self, k)}" for k in ("dh", "dw", "g") if getattr(self, k) != 1)
        mode = "" if self.mode == "zeros" else f"_{self.mode}"
        return f"{text}{mode}_{DTYPES[self.dtype]}{_LAYOUTS[self.x_last, self.y_last]}"


def parse(text: str) -> ConvProblem:
    """The problem that ``str(problem)`` printed.

    Raises
    ------
    ValueError
        If the text is not a problem, or an impossible one.
    """
    head, *tail = text.strip().split("_")
    layouts = {name[1:]: flags for flags, name in _LAYOUTS.items() if name}
    x_last, y_last = layouts[tail.pop()] if tail and tail[-1] in layouts else (False, False)
    tokens = re.findall(r"([a-z]+)(\d+)", head)
    f = {k: int(v) for k, v in tokens}
    if "".join(k + v for k, v in tokens) != head or len(f) != len(tokens):
        raise ValueError(f"text is not a problem string: {text!r}")
    mode, short = ("zeros", *tail) if len(tail) == 1 else tail if len(tail) == 2 else ("", "")
    unknown = set(f) - set(ConvProblem._fields) - {"ph", "pw"}
    if short not in _DTYPE_OF or unknown or not {"n", "ci", "ih", "iw", "co", "kh", "kw"} <= set(f):
        raise ValueError(f"text is not a problem string: {text!r}")
    ph, pw, g = f.pop("ph", 0), f.pop("pw", 0), f.get("g", 1)
    pads = (f.get("pt", ph), f.get("pb", ph)), (f.get("pl", pw), f.get("pr", pw))
    if g < 1 or f["ci"] % g:
        raise ValueError(f"groups must divide the {f['ci']} input channels, got {g}")
    p = ConvProblem.from_shapes(
        (f["n"], f["ci"], f["ih"], f["iw"]), (f["co"], f["ci"] // g, f["kh"], f["kw"]),
        (f.get("sh", 1), f.get("sw", 1)), pads, (f.get("dh", 1), f.get("dw", 1)), g, mode, _DTYPE_OF[short],
    )  # fmt: skip
    return p._replace(x_last=x_last, y_last=y_last)


def output_size(size: int, k: int, stride: int, pads: int, dilation: int) -> int:
    """Outputs along one axis; ``pads`` is the padding of both ends together."""
    return (size + pads - dilation * (k - 1) - 1) // stride + 1


def integer(name: str, value: Any, minimum: int) -> int:
    """A checked int: NumPy integers pass, booleans and floats do not."""
    try:
        if isinstance(value, bool):
            raise TypeError
        i = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}") from None
    if i < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return i


def pair(name: str, value: Any, minimum: int) -> tuple[int, int]:
    """An int for both axes, or a (height, width) pair."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or a (height, width) pair, got {value!r}")
        return integer(name, value[0], minimum), integer(name, value[1], minimum)
    i = integer(name, value, minimum)
    return i, i


def paddings(padding: Any, axes: tuple[tuple[int, int, int, int], ...]) -> Any:
    """((top, bottom), (left, right)) from any accepted form; ``axes`` holds (size, k, stride, dilation)."""
    if isinstance(padding, str):
        if padding not in PADDING_NAMES:
            raise ValueError(f"padding must be integers or one of {', '.join(PADDING_NAMES)}, got {padding!r}")
        return tuple(_named_padding(padding, *axis) for axis in axes)
    return padding_pairs(padding)


def padding_pairs(padding: Any) -> Any:
    """((top, bottom), (left, right)) from padding in numbers."""
    if not isinstance(padding, (tuple, list)):
        i = integer("padding", padding, 0)
        return (i, i), (i, i)
    if len(padding) != 2:
        raise ValueError(
            f"padding must be an integer, a (height, width) pair or ((top, bottom), (left, right)), got {padding!r}"
        )
    return tuple(pair("padding", side, 0) for side in padding)


def _named_padding(name: str, size: int, k: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (k - 1)
    if name == "valid":
        return 0, 0
    if name == "full":
        return reach, reach
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)  # the odd pixel goes to the end
    return total // 2, total - total // 2


def _shape(name: str, shape: Any, ndims: tuple[int, ...], form: str) -> tuple[int, ...]:
    s = tuple(integer(f"{name} shape", v, 0) for v in shape)
    if len(s) not in ndims:
        raise ValueError(f"{name} must have shape {form}, got {s}")
    return s


def _product(shape: tuple[int, ...]) -> int:
    out = 1
    for v in shape:
        out *= v
    return out
