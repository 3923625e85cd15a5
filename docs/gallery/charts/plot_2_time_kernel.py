"""
Time against kernel size
========================

Lower is better; dotted lines mark where the fastest algorithm changes.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.time_against_kernel(doc)
