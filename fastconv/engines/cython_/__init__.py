"""The compiled engine: one source, `kernels.pxi`, built once an instruction set and dtype.

The modules ``_x86_64_v4_f32``, ``_x86_64_v4_f64``, ... (or ``_portable_f32``, ``_portable_f64`` on other
architectures) hold the same steps; `fastconv.engines.loader` picks the widest that the CPU can run.
"""
