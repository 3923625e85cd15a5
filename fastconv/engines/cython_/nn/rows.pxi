# Numbers times a factor of their channel: the steps. Kernels and shares are in rows.h.
cdef extern from "nn/rows.h" nogil:
    ctypedef struct norm_call:
        const real* x
        const real* scale
        const real* shift
        real* y
        intp rows, n, period
        int code, last
    void norm_rows_share(const void* args, intp ithr, intp nthr) noexcept nogil


cdef norm_call _norm_call(cnp.ndarray x, cnp.ndarray scale, cnp.ndarray y, bint last) noexcept:
    """Rows of the last axis."""
    cdef norm_call f
    memset(&f, 0, sizeof(f))
    f.x, f.scale, f.y, f.last = data(x), data(scale), data(y), last
    f.n = x.shape[x.ndim - 1]
    f.rows = cnp.PyArray_SIZE(x) // f.n if f.n else 0
    f.period = f.rows if last else cnp.PyArray_SIZE(scale)
    return f


def gate_last(cnp.ndarray x, cnp.ndarray s, cnp.ndarray y, int threads):
    """x (n, p, c) IN; y OUT, may be x: x times s (n, c)."""
    cdef norm_call f = _norm_call(x, s, y, True)
    f.period = x.shape[1]
    with nogil:
        launch(norm_rows_share, &f, threads)


def gate_planes(cnp.ndarray x, cnp.ndarray s, cnp.ndarray y, int threads):
    """x (n, c, p) IN; y OUT, may be x: x times s (n, c)."""
    cdef norm_call f = _norm_call(x, s, y, False)
    with nogil:
        launch(norm_rows_share, &f, threads)


def affine_last(cnp.ndarray x, cnp.ndarray scale, cnp.ndarray shift, cnp.ndarray y, int code, int threads):
    """x (p, c) IN; y OUT, may be x: activation(x scale + shift), scale and shift (c); code: place in ACTIVATIONS."""
    cdef norm_call f = _norm_call(x, scale, y, True)
    f.shift, f.code = data(shift), code
    with nogil:
        launch(norm_rows_share, &f, threads)


def affine_planes(cnp.ndarray x, cnp.ndarray scale, cnp.ndarray shift, cnp.ndarray y, int code, int threads):
    """The same for x (n, c, p)."""
    cdef norm_call f = _norm_call(x, scale, y, False)
    f.shift, f.code = data(shift), code
    with nogil:
        launch(norm_rows_share, &f, threads)
