"""The loops, one folder an engine. An engine knows arrays and numbers, not problems or plans.

steps.py     the contract: every step, its arrays marked IN, OUT, INOUT or WORK; kernels.pyi is made from it
records/     the numbers that steps take, with names
loader.py    finds an engine's steps
"""
