"""A convolution problem as a plain tuple of integers and strings: what is computed, never how.

Sizes follow the output formula of Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (2016), relationship 15, with separate padding before and after:
``out = floor((in + before + after - dilation * (k - 1) - 1) / stride) + 1``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .arguments import integer, paddings, shape_of, step_pair
from .typing import IntPair, Padding

PASSES = ("forward", "grad_input", "grad_weight")
PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "circular")
DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
#: dtypes that are computed in float32: the unit roundoff of the result
HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
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
        x_shape: Sequence[int],
        w_shape: Sequence[int],
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        dtype: str = "float32",
        names: tuple[str, ...] = ("x", "w"),
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
        dtype : "float32", "float64", "float16" or "bfloat16"
        names : the arguments that messages name: of the image, and of the kernel or of its column and its row

        Returns
        -------
        ConvProblem

        Raises
        ------
        ValueError
            For impossible shapes or options; the message names the argument.
        TypeError
            For options that are no integers.
        """
        x, w, w_row = names[0], names[1], names[-1]
        xs = shape_of(x, x_shape, "(N, Ci, H, W)", "(Ci, H, W)")
        co, cg, kh, kw = shape_of(w, w_shape, "(Co, Ci // groups, KH, KW)")
        n, ci, ih, iw = xs if len(xs) == 4 else (1, *xs)
        for name, value in (("channels", ci), ("height", ih), ("width", iw)):
            if value < 1:
                raise ValueError(f"{x} must have at least one pixel and channel, got {name} {value} in shape {xs}")
        if min(co, cg, kh, kw) < 1:
            raise ValueError(f"{w} must have no empty axis, got shape {(co, cg, kh, kw)}")
        g = integer("groups", groups, 1)
        if ci % g or co % g:
            raise ValueError(f"groups must divide the {ci} input and {co} output channels, got {g}")
        if ci != cg * g:
            raise ValueError(
                f"{w} has {cg} channels a group, so {x} must have {cg} * {g} (groups) = {cg * g} channels, got {ci}"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        if dtype not in DTYPES:
            raise TypeError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        sh, sw = step_pair("stride", stride)
        dh, dw = step_pair("dilation", dilation)
        (pt, pb), (pl, pr) = paddings(padding, ((ih, kh, sh, dh), (iw, kw, sw, dw)))
        for axis, size, k, pads, d, kernel in (
            ("height", ih, kh, pt + pb, dh, w),
            ("width", iw, kw, pl + pr, dw, w_row),
        ):
            if size + pads < d * (k - 1) + 1:
                raise ValueError(
                    f"{kernel} is larger than the padded {x}: kernel {axis} {k} with dilation {d} spans "
                    f"{d * (k - 1) + 1}, padded input {axis} is {size + pads}"
                )
        p = cls(n, ci, ih, iw, co, kh, kw, sh, sw, pt, pb, pl, pr, dh, dw, g, padding_mode, dtype)
        if max(_product(p.y_shape), n * ci * (ih + pt + pb) * (iw + pl + pr)) * p.itemsize > _MAX_BYTES:
            raise ValueError(f"{x}, {w} and padding ask for arrays beyond 64-bit addresses: {p}")
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
            ci=self.co,
            ih=self.oh,
            iw=self.ow,
            co=self.ci,
            pt=eh - self.pt,
            pb=eh - self.pb,
            pl=ew - self.pl,
            pr=ew - self.pr,
            x_last=self.y_last,
            y_last=self.x_last,
        )

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
        (f["n"], f["ci"], f["ih"], f["iw"]),
        (f["co"], f["ci"] // g, f["kh"], f["kw"]),
        (f.get("sh", 1), f.get("sw", 1)),
        pads,
        (f.get("dh", 1), f.get("dw", 1)),
        g,
        mode,
        _DTYPE_OF[short],
    )
    return p._replace(x_last=x_last, y_last=y_last)


def output_size(size: int, k: int, stride: int, pads: int, dilation: int) -> int:
    """Outputs along one axis; ``pads`` is the padding of both ends together."""
    return (size + pads - dilation * (k - 1) - 1) // stride + 1


def _product(shape: tuple[int, ...]) -> int:
    out = 1
    for v in shape:
        out *= v
    return out
