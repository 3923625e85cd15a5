"""Tests of fastconv, a folder for each of its own.

oracle.py   convolution written down a second time; shares no code with the package
problems.py a table of problems, random ones, and data for them
battery.py  what every backend has to pass
guard.py, guard_pooling.py   runs between forbidden pages
child.py, peers.py, golden.py, split_units.py, scipy_swap.py   processes, other libraries, examples

The tests that stand here are about the whole: imports, docstrings, examples, the oracle, the benchmark.
"""
