# Pooling of channels-last arrays: the steps. Kernels and shares are in last.h and last_backward.h; forward.pxi
# defines what they use.
cdef extern from *:
    """
    #include "pooling/last.h"
    #include "pooling/last_backward.h"
    """

cdef extern from * nogil:
    ctypedef struct pool_last:
        const PoolWindows* q
        intp images, H, W, C, OH, OW
        const real* x
        const real* dy
        const real* rows
        const real* cols
        const intp* offsets
        real* y
        cnp.int64_t* index
        intp* bad
    void pool_last_max_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void pool_last_avg_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void pool_last_indices_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void pool_last_max_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void pool_last_scatter_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void pool_last_avg_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil


cdef pool_last _pool_last(cnp.ndarray x, cnp.ndarray y, cnp.ndarray q) except *:
    """x or dx, y or dy; what a step takes besides is filled in by it."""
    cdef pool_last f
    memset(&f, 0, sizeof(f))
    f.q = read_PoolWindows(q)
    f.images, f.H, f.W, f.C, f.OH, f.OW = x.shape[0], x.shape[1], x.shape[2], x.shape[3], y.shape[1], y.shape[2]
    return f


def max_pool_last(cnp.ndarray x, cnp.ndarray y, cnp.ndarray q, int threads):
    """x IN (images, H, W, C); y OUT (images, OH, OW, C); NaN where the window holds one."""
    cdef pool_last f = _pool_last(x, y, q)
    f.x, f.y = data(x), data(y)
    with nogil:
        launch(pool_last_max_share, &f, threads)


def avg_pool_last(cnp.ndarray x, cnp.ndarray y, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray q, int threads):
    """The same for the mean: a window has rows[i] * cols[j] pixels."""
    cdef pool_last f = _pool_last(x, y, q)
    f.x, f.y, f.rows, f.cols = data(x), data(y), data(rows), data(cols)
    with nogil:
        launch(pool_last_avg_share, &f, threads)


def max_pool_last_indices(cnp.ndarray x, cnp.ndarray y, cnp.ndarray index, cnp.ndarray offsets, cnp.ndarray q,
                          int threads):
    """x IN; y OUT; index OUT, int64: flat in the plane; `offsets`: of each tap."""
    cdef pool_last f = _pool_last(x, y, q)
    f.x, f.y, f.index = data(x), data(y), <cnp.int64_t*> cnp.PyArray_DATA(index)
    f.offsets = <const intp*> cnp.PyArray_DATA(offsets)
    with nogil:
        launch(pool_last_indices_share, &f, threads)


def max_pool_last_backward(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray offsets, cnp.ndarray q,
                           int threads):
    """x, dy IN; dx OUT: each dy at the pixel that was the largest."""
    cdef pool_last f = _pool_last(x, dy, q)
    f.x, f.dy, f.y, f.offsets = data(x), data(dy), data(dx), <const intp*> cnp.PyArray_DATA(offsets)
    with nogil:
        launch(pool_last_max_grad_share, &f, threads)


def max_pool_last_scatter(cnp.ndarray dy, cnp.ndarray index, cnp.ndarray dx, cnp.ndarray bad, cnp.ndarray q,
                          int threads):
    """dy, index IN; dx OUT: each dy at its index. bad INOUT (threads), added: how many lay outside of their rows."""
    cdef pool_last f = _pool_last(dx, dy, q)
    f.dy, f.y = data(dy), data(dx)
    f.index, f.bad = <cnp.int64_t*> cnp.PyArray_DATA(index), <intp*> cnp.PyArray_DATA(bad)
    with nogil:
        launch(pool_last_scatter_share, &f, threads)


def avg_pool_last_backward(cnp.ndarray dy, cnp.ndarray dx, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray q,
                           int threads):
    """dy IN; dx OUT: the sum of dy[i, j] / (rows[i] * cols[j]) over the windows that hold the pixel."""
    cdef pool_last f = _pool_last(dx, dy, q)
    f.dy, f.y, f.rows, f.cols = data(dy), data(dx), data(rows), data(cols)
    with nogil:
        launch(pool_last_avg_grad_share, &f, threads)
