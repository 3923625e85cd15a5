"""Networks to learn and to read: NumPy in, NumPy out, every forward with its backward, no tape.

    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
    loss, optimiser = nn.SoftmaxCrossEntropy(), nn.SGD(net.parameters(), lr=0.1)
    loss(net(x), labels)             # forward: every layer keeps what its backward needs
    net.backward(loss.backward())    # backward: every parameter's grad is written
    optimiser.step()                 # value -= lr grad

layer.py, summary.py                                       what a layer is: begin here; a network as a table
containers.py                                              Sequential, Residual, Concat
convolutions.py, pooling.py, linear.py                     layers on `fastconv`'s calls, and on a matrix product
activations.py, normalization.py, scaling.py               ReLU and its like, batch and layer norm, Scale, Dropout, ..
arithmetic.py                                              what these and losses compute in NumPy
graph.py, memory.py, compiled.py                           a network as operations, laid out, for inference in one call
init.py, losses.py, optimisers.py, schedules.py            how to begin, what to reach, how to get there
augment.py, training.py, progress.py                       data, `fit`, its bar

Images are (N, C, H, W), float32 or float64; memory layout follows the input, as everywhere in fastconv.
"""

from . import augment, init, schedules
from .activations import GELU, ArcTan, Hardswish, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softsign, Tanh
from .compiled import Compiled, compile
from .containers import Concat, Residual, Sequential
from .convolutions import Conv2d, ConvTranspose2d, DepthwiseSeparableConv2d
from .layer import Layer, Parameter
from .linear import Flatten, Linear
from .losses import BinaryCrossEntropy, Loss, MeanAbsoluteError, MeanSquaredError, SoftmaxCrossEntropy
from .normalization import BatchNorm2d, LayerNorm2d
from .optimisers import SGD, Adagrad, Adam, Optimiser, RMSprop
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .scaling import Dropout, Scale, SqueezeExcitation
from .training import History, accuracy, fit, predict

__all__ = [
    "GELU",
    "SGD",
    "Adagrad",
    "Adam",
    "ArcTan",
    "AvgPool2d",
    "BatchNorm2d",
    "BinaryCrossEntropy",
    "Compiled",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "DepthwiseSeparableConv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Hardswish",
    "History",
    "Layer",
    "LayerNorm2d",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MaxPool2d",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Optimiser",
    "Parameter",
    "RMSprop",
    "ReLU",
    "ReLU6",
    "Residual",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Softsign",
    "SqueezeExcitation",
    "Tanh",
    "accuracy",
    "augment",
    "compile",
    "fit",
    "init",
    "predict",
    "schedules",
]
