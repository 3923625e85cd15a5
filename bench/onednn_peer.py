"""
oneDNN without a framework, by its C interface.

The library is the one of the package onednn-cpu-gomp, or the system's, of version 3 with OpenMP: then it shares its
threads with everybody else. (The package onednn is built for SYCL and needs an OpenCL device.)
"""

from __future__ import annotations

import ctypes
import ctypes.util
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_uint, c_void_p
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from bench.adapter import Call, Peer
from bench.workloads import Layer, Tensors

_CPU, _F32, _ANY, _OMP = 1, 3, 1, 2
_PLAIN = {1: 2, 4: 5, 5: 6}  # axes -> format tag of contiguous arrays: a, abcd, abcde
_FORWARD, _AUTO, _RELU = 64, 3, 0x20
_SRC, _WEIGHTS, _DST, _BIAS = 1, 33, 17, 41
_DIFF = 128  # an array's gradient, as an argument; of a bias 169
_QUERY = {"src": 129, "diff_src": 130, "weights": 131, "diff_weights": 132, "dst": 133, "diff_dst": 134}


class _Version(ctypes.Structure):
    _fields_ = (
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", c_char_p),
        ("cpu", c_uint),
        ("gpu", c_uint),
    )


class _Argument(ctypes.Structure):
    _fields_ = (("name", c_int), ("memory", c_void_p))


@cache
def library() -> Any:
    """The library, or None: not there, or not of version 3 with OpenMP."""
    paths = [ctypes.util.find_library("dnnl")]
    for package in ("onednn-cpu-gomp", "onednn"):
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        paths[:0] = [str(file.locate()) for file in files if file.name == "libdnnl.so.3"]
    for path in filter(None, paths):
        try:
            found = ctypes.CDLL(path)
        except OSError:
            continue
        found.dnnl_version.restype = POINTER(_Version)
        version = found.dnnl_version().contents
        if version.major == 3 and version.cpu == _OMP:
            return found
    return None


class Array(NamedTuple):
    """A descriptor, a memory, and what must live as long."""

    form: c_void_p
    memory: c_void_p
    owner: np.ndarray | None = None


