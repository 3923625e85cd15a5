"""Depthwise convolution: planes in a buffer (steps.py), streamed rows, whole maps of channels (channels.py)."""
