"""One file an algorithm: refusal, configuration, cost, bounds and three passes, without loops.

base.py          what a backend is
naive.py         the textbook loops; the file to read first
im2col.py        one matrix product
direct.py        contiguous runs of the image, block by block, either layout; direct_layout.py
pointwise.py     1x1 kernels on planes, lanes = pixels
depthwise.py     few channels a group; depthwise_last.py: channels last
winograd.py      with winograd_layout.py, winograd_matrices.py
fft_tiled.py     tiles in cache, with fft_tiled_search.py, fft_tiled_layout.py
fft.py           large transforms, with overlap_save.py
separable.py     columns times rows, with low_rank.py
split_bf16.py    units for bfloat16, with split_layout.py
reference.py     the definition, without an engine
axes.py          which pixels outputs are sums of
"""
