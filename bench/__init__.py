"""
The benchmarks of fastconv: ``python -m bench {run, chart, compare, networks, regret, ...}``.

The way of the data, one way::

    workloads   which layers, which arrays; whole networks
    oracle      a float64 answer of its own: nothing is timed before it has been checked
    checks      a call on trial becomes a cell
    measure     interleaved rounds in random order -> samples in seconds
    records     samples -> pytest-benchmark JSON and CSV, and back
    charts, report, tables   drawn from the JSON alone: figures, the page, what is printed

`run` measures every backend, `compare` measures fastconv against other libraries (`peers`), `networks` does so for
all convolutions of whole networks, `others` for pooling and transposed convolution, `transposed` for the latter
alone; `regret` judges the planner's choices, `overhead` the price of a call, `threads` that of threads; `gallery`
draws the lectures, `calibrate` measures the machine. `diff` holds two runs against each other. `images` filters images
(`image_table` over all of `image_cells`). `whole` runs whole networks (`zoo`, translated by `zoo_torch` and `zoo_onnx`)
for all contestants (`whole_peers`), or steps of training (`whole_training`).
``pytest bench --benchmark-only`` runs the same cells under pytest-benchmark.
"""

import os

# Idle threads of OpenBLAS spin for some 25 ms by default (2**26 cycles) and would take a core from the next
# cell. It has to be said before NumPy is loaded; an environment that says otherwise is respected.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")
