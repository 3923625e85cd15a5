"""fastconv's calls inside functions that Numba compiles (``@njit``).

::

    init                                 here          Numba calls it before it compiles (entry point numba_extensions)
      -> conv2d(x, w, ...)               overloads.py  when compiled: types of arguments, checked, and of results
      -> call((x, w, ...))               lowering.py   when run: takes the GIL, makes Python objects, and calls
      -> caller("conv2d C x w ...")      answers.py    the ordinary call, which plans as ever; errors go back as text

Compiled code holds names, never addresses, so that it may be kept on disk. The GIL is held while a call is planned, not
while it is computed.
"""


def init() -> None:
    """Let Numba compile the calls of `answers.FUNCTIONS`; it costs nothing to say it twice."""
    from . import overloads  # noqa: F401 (registers what it defines)
