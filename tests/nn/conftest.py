"""Networks of the tests are small: two threads of BLAS would mostly wait for each other, and beside another busy
process six times as long as the products take."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread_of_blas() -> Iterator[None]:
    with threadpool_limits(1, user_api="blas"):
        yield
