"""The engines keep the contract of engines/steps.py: names, arguments in order, and what arrays are used for."""

import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import ndimage
from fastconv.algorithms.split_bf16 import SplitBf16
from fastconv.core.problem import PASSES, parse
from fastconv.engines import loader, records, steps, stub
from tests import battery, split_units
from tests.problems import EDGE_PROBLEMS, integer_data

PRESENT = [engine for engine in loader.ENGINES if not loader.absent(engine)]
TABLE = {step.name: step for step in steps.STEPS}
WRITTEN = (steps.OUT, steps.INOUT, steps.WORK)
# Beside the edge cases of tests/problems.py, layers of many channels: other steps serve them.
PROBLEMS = [parse(text) for text in EDGE_PROBLEMS[::9]] + [
    parse("n2ci48ih10iw11co40kh3kw3ph1pw1_f32"),
    parse("n1ci16ih14iw14co16kh3kw3ph1pw1g16_f32"),
    parse("n1ci6ih40iw41co6kh3kw3ph1pw1g6_f32"),
    parse("n1ci16ih7iw7co512kh3kw3ph1pw1_f32"),
    parse("n1ci33ih24iw25co34kh7kw7ph3pw3_f32"),
    parse("n1ci1ih64iw70co1kh9kw9ph4pw4_f32"),
    parse("n1ci32ih12iw12co40kh1kw1_f32"),
    parse("n2ci32ih6iw7co32kh3kw3ph1pw1g32_f32"),
    parse("n4ci18ih40iw40co17kh3kw3ph1pw1_f32"),
    parse("n2ci40ih9iw10co40kh3kw3ph1pw1g40_f32_nhwc"),
]


def arguments_of(engine: str, step: Any) -> list[str]:
    """Names in order, with the `threads` that decorators of Numba put in the place of a share and its count."""
    names = list(inspect.signature(step).parameters)
    if engine == "numba":
        from fastconv.engines.numba_.ground.launch import Step

        if isinstance(step, Step):
            names = [*names[:-2], "threads"]
    return names


@pytest.mark.parametrize("engine", PRESENT)
def test_names_and_arguments(engine: str) -> None:
    space: Any = loader.load(engine, "float32")
    if engine == "cython":  # a compiled module also holds what it imports; its functions say where their C is from
        written = space.naive_forward.__module__
        found = {k for k, v in vars(space).items() if inspect.isroutine(v) and v.__module__ == written}
        if not hasattr(space, "split_pack"):
            found |= {name for name in TABLE if name.startswith("split_")}
    else:
        found = set(space.__all__)
    wanted = {name for name, step in TABLE.items() if engine in step.engines}
    assert not wanted - found, f"in engines/steps.py, but not in {space.__name__}: {sorted(wanted - found)}"
    assert not found - wanted, f"in {space.__name__}, but not in engines/steps.py: {sorted(found - wanted)}"
    for name in sorted(found):
        if hasattr(space, name):
            assert arguments_of(engine, getattr(space, name)) == [a.name for a in TABLE[name].arguments], name


def test_what_decorators_call_outputs() -> None:
    from fastconv.engines import numba_
    from fastconv.engines.numba_.ground.launch import Step

    checked = 0
    for name in numba_.__all__:
        step = getattr(numba_, name)
        if isinstance(step, Step):
            arguments = TABLE[name].arguments
            writes = [a.name for a, readonly in zip(arguments, step._readonly, strict=False) if not readonly]
            assert writes == [a.name for a in arguments if a.role in WRITTEN], f"{name}: what its decorator names"
            checked += 1
    assert checked > 5


def test_table() -> None:
    assert len(TABLE) == len(steps.STEPS)
    roles = {*steps.ARRAYS, "record", "int", "float", "flag"}
    for step in steps.STEPS:
        assert all(a.role in roles for a in step.arguments), step.name
        assert all(a.what in records.kinds() for a in step.arguments if a.role == "record"), step.name


def test_stub_is_current() -> None:
    current = stub.STUB.read_text() == stub.stub()
    assert current, "kernels.pyi is not what engines/steps.py says: run python -m fastconv.engines.stub"


