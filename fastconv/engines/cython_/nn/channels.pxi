# Sums over the numbers of a channel, and what is added and multiplied channel by channel: the steps of batch
# normalisation. Kernels and shares are in moments.h.
cdef extern from "nn/moments.h" nogil:
    ctypedef struct norm_sums:
        const real* x
        const real* dy
        const real* centre
        double* sums
        intp images, C, pixels, parts
        int last
    ctypedef struct norm_affine:
        const real* x
        const real* v
        const real* table
        real* y
        intp rows, n, C
        int last
    void norm_moments_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void norm_products_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void norm_affine_share(const void* args, intp ithr, intp nthr) noexcept nogil


cdef norm_sums _norm_sums(cnp.ndarray x, cnp.ndarray sums, bint last) noexcept:
    return norm_sums(data(x), NULL, NULL, <double*> cnp.PyArray_DATA(sums), x.shape[0], x.shape[2 if last else 1],
                     x.shape[1 if last else 2], sums.shape[0], last)


def channel_moments(cnp.ndarray x, cnp.ndarray moments, bint channels_last, int threads):
    """x (n, c, p) IN, or (n, p, c); moments (parts, 3, c) float64 OUT: of each channel a number near its mean, the
    sum of distances from it, and of their squares. Parts: images, or with channels last even shares of all pixels."""
    cdef norm_sums f = _norm_sums(x, moments, channels_last)
    with nogil:
        launch(norm_moments_share, &f, threads)


def channel_products(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray centre, cnp.ndarray sums, bint channels_last,
                     int threads):
    """dy, x IN, centre (c); sums (parts, 2, c) float64 OUT: of each channel those of dy and dy (x - centre)."""
    cdef norm_sums f = _norm_sums(x, sums, channels_last)
    f.dy, f.centre = data(dy), data(centre)
    with nogil:
        launch(norm_products_share, &f, threads)


def channel_affine(cnp.ndarray x, cnp.ndarray other, cnp.ndarray table, cnp.ndarray y, bint channels_last, int threads):
    """x (n, c, p) IN, or (n, p, c); other (as x) may be empty; y OUT: (x - p) a + b + other e; table: p, a, b, e."""
    cdef norm_affine f = norm_affine(data(x), NULL, data(table), data(y), 0, x.shape[2], table.shape[1], channels_last)
    if cnp.PyArray_SIZE(other):
        f.v = data(other)
    f.rows = x.shape[0] * x.shape[1]
    with nogil:
        launch(norm_affine_share, &f, threads)
