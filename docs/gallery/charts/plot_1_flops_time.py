"""
Operations against time
=======================

Each line is an algorithm, its steepness stands in the legend. Those that do all operations of the formula
rise with slope 1, transforms are flat; where lines cross, the better algorithm changes.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.flops_against_time(doc)
