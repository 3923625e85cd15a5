"""``pytest bench --benchmark-only``: the cells of `bench.run` under pytest-benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv
from bench import records, subjects
from bench.measure import Forecast, seconds_of
from bench.oracle import Oracle
from bench.workloads import Layer, Tensors

SLOWEST_CALL = 0.5  # seconds
_forecast = Forecast()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A tenth of a second for each of many cells, unless the command line says otherwise."""
    given = config.invocation_params.args
    if not any(argument.startswith("--benchmark-max-time") for argument in given):
        config.option.benchmark_max_time = "0.1"
    if not any(argument.startswith("--benchmark-min-rounds") for argument in given):
        config.option.benchmark_min_rounds = 3


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """The same environment as in the files of `bench.run`, and no host name."""
    output_json["environment"] = records.environment(fastconv.get_num_threads())
    output_json["machine_info"]["node"] = ""


class Checked:
    """Measures a cell under pytest-benchmark after its answer was checked."""

    def __init__(self, benchmark: Any):
        self.benchmark = benchmark

    def __call__(self, oracle: Oracle, tensors: Tensors, backend: str) -> None:
        layer: Layer = oracle.layer
        predicted = _forecast.predict((backend, oracle.pass_, layer.kind), layer.flops)
        if predicted > SLOWEST_CALL:
            pytest.skip(f"predicted to take {predicted:.1f} s a call")
        call = subjects.call_of(layer, oracle.pass_, tensors, backend)
        try:
            error = oracle.error(np.asarray(call()))
        except fastconv.BackendRefused as refusal:
            pytest.skip(str(refusal))
        assert oracle.accepts(error), f"wrong answer, error {error:.1e}: not timed"
        _forecast.learn((backend, oracle.pass_, layer.kind), layer.flops, seconds_of(call))
        self.benchmark.group = f"{oracle.pass_} {layer.name}"
        self.benchmark.extra_info.update(
            records.extra_info(layer, oracle.pass_, backend, oracle.dtype, error, fastconv.get_num_threads())
        )
        self.benchmark(call)


@pytest.fixture
def checked(benchmark: Any) -> Checked:
    """The `benchmark` fixture behind a check of the answer."""
    return Checked(benchmark)
