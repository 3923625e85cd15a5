"""ConvProblem: its string form, its sizes, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.core.problem import ConvProblem, parse
from tests.oracle import output_size
from tests.problems import BORDER_PROBLEMS, DTYPES, EDGE_PROBLEMS, MODES, options, random_problems, with_mode


@pytest.mark.parametrize("text", EDGE_PROBLEMS)
def test_table_is_canonical(text: str) -> None:
    assert str(parse(text)) == text


@given(random_problems(dtypes=DTYPES))
def test_round_trip(text: str) -> None:
    p = parse(text)
    assert str(p) == text
    assert ConvProblem.from_shapes(p.x_shape, p.w_shape, **options(p), dtype=p.dtype) == p


def test_string_form() -> None:
    p = ConvProblem.from_shapes((4, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert str(p) == "n4ci64ih56iw56co64kh3kw3ph1pw1_f32"
    assert parse("n1ci3ih9iw9co4kh3kw3sh2sw2pt1pb0pl1pr0dh2dw2_reflect_f64") == ConvProblem(
        1, 3, 9, 9, 4, 3, 3, 2, 2, 1, 0, 1, 0, 2, 2, 1, "reflect", "float64"
    )
    assert str(ConvProblem.from_shapes((3, 5, 6), (2, 3, 2, 2), dtype="float16")) == "n1ci3ih5iw6co2kh2kw2_f16"


def test_only_numbers_and_strings() -> None:
    """Problems are hashable keys: no array ever hides in one."""
    p = parse(EDGE_PROBLEMS[0])
    assert {type(v) for v in p} == {int, str, bool}
    assert {p: 1}[parse(str(p))] == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "f32", "n1ci1ih4iw4co1kh3kw3", "n1ci1ih4iw4co1kh3_f32", "n1ci1ih4iw4co1kh3kw3_f8",
        "n1ci1ih4iw4co1kh3kw3_mirror_f32", "n1ci1ih4iw4co1kh3kw3zz1_f32", "n1n1ci1ih4iw4co1kh3kw3_f32",
        "n1ci1ih4iw4co1kh3kw3sh0_f32", "n1ci1ih4iw4co1kh5kw5_f32", "n1ci3ih4iw4co2kh3kw3g2_f32",
        "n1ci2ih4iw4co2kh3kw3g0_f32", "n1ci1ih4iw4co1kh3kw3dh0_f32", "n-1ci1ih4iw4co1kh3kw3_f32",
        "n1 ci1 ih4 iw4 co1 kh3 kw3_f32", "n1ci1ih4iw4co1kh3kw3_zeros_reflect_f32",
    ],
)  # fmt: skip
def test_damaged_strings(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(text)


@given(random_problems())
def test_output_size_formula(text: str) -> None:
    p = parse(text)
    assert p.oh == output_size(p.ih, p.kh, p.sh, p.pt, p.pb, p.dh)
    assert p.ow == output_size(p.iw, p.kw, p.sw, p.pl, p.pr, p.dw)
    assert p.y_shape == (p.n, p.co, p.oh, p.ow)


@given(random_problems(modes=("zeros",)))
def test_output_size_is_torch_s(text: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: output sizes are not compared with it")
    p = parse(text)
    x = torch.empty((p.n, p.ci, p.ih + p.pt + p.pb, p.iw + p.pl + p.pr), device="meta")
    y = torch.nn.functional.conv2d(x, torch.empty(p.w_shape, device="meta"), None, (p.sh, p.sw), 0, (p.dh, p.dw), p.g)
    assert tuple(y.shape) == p.y_shape


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3))
def test_same_is_a_ceiling(size: int, k: int, stride: int, dilation: int) -> None:
    """ONNX SAME_UPPER: ceil(in / stride) outputs, the odd pixel of padding at the end."""
    p = ConvProblem.from_shapes((1, 1, size, size), (1, 1, k, k), stride, "same", dilation)
    assert p.oh == p.ow == -(-size // stride)
    assert p.pb - p.pt in (0, 1)
    needed = max(0, (p.oh - 1) * stride + dilation * (k - 1) + 1 - size)
    assert p.pt + p.pb == needed


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 3))
def test_full_and_valid(size: int, k: int, dilation: int) -> None:
    reach = dilation * (k - 1)
    full = ConvProblem.from_shapes((1, 1, size, size), (1, 1, k, k), 1, "full", dilation)
    assert (full.oh, full.pt, full.pb) == (size + reach, reach, reach)
    if size > reach:
        valid = ConvProblem.from_shapes((1, 1, size, size), (1, 1, k, k), 1, "valid", dilation)
        assert (valid.oh, valid.pt, valid.pb) == (size - reach, 0, 0)


@pytest.mark.parametrize("mode", MODES)
def test_padded_keeps_the_output(mode: str) -> None:
    for text in BORDER_PROBLEMS:
        p = with_mode(text, mode)
        assert p.padded().y_shape == p.y_shape
        assert p.padded().mode == "zeros"


@given(random_problems(modes=("zeros",)))
def test_adjoint_is_a_forward_problem_of_the_right_size(text: str) -> None:
    p = parse(text)
    a = p.adjoint()
    assert (a is None) == ((p.sh, p.sw) != (1, 1))
    if a is not None:
        assert a.y_shape == p.x_shape
        assert a.x_shape == p.y_shape


@pytest.mark.parametrize("shape", [(2**40, 1, 2**20, 2**20), (1, 1, 2**62, 2**62), (2**31, 2**31, 8, 8)])
def test_sizes_beyond_addresses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="x"):
        ConvProblem.from_shapes(shape, (1, shape[1], 1, 1))
    with pytest.raises(ValueError, match="padding"):
        ConvProblem.from_shapes((1, 1, 4, 4), (1, 1, 1, 1), padding=2**61)
