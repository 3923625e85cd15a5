"""Tiled FFT convolution: lanes are tiles (steps.py) or pixels (points.py)."""
