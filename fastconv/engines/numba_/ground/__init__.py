"""What every step of the Numba engine stands on.

target.py        the instruction set to compile for
emit.py          pieces of LLVM IR
vector.py        a vector type for Numba
control.py       loops and choices of a block in LLVM IR
memory.py        clearing, copying, room on the stack
transpose.py     blocks of vectors on their way to a transpose
launch.py        compiles and starts steps; shares.py: one parallel loop for all
routines.py      compiled functions that steps call by address
peak.py          the largest number of an array
probe.py         the multiply-add peak
"""
