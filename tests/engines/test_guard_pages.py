"""Nothing is read or written out of bounds, by any backend, on any problem of the table."""

import re
import signal
from itertools import groupby

import pytest

from tests import battery, child

NAMES = [name for name in battery.backends() if name != "reference"]  # NumPy sees to its own bounds
ALGORITHMS = [list(names) for _, names in groupby(NAMES, key=lambda name: name.partition("/")[0])]

OVERRUN = """
import numpy as np, sys
from tests.guard import Guarded
memory = Guarded()
a = memory.empty((100,), np.float32, at_end=sys.argv[1] == "end")
b = memory.copy(np.ones(7, np.float32), at_end=True)
a[...] = 1
print(a.sum(), b.sum(), flush=True)
if sys.argv[2] == "write":
    b[0] = 1  # an input
else:
    step = 1 if sys.argv[1] == "end" else -1
    np.lib.stride_tricks.as_strided(a, (200,), (4 * step,)).sum()
print("survived")
"""


@pytest.mark.parametrize(("where", "what"), [("end", "read"), ("start", "read"), ("end", "write")])
def test_the_guard_bites(where: str, what: str) -> None:
    done = child.run("-c", OVERRUN, where, what, check=False)
    assert done.stdout.split() == ["100.0", "7.0"], done.stdout + done.stderr
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)


@pytest.mark.parametrize("names", ALGORITHMS, ids=" ".join)
def test_stays_in_bounds(names: list[str]) -> None:
    """Both engines of an algorithm in one process, against one oracle."""
    done = child.run("-m", "tests.guard", *names, timeout=240)
    runs = re.findall(r"^(\S+): (\d+) runs$", done.stdout, re.MULTILINE)
    assert [name for name, count in runs if int(count)] == names


@pytest.mark.parametrize("isa", battery.instruction_sets()[1:])
def test_other_instruction_sets_stay_in_bounds(isa: str) -> None:
    """Other vector widths have other tails; `naive` has no vectors."""
    names = [n for n in battery.backends() if n.endswith("/cython") and not n.startswith("naive/")]
    done = child.run("-m", "tests.guard", *names, FASTCONV_ISA=isa.replace("_", "-"))
    assert len(re.findall(r": [1-9]\d* runs$", done.stdout, re.MULTILINE)) == len(names)
