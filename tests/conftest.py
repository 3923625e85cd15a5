"""Settings of the whole suite: one seed, printed, for everything that is random."""

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

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


def pytest_report_header(config: pytest.Config) -> str:
    return f"random problems: --hypothesis-seed={config.getoption('hypothesis_seed')}"


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's FASTCONV_BACKEND must not decide what is tested; thread counts are put back."""
    monkeypatch.delenv("FASTCONV_BACKEND", raising=False)
    import fastconv

    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)
