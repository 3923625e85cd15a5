"""im2col on arrays of every layout: exact, panel by panel, within bounds; BLAS is not told to copy."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.im2col import Panels
from fastconv.core import blas
from fastconv.core.problem import PASSES, parse
from tests import battery, child
from tests.guard_layouts import run, taken
from tests.problems import integer_data, real_data

NAMES = [name for name in battery.backends() if name.startswith("im2col/")]
PROBLEMS = (
    "n2ci24ih13iw11co40kh3kw3ph1pw1_f32",
    "n5ci6ih9iw11co8kh3kw2ph2pw1sh2dw2g2_f64",
    "n3ci9ih8iw7co6kh2kw4pt1pb2pl0pr3dh2g3_f32",
    "n3ci33ih5iw7co10kh1kw1_f32",
    "n3ci6ih5iw7co4kh1kw1g2_f64",
    "n2ci8ih9iw10co8kh1kw1sh2sw3_f32",
    "n4ci16ih7iw7co16kh5kw5ph2pw2g16_f32",
    "n2ci3ih4iw5co7kh3kw3ph3pw3sh4sw2_f32",
    "n1ci1ih6iw1co1kh3kw1_f32",
)

pytestmark = pytest.mark.skipif(not NAMES, reason="no engine for it here")


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_layouts(name: str, text: str, pass_: str) -> None:
    """Small integers come out exactly, with the panels of the plan and with smaller ones."""
    backend, p = fastconv.get_backend(name), parse(text)
    d, pixels = integer_data(p), p.oh * p.ow
    want = battery.kept(p._replace(dtype="float64"), pass_, "integer")
    problems = list(taken(backend, p, pass_))
    assert len(problems) == 4
    for q in problems:
        for cfg in (None, Panels(2, pixels), Panels(1, max(1, pixels // 3 - 1)), Panels(1, 1)):
            battery.compare(backend, pass_, p, d, run(backend, pass_, q, d, 2, cfg=cfg), want=want)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_bounds_hold_in_every_layout(name: str, pass_: str) -> None:
    """Sums of normal numbers, whose order is another one where channels lie last."""
    backend, p = fastconv.get_backend(name), parse(PROBLEMS[0])
    d = real_data(p)
    want = battery.kept(p, pass_, "normal")
    for q in taken(backend, p, pass_):
        battery.compare(backend, pass_, p, d, run(backend, pass_, q, d, 2), exact=False, want=want)


@pytest.mark.parametrize("name", NAMES)
def test_prepared_weights(name: str) -> None:
    """Turned once, for x with channels last; otherwise they are taken as they are."""
    p = parse("n2ci5ih8iw9co6kh3kw3ph1pw1_f32_nhwc")
    backend, d = fastconv.get_backend(name), integer_data(p)
    cfg = backend.configure(p, "forward", 1)
    packed = backend.prepare(p, cfg, d.w)
    np.testing.assert_array_equal(packed, d.w.transpose(0, 2, 3, 1))
    assert backend.prepare(p._replace(x_last=False), cfg, d.w) is None
    y, work = np.empty((2, 8, 9, 6), "f4"), battery.aligned(backend.workspace(p, "forward", cfg, 1), "f4")
    x = battery.turned(d.x, True)
    backend.forward(p, cfg, x, np.full_like(d.w, np.nan), None, y, work, 1, packed)
    battery.compare(backend, "forward", p, d, y.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("text", [PROBLEMS[0], PROBLEMS[1], PROBLEMS[3], PROBLEMS[4]])
def test_matrices_are_those_of_blas(text: str, pass_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every matrix has neighbours along one axis, so NumPy hands it to BLAS as it lies; so many products a panel."""
    multiply, shapes = blas.matmul, []

    def plain(a: Any) -> bool:
        return any(a.shape[k] == 1 or a.strides[k] == a.itemsize for k in (-1, -2))

    def matmul(a: Any, b: Any, out: Any, threads: int) -> None:
        assert plain(a) and plain(b) and plain(out)
        shapes.append(out.shape)
        multiply(a, b, out, threads)

    monkeypatch.setattr(blas, "matmul", matmul)
    backend, p = fastconv.get_backend(NAMES[0]), parse(text)
    for q in taken(backend, p, pass_):
        shapes.clear()
        run(backend, pass_, q, integer_data(p), 1, cfg=Panels(p.n, p.oh * p.ow))
        assert [shape[:2] for shape in shapes] == [(1 if q.x_last and q.y_last else p.n, p.g)], q


@pytest.mark.parametrize("name", NAMES)
def test_stays_in_bounds(name: str) -> None:
    done = child.run("-m", "tests.guard_layouts", name)
    assert int(done.stdout.split()[-2]) > 0
