"""The Numba engine: the steps of every algorithm as one namespace.

ground/ is what every step stands on (see there); the other files and folders hold the steps of one algorithm each, as
engines/steps.py lists them. A step is imported here and named in ``__all__``.
"""

from .ground import target  # noqa: F401  before anything of Numba: it sets what Numba compiles for

# isort: split
from .depthwise.bands import depthwise_bands
from .depthwise.bands_weight import depthwise_bands_sums
from .depthwise.last import depthwise_last_forward, depthwise_last_pack
from .depthwise.last_weight import depthwise_last_grad_weight
from .depthwise.rows import depthwise_rows, depthwise_rows_sums
from .direct.few import direct_few_pixels
from .direct.pack import direct_pack
from .direct.products import direct_products
from .direct.sums import direct_sums, direct_weights
from .fft import spectral_multiply
from .fft_plane import fft_plane_correlate, fft_plane_spectrum
from .fft_tiled.points import fft_tiled_points, fft_tiled_points_grad_weight
from .fft_tiled.steps import fft_tiled_channels, fft_tiled_weights
from .fft_tiled.weight import fft_tiled_channels_grad_weight
from .filter import filter_direct, filter_join, filter_line, filter_running, filter_separable, filter_split
from .ground.peak import abs_peak
from .ground.probe import fma_probe
from .im2col import col2im_add, col2im_add_last, im2col_pack, im2col_pack_last
from .layout import epilogue, epilogue_pixels, to_channels_first, to_channels_last
from .naive import naive_forward, naive_grad_input, naive_grad_weight
from .nn.activations import activation, activation_backward
from .nn.channels import channel_affine, channel_moments, channel_products
from .nn.layer_norm import layer_norm_last, layer_norm_last_backward, layer_norm_planes, layer_norm_planes_backward
from .nn.rows import affine_last, affine_planes, gate_last, gate_planes
from .pointwise import pointwise_products, pointwise_sums
from .pooling.last import (
    avg_pool_last,
    avg_pool_last_backward,
    max_pool_last,
    max_pool_last_backward,
    max_pool_last_indices,
    max_pool_last_scatter,
)
from .pooling.planes import avg_pool, avg_pool_backward, max_pool, max_pool_backward, max_pool_indices, max_pool_scatter
from .separable import separable_rows
from .winograd.steps import winograd_panels, winograd_tiles, winograd_weights
from .winograd.weight import winograd_grad_weight

__all__ = [
    "abs_peak",
    "activation",
    "activation_backward",
    "affine_last",
    "affine_planes",
    "avg_pool",
    "avg_pool_backward",
    "avg_pool_last",
    "avg_pool_last_backward",
    "channel_affine",
    "channel_moments",
    "channel_products",
    "col2im_add",
    "col2im_add_last",
    "depthwise_bands",
    "depthwise_bands_sums",
    "depthwise_last_forward",
    "depthwise_last_grad_weight",
    "depthwise_last_pack",
    "depthwise_rows",
    "depthwise_rows_sums",
    "direct_few_pixels",
    "direct_pack",
    "direct_products",
    "direct_sums",
    "direct_weights",
    "epilogue",
    "epilogue_pixels",
    "fft_plane_correlate",
    "fft_plane_spectrum",
    "fft_tiled_channels",
    "fft_tiled_channels_grad_weight",
    "fft_tiled_points",
    "fft_tiled_points_grad_weight",
    "fft_tiled_weights",
    "filter_direct",
    "filter_join",
    "filter_line",
    "filter_running",
    "filter_separable",
    "filter_split",
    "fma_probe",
    "gate_last",
    "gate_planes",
    "im2col_pack",
    "im2col_pack_last",
    "layer_norm_last",
    "layer_norm_last_backward",
    "layer_norm_planes",
    "layer_norm_planes_backward",
    "max_pool",
    "max_pool_backward",
    "max_pool_indices",
    "max_pool_last",
    "max_pool_last_backward",
    "max_pool_last_indices",
    "max_pool_last_scatter",
    "max_pool_scatter",
    "naive_forward",
    "naive_grad_input",
    "naive_grad_weight",
    "pointwise_products",
    "pointwise_sums",
    "separable_rows",
    "spectral_multiply",
    "to_channels_first",
    "to_channels_last",
    "winograd_grad_weight",
    "winograd_panels",
    "winograd_tiles",
    "winograd_weights",
]
