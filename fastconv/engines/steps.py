"""The contract at the seam: every step of the engines, its arrays, its record, its numbers.

A step is a function of the same name and arguments in each engine (``load(engine, dtype)`` finds them). Arrays are
C-contiguous; ``real`` is the dtype that the steps were loaded for. The roles:

IN      read, never written; where the shape says "or none", an empty array or None stands for its absence
OUT     written, the part that is not padding whole; what it held is not read
INOUT   read and written
WORK    scratch memory of arbitrary content

A record is a row of `intp` made by `records.pack`. ``python -m fastconv.engines.stub`` writes ``kernels.pyi``, by which
mypy checks the calls.
"""

from __future__ import annotations

from typing import NamedTuple

IN, OUT, INOUT, WORK = "IN", "OUT", "INOUT", "WORK"
ARRAYS = (IN, OUT, INOUT, WORK)
BOTH = ("cython", "numba")
IMAGE = "image"  # uint8, uint16, int16, float32 or float64


class Argument(NamedTuple):
    """An argument of a step."""

    name: str
    role: str  # IN, OUT, INOUT, WORK; "record", "int", "float", "flag"
    what: str = ""  # shape of an array, kind of a record
    dtype: str = "real"  # of an array: "real", "intp", "int64", "image"


class Step(NamedTuple):
    """A step."""

    name: str
    does: str
    arguments: tuple[Argument, ...]
    returns: str = "None"
    engines: tuple[str, ...] = BOTH


def array(role: str, name: str, what: str, dtype: str = "real") -> Argument:
    return Argument(name, role, what, dtype)


def record(name: str, kind: str) -> Argument:
    return Argument(name, "record", kind, "intp")


def ints(names: str) -> tuple[Argument, ...]:
    return tuple(Argument(name, "int") for name in names.split())


def flag(name: str) -> Argument:
    return Argument(name, "flag")


THREADS = Argument("threads", "int")
X, DY = array(IN, "x", "n ci ih iw"), array(IN, "dy", "n co oh ow")
W, BIAS = array(IN, "w", "co ci/g kh kw"), array(IN, "bias", "co, or none")
Y, DX, DW = array(OUT, "y", "n co oh ow"), array(OUT, "dx", "n ci ih iw"), array(OUT, "dw", "co ci/g kh kw")
DW_ = DW._replace(name="dw_")
SCRATCH = array(WORK, "work", "numbers")
COEF, TWIDDLES = array(IN, "coef", "numbers"), array(IN, "twiddles", "numbers")
TAPS, POS = array(IN, "taps", "numbers", "intp"), array(IN, "pos", "taps", "intp")
WINO = record("q", "WinogradPass")
FFT_TILES = record("q", "FftTiles"), array(IN, "place", "kh*kw", "intp"), TWIDDLES
FFT_PLANE = record("q", "FftPlane"), array(IN, "radices", "factors", "intp"), TWIDDLES
SEE = (array(IN, "rows", "rows of the window", "intp"), array(IN, "cols", "columns of the window", "intp"),
       Argument("cval", "float"))  # fmt: skip
PICTURE, FILTERED = array(IN, "x", "ih iw c", IMAGE), array(OUT, "y", "oh ow c", IMAGE)
PLANES = array(IN, "x", "planes ih iw")
DIRECT = record("record", "DirectPass"), array(IN, "phases", "a DirectPhase a phase", "intp")
ORDER = array(IN, "order", "kh*kw", "intp")
POINTWISE = record("record", "PointwisePass")
GEOMETRY, POOL, TASKS = record("q", "ConvGeometry"), record("q", "PoolWindows"), record("q", "FilterTasks")
POOL_TAPS, POOL_OFFSETS = array(IN, "taps", "kw", "intp"), array(IN, "offsets", "kh*kw", "intp")
PIXELS, PIXELS_DX = array(IN, "x", "n ih iw c"), array(OUT, "dx", "n ih iw c")
PIXELS_Y, PIXELS_DY = array(OUT, "y", "n oh ow c"), array(IN, "dy", "n oh ow c")
COUNTS = array(IN, "rows", "oh"), array(IN, "cols", "ow + lanes")
SPLIT, COPY, SPLIT_COPY = ("cython",), array(IN, "copy", "numbers"), array(OUT, "copy", "numbers")
BAND_TABLES = (record("q", "DepthwiseBands"), array(IN, "phases", "DepthwisePhase", "intp"),
               array(IN, "places", "numbers", "intp"))  # fmt: skip
