"""A child forked while its parent computes: neither OpenMP's nor BLAS's threads nor any lock may hang it."""

import sys

import pytest

from tests import battery, child

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")

FORK = """
import faulthandler, os, sys, threading, time
import numpy as np
import fastconv
from fastconv.problem import PASSES, parse
from tests import battery
from tests.problems import real_data

name = sys.argv[1]
p = parse("n2ci16ih32iw33co24kh3kw3ph1pw1_f32")
if fastconv.get_backend(name).refuse(p, "forward"):
    p = parse("n2ci24ih32iw33co24kh3kw3ph1pw1g24_f32")
d = real_data(p)
passes = [q for q in PASSES if not fastconv.get_backend(name).refuse(p, q)]
assert passes
fastconv.set_num_threads(2)
plan = fastconv.plan_conv2d(p.x_shape, d.w, padding=1, groups=p.g, backend=name)

def results():
    if sys.argv[3] == "plan":
        return [plan(d.x)]
    return [battery.public(name, q, p, d) for q in passes]

parallel = results()
with fastconv.num_threads(1):
    serial = results()

def same(got):
    return all(np.array_equal(g, a) or np.array_equal(g, b) for g, a, b in zip(got, serial, parallel, strict=True))

stop = False
def work():
    while not stop:
        assert same(results())

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
            code = 0 if same(results()) and same(results()) else 2
        finally:
            os._exit(code)
    outcome.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if outcome[-1]:
        sys.exit(f"the child of fork {len(outcome)} ended with {outcome[-1]}")
stop = True
for t in busy: t.join(60)
assert same(results()), "the parent gives other results after the fork"
print(outcome)
"""

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


@pytest.mark.parametrize("what", ["calls", "plan"])
@pytest.mark.parametrize("name", battery.backends())
def test_fork_while_in_use(name: str, what: str) -> None:
    """Calls in the child, and a plan that was made before the fork for several threads."""
    forks = 12
    assert child.run_code(FORK, name, str(forks), what).strip() == str([0] * forks)


@pytest.mark.skipif(sys.platform == "darwin", reason="the system's own libraries do not survive a fork there")
def test_process_pool() -> None:
    assert child.run_code(POOL).strip() == "good"
