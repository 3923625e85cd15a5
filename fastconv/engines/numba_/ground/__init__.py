"""What every step of the Numba engine stands on.

target.py        the instruction set to compile for
emit.py          pieces of LLVM IR
vector.py        a vector type for Numba
microkernel.py   the outer product of a register block
launch.py        compiles and starts steps; shares.py: one parallel loop for all
routines.py      compiled functions that steps call by address
peak.py          the largest number of an array
"""
