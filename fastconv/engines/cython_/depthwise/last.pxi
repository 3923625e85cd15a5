# Channel-wise convolution of channels-last arrays: the steps. Kernels and shares are in last.h and last_weight.h.
cdef extern from *:
    """
    #include "depthwise/last.h"
    #include "depthwise/last_weight.h"
    """

cdef extern from * nogil:
    ctypedef struct fc_dw_call:
        const DepthwiseLast* r
        const DepthwiseAxis* axes
        const intp* order
        const real* x
        const real* w
        const real* packed
        const real* bias
        const real* residual
        real* y
        real* work
        int activation
    intp fc_dw_forward_jobs(const fc_dw_call* a) noexcept nogil
    void fc_dw_forward_part(const void* args, intp first, intp end, intp ithr, bint again) noexcept nogil
    void fc_dw_pack_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void fc_dw_weight_share(const void* args, intp ithr, intp nthr) noexcept nogil
    void fc_dw_weight_end_share(const void* args, intp ithr, intp nthr) noexcept nogil


cdef fc_dw_call _dw_call(cnp.ndarray record, cnp.ndarray axes, cnp.ndarray order, cnp.ndarray work):
    cdef fc_dw_call a
    a.r = read_DepthwiseLast(record)
    if cnp.PyArray_SIZE(axes) * sizeof(intp) != (a.r.phases_v + a.r.phases_h) * sizeof(DepthwiseAxis):
        raise ValueError("axes has a DepthwiseAxis for each phase")
    a.axes, a.order = <const DepthwiseAxis*> cnp.PyArray_DATA(axes), <const intp*> cnp.PyArray_DATA(order)
    a.x = a.w = a.packed = a.bias = a.residual = NULL
    a.y, a.work, a.activation = NULL, data(work), 0
    return a


def depthwise_last_pack(cnp.ndarray w, cnp.ndarray packed, cnp.ndarray record, cnp.ndarray axes, cnp.ndarray order,
                        int threads):
    """w (co, 1, kh, kw) IN; packed (vectors of channels, taps, LANES) OUT."""
    cdef fc_dw_call a = _dw_call(record, axes, order, packed)
    a.w, a.y = data(w), data(packed)
    with nogil:
        launch(fc_dw_pack_share, &a, threads)


def depthwise_last_forward(cnp.ndarray x, cnp.ndarray w, packed, bias, residual, cnp.ndarray y, cnp.ndarray record,
                           cnp.ndarray axes, cnp.ndarray order, int code, cnp.ndarray work, int threads):
    """x (n, h, w, ci), w (co, 1, kh, kw), packed, bias (co), residual (as y) IN, the last three may be None;
    y (n, oh, ow, co) OUT; work WORK. grad_input is the same with axes of its own."""
    cdef fc_dw_call a = _dw_call(record, axes, order, work)
    a.x, a.w, a.y, a.activation = data(x), data(w), data(y), code
    a.packed = NULL if packed is None else data(packed)
    a.bias = NULL if bias is None else data(bias)
    a.residual = NULL if residual is None else data(residual)
    with nogil:
        launch_parts(fc_dw_forward_part, &a, fc_dw_forward_jobs(&a), threads)


def depthwise_last_grad_weight(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dw_, cnp.ndarray record, cnp.ndarray axes,
                               cnp.ndarray order, cnp.ndarray work, int threads):
    """dy (n, oh, ow, co), x (n, h, w, ci) IN; dw_ (co, 1, kh, kw) OUT; work WORK."""
    cdef fc_dw_call a = _dw_call(record, axes, order, work)
    cdef intp vectors = (a.r.channels + LANES - 1) / LANES
    a.x, a.w, a.y = data(x), data(dy), data(work)
    a.work = data(work) + a.r.parts * vectors * a.r.taps * LANES
    with nogil:
        launch(fc_dw_weight_share, &a, threads)
    a.x, a.y = a.y, data(dw_)
    with nogil:
        launch(fc_dw_weight_end_share, &a, threads if vectors * a.r.taps * a.r.parts > 4096 else 1)
