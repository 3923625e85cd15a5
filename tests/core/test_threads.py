"""The same result at every time, from every thread, in a forked child, and from within another call."""

import sysconfig

import numpy as np
import pytest

import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery, child
from tests.problems import integer_data, options, real_data

NAMES = battery.backends()
LARGE = (  # large enough that no backend runs them serial
    "n2ci16ih40iw41co24kh3kw3ph1pw1_f32",
    "n3ci24ih33iw20co24kh5kw5ph2pw2g24_f32",
    "n2ci8ih31iw40co16kh3kw3ph2pw2sh2sw2g2_reflect_f32",
)

FREE = """
import sys, warnings
warnings.simplefilter("error")  # Python tells of a module that switches the GIL on
import numpy as np
import fastconv
from fastconv.planning.config import config_text

for dtype in ("f4", "f8"):
    for name in (n for n in fastconv.list_backends() if n.endswith("/cython")):
        try:
            fastconv.conv2d(np.ones((1, 8, 9, 9), dtype), np.ones((8, 8, 3, 3), dtype), backend=name)
        except fastconv.BackendRefused:
            pass
assert not sys._is_gil_enabled() and "free-threaded, the GIL off" in config_text()
"""

CONCURRENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery
from tests.problems import options, real_data

names, texts = sys.argv[1].split(), sys.argv[2].split()
jobs = [(name, pass_, parse(text)) for name in names for text in texts for pass_ in PASSES]
jobs = [(n, q, p) for n, q, p in jobs if not fastconv.get_backend(n).refuse(battery.inner(p), q)]
want = [battery.public(name, pass_, p, real_data(p)) for name, pass_, p in jobs]
order = np.random.default_rng(0).permutation(np.tile(np.arange(len(jobs)), 6))

def one(i):
    name, pass_, p = jobs[i]
    return np.array_equal(battery.public(name, pass_, p, real_data(p)), want[i])

with ThreadPoolExecutor(6) as pool:
    wrong = {str(jobs[i]) for i, good in zip(order, pool.map(one, order)) if not good}
print("wrong:", *wrong)
"""

NESTED = """
import sys, threading
import numpy as np
import fastconv
from fastconv.core.problem import parse
from tests import battery
from tests.problems import integer_data, options

class Nested(fastconv.Backend):
    "Calls fastconv from within, three levels deep."
    algorithm, engine = "nested", "test"

    def __init__(self, within):
        self.within, self.exact = within, battery.is_exact(fastconv.get_backend(within))

    def error_bound(self, p, pass_):
        return fastconv.get_backend(self.within).error_bound(p, pass_)

    def workspace(self, p, pass_, cfg, threads):
        return 4096

    def forward(self, p, cfg, x, w, bias, y, work, threads, packed=None):
        work[...] = 7
        name = self.within if p.co == 1 else "nested/test"
        for o in range(p.co):
            y[:, o : o + 1] = fastconv.conv2d(x, w[o : o + 1], **options(p), backend=name)
        assert (work == 7).all(), "the inner call wrote into the outer one's memory"

texts = "n2ci16ih40iw41co4kh3kw3ph1pw1_f32", "n2ci16ih40iw41co4kh1kw1_f32"
for name in sys.argv[1:]:
    alone = fastconv.get_backend(name)
    able = next(p for p in map(parse, texts) if not alone.refuse(p._replace(co=1), "forward"))
    with battery.registered(Nested(name)):
        for mode in ("zeros", "reflect"):
            p = able._replace(mode=mode)
            d = integer_data(p)
            failed = []
            def call():
                try:
                    y = fastconv.conv2d(d.x, d.w, d.b, **options(p), backend="nested/test")
                    battery.compare(Nested(name), "forward", p, d, y, bias=d.b)
                except BaseException as error:
                    failed.append(error)
            threads = [threading.Thread(target=call) for _ in range(3)]
            call()
            for t in threads: t.start()
            for t in threads: t.join()
            assert not failed, (name, mode, failed)
    print(name, flush=True)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_repeated_runs_are_bitwise_equal(name: str, threads: int) -> None:
    with fastconv.num_threads(threads):
        for text in LARGE:
            p = parse(text)
            d = real_data(p)
            for pass_ in PASSES:
                if fastconv.get_backend(name).refuse(battery.inner(p), pass_):
                    continue
                first = battery.public(name, pass_, p, d)
                battery.compare(fastconv.get_backend(name), pass_, p, d, first, exact=False)
                for _ in range(3):
                    np.testing.assert_array_equal(battery.public(name, pass_, p, d), first, strict=True)


