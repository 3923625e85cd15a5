"""
A network, layer by layer
=========================

All convolutions of ResNet-18, each in proportion to its time.
"""

from pathlib import Path

from bench import charts, records

run = next(Path("../../performance").glob("*/benchmark.json"))  # yours: bench-results/benchmark.json
doc = records.load(run)
figure = charts.network_layers(doc, "resnet18")