LAST_TABLES = (record("record", "DepthwiseLast"), array(IN, "axes", "a DepthwiseAxis a phase", "intp"),
               array(IN, "order", "taps", "intp"))  # fmt: skip

STEPS = (
    # ---- of all algorithms ----
    Step("abs_peak", "max|x|; NaN or Inf if x holds one", (array(IN, "x", "any"), THREADS), "float"),
    Step("to_channels_last", "the channels of every pixel side by side",
         (array(IN, "x", "n c h w"), array(OUT, "out", "n h w c"), THREADS)),
    Step("to_channels_first", "and back",
         (array(IN, "x", "n h w c"), array(OUT, "out", "n c h w"), THREADS)),
    Step("epilogue", "activation(y + bias + residual), channels first or last; code: place in base.ACTIVATIONS",
         (array(INOUT, "y", "n c h w"), array(IN, "bias", "c, or none"),
          array(IN, "residual", "as y, or none"), *ints("code"), flag("channels_last"), THREADS)),
    Step("epilogue_pixels", "the same for pixels from p0 on of image n0, channels first",
         (array(INOUT, "y", "n c h w"), array(IN, "bias", "c, or none"), array(IN, "residual", "as y, or none"),
          *ints("code n0 p0 pixels"), THREADS)),
    Step("activation", "the activation of every number; code: place in base.ACTIVATIONS",
         (array(IN, "x", "any"), array(OUT, "y", "as x"), *ints("code"), THREADS)),
    Step("activation_backward", "dy times the activation's derivative at x",
         (array(IN, "dy", "as x"), array(IN, "x", "any"), array(OUT, "dx", "as x"), *ints("code"), THREADS)),
    # ---- factors of channels; y may be x ----
    Step("gate_last", "x times the factor of its image and channel",
         (array(IN, "x", "n p c"), array(IN, "s", "n c"), array(OUT, "y", "n p c"), THREADS)),
    Step("gate_planes", "the same, channels first",
         (array(IN, "x", "n c p"), array(IN, "s", "n c"), array(OUT, "y", "n c p"), THREADS)),
    Step("affine_last", "activation(x * scale + shift); code: place in base.ACTIVATIONS",
         (array(IN, "x", "p c"), array(IN, "scale", "c"), array(IN, "shift", "c"), array(OUT, "y", "p c"),
          *ints("code"), THREADS)),
    Step("affine_planes", "the same, channels first",
         (array(IN, "x", "n c p"), array(IN, "scale", "c"), array(IN, "shift", "c"), array(OUT, "y", "n c p"),
          *ints("code"), THREADS)),
    # ---- normalisation; y may be x; parts: images, or with channels last even shares of all pixels ----
    Step("channel_moments", "a number near each channel's mean, the sum of distances from it, and of their squares",
         (array(IN, "x", "n c p, or n p c"), array(OUT, "moments", "parts 3 c", "float64"), flag("channels_last"),
          THREADS)),
    Step("channel_products", "sums of dy and of dy * (x - centre) of each channel",
         (array(IN, "dy", "as x"), array(IN, "x", "n c p, or n p c"), array(IN, "centre", "c"),
          array(OUT, "sums", "parts 2 c", "float64"), flag("channels_last"), THREADS)),
    Step("channel_affine", "(x - p) * a + b + other * e; rows of the table: p, a, b, e",
         (array(IN, "x", "n c p, or n p c"), array(IN, "other", "as x, or none"), array(IN, "table", "4 c"),
          array(OUT, "y", "as x"), flag("channels_last"), THREADS)),
    Step("layer_norm_last", "each pixel with mean 0 and variance 1, times weight, plus bias",
         (array(IN, "x", "p c"), array(IN, "weight", "c"), array(IN, "bias", "c"), array(OUT, "y", "p c"),
          Argument("eps", "float"), THREADS)),
    Step("layer_norm_planes", "the same, channels first",
         (array(IN, "x", "n c p"), array(IN, "weight", "c"), array(IN, "bias", "c"), array(OUT, "y", "n c p"),
          Argument("eps", "float"), THREADS)),
    Step("layer_norm_last_backward", "dx; of even shares of the pixels: sums of dy and of dy x', x' = normalised x",
         (array(IN, "dy", "p c"), array(IN, "x", "p c"), array(IN, "weight", "c"), array(OUT, "dx", "p c"),
          array(OUT, "sums", "parts 2 c", "float64"), array(WORK, "work", "parts 2 c"), Argument("eps", "float"),
          THREADS)),
    Step("layer_norm_planes_backward", "the same, channels first",
         (array(IN, "dy", "n c p"), array(IN, "x", "n c p"), array(IN, "weight", "c"), array(OUT, "dx", "n c p"),
          array(OUT, "sums", "parts 2 c", "float64"), array(WORK, "work", "parts 2 c 16"), Argument("eps", "float"),
          THREADS)),
    Step("fma_probe", "n rounds of twelve multiply-adds of vectors a row: operations done, to be timed",
         (array(INOUT, "scratch", "k 192"), *ints("n"), THREADS), "int", ("numba",)),
    # ---- naive ----
    Step("naive_forward", "the textbook sum", (X, W, Y, GEOMETRY, THREADS)),
    Step("naive_grad_input", "its adjoint in x", (DY, W, DX, GEOMETRY, THREADS)),
    Step("naive_grad_weight", "its adjoint in w", (DY, X, DW, GEOMETRY, THREADS)),
    # ---- im2col ----
    Step("im2col_pack", "patches to columns: images from n0 on, output pixels from p0 on",
         (X, array(OUT, "col", "nb ci*kh*kw pixels"), GEOMETRY, *ints("n0 p0"), THREADS)),
    Step("col2im_add", "the adjoint, added: every number of the columns to the pixel it came from",
         (array(IN, "col", "nb ci*kh*kw pixels"), array(INOUT, "dx", "n ci ih iw"),
          GEOMETRY, *ints("n0 p0"), THREADS)),
    Step("im2col_pack_last", "the same with channels last: a row for every output pixel of a group",
         (array(IN, "x", "n ih iw ci"), array(OUT, "col", "g nb pixels kh*kw*ci/g"), GEOMETRY, *ints("n0 p0"),
          THREADS)),
    Step("col2im_add_last", "and its adjoint",
         (array(IN, "col", "g nb pixels kh*kw*ci/g"), array(INOUT, "dx", "n ih iw ci"), GEOMETRY, *ints("n0 p0"),
          THREADS)),
    # ---- fft ----
    Step("spectral_multiply", "y[g, i, j] (+)= sum over k of x[g, i, k] * w[g, j, k], or its conjugate",
         (array(IN, "x", "numbers"), array(IN, "w", "numbers"), array(INOUT, "y", "numbers"),
          record("q", "FftProducts"), flag("conjugate"), flag("add"), THREADS)),
    # ---- separable ----
    Step("separable_rows", "columns a, then rows b, band by band",
         (X, array(IN, "a", "g r ci/g kh"), array(IN, "b", "g co/g r kw"), BIAS, Y, SCRATCH,
          record("q", "SeparableBands"), THREADS)),
    # ---- pooling ----
    Step("max_pool", "the largest pixel of each window",
         (PLANES, array(OUT, "y", "planes oh ow"), POOL_TAPS, SCRATCH, POOL, THREADS)),
    Step("avg_pool", "the mean pixel of each window",
         (PLANES, array(OUT, "y", "planes oh ow"), *COUNTS, POOL_TAPS, SCRATCH, POOL, THREADS)),
    Step("max_pool_indices", "the largest pixel, and its place in the plane",
         (PLANES, array(OUT, "y", "planes oh ow"), array(OUT, "index", "planes oh ow", "int64"), POOL_TAPS,
          POOL_OFFSETS, SCRATCH, POOL, THREADS)),
    Step("max_pool_backward", "each dy at the pixel that was the largest",
         (PLANES, array(IN, "dy", "planes oh ow"), array(OUT, "dx", "planes ih iw"), POOL_TAPS, POOL_OFFSETS, SCRATCH,
          POOL, THREADS)),
    Step("max_pool_scatter", "each dy at its index; counted in bad: indices outside of the rows of their windows",
         (array(IN, "dy", "planes oh ow"), array(IN, "index", "planes oh ow", "int64"),
          array(OUT, "dx", "planes ih iw"), array(INOUT, "bad", "threads", "intp"), POOL, THREADS)),
    Step("avg_pool_backward", "each dy shared out evenly among the pixels of its window",
         (array(IN, "dy", "planes oh ow"), array(OUT, "dx", "planes ih iw"), *COUNTS, SCRATCH, POOL, THREADS)),
    # ---- pooling of channels-last arrays ----
    Step("max_pool_last", "the largest pixel of each window", (PIXELS, PIXELS_Y, POOL, THREADS)),
    Step("avg_pool_last", "the mean pixel of each window", (PIXELS, PIXELS_Y, *COUNTS, POOL, THREADS)),
    Step("max_pool_last_indices", "the largest pixel, and its place in the plane",
         (PIXELS, PIXELS_Y, array(OUT, "index", "n oh ow c", "int64"), POOL_OFFSETS, POOL, THREADS)),
    Step("max_pool_last_backward", "each dy at the pixel that was the largest",
         (PIXELS, PIXELS_DY, PIXELS_DX, POOL_OFFSETS, POOL, THREADS)),
    Step("max_pool_last_scatter", "each dy at its index; counted in bad: as in max_pool_scatter",
         (PIXELS_DY, array(IN, "index", "n oh ow c", "int64"), PIXELS_DX, array(INOUT, "bad", "threads", "intp"), POOL,
          THREADS)),
    Step("avg_pool_last_backward", "each dy shared out evenly among the pixels of its window",
         (PIXELS_DY, PIXELS_DX, *COUNTS, POOL, THREADS)),
    # ---- depthwise ----
    Step("depthwise_bands", "lanes = pixels of a row; grad_input: of dy, phase by phase",
         (X, W, BIAS, Y, *BAND_TABLES, SCRATCH, THREADS)),
    Step("depthwise_bands_sums", "its adjoint in w, parts one behind the other",
         (DY, X, array(OUT, "sums", "numbers"), *BAND_TABLES, SCRATCH, THREADS)),
    Step("depthwise_rows", "3x3, rows stream by; grad_input: of dy",
         (X, W, BIAS, Y, record("q", "DepthwiseRows"), THREADS)),
    Step("depthwise_rows_sums", "its adjoint in w, parts one behind the other",
         (DY, X, array(OUT, "sums", "numbers"), record("q", "DepthwiseRows"), THREADS)),
    # ---- direct: contiguous runs ----
    Step("direct_pack", "weights in the order in which the products read them",
         (W, array(OUT, "u", "numbers"), DIRECT[0], ORDER, THREADS)),
    Step("direct_products", "activation(conv + bias + residual), or grad_input; without u, w is packed",
         (array(IN, "x", "n h w c, or n c h w"), array(IN, "u", "numbers, or none"), W, BIAS,
          array(IN, "residual", "as y, or none"), array(OUT, "y", "n oh ow co, or n co oh ow"), SCRATCH, *DIRECT,
          ORDER, *ints("activation"), THREADS)),
    Step("direct_few_pixels", "the same for 1x1 kernels over very few pixels",
         (array(IN, "x", "n h w c"), W, BIAS, array(IN, "residual", "as y, or none"), array(OUT, "y", "n oh ow co"),
          *ints("pixels groups activation"), THREADS)),
    Step("direct_sums", "sums for dw, threads one behind the other if private",
         (array(IN, "x", "n h w c, or n c h w"), array(IN, "dy", "n oh ow co, or n co oh ow"),
          array(OUT, "sums", "numbers"), SCRATCH, *DIRECT, THREADS)),
    Step("direct_weights", "dw from the sums, those of all threads together",
         (array(IN, "sums", "numbers"), DW, DIRECT[0], *ints("parts"), THREADS)),
    # ---- pointwise: 1x1 kernels on planes ----
    Step("pointwise_products", "activation(w x + bias + residual), lanes = pixels; w^T x if the record says so",
         (X, W, BIAS, array(IN, "residual", "as y, or none"), Y, SCRATCH, POINTWISE, *ints("activation"), THREADS)),
    Step("pointwise_sums", "sums for dw, threads one behind the other",
         (X, DY, array(OUT, "sums", "numbers"), SCRATCH, POINTWISE, THREADS)),
    Step("depthwise_last_pack", "weights as the products read them, a vector of channels a tap",
         (W, array(OUT, "packed", "numbers"), *LAST_TABLES, THREADS)),
    Step("depthwise_last_forward", "lanes = channels; dy of grad_input by its own axes; planes: n c h w",
         (array(IN, "x", "n h w ci"), W, array(IN, "packed", "numbers, or none"), BIAS,
          array(IN, "residual", "as y, or none"), array(OUT, "y", "n oh ow co"), *LAST_TABLES, *ints("code"), SCRATCH,
          THREADS)),
    Step("depthwise_last_grad_weight", "its adjoint in w",
         (array(IN, "dy", "n oh ow co"), array(IN, "x", "n h w ci"), DW_, *LAST_TABLES, SCRATCH, THREADS)),
    # ---- winograd ----
    Step("winograd_weights", "weights transformed", (W, array(OUT, "u", "g panels chunks f ci 2*lanes"), WINO, COEF,
         THREADS)),
    Step("winograd_tiles", "a thread takes its tiles through all stages",
         (array(IN, "x", "n ci ih iw, or n ih iw ci"), array(IN, "u", "numbers"), BIAS,
          array(IN, "residual", "as y, or none"), array(OUT, "y", "n co oh ow, or n oh ow co"), SCRATCH, WINO, COEF,
          *ints("activation"), THREADS)),
    Step("winograd_panels", "threads share the tiles and split the outputs",
         (array(IN, "x", "n ci ih iw, or n ih iw ci"), W, array(IN, "u", "numbers, or none"), BIAS,
          array(IN, "residual", "as y, or none"), array(OUT, "y", "n co oh ow, or n oh ow co"), SCRATCH, WINO, COEF,
          *ints("activation"), THREADS)),
    Step("winograd_grad_weight", "dw",
         (array(IN, "dy", "n co oh ow, or n oh ow co"), array(IN, "x", "n ci ih iw, or n ih iw ci"), DW, SCRATCH, WINO,
          COEF, flag("by_panels"), THREADS)),
    # ---- fft_tiled ----
    Step("fft_tiled_weights", "row transforms of the weights",
         (W, array(OUT, "r", "numbers"), SCRATCH, *FFT_TILES, THREADS)),
    Step("fft_tiled_channels", "lanes = channels; r: row transforms of the weights, may be empty",
         (array(IN, "x", "n ci ih iw, or n ih iw ci"), W, array(IN, "r", "numbers"), BIAS,
          array(IN, "residual", "as y, or none"), array(OUT, "y", "n co oh ow, or n oh ow co"), SCRATCH, *FFT_TILES,
          *ints("activation"), THREADS)),
    Step("fft_tiled_channels_grad_weight", "its adjoint in w",
         (array(IN, "dy", "n co oh ow, or n oh ow co"), array(IN, "x", "n ci ih iw, or n ih iw ci"), DW, SCRATCH,
          *FFT_TILES, THREADS)),
    Step("fft_tiled_points", "lanes = tiles or groups",
         (X, W, BIAS, array(IN, "residual", "as y, or none"), Y, SCRATCH, *FFT_TILES, *ints("activation"), THREADS)),
    Step("fft_tiled_points_grad_weight", "its adjoint in w", (DY, X, DW, SCRATCH, *FFT_TILES, THREADS)),
    # ---- one transform of a plane; radices: factors of its two lengths ----
    Step("fft_plane_spectrum", "of a plane with zeros around it, scaled for the way there and back",
         (array(IN, "x", "rows cols"), array(OUT, "spectrum", "numbers"), SCRATCH, *FFT_PLANE, THREADS)),
    Step("fft_plane_correlate", "correlation with what has the spectrum",
         (array(IN, "x", "rows cols"), array(IN, "spectrum", "numbers"), array(OUT, "y", "oh ow"), SCRATCH, *FFT_PLANE,
          THREADS)),
    # ---- filters of images: what the window shows is x[rows[i], cols[j]], cval where a place is -1 ----
    Step("filter_direct", "a full kernel, columns first; of a mirrored one the left half, its middle column halved",
         (PICTURE, array(IN, "w", "kw kh"), FILTERED, *SEE, SCRATCH, TASKS, THREADS)),
    Step("filter_separable", "column sums, then row sums",
         (PICTURE, array(IN, "column", "kh"), array(IN, "row", "kw"), FILTERED, *SEE, SCRATCH, TASKS, THREADS)),
    Step("filter_line", "along one axis, in the order of SciPy's sums",
         (PICTURE, array(IN, "w", "k"), FILTERED, *SEE, SCRATCH, TASKS, THREADS)),
    Step("filter_running", "running means along one axis", (PICTURE, FILTERED, *SEE, SCRATCH, TASKS, THREADS)),
    Step("filter_split", "all that the window shows, as planes",
         (PICTURE, array(OUT, "planes", "c rows cols"), *SEE, SCRATCH, TASKS, THREADS)),
    Step("filter_join", "planes as an image, rounded for integers; whether all are finite",
         (array(IN, "planes", "c oh ow"), FILTERED, SCRATCH, TASKS, THREADS), "bool"),
    # ---- split_bf16: float32 only ----
    Step("split_pack", "x as sums of bfloat16", (X, SPLIT_COPY, record("q", "SplitCopy"), THREADS), engines=SPLIT),
    Step("split_weights", "w as sums of bfloat16",
         (W, array(OUT, "u", "numbers"), POS, array(WORK, "tmp", "512*taps a thread"), record("q", "SplitWeights"),
          THREADS), engines=SPLIT),
    Step("split_rows", "a band of output rows from the copy",
         (COPY, array(IN, "u", "numbers, or none"), W, Y, BIAS, array(IN, "phases", "numbers", "intp"),
          array(IN, "steps", "numbers", "intp"), POS, SCRATCH, record("weights", "SplitWeights"),
          record("q", "SplitProducts"), THREADS), engines=SPLIT),
    Step("split_pack_rows", "dy as sums of bfloat16, in rows as long as those of x's copy",
         (DY, SPLIT_COPY, record("q", "SplitCopy"), THREADS), engines=SPLIT),
    Step("split_sums", "sums for dw of a band",
         (COPY, array(IN, "rows", "numbers"), array(INOUT, "sums", "numbers"), array(IN, "steps", "numbers", "intp"),
          TAPS, record("q", "SplitSums"), THREADS), engines=SPLIT),
    Step("split_unpack_sums", "dw from the sums",
         (array(IN, "sums", "numbers"), DW, record("q", "SplitSums"), THREADS), engines=SPLIT),
)  # fmt: skip
