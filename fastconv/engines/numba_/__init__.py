"""The Numba engine: the steps of every algorithm as one namespace.

target.py chooses the instruction set, launch.py compiles and starts steps, vector.py is the vector type on emit.py's
pieces of LLVM IR, microkernel.py the outer product; the other files hold the steps of one algorithm each.
"""
from . import target  # noqa: F401  before anything of Numba: it sets what Numba compiles for
from .direct import direct_pack, direct_rows, direct_weights
from .direct_weight import direct_sums, direct_unpack_sums
from .filter import filter_direct, filter_line, filter_running, filter_separable
from .im2col import col2im_add, im2col_pack
from .microkernel import fma_probe
from .naive import naive_forward, naive_grad_input, naive_grad_weight
from .peak import abs_peak
from .planar import planar_rows, planar_weights, pointwise

__all__ = ["abs_peak", "col2im_add", "direct_pack", "direct_rows", "direct_sums", "direct_unpack_sums",
           "direct_weights", "filter_direct", "filter_line", "filter_running", "filter_separable", "fma_probe",
           "im2col_pack", "naive_forward", "naive_grad_input", "naive_grad_weight", "planar_rows", "planar_weights",
           "pointwise"]
