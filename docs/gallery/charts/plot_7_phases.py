"""
From import to a steady pace
============================

What the first call costs more than the next ones.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.phases(doc)
