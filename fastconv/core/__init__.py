"""What is computed, and with what: problems, arrays, borders, threads, scratch memory.

problem.py     a convolution as a plain tuple; shapes, strides, padding checked here
arguments.py   integers, pairs, paddings, shapes: checked
typing.py      the types of public arguments
arrays.py      anything array-like becomes an ndarray of a dtype that is computed; results and out=
flops.py       operations and bytes of a problem
borders.py     padding other than zeros, and its adjoint
rank_one.py    a kernel as a column times a row
workspace.py   scratch memory, lent and kept
threads.py     how many threads a call may use; forks
cores.py       the cores that this process may use
openmp.py      limits set on OpenMP from outside, and how its threads wait
blas.py        one BLAS call at a time
renamed.py     old names of arguments
errors.py      BackendRefused, WorkspaceError

Imports nothing else of fastconv.
"""
