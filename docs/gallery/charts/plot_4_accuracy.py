"""
Accuracy against speed
======================

What an algorithm gains in speed it may pay for in digits.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.accuracy_against_speed(doc)
