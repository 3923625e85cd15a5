"""
Scratch memory
==============

What a forward pass takes beside its result, and what the planner counts with.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.workspace(doc)
