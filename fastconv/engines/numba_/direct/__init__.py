"""Direct convolution on channels-last arrays as contiguous runs.

block.py       the register block of all passes
view.py        how blocks meet the source: in place, or in a copy with zeros beside it
pack.py        weights as blocks stream them
products.py    forward and grad_input; sums.py: grad_weight; few.py: 1x1 kernels over very few pixels
"""
