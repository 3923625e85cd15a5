"""The compiled engine: one source, `kernels.pxi`, written as C once a dtype and compiled once an instruction set.

The modules ``_x86_64_v4_f32``, ``_x86_64_v4_f64``, ... (``_neon_f32`` on Arm, ``_portable_f32`` on other
architectures) hold the same steps; `fastconv.engines.loader` picks the widest that the CPU can run. The other files
and folders hold the steps of one algorithm each; `kernels.pxi` includes them in this order, behind ground/:

vector.pxi      the vector type of vector.h, ``LANES`` numbers of type ``real``; ``data``: an array's first number
records.pxi     the structs of engines/records, and ``read_NAME``; written by setup.py
control.pxi     ``memcpy``, ``memset``; where a strided row meets the image
launch.pxi      ``launch``: a share of a step a thread; ``split``: where a share begins; ``launch_parts``: evens out
cases.pxi       block sizes as constants of the C compiler
transpose.pxi   planes to lanes and back
peak.pxi        the largest number of an array
epilogue.h      bias, residual and activation
"""
