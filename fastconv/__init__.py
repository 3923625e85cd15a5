"""fastconv: fast, exact and understandable 2-D convolution on CPUs."""
from .algorithms.base import Backend
from .api import Conv2dGradients, conv2d, conv2d_backward, conv2d_grad_input, conv2d_grad_weight
from .errors import BackendRefused, WorkspaceError
from .problem import ConvProblem
from .registry import get_backend, list_backends, register_backend
from .threads import get_num_threads, num_threads, set_num_threads
