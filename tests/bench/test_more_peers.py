"""Libraries that are rarely installed: what they compute is right, what they cannot do they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

from bench import adapter, fft_peers, image_peers, images, more_peers, onednn_peer, oracle, peers, workloads
from bench.adapter import Peer

LAYERS = [
    workloads.Layer("plain", 1, 3, 9, 7, 4, 3, 3, padding=1),
    workloads.Layer("asymmetric", 1, 3, 7, 6, 4, 3, 2, padding=(0, 1)),
    workloads.Layer("strided", 1, 4, 9, 8, 6, 3, 3, stride=2),
    workloads.Layer("dilated", 1, 4, 9, 8, 6, 3, 3, padding=2, dilation=2),
    workloads.Layer("grouped", 1, 4, 9, 8, 6, 3, 3, padding=1, groups=2),
    workloads.Layer("depthwise", 1, 5, 6, 6, 5, 5, 5, padding=2, groups=5),
    workloads.Layer("batch", 2, 3, 7, 7, 4, 3, 3, padding=1),
    workloads.Layer("plane", 1, 1, 40, 40, 1, 5, 5, padding=2),
]
#: Those that know many layers, and those that filter single planes.
DENSE = ("onednn", "ncnn", "mnn", "litert xnnpack")
PLANES = ("opencv", "opencv, no ipp", "diplib", "pyvips", "oaconvolve pyfftw", "oaconvolve mkl", "oaconvolve ducc")


@pytest.mark.parametrize("name", DENSE + PLANES)
def test_what_it_computes_is_right(name: str) -> None:
    (kind,) = (kind for kind in peers.PEERS if kind.name == name)
    if not kind.available():
        pytest.skip(f"{kind.package or kind.module} is not installed")
    peer = kind()
    peer.start(2)
    done = [layer.name for layer in LAYERS if _checked(peer, layer)]
    assert done == ["plane"] if name in PLANES else {"plain", "depthwise", "plane"} <= set(done)


def _checked(peer: Peer, layer: workloads.Layer) -> bool:
    """Whether it has a forward pass of the layer; whatever it has is right."""
    tensors = workloads.make_tensors(layer)
    bias = np.random.default_rng(1).standard_normal(layer.co, dtype=np.float32)
    made = [(peer.call(layer, pass_, tensors), oracle.Oracle(layer, pass_, tensors)) for pass_ in workloads.PASSES]
    assert [call is not None for call, _ in made[1:]] == [peer.name == "onednn"] * 2
    made.append((peer.fused_call(layer, tensors, bias), oracle.FusedOracle(layer, tensors, bias)))  # type: ignore[arg-type]
    for call, judge in made:
        if call is not None:
            assert judge.accepts(judge.error(peer.to_numpy(call()))), layer
    return made[0][0] is not None


def test_mnn_computes_anew_at_every_call() -> None:
    pytest.importorskip("MNN")
    layer, peer = LAYERS[0], more_peers.Mnn()
    tensors = workloads.make_tensors(layer)
    peer.start(1)
    call = peer.call(layer, "forward", tensors)
    assert call is not None
    first = np.array(call())
    tensors.x[...] *= 2
    np.testing.assert_allclose(np.array(call()), 2 * first, rtol=1e-5)


def test_it_refuses_what_it_cannot_do() -> None:
    layer = workloads.Layer("plane", 1, 1, 20, 20, 1, 5, 5, padding=2)
    tensors = workloads.make_tensors(layer, "float64")
    for kind in peers.PEERS:
        if kind.name in ("onednn", "diplib", "pyvips") and kind.available():
            peer = kind()
            peer.start(2)
            assert peer.call(layer, "forward", tensors) is None, kind.name


@pytest.mark.parametrize("axes", [None, (0, 1)])
@pytest.mark.parametrize("s", [None, (12, 9), (7, 20)])
def test_ducc_under_scipy_gives_what_scipy_gives(s: Any, axes: Any) -> None:
    ducc0 = pytest.importorskip("ducc0")
    x = np.random.default_rng(0).standard_normal((9, 14))
    for name in ("rfftn", "irfftn", "fftn", "ifftn"):
        given = x + 1j * x[::-1] if name != "rfftn" else x
        want = getattr(scipy.fft, name)(given, s, axes)
        with scipy.fft.set_backend(fft_peers.DuccBackend(ducc0.fft, 1), only=True):
            got = getattr(scipy.fft, name)(given, s, axes)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.abs(want).max())
            with pytest.raises(Exception, match="backend"):  # so that nothing is another library's in secret
                scipy.fft.dctn(x)


@pytest.mark.parametrize("panel", images.PANELS, ids=lambda panel: panel.name)
def test_image_libraries_filter_rightly_with_the_border_they_have(
    panel: images.Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "SIDE", 48)
    image, (kernel, line) = images.image_of(panel), images.kernel_of(panel, 7)
    found = images.contestants(panel, image, kernel, line, image_peers.started(2))
    for name, (call, border) in found.items():
        error = images.error_of(call(), image, kernel, np.random.default_rng(0), border)
        assert error <= (1.01 / 255 if panel.colour else 1e-5), name
    if image_peers.DipLib.available():
        assert ("DIPlib" in found) == (not panel.colour)


def test_they_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("ai_edge_litert", "cv2", "mkl", "onednn")
    monkeypatch.setattr(adapter, "find_spec", lambda name: None if name in gone else object())
    monkeypatch.setattr(fft_peers, "find_spec", lambda name: None if name in gone else object())
    monkeypatch.setattr(onednn_peer, "library", lambda: None)
    assert peers.absent() == (
        "Not installed, so not compared: cv2, onednn, ai_edge_litert, mkl_fft "
        "(pip install opencv-python-headless onednn-cpu-gomp ai-edge-litert mkl-fft mkl-service)"
    )
    assert image_peers.absent().startswith("Not installed, so not compared: cv2 (")
    monkeypatch.setattr(adapter, "find_spec", lambda name: object())
    assert image_peers.absent() == ""


def test_a_library_that_does_not_start_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Peer):
        name, module = "broken", "numpy"

        def start(self, threads: int) -> None:
            raise OSError("libbroken.so: cannot open shared object file")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "PEERS", (Broken, peers.SciPyDirect))
        found = peers.started(lambda peer: True, 1, Console(width=200))
    assert [peer.name for peer in found] == ["scipy.ndimage"]
    assert "left out broken: OSError: libbroken.so" in capsys.readouterr().out


def test_those_that_compile_for_long_are_only_there_on_request() -> None:
    assert [peer.name for peer in peers.PEERS if peer.on_request] == ["torch compiled"]
