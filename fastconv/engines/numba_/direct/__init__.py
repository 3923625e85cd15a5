"""Direct convolution: steps.py forward and grad_input, weight.py grad_weight, planar*.py on arrays as they lie."""
