"""Settings of the whole suite: one seed, printed, for everything that is random."""

import atexit
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Nothing that a developer has set or tuned may decide what is tested.
for name in ("FASTCONV_BACKEND", "FASTCONV_NUM_THREADS"):
    os.environ.pop(name, None)
# Threads that wait for work must not spin: beside another busy process that takes twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
os.environ["FASTCONV_CACHE_DIR"] = tempfile.mkdtemp(prefix="fastconv-tests-")
atexit.register(shutil.rmtree, os.environ["FASTCONV_CACHE_DIR"], ignore_errors=True)

settings.register_profile(
    "fastconv",
    deadline=None,  # a first call may compile
    max_examples=int(os.environ.get("FASTCONV_TEST_EXAMPLES", "40")),
    database=None,  # a failing problem is printed as a string; nothing is kept
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fastconv")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = random.SystemRandom().randrange(2**32)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The battery first: it compiles nearly all steps of the Numba engine. Other files that run them come last, so that
    they find them on disk, and no two processes compile the same steps side by side."""

    def file(item: pytest.Item) -> str:
        return item.nodeid.partition("::")[0]

    with_numba = {file(item) for item in items if re.search(r"\bnumba\b|/test_(numba|njit|bench\.py)", item.nodeid)}
    items.sort(key=lambda item: (not file(item).endswith("test_battery.py"), file(item) in with_numba))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"random problems: --hypothesis-seed={config.getoption('hypothesis_seed')}")


@pytest.fixture(autouse=True)
def _same_settings() -> Iterator[None]:
    """Whatever a test sets is put back, PyTorch's settings too: its number of threads is a limit of OpenMP's."""
    import fastconv

    before, torch = fastconv.get_num_threads(), sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else before
    yield
    fastconv.set_num_threads(before)
    torch = sys.modules.get("torch")
    if torch:
        torch.set_grad_enabled(True)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
