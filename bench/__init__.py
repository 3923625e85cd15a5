"""
The benchmarks of fastconv: ``python -m bench {run, chart, compare, calibrate}``.

The way of the data, one way::

    workloads   which layers, which arrays
    oracle      a float64 answer of its own: nothing is timed before it has been checked
    measure     interleaved rounds in random order -> samples in seconds
    records     samples -> pytest-benchmark JSON and CSV, and back
    charts, report, tables   drawn from the JSON alone

`run` measures every backend, `compare` measures fastconv against other libraries (`peers`), `calibrate`
measures the machine. ``pytest bench --benchmark-only`` runs the same cells under pytest-benchmark.
"""
