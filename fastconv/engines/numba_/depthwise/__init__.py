"""Depthwise convolution: planes in a buffer (steps.py), streamed rows; channels-last arrays (last.py)."""
