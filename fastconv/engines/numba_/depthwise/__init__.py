"""Depthwise convolution: bands in a buffer (bands.py), streamed rows (rows.py), channels-last arrays (last.py)."""
