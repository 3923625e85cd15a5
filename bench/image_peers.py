"""Image libraries behind one face: an image, a kernel, a border; each says what it cannot filter."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bench import adapter
from bench.adapter import Call, Peer, single_plane
from bench.workloads import Layer, Tensors


class ImageLibrary(Peer):
    """
    Filters an image (H, W) or (H, W, 3), uint8 or float32, with a kernel as it stands (not turned round).

    Attributes
    ----------
    title : str
        What charts of images call it.
    border : str
        What it repeats beyond an image's edge, as `numpy.pad` calls it, where it is not asked for zeros.
    """

    title: str
    border = "symmetric"

    def filtering(self, image: Any, kernel: Any, line: Any, zeros: bool = False) -> Call | None:
        """The call that filters; `line` is the factor of a kernel that is its outer product, else None."""
        raise NotImplementedError

    def call(self, layer: Layer, pass_: str, tensors: Tensors) -> Call | None:
        if pass_ != "forward" or not single_plane(layer) or tensors.x.dtype != np.float32:
            return None
        return self.filtering(tensors.x[0, 0], tensors.w[0, 0], None, zeros=True)

    def to_numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result)[None, None]


class OpenCv(ImageLibrary):
    """``cv2.filter2D`` and ``cv2.sepFilter2D``, with Intel's IPP where the build has it."""

    name = "opencv"
    title = "OpenCV"
    module = "cv2"
    package = "opencv-python-headless"

    def start(self, threads: int) -> None:
        self.cv2: Any = import_module("cv2")
        self.cv2.setNumThreads(threads)

    def filtering(self, image: Any, kernel: Any, line: Any, zeros: bool = False) -> Call | None:
        cv2 = self.cv2
        border = cv2.BORDER_CONSTANT if zeros else cv2.BORDER_REFLECT
        if line is None:
            return lambda: cv2.filter2D(image, -1, kernel, borderType=border)
        return lambda: cv2.sepFilter2D(image, -1, line, line, borderType=border)


class OpenCvWithoutIpp(OpenCv):
    """The same with IPP switched off, which is what builds for other processors are."""

    name = "opencv, no ipp"
    title = "OpenCV without IPP"

    def filtering(self, image: Any, kernel: Any, line: Any, zeros: bool = False) -> Call | None:
        call, ipp = super().filtering(image, kernel, line, zeros), getattr(self.cv2, "ipp", None)
        if call is None or ipp is None or not ipp.useIPP():  # the build has none, and OpenCv is all there is
            return None

        def run() -> Any:
            ipp.setUseIPP(False)
            try:
                return call()
            finally:
                ipp.setUseIPP(True)

        return run


class DipLib(ImageLibrary):
    """``diplib.Convolution``, direct sums: its transforms are too inexact. Its mirror does not repeat the edge."""

    name = "diplib"
    title = "DIPlib"
    module = "diplib"
    border = "reflect"

    def start(self, threads: int) -> None:
        self.dip: Any = import_module("diplib")
        self.dip.SetNumberOfThreads(threads)

    def filtering(self, image: Any, kernel: Any, line: Any, zeros: bool = False) -> Call | None:
        if image.dtype != np.float32:  # it filters whole numbers in float and leaves rounding to the caller
            return None
        dip, border = self.dip, ["add zeros" if zeros else "mirror"]
        held = dip.Image(image)
        if line is not None:
            factor = [dip.OneDimensionalFilter(np.asarray(line[::-1], float).tolist())]
            return lambda: dip.SeparableConvolution(held, factor, border)
        turned = dip.Image(np.ascontiguousarray(kernel[::-1, ::-1]))
        return lambda: dip.Convolution(held, turned, "direct", border)


class Vips(ImageLibrary):
    """libvips: a pipeline that fills in the border, filters, rounds and cuts, strip by strip."""

    name = "pyvips"
    title = "libvips"
    module = "pyvips"
    package = "pyvips[binary]"

    def start(self, threads: int) -> None:
        self.vips: Any = import_module("pyvips")
        self.vips.concurrency_set(threads)
        self.vips.cache_set_max(0)  # of results

    def filtering(self, image: Any, kernel: Any, line: Any, zeros: bool = False) -> Call | None:
        height, width = image.shape[:2]
        kh, kw = kernel.shape
        source = self.vips.Image.new_from_array(image)
        mask = self.vips.Image.new_from_array([list(map(float, line))] if line is not None else kernel.tolist())
        extend = "black" if zeros else "mirror"

        def run() -> Any:
            wide = source.embed(kw // 2, kh // 2, width + kw - 1, height + kh - 1, extend=extend)
            found = wide.conv(mask, precision="float") if line is None else wide.convsep(mask, precision="float")
            found = found.crop(kw // 2, kh // 2, width, height)
            return (found.rint().cast("uchar") if image.dtype == np.uint8 else found).numpy()

        return run


LIBRARIES: tuple[type[ImageLibrary], ...] = (OpenCv, OpenCvWithoutIpp, DipLib, Vips)


def started(threads: int) -> list[ImageLibrary]:
    """Those that are installed, with so many threads."""
    found = [library() for library in LIBRARIES if library.available()]
    for library in found:
        library.start(threads)
    return found


def absent() -> str:
    """Words on those that are not installed."""
    return adapter.absent(LIBRARIES)