class OneDnn(Peer):
    """Images in the layout that oneDNN asks for, beforehand; weights are turned into its own within the call."""

    name = "onednn"
    module = "onednn"
    package = "onednn-cpu-gomp"

    @classmethod
    def available(cls) -> bool:
        return library() is not None

    def start(self, threads: int) -> None:
        ctypes.CDLL("libgomp.so.1").omp_set_num_threads(threads)
        self.engine, self.stream = c_void_p(), c_void_p()
        self._do("dnnl_engine_create", byref(self.engine), _CPU, c_int64(0))
        self._do("dnnl_stream_create", byref(self.stream), self.engine, 1)

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        if tensors.x.dtype != np.float32 or layer.padding_mode != "zeros":
            return None
        if pass_ == "forward":
            return self._forward(layer, tensors, None)
        return self._gradient(layer, tensors, "src" if pass_ == "grad_input" else "weights")

    def fused_call(self, layer: Layer, tensors: Tensors, bias: np.ndarray) -> Call | None:
        able = tensors.x.dtype == np.float32 and layer.padding_mode == "zeros"
        return self._forward(layer, tensors, bias) if able else None

    def to_numpy(self, result: Any) -> np.ndarray:
        found = np.empty(result[1], np.float32)
        self._reorder(result[0], self._array(found))()
        shape = result[1]
        return found.reshape(shape[0] * shape[1], *shape[2:]) if len(shape) == 5 else found

    def _forward(self, layer: Layer, tensors: Tensors, bias: np.ndarray | None) -> Call:
        attributes = c_void_p()
        if bias is not None:
            operations = c_void_p()
            self._do("dnnl_post_ops_create", byref(operations))
            self._do("dnnl_post_ops_append_eltwise", operations, _RELU, c_float(0), c_float(0))
            self._do("dnnl_primitive_attr_create", byref(attributes))
            self._do("dnnl_primitive_attr_set_post_ops", attributes, operations)
        how = self._forward_form(layer, attributes, bias is not None)
        source = self._filled(how, "src", tensors.x)
        plain = self._array(_weights(layer, tensors.w))
        weights, result = self._empty(self._asked(how, "weights")), self._empty(self._asked(how, "dst"))
        given = {_SRC: source, _WEIGHTS: weights, _DST: result}
        if bias is not None:
            given[_BIAS] = self._array(bias)
        turn, run = self._reorder(plain, weights), self._primitive(how, given)
        if bias is not None:  # a prepared call
            turn()
            return lambda: (run(), (result, layer.y_shape))[1]
        return lambda: (turn(), run(), (result, layer.y_shape))[2]

    def _gradient(self, layer: Layer, tensors: Tensors, of: str) -> Call:
        hint, how = self._forward_form(layer, c_void_p(), False), c_void_p()
        x, w, dy = self._forms(layer)
        name = "data" if of == "src" else "weights"
        forms = (x, w, dy) if of == "src" else (x, w, None, dy)
        self._do(
            f"dnnl_convolution_backward_{name}_primitive_desc_create", byref(how), self.engine, _AUTO, *forms,
            *_geometry(layer), hint, None,
        )  # fmt: skip
        dy_held = self._filled(how, "diff_dst", tensors.dy)
        if of == "src":
            plain = self._array(_weights(layer, tensors.w))
            weights, result = self._empty(self._asked(how, "weights")), self._empty(self._asked(how, "diff_src"))
            turn = self._reorder(plain, weights)
            run = self._primitive(how, {_WEIGHTS: weights, _DST + _DIFF: dy_held, _SRC + _DIFF: result})
            return lambda: (turn(), run(), (result, layer.x_shape))[2]
        shape = _weights(layer, tensors.w).shape
        own, result = self._empty(self._asked(how, "diff_weights")), self._array(np.empty(shape, np.float32))
        held = self._filled(how, "src", tensors.x)
        run = self._primitive(how, {_SRC: held, _DST + _DIFF: dy_held, _WEIGHTS + _DIFF: own})
        turn = self._reorder(own, result)
        return lambda: (run(), turn(), (result, shape))[2]

    def _forward_form(self, layer: Layer, attributes: c_void_p, biased: bool) -> c_void_p:
        found, (x, w, y) = c_void_p(), self._forms(layer)
        bias = self._form((layer.co,), _PLAIN[1]) if biased else None
        self._do(
            "dnnl_convolution_forward_primitive_desc_create", byref(found), self.engine, _FORWARD, _AUTO, x, w, bias, y,
            *_geometry(layer), attributes,
        )  # fmt: skip
        return found

    def _forms(self, layer: Layer) -> list[c_void_p]:
        """Descriptors of images, weights and result whose layout is left to the library."""
        co, ci, kh, kw = layer.w_shape
        grouped = (layer.groups, co // layer.groups, ci, kh, kw)
        shapes = (layer.x_shape, layer.w_shape if layer.groups == 1 else grouped, layer.y_shape)
        return [self._form(shape, _ANY) for shape in shapes]

    def _form(self, shape: tuple[int, ...], tag: int) -> c_void_p:
        found = c_void_p()
        self._do("dnnl_memory_desc_create_with_tag", byref(found), len(shape), _numbers(shape), _F32, tag)
        return found

    def _asked(self, how: c_void_p, what: str) -> c_void_p:
        library().dnnl_primitive_desc_query_md.restype = c_void_p
        return c_void_p(library().dnnl_primitive_desc_query_md(how, _QUERY[what], 0))

    def _array(self, a: np.ndarray) -> Array:
        """A contiguous array as it lies."""
        form, memory = self._form(a.shape, _PLAIN[a.ndim]), c_void_p()
        self._do("dnnl_memory_create", byref(memory), form, self.engine, a.ctypes.data_as(c_void_p))
        return Array(form, memory, a)

    def _empty(self, form: c_void_p) -> Array:
        memory = c_void_p()
        self._do("dnnl_memory_create", byref(memory), form, self.engine, c_void_p(-1))  # it allocates
        return Array(form, memory)

    def _filled(self, how: c_void_p, what: str, a: np.ndarray) -> Array:
        found = self._empty(self._asked(how, what))
        self._reorder(self._array(np.ascontiguousarray(a)), found)()
        return found

    def _reorder(self, source: Array, target: Array) -> Call:
        how = c_void_p()
        self._do(
            "dnnl_reorder_primitive_desc_create", byref(how), source.form, self.engine, target.form, self.engine, None
        )
        return self._primitive(how, {_SRC: source, _DST: target})

    def _primitive(self, how: c_void_p, arrays: dict[int, Array]) -> Call:
        primitive, execute, wait = c_void_p(), library().dnnl_primitive_execute, library().dnnl_stream_wait
        self._do("dnnl_primitive_create", byref(primitive), how)
        given = (_Argument * len(arrays))(*(_Argument(name, array.memory) for name, array in arrays.items()))

        def run(alive: Any = arrays) -> None:
            if execute(primitive, self.stream, len(given), given) or wait(self.stream):
                raise RuntimeError("oneDNN did not run")

        return run

    def _do(self, name: str, *arguments: Any) -> None:
        if status := getattr(library(), name)(*arguments):
            raise RuntimeError(f"oneDNN: {name} returned {status}")


def _numbers(values: Any) -> Any:
    return (c_int64 * 12)(*values)


def _geometry(layer: Layer) -> tuple[Any, ...]:
    """Strides, dilations less one, zeros before and after; the zeros after are those that the result's size needs."""
    after = [
        (out - 1) * layer.stride + (k - 1) * layer.dilation + 1 - size - before
        for out, k, size, before in zip(
            layer.out_size, (layer.kh, layer.kw), (layer.h, layer.w), layer.pads, strict=True
        )
    ]
    steps = (layer.stride,) * 2, (layer.dilation - 1,) * 2
    return tuple(map(_numbers, (*steps, layer.pads, after)))


def _weights(layer: Layer, w: np.ndarray) -> np.ndarray:
    """The weights with an axis for groups, if there are several."""
    return np.ascontiguousarray(w if layer.groups == 1 else w.reshape(layer.groups, -1, *w.shape[1:]))
