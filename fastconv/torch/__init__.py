"""Drop-in for PyTorch's 2-D convolutions on CPUs: functions, modules, and a backend of `torch.compile`.

::

    conv2d, conv_transpose2d                 functional.py   the arguments of torch.nn.functional; who computes a call
      -> torch.ops.fastconv.conv2d, ...      operators.py    operators for whatever traces, with gradients of all orders
      -> forward, grad_input, grad_weight    tensors.py      tensors as NumPy's views, plans found by shapes and strides
    replace_convolutions                     modules.py      nn.Conv2d and nn.ConvTranspose2d that compute here
    compile_backend                          dynamo.py       torch.compile(model, backend="fastconv")
      -> fused calls                         fusion.py       convolution, batch norm, addition, activation: one plan

threads.py lets PyTorch's threads do our work: two sets of threads would take each other's cores.

float32 and float64 tensors in the memory of the CPU are computed here, as they lie: channels_last tensors give
channels_last results. All others are PyTorch's: half, bfloat16, autocast, other devices, sparse and quantised tensors,
subclasses, and whatever torch.func, forward-mode derivatives or a dispatch mode look at.
"""

from .dynamo import compile_backend
from .functional import conv2d, conv_transpose2d
from .modules import Conv2d, ConvTranspose2d, replace_convolutions

__all__ = ["Conv2d", "ConvTranspose2d", "compile_backend", "conv2d", "conv_transpose2d", "replace_convolutions"]