class Recorder:
    """A namespace of steps whose calls are checked against the table; notes which arrays were written."""

    def __init__(self, space: Any, dtype: str, log: dict[tuple[str, str], int]) -> None:
        self._space, self._dtype, self._log = space, dtype, log

    def has(self, name: str) -> bool:
        return hasattr(self._space, name)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._space, name)
        if not callable(call):
            return call
        step = TABLE[name]

        def checked(*values: Any) -> Any:
            assert len(values) == len(step.arguments), f"{name} takes {len(step.arguments)}, got {len(values)}"
            arrays = []
            for a, value in zip(step.arguments, values, strict=True):
                self._check(f"{name}({a.name})", a, value)
                if a.role == steps.WORK:
                    value.fill(np.nan)
                if isinstance(value, np.ndarray):
                    arrays.append((a, value, value.tobytes()))
            result = call(*values)
            for a, value, before in arrays:
                n = len(before) if a.role in WRITTEN else apart(value, [v for b, v, _ in arrays if b.role in WRITTEN])
                same = value.tobytes()[:n] == before[:n]
                assert same or a.role in WRITTEN, f"{name} wrote to {a.name}"
                self._log[name, a.name] += not same
            assert type(result).__name__.replace("NoneType", "None") == step.returns, name
            return result

        return checked

    def _check(self, where: str, a: steps.Argument, value: Any) -> None:
        if value is None:
            assert a.what.endswith("or none"), where
        elif a.role in steps.ARRAYS:
            dtypes = {"real": [self._dtype], "image": ["uint8", "uint16", "int16", "float32", "float64"]}
            assert isinstance(value, np.ndarray) and value.flags.c_contiguous, where
            assert value.dtype in dtypes.get(a.dtype, [a.dtype]), f"{where}: {value.dtype}"
            axes = a.what.split(",")[0].split()  # of the first of alternatives
            assert value.ndim < 3 or axes[0] in ("any", "as") or value.ndim == len(axes), where
        elif a.role == "record":
            kind = records.kinds()[a.what]
            assert value.dtype == np.intp and value.shape == (records.length(kind),), f"{where}: no packed {a.what}"
        elif a.role == "float":
            assert isinstance(value, float), where
        else:
            assert isinstance(value, int), where


def apart(value: Any, written: list[Any]) -> int:
    """Bytes of an input in front of any array that is written: the rest of a scratch array may be handed on whole."""
    start = value.ctypes.data
    places = [w.ctypes.data for w in written if w.size and np.may_share_memory(w, value)]
    assert all(place > start for place in places)
    return min([int(value.nbytes), *(int(place - start) for place in places)])


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[str, str], int]]:
    """Every namespace that is loaded meanwhile is a recorder."""
    log: dict[tuple[str, str], int] = defaultdict(int)
    load = loader.unrecorded

    def recording(engine: str, dtype: str) -> Any:
        return Recorder(load(engine, dtype), "float64" if dtype == "float64" else "float32", log)

    monkeypatch.setattr(loader, "load", recording)
    monkeypatch.setattr(loader, "unrecorded", recording)
    for name in fastconv.list_backends():
        monkeypatch.setattr(fastconv.get_backend(name), "_load", recording)
    forget_filters()
    yield log
    forget_filters()


def forget_filters() -> None:
    """Image filters keep steps of their own."""
    for module in [m for name, m in list(sys.modules.items()) if name.startswith("fastconv.images.")]:
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear") and not isinstance(kept, type):
                kept.cache_clear()