@pytest.mark.parametrize("algorithm", sorted({name.split("/")[0] for name in NAMES}))
def test_concurrent_callers(algorithm: str) -> None:
    """Six Python threads, all engines of an algorithm mixed."""
    names = " ".join(name for name in NAMES if name.split("/")[0] == algorithm)
    assert child.run_code(CONCURRENT, names, " ".join(LARGE)).strip() == "wrong:"


def test_concurrent_callers_of_everything() -> None:
    assert child.run_code(CONCURRENT, " ".join(NAMES), " ".join(LARGE[:2])).strip() == "wrong:"


@pytest.mark.parametrize("engine", ["cython", "numba"])
def test_nested_calls(engine: str) -> None:
    """A backend may itself call fastconv; neither call disturbs the other's scratch memory."""
    names = [name for name in NAMES if name.endswith("/numba") == (engine == "numba")]
    assert child.run_code(NESTED, *names).split() == names


@pytest.mark.parametrize("name", NAMES)
def test_threads_are_put_back(name: str) -> None:
    """A call leaves BLAS and fastconv with as many threads as they had."""
    from threadpoolctl import threadpool_info, threadpool_limits

    p = parse(LARGE[0])
    d = integer_data(p)
    for limit in (1, 2):
        with threadpool_limits(limit, user_api="blas"), fastconv.num_threads(3 - limit):
            before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
            for pass_ in PASSES:
                if not fastconv.get_backend(name).refuse(p, pass_):
                    battery.public(name, pass_, p, d)
            after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
            assert after == before
            assert fastconv.get_num_threads() == 3 - limit


def test_num_threads_nests_and_is_of_one_thread() -> None:
    import threading

    fastconv.set_num_threads(3)
    seen = []
    with fastconv.num_threads(1):
        with fastconv.num_threads(2):
            assert fastconv.get_num_threads() == 2
            other = threading.Thread(target=lambda: seen.append(fastconv.get_num_threads()))
            other.start()
            other.join()
        assert fastconv.get_num_threads() == 1
        with pytest.raises(RuntimeError), fastconv.num_threads(4):
            raise RuntimeError
        assert fastconv.get_num_threads() == 1
    assert fastconv.get_num_threads() == 3
    assert seen == [3]


def test_an_error_within_leaves_all_in_order() -> None:
    """A backend that raises half-way does not spoil the calls after it."""

    class Failing(fastconv.Backend):
        algorithm, engine = "failing", "test"

        def forward(self, *arguments: object, **options: object) -> None:
            raise RuntimeError("half-way")

    p = parse(LARGE[2])
    d = integer_data(p)
    with battery.registered(Failing()) as name:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="half-way"):
                fastconv.conv2d(d.x, d.w, backend=name, **options(p))
    battery.compare(fastconv.get_backend("reference"), "forward", p, d, battery.public("auto", "forward", p, d))


UNEVEN = (  # strips of grad_input whose first row is in another phase of the stride read one row more
    "n1ci8ih6iw34co31kh5kw5sh2sw2ph2pw2_f32",
    "n1ci16ih6iw2co32kh1kw5sh2pw2g2_f32",
    "n3ci5ih13iw9co20kh3kw3sh3sw2ph1pw1_f32",
)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("name", battery.backends())
def test_any_number_of_threads(name: str, pass_: str, threads: int) -> None:
    with fastconv.num_threads(threads):
        assert not battery.failures(name, pass_, map(parse, UNEVEN))


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a build of Python with the GIL")
def test_compiled_kernels_leave_the_gil_off() -> None:
    child.run_code(FREE)
