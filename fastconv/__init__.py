"""fastconv: fast, exact and understandable 2-D convolution on CPUs.

One call, many algorithms::

    conv2d(x, w, ...)                                        operations/  arguments become arrays
      -> ConvProblem("n4ci64ih56iw56co64kh3kw3ph1pw1_f32")   core/        what is computed, never how
      -> Plan(backend, block sizes, workspace)               planning/    named, tuned, or cheapest by the cost model
      -> backend.forward(problem, config, x, w, y, work)     algorithms/  one file an algorithm, no loops over pixels
      -> steps.im2col_pack(x, col, ...)                      engines/     one folder an engine, the loops

The result goes back the same way; `conv2d_grad_input` and `conv2d_grad_weight` travel the same road.
Nothing calls upward. `planning.registry.BACKENDS` is the table of algorithms and engines, `explain` says which
one a call uses and why, `plan_conv2d` keeps packed weights between calls. `images/` holds the filters on images,
`nn/` makes networks of the public calls; `ndimage`, `signal`, `astropy`, `dask` and `torch` are doors for users of
those libraries, `numba_extension/` is that for functions that Numba compiles. What a folder holds, file by file,
stands in its ``__init__.py``.

What is done once for every algorithm: coercion and dtypes, borders other than zeros, scratch memory, threads,
BLAS: all in core/.
"""

from .algorithms.base import Backend, Cost
from .core.errors import BackendRefused, WorkspaceError
from .core.problem import ConvProblem
from .core.threads import get_num_threads, num_threads, set_num_threads
from .core.workspace import release_workspace
from .images.filter2d import filter2d
from .operations.adaptive_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from .operations.arithmetic import (
    ReceptiveField,
    conv2d_flops,
    conv2d_output_shape,
    conv2d_parameters,
    halo,
    receptive_field,
)
from .operations.average_pooling import avg_pool2d, avg_pool2d_backward
from .operations.conv1d import conv1d, conv1d_backward
from .operations.conv2d import conv2d
from .operations.conv_transpose2d import conv_transpose2d, conv_transpose2d_backward
from .operations.depthwise_separable import (
    DepthwiseSeparableGradients,
    depthwise_separable_conv2d,
    depthwise_separable_conv2d_backward,
)
from .operations.global_pooling import (
    global_avg_pool2d,
    global_avg_pool2d_backward,
    global_max_pool2d,
    global_max_pool2d_backward,
)
from .operations.gradients import Conv2dGradients, conv2d_backward, conv2d_grad_input, conv2d_grad_weight
from .operations.pooling import max_pool2d, max_pool2d_backward
from .operations.prepared import Conv2dPlan, plan_conv2d
from .operations.separable import SeparableConv2dGradients, separable_conv2d, separable_conv2d_backward
from .operations.unfold import conv2d_matrix, fold, unfold
from .operations.unpooling import max_unpool2d, max_unpool2d_backward
from .patching import Patch, patch_scipy
from .planning.config import show_config
from .planning.explain import Explanation, explain
from .planning.registry import get_backend, list_backends, register_backend, unregister_backend
from .planning.tune_verify import tune, verify

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here

__all__ = [
    "Backend",
    "BackendRefused",
    "Conv2dGradients",
    "Conv2dPlan",
    "ConvProblem",
    "Cost",
    "DepthwiseSeparableGradients",
    "Explanation",
    "Patch",
    "ReceptiveField",
    "SeparableConv2dGradients",
    "WorkspaceError",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_flops",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "conv2d_matrix",
    "conv2d_output_shape",
    "conv2d_parameters",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "depthwise_separable_conv2d",
    "depthwise_separable_conv2d_backward",
    "explain",
    "filter2d",
    "fold",
    "get_backend",
    "get_num_threads",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "global_max_pool2d",
    "global_max_pool2d_backward",
    "halo",
    "list_backends",
    "max_pool2d",
    "max_pool2d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "num_threads",
    "patch_scipy",
    "plan_conv2d",
    "receptive_field",
    "register_backend",
    "release_workspace",
    "separable_conv2d",
    "separable_conv2d_backward",
    "set_num_threads",
    "show_config",
    "tune",
    "unfold",
    "unregister_backend",
    "verify",
]


_DOORS = ("astropy", "dask", "ndimage", "nn", "signal", "torch")


def __getattr__(name: str) -> object:
    """The doors are imported on first use."""
    if name in _DOORS:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public: functions, classes, doors."""
    return sorted([*__all__, *_DOORS, "__version__"])