def test_roles_of_arrays(recorded: dict[tuple[str, str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is marked IN stays bit for bit, what is marked as written is written by some call of some engine."""
    called: set[str] = set()
    for engine in PRESENT:
        with split_units.registered(SplitBf16):  # its steps run on CPUs without a unit for bfloat16, too
            run_backends(engine)
        with monkeypatch.context() as only:
            only.setattr(loader, "absent", lambda e, engine=engine: None if e == engine else "not recorded now")
            forget_filters()
            images_and_pooling(engine)
        space: Any = loader.load(engine, "float32")
        assert space.abs_peak(np.ones(9, np.float32), 1) == 1
        called |= {name for name, _ in recorded}
        uncalled = {s.name for s in steps.STEPS if engine in s.engines and space.has(s.name)} - UNCALLED - called
        assert not uncalled, f"no problem of this test calls {sorted(uncalled)} of {engine}"
    written = {(s.name, a.name) for s in steps.STEPS if s.name in called for a in s.arguments if a.role in WRITTEN}
    if list(loader.ENGINES) == PRESENT:  # the simpler loops of one engine may do without scratch memory
        unwritten = written - {where for where, times in recorded.items() if times}
        assert not unwritten, f"not IN, but no call writes to (step, array): {sorted(unwritten)}"


def run_backends(engine: str) -> None:
    """Every pass of every backend of an engine on all problems."""
    for name in battery.backends():
        backend = fastconv.get_backend(name)
        if backend.engine == engine:
            for p in [q._replace(dtype=dtype) for q in PROBLEMS for dtype in ("float32", "float64")]:
                d = integer_data(p)
                d = d._replace(w=np.ones_like(d.w)) if backend.by_value else d  # of rank 1
                for pass_ in PASSES:
                    if not backend.refuse(p, pass_):
                        battery.raw(backend, pass_, p, d, 2)


def normalising(common: Any) -> None:
    """Steps that layers of networks call."""
    x, s = np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.full((2, 4), 2, np.float32)
    rows, planes = x.reshape(6, 4), x.reshape(2, 4, 3)
    sums, work = np.full((2, 2, 4), -1.0), np.empty((2, 2, 4, 16), np.float32)
    common.layer_norm_last(rows, s[0], s[1], np.zeros_like(rows), 1e-6, 1)
    common.layer_norm_planes(planes, s[0], s[1], np.zeros_like(planes), 1e-6, 1)
    common.layer_norm_last_backward(rows, rows**2, s[0], np.zeros_like(rows), sums, work[..., 0].copy(), 1e-6, 1)
    common.layer_norm_planes_backward(planes, planes**2, s[0], np.zeros_like(planes), sums.copy() - 1, work, 1e-6, 1)
    common.channel_moments(x, np.zeros((2, 3, 4)), True, 1)
    common.channel_products(x, x, s[0], np.zeros((2, 2, 4)), True, 1)
    common.channel_affine(x, x[:0], np.ones((4, 4), np.float32), np.zeros_like(x), True, 1)
    common.gate_last(x, s, np.zeros_like(x), 1)
    common.gate_planes(planes, s, np.zeros_like(planes), 1)
    common.affine_last(rows, s[0], s[1], np.zeros_like(rows), 1, 1)
    common.affine_planes(planes, s[0], s[1], np.zeros_like(planes), 1, 1)


UNCALLED = {"fma_probe"}  # of the benchmark


def images_and_pooling(engine: str) -> None:
    rng = np.random.default_rng(0)
    a, flipped = np.ones((2, 3, 4, 5), np.float32), np.empty((2, 4, 5, 3), np.float32)
    common = loader.first("float32")  # what plans do around their backends
    common.to_channels_last(a, flipped, 1)
    common.epilogue(flipped, a[0, :, 0, 0].copy(), flipped.copy(), 1, True, 1)
    common.to_channels_first(flipped, a, 1)
    common.epilogue_pixels(a, a[0, 0, 0, :3].copy(), a.copy(), 1, 1, 2, 9, 1)
    common.activation(a, np.empty_like(a), 7, 1)
    common.activation_backward(a + 1, a, np.empty_like(a), 7, 1)
    normalising(common)
    planes = rng.integers(0, 9, (1, 2, 13, 38)).astype(np.float32)
    for x in (planes, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        y, index = fastconv.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
        fastconv.max_pool2d_backward(y, x, 3, stride=2, padding=1, indices=index)
        fastconv.max_pool2d_backward(y, x, 3, stride=2, padding=1)
        with pytest.raises(ValueError, match="indices must lie in their windows"):
            fastconv.max_pool2d_backward(y, x, 3, stride=2, padding=1, indices=index[..., ::-1, :])
        fastconv.max_pool2d(x, 3, stride=3)
        fastconv.avg_pool2d_backward(fastconv.avg_pool2d(x, 3), x, 3)
    image = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    fastconv.filter2d(image, rng.integers(0, 5, (3, 3)).astype(np.float32))
    fastconv.filter2d(image, np.ones((5, 5), np.float32))
    large: Any = f"fft/{engine}"
    fastconv.filter2d(image, rng.standard_normal((31, 31)).astype(np.float32), method=large)
    fastconv.filter2d(image, rng.standard_normal((90, 85)), method="fft")  # too large for tiles
    ndimage.uniform_filter(image[..., 0], 5)
    ndimage.gaussian_filter(image[..., 0].astype(float), 1.5)
