"""What is computed, and with what: problems, arrays, borders, threads, scratch memory.

problem.py     a convolution as a plain tuple; shapes, strides, padding checked here
arrays.py      anything array-like becomes an ndarray of a dtype that is computed
flops.py       operations and bytes of a problem
borders.py     padding other than zeros, and its adjoint
workspace.py   scratch memory, lent and kept
threads.py     how many threads a call may use; forks
blas.py        one BLAS call at a time
renamed.py     old names of arguments
errors.py      BackendRefused, WorkspaceError

Imports nothing else of fastconv.
"""
