"""A child forked while its parent computes: neither OpenMP's nor BLAS's threads nor any lock may hang it."""

import sys

import pytest

from tests import battery, child

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")

FORK = """
import faulthandler, os, sys, threading, time
import fastconv
from fastconv.core.problem import PASSES, parse
from tests import battery
from tests.problems import options, real_data

name = sys.argv[1]
backend = fastconv.get_backend(name)
p = next(p for p in map(parse, sys.argv[3:]) if not backend.refuse(p, "forward"))
d = real_data(p)
passes = [q for q in PASSES if not backend.refuse(p, q)]
fastconv.set_num_threads(2)
plan = fastconv.plan_conv2d(p.x_shape, d.w, **options(p), backend=name)
want = {q: battery.expected(p, q, d) for q in passes}

def compute():
    if what == "plan":
        battery.compare(backend, "forward", p, d, plan(d.x), exact=False, want=want["forward"])
    else:
        for q in passes:
            battery.compare(backend, q, p, d, battery.public(name, q, p, d), exact=False, want=want[q])

for what in ("calls", "plan"):
    compute()
    with fastconv.num_threads(1):  # as a child will; a compiler's lock is not what is tested here
        compute()
    stop = False
    def work():
        while not stop:
            compute()

    busy = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for t in busy: t.start()
    outcome = []
    for _ in range(int(sys.argv[2])):
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(20, exit=True)  # a hang ends, and says where it was
            code = 1
            try:
                compute()
                compute()
                code = 0
            except AssertionError as error:
                print(error, file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        outcome.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if outcome[-1]:
            sys.exit(f"the child of fork {len(outcome)} of {what} ended with {outcome[-1]}")
    stop = True
    for t in busy: t.join(60)
    compute()
    print(what, outcome, flush=True)
"""

LAYERS = (  # the first that a backend does
    "n2ci16ih24iw25co16kh3kw3ph1pw1_f32",
    "n2ci16ih64iw65co24kh1kw1_f32",
    "n2ci24ih32iw33co24kh3kw3ph1pw1g24_f32",
    "n2ci3ih64iw65co4kh3kw3ph1pw1_f32",
)

POOL = """
import multiprocessing, sys
import numpy as np
import fastconv

def one(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((1, 8, 40, 40)), rng.standard_normal((8, 8, 3, 3))
    return fastconv.conv2d(x, w, padding=1).sum()

if __name__ == "__main__":
    want = [one(i) for i in range(8)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        got = pool.map_async(one, range(8)).get(60)
    np.testing.assert_allclose(got, want, rtol=1e-9)
    print("good")
"""


@pytest.mark.parametrize("name", battery.backends())
def test_fork_while_in_use(name: str) -> None:
    """Calls in the child, and a plan that was made before the fork for several threads."""
    forks = 6
    done = child.run("-c", FORK, name, str(forks), *LAYERS, timeout=120)
    assert done.stdout.splitlines() == [f"{what} {[0] * forks}" for what in ("calls", "plan")]


@pytest.mark.skipif(sys.platform == "darwin", reason="the system's own libraries do not survive a fork there")
def test_process_pool() -> None:
    assert child.run_code(POOL).strip() == "good"
