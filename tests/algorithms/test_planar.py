"""Kernels on plain planes: every block of outputs and of vectors, and what is written in place or by way of a row."""

import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery
from tests.problems import with_dtype

NAMES = [n for n in battery.backends() if n.startswith("planar/")]
STEMS = [  # few channels, many outputs
    "n2ci3ih21iw112co32kh3kw3sh2sw2ph1pw1_f32",
    "n1ci3ih30iw55co20kh5kw5ph2pw2_f32",
    "n2ci1ih19iw33co11kh7kw3sh2ph3pw1_f32",
    "n1ci4ih17iw100co64kh3kw3ph1pw1dh2dw2_f32",
    "n1ci2ih40iw149co27kh3kw5sh3sw4_f32",
    "n1ci3ih9iw14co40kh4kw4sh4sw4_f32",
]
FEW = [  # few outputs
    *(f"n1ci24ih9iw{w}co{c}kh3kw3ph1pw1_f32" for w, c in ((14, 1), (40, 3), (49, 5), (96, 8))),
    "n1ci24ih17iw90co3kh3kw3sh2sw2ph1pw1_f32",
    "n2ci9ih12iw47co7kh3kw3sh3sw3_f32",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", NAMES)
def test_paths(name: str, pass_: str, dtype: str) -> None:
    backend = fastconv.get_backend(name)
    problems = [with_dtype(text, dtype) for text in (*STEMS, *FEW)]
    able = [p for p in problems if not backend.refuse(p, pass_)]
    assert len(able) == len(problems) or pass_ == "grad_input"
    failed = battery.failures(name, pass_, able)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("name", NAMES)
def test_many_channels_to_many_outputs_are_refused(name: str) -> None:
    reason = fastconv.get_backend(name).refuse(parse("n1ci64ih8iw8co64kh3kw3ph1pw1_f32"), "forward")
    assert reason and "outputs" in reason
