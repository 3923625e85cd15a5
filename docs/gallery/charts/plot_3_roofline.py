"""
Roofline
========

How far each algorithm is from what the machine can do at its ratio of operations to bytes.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.roofline(doc)
