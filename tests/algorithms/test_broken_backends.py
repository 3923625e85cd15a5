"""The battery has to notice: backends that err in one way each must fail it."""

from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.algorithms.base import Backend
from fastconv.core.problem import PASSES, ConvProblem
from tests import battery
from tests.problems import EDGE_PROBLEMS, with_dtype


class Honest(Backend):
    """Hands everything to the reference; `spoil` may falsify what goes in, `finish` what comes out."""

    algorithm, engine = "honest", "test"

    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return p, a, b

    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[...] = result

    def _do(self, pass_: str, p: ConvProblem, a: Any, b: Any, out: Any, work: Any, threads: int) -> None:
        q, first, second = self.spoil(p, a, b)
        result = np.empty_like(out)
        extra = (None,) if pass_ == "forward" else ()
        getattr(fastconv.get_backend("reference"), pass_)(q, None, first, second, *extra, result, None, 1)
        self.finish(p, out, result, a, work, threads)

    def forward(
        self, p: ConvProblem, cfg: Any, x: Any, w: Any, bias: Any, y: Any, work: Any, threads: int, packed: Any = None
    ) -> None:
        self._do("forward", p, x, w, y, work, threads)

    def grad_input(self, p: ConvProblem, cfg: Any, dy: Any, w: Any, dx: Any, work: Any, threads: int) -> None:
        self._do("grad_input", p, dy, w, dx, work, threads)

    def grad_weight(self, p: ConvProblem, cfg: Any, dy: Any, x: Any, dw: Any, work: Any, threads: int) -> None:
        self._do("grad_weight", p, dy, x, dw, work, threads)


class FlippedKernel(Honest):
    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return p, a, b[..., ::-1, ::-1]


class OffByOnePadding(Honest):
    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return (p._replace(pt=p.pt + 1, pb=p.pb - 1) if p.pb else p), a, b


class OneSidedPadding(Honest):
    """Right wherever padding is symmetric."""

    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return p._replace(pl=p.pr, pr=p.pl), a, b


class SwappedDilation(Honest):
    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        q = p._replace(dh=p.dw, dw=p.dh)
        return (q if q.y_shape == p.y_shape else p._replace(dh=1, dw=1)), a, b


class TransposedGroups(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        c = out.shape[1] if out.shape[0] == p.n else out.shape[0]
        order = np.arange(c).reshape(p.g, -1).T.ravel() if c % p.g == 0 else np.arange(c)
        out[...] = result[:, order] if out.shape[0] == p.n else result[order]


class MissingBias(Honest):
    adds_bias = True


class MissingLastRow(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[..., :-1, :] = result[..., :-1, :]


class LeavesZerosUnwritten(Honest):
    """Stale memory shows through wherever nothing was summed."""

    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[result != 0] = result[result != 0]


class Accumulates(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        with np.errstate(invalid="ignore"):  # fresh memory may hold anything
            out += result


class TrustsWorkspace(Honest):
    """Takes it for granted that scratch memory holds zeros."""

    def workspace(self, p: ConvProblem, pass_: str, cfg: Any, threads: int) -> int:
        return 64

    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[...] = result + work[0]


class WorkspaceTooSmall(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        work[:7].reshape(7)
        out[...] = result


class FirstImageOnly(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[...] = 0
        out[:1] = result[:1]


class DropsChannelTail(Honest):
    """Right for whole vectors of four channels."""

    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        a = a.copy()
        a[:, a.shape[1] // 4 * 4 :] = 0
        return p, a, b


class ChangesInput(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[...] = result
        a[...] = 0


class ForgetsAChunkInParallel(Honest):
    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        out[...] = result
        if threads > 1:
            out.ravel()[out.size // 2 : out.size // 2 + 1] = 0


class Unsteady(Honest):
    calls = 0

    def finish(self, p: ConvProblem, out: Any, result: Any, a: Any, work: Any, threads: int) -> None:
        self.calls += 1
        out[...] = result + self.calls % 2 * 1e-30 * (result == 0)


class HalfPrecision(Honest):
    """Exact on small integers, and only there."""

    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return p, a.astype(np.float16).astype(p.dtype), b


class SinglePrecision(Honest):
    """float64 computed in float32."""

    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        return p, a.astype(np.float32).astype(p.dtype), b


class RefusesUnannounced(Honest):
    def spoil(self, p: ConvProblem, a: Any, b: Any) -> tuple[ConvProblem, Any, Any]:
        if p.g > 1:
            raise NotImplementedError("groups")
        return p, a, b


class RefusesThoughPlain(Honest):
    """An algorithm that promises to refuse nothing."""

    algorithm = "naive"

    def refuse(self, p: ConvProblem, pass_: str) -> str | None:
        return "dilation" if p.dh > 1 else None


BROKEN = Honest.__subclasses__()


def all_failures(backend: Backend, dtypes: tuple[str, ...]) -> dict[str, list[str]]:
    with battery.registered(backend) as name:
        problems = [with_dtype(text, dtype) for dtype in dtypes for text in EDGE_PROBLEMS]
        return {pass_: battery.failures(name, pass_, problems) for pass_ in PASSES}


def test_the_honest_one_passes() -> None:
    assert all_failures(Honest(), ("float32", "float64")) == {pass_: [] for pass_ in PASSES}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda cls: cls.__name__)
def test_the_broken_one_fails(broken: type[Honest]) -> None:
    dtypes = ("float64",) if broken is SinglePrecision else ("float32",)
    found = all_failures(broken(), dtypes)
    must_fail = {"forward"} if broken is MissingBias else set(PASSES)  # only forward has a bias
    assert {pass_ for pass_, messages in found.items() if messages} == must_fail


def test_a_failure_can_be_repeated() -> None:
    message = all_failures(FlippedKernel(), ("float32",))["forward"][0]
    assert "python -m tests.battery honest/test forward n" in message
    again = message.split()[-2:]
    assert battery.main(["reference", *again]) == 0
    with battery.registered(FlippedKernel()) as name, pytest.raises(SystemExit, match="wrong, first at"):
        battery.main([name, *again])
    for wrong, word in ((["referenz", *again], "backend"), (["reference", again[0], "n1"], "problem string")):
        with pytest.raises(SystemExit, match=word):
            battery.main(wrong)
