"""Winograd convolution: steps.py forward and grad_input, weight.py grad_weight."""
