# Activations and their gradients, number by number: one pass over memory, whatever the layout.
cdef extern from "ground/epilogue.h" nogil:
    void fc_numbers(int code, const real* x, const real* dy, real* y, intp first, intp last)


cdef struct NumbersCall:
    const real* x
    const real* dy                  # or NULL: no gradient
    real* y
    intp vectors, numbers
    int code


cdef void _numbers_share(const void* arguments, intp ithr, intp nthr) noexcept nogil:
    """Whole vectors, but the last: shares do not meet within one."""
    cdef const NumbersCall* f = <const NumbersCall*> arguments
    fc_numbers(f.code, f.x, f.dy, f.y, split(f.vectors, ithr, nthr) * LANES,
               min(f.numbers, split(f.vectors, ithr + 1, nthr) * LANES))


cdef void _numbers(const real* x, const real* dy, real* y, intp numbers, int code, int threads) noexcept:
    cdef NumbersCall f = NumbersCall(x, dy, y, (numbers + LANES - 1) // LANES, numbers, code)
    with nogil:
        launch(_numbers_share, &f, threads)


def activation(cnp.ndarray x, cnp.ndarray y, int code, int threads):
    """y (as x) OUT: the activation of x (any); code is its place in ACTIVATIONS."""
    _numbers(data(x), NULL, data(y), cnp.PyArray_SIZE(x), code, threads)


def activation_backward(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, int code, int threads):
    """dx (as x) OUT: dy (as x) times the activation's derivative at x (any)."""
    _numbers(data(x), data(dy), data(dx), cnp.PyArray_SIZE(x), code, threads)
