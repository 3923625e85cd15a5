# Normalisation of pixels, and its gradients: the steps. Kernels and shares are in layer_norm.h.
cdef extern from "nn/layer_norm.h" nogil:
    ctypedef struct norm_layer:
        const real* dy
        const real* x
        const real* weight
        const real* bias
        real* y
        real* work
        double* sums
        intp images, C, pixels, parts
        double eps
    void norm_layer_last_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void norm_layer_last_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void norm_layer_planes_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void norm_layer_planes_grad_share(const void* args, intp ithr, intp nthr) noexcept nogil


cdef norm_layer _norm_layer(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray y, double eps) noexcept:
    """x (p, c), or planes (n, c, p)."""
    cdef norm_layer f
    memset(&f, 0, sizeof(f))
    f.x, f.weight, f.y, f.eps = data(x), data(weight), data(y), eps
    f.C = x.shape[1]
    f.pixels = x.shape[0] if x.ndim == 2 else x.shape[2]
    f.images = 1 if x.ndim == 2 else x.shape[0]
    return f


def layer_norm_last(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray y, double eps, int threads):
    """x (p, c) IN; y OUT, may be x: each pixel with mean 0 and variance 1, times weight (c), plus bias (c)."""
    cdef norm_layer f = _norm_layer(x, weight, y, eps)
    f.bias = data(bias)
    with nogil:
        launch(norm_layer_last_share, &f, threads)


def layer_norm_planes(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray y, double eps, int threads):
    """The same for x (n, c, p)."""
    cdef norm_layer f = _norm_layer(x, weight, y, eps)
    f.bias = data(bias)
    with nogil:
        launch(norm_layer_planes_share, &f, threads)


def layer_norm_last_backward(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray dx, cnp.ndarray sums,
                             cnp.ndarray work, double eps, int threads):
    """dy, x (p, c) IN; dx OUT; sums (parts, 2, c) float64 OUT: of each channel those of dy and dy x', parts are even
    shares of the pixels; work (parts, 2, c)."""
    cdef norm_layer f = _norm_layer(x, weight, dx, eps)
    f.dy, f.work, f.sums, f.parts = data(dy), data(work), <double*> cnp.PyArray_DATA(sums), sums.shape[0]
    with nogil:
        launch(norm_layer_last_grad_share, &f, threads)


def layer_norm_planes_backward(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray dx, cnp.ndarray sums,
                               cnp.ndarray work, double eps, int threads):
    """The same for dy, x (n, c, p); work (parts, 2, c, 16)."""
    cdef norm_layer f = _norm_layer(x, weight, dx, eps)
    f.dy, f.work, f.sums, f.parts = data(dy), data(work), <double*> cnp.PyArray_DATA(sums), sums.shape[0]
    with nogil:
        launch(norm_layer_planes_grad_share, &f, threads)
