"""The problems the battery runs: a table of edge cases, and random ones.

A problem is a string, as fastconv prints it, so that a failing one can be pasted anywhere. Tables hold the
zero-padded float32 form; `variants` and the tests derive dtypes and border modes from it.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from fastconv.core.problem import ConvProblem, parse
from tests.oracle import Geometry, out_size

MODES = ("zeros", "reflect", "symmetric", "replicate", "circular")
DTYPES = ("float32", "float64", "float16")

EDGES = """
n1ci1ih1iw1co1kh1kw1_f32                            one pixel, one weight
n1ci1ih1iw1co1kh3kw3ph1pw1_f32                      one pixel, kernel mostly outside
n2ci17ih1iw1co19kh1kw1_f32                          one pixel: a matrix product
n1ci3ih1iw1co5kh1kw1ph2pw2_f32                      1x1 kernel, border of zeros around one pixel
n2ci5ih7iw9co6kh1kw1_f32                            1x1
n1ci16ih8iw8co32kh1kw1_f32                          1x1, whole lanes
n2ci33ih5iw7co31kh1kw1sh2sw2_f32                    1x1, stride 2
n2ci3ih6iw5co4kh6kw5_f32                            kernel = image
n1ci2ih4iw5co3kh6kw7ph1pw1_f32                      kernel = padded image
n1ci2ih5iw6co3kh2kw2_f32                            even kernel
n2ci3ih9iw8co4kh4kw6pt1pb2pl2pr3_f32                even kernel, "same" by hand
n1ci2ih6iw7co3kh2kw3pt0pb1pl2pr0_f32                asymmetric padding
n1ci3ih5iw9co2kh3kw3sh2sw3pt3pb0pl0pr4_f32          asymmetric padding and stride
n1ci2ih4iw3co2kh3kw2ph5pw6_f32                      padding larger than the kernel
n1ci1ih3iw3co1kh1kw3sh2sw2ph4pw4_f32                padding larger than the image
n2ci3ih9iw11co4kh3kw3sh2sw2ph1pw1_f32               stride 2
n1ci3ih11iw10co4kh3kw3sw3ph1pw1_f32                 stride along the width only
n1ci2ih10iw10co3kh2kw2sh3sw3_f32                    stride above kernel: unread pixels
n1ci2ih13iw12co3kh2kw3sh5sw4pt1pb0pl0pr2_f32        stride far above kernel
n1ci2ih5iw5co2kh3kw3sh9sw9_f32                      stride above image
n2ci3ih8iw8co4kh3kw3sh3sw3_f32                      last rows and columns never read
n1ci3ih9iw10co4kh3kw3ph2pw2dh2dw2_f32               dilation
n1ci2ih12iw9co3kh3kw2dh4dw7_f32                     large dilation, unequal
n1ci2ih7iw7co2kh3kw3ph9pw9dh9dw9_f32                dilation larger than the image
n1ci2ih12iw13co2kh3kw3sh2sw3ph3pw2dh3dw2_f32        stride and dilation
n2ci4ih6iw7co6kh3kw3ph1pw1g2_f32                    groups
n1ci12ih7iw6co9kh3kw3sh2sw2ph1pw1g3_f32             groups, stride
n1ci32ih6iw6co32kh3kw3ph1pw1g8_f32                  groups of four channels
n2ci7ih8iw9co7kh3kw3ph1pw1g7_f32                    depthwise
n1ci16ih9iw7co16kh3kw3sh2sw2ph1pw1g16_f32           depthwise, stride 2
n1ci5ih8iw6co15kh3kw3ph1pw1g5_f32                   depthwise, multiplier 3
n1ci6ih4iw5co3kh2kw3pt1pb0pl1pr1dw2g3_f32           groups with fewer outputs than inputs, dilation
n1ci33ih9iw9co33kh7kw7ph3pw3g33_f32                 depthwise 7x7
n0ci3ih5iw6co4kh3kw3ph1pw1_f32                      empty batch
n0ci4ih4iw4co2kh2kw2sh2sw2g2_f32                    empty batch, groups
n3ci1ih6iw6co1kh3kw3_f32                            one channel in and out
n5ci1ih5iw5co17kh3kw3ph1pw1_f32                     one channel in
n1ci17ih6iw6co1kh3kw3ph1pw1_f32                     one channel out
n2ci13ih7iw11co11kh3kw3ph1pw1_f32                   channels that fill no lane
n1ci31ih15iw17co33kh3kw3ph1pw1_f32                  one off the lanes, both ways
n1ci16ih16iw16co16kh3kw3ph1pw1_f32                  whole lanes
n1ci20ih14iw14co40kh3kw3_f32                        lanes and a half
n1ci3ih2iw67co4kh3kw3ph1pw1_f32                     wide
n1ci3ih71iw2co4kh3kw3ph1pw1_f32                     tall
n1ci2ih1iw130co3kh1kw5pw2_f32                       one row
n1ci2ih130iw1co3kh5kw1ph2_f32                       one column
n2ci6ih8iw19co5kh1kw7pw3_f32                        1xK
n2ci6ih19iw8co5kh7kw1ph3_f32                        Kx1
n1ci4ih10iw33co4kh1kw3pw2dw2_f32                    1xK, dilation
n1ci2ih20iw21co3kh11kw11ph5pw5_f32                  big kernel
n1ci2ih33iw31co2kh31kw31ph15pw15_f32                kernel as big as the image
n1ci1ih40iw37co1kh15kw21_f32                        big kernel, one channel
n1ci6ih24iw23co6kh13kw13ph6pw6g6_f32                big depthwise kernel
n1ci3ih30iw31co16kh7kw7sh2sw2ph3pw3_f32             stem 7x7, stride 2
n1ci3ih35iw34co17kh11kw11sh4sw4ph2pw2_f32           stem 11x11, stride 4
n1ci3ih20iw23co40kh7kw7sh2sw2ph3pw3_f32             stem 7x7 of a panel and a half
n2ci4ih17iw18co33kh3kw3ph1pw1_f32                   stem 3x3, one output more than a panel
n2ci1ih28iw28co6kh5kw5ph2pw2_f32                    LeNet
n1ci3ih17iw19co8kh4kw4sh4sw4_f32                    patches
n2ci8ih13iw15co9kh5kw5ph2pw2_f32                    5x5
n4ci8ih7iw7co24kh3kw3ph1pw1_f32                     small maps, a batch
n1ci70ih5iw5co66kh3kw3ph1pw1_f32                    many channels, few pixels
n1ci3ih50iw51co5kh3kw3ph1pw1_f32                    several tiles and a rest
n1ci2ih8iw8co2kh3kw3pt0pb8pl8pr0_f32                output rows and columns of nothing but padding
n1ci130ih12iw13co36kh3kw3ph1pw1_f32                 more channels than a block
n1ci24ih34iw19co70kh3kw3_f32                        more outputs and pixels than a block
n2ci40ih10iw11co36kh5kw5ph2pw2_f32                  5x5, many channels
n1ci24ih17iw18co20kh1kw7pw3_f32                     1x7, many channels
n1ci24ih18iw17co20kh7kw1ph3_f32                     7x1, many channels
n2ci18ih17iw19co33kh3kw3ph2pw2dh2dw2_f32            dilation, many channels
n1ci34ih15iw18co33kh3kw3sh2sw2ph1pw1_f32            stride 2, many channels
n2ci35ih9iw10co37kh1kw1sh2sw2_f32                   1x1, stride 2, many channels
n2ci36ih9iw11co74kh1kw1sh2sw2g2_f32                 the same in groups, more outputs than inputs
n3ci70ih7iw9co20kh1kw1_f32                          1x1, fewer outputs than inputs
n2ci20ih8iw10co24kh1kw1sh3sw3_f32                   1x1, stride 3
n1ci48ih9iw10co40kh3kw3ph1pw1g2_f32                 groups of many channels
n1ci17ih30iw29co17kh9kw9ph4pw4g17_f32               depthwise 9x9
n2ci32ih21iw37co32kh3kw3sh2sw2ph1pw1g32_f32         depthwise, stride 2, several tiles
n17ci5ih3iw4co9kh3kw3ph1pw1_f32                     a batch larger than the images
n1ci3ih6iw14co33kh1kw5sh2sw2pw8dw4_f32              1xK with stride 2: every second row has no gradient
n1ci8ih6iw34co31kh5kw5sh2sw2ph2pw2_f32              5x5 with stride 2, few rows
n1ci16ih6iw2co32kh1kw5sh2pw2g2_f32                  the same in groups, taller than wide
n1ci9ih9iw12co34kh5kw1sw3pw1_f32                    Kx1, stride along the width
n3ci6ih14iw14co16kh5kw5_f32                         LeNet's second layer: no padding, one vector of outputs
n1ci20ih11iw22co50kh4kw5sh3sw3pt2pb1pl0pr3_f32      stride 3, many channels, a last panel of few outputs
n1ci18ih14iw15co20kh3kw3ph12pw12dh12dw12_f32        taps that meet few columns
n1ci1ih15iw1co1kh1kw1ph1_f32                        padding that no tap needs: more outputs than pixels and padding
"""

EDGE_PROBLEMS = tuple(line.split()[0] for line in EDGES.strip().splitlines())

# float16 is computed by the float32 kernels, which the whole table tests: what it adds is how operands and results of
# each kind are converted, moved and padded.
HALF_PROBLEMS = (
    "n1ci1ih1iw1co1kh1kw1_f32",  # one pixel
    "n1ci16ih8iw8co32kh1kw1_f32",  # whole lanes
    "n2ci3ih9iw8co4kh4kw6pt1pb2pl2pr3_f32",  # asymmetric padding
    "n1ci2ih10iw10co3kh2kw2sh3sw3_f32",  # unread pixels
    "n1ci2ih12iw13co2kh3kw2sh2sw3ph3pw2dh3dw2_f32",  # stride and dilation
    "n1ci12ih7iw6co9kh3kw3sh2sw2ph1pw1g3_f32",  # groups
    "n2ci7ih8iw9co7kh3kw3ph1pw1g7_f32",  # depthwise
    "n0ci3ih5iw6co4kh3kw3ph1pw1_f32",  # empty batch
    "n1ci2ih20iw21co3kh11kw11ph5pw5_f32",  # transforms
    "n1ci3ih20iw23co40kh7kw7sh2sw2ph3pw3_f32",  # a copy of phases
    "n1ci3ih50iw51co5kh3kw3ph1pw1_f32",  # several tiles and a rest
    "n1ci130ih12iw13co36kh3kw3ph1pw1_f32",  # more channels than a block
    "n2ci35ih9iw10co37kh1kw1sh2sw2_f32",  # 1x1, stride 2
)

# What border modes do is done once for all backends; these cover them on each.
BORDER_PROBLEMS = (
    "n1ci2ih6iw7co3kh3kw3ph1pw1_f32",
    "n2ci3ih5iw4co2kh4kw3pt1pb2pl2pr0_f32",
    "n1ci4ih7iw8co4kh3kw5sh2sw3ph3pw2dh2g2_f32",
    "n1ci1ih3iw4co2kh5kw5ph2pw2_f32",
    "n0ci2ih5iw5co2kh3kw3ph1pw1_f32",
)


class Data(NamedTuple):
    """Arrays for one problem."""

    x: Any
    w: Any
    b: Any
    dy: Any


def generator(p: ConvProblem, salt: int) -> np.random.Generator:
    """The same numbers in every dtype."""
    return np.random.default_rng(zlib.crc32(f"{p._replace(dtype='float64')}/{salt}".encode()))


def integer_data(p: ConvProblem, salt: int = 0) -> Data:
    """Integers of -3..3 as floats: every product and sum is exact in float32, in any order."""
    rng = generator(p, salt)

    def draw(*shape: int) -> Any:
        return rng.integers(-3, 4, shape).astype(p.dtype)

    return Data(draw(*p.x_shape), draw(*p.w_shape), draw(p.co), draw(*p.y_shape))


def real_data(p: ConvProblem, salt: int = 0) -> Data:
    """Normal numbers, the inputs with an offset (all of one sign is harder on Winograd and FFT)."""
    rng = generator(p, salt + 1)

    def draw(*shape: int, mean: float = 0.0) -> Any:
        return (rng.standard_normal(shape) + mean).astype(p.dtype)

    return Data(draw(*p.x_shape, mean=0.5), draw(*p.w_shape), draw(p.co), draw(*p.y_shape, mean=0.5))


def geometry(p: ConvProblem) -> Geometry:
    return Geometry((p.sh, p.sw), ((p.pt, p.pb), (p.pl, p.pr)), (p.dh, p.dw), p.g, p.mode)


def options(p: ConvProblem) -> dict[str, Any]:
    """The keyword arguments of a call to fastconv for this problem."""
    stride, padding, dilation, groups, mode = geometry(p)
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}


@st.composite
def random_problems(draw: st.DrawFn, modes: tuple[str, ...] = MODES, dtypes: tuple[str, ...] = DTYPES[:2]) -> str:
    """Random problems small enough for the slowest backend, as strings."""

    def integer(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    mode, dtype = draw(st.sampled_from(modes)), draw(st.sampled_from(dtypes))
    g = draw(st.sampled_from((1, 1, 1, 2, 3, 8)))
    channels = st.sampled_from({1: (1, 2, 3, 5, 8, 13, 16, 17, 24, 33), 8: (1, 2)}.get(g, (1, 2, 3, 4, 8, 9)))
    ci, co = g * draw(channels), g * draw(channels)
    kernel = integer(1, 5), integer(1, 5)
    stride = draw(st.sampled_from((1, 1, 2, 3, 5))), draw(st.sampled_from((1, 1, 2, 3, 5)))
    dilation = draw(st.sampled_from((1, 1, 2, 3))), draw(st.sampled_from((1, 1, 2, 3)))
    padding = (integer(0, 6), integer(0, 6)), (integer(0, 6), integer(0, 6))
    least = [max(1, d * (k - 1) + 1 - sum(pad)) for k, d, pad in zip(kernel, dilation, padding, strict=True)]
    size = integer(least[0], least[0] + 14), integer(least[1], least[1] + 20)
    assert min(out_size(size, kernel, Geometry(stride, padding, dilation))) >= 1
    p = ConvProblem(integer(1, 3), ci, *size, co, *kernel, *stride, *padding[0], *padding[1], *dilation, g, mode, dtype)
    return str(p)


def with_dtype(text: str, dtype: str) -> ConvProblem:
    return parse(text)._replace(dtype=dtype)


def with_mode(text: str, mode: str, dtype: str = "float32") -> ConvProblem:
    return parse(text)._replace(mode=mode, dtype=dtype)
