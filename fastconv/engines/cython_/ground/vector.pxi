# The vector type (vector.h) as Cython sees it: a float whose operators the C compiler makes vector code.
cdef extern from *:
    """
    #undef CYTHON_INLINE /* `cdef inline` must really be inlined: kernels get their block sizes as constants */
    #define CYTHON_INLINE FC_ALWAYS
    """

cdef extern from "ground/vector.h" nogil:
    ctypedef float real
    ctypedef float vec
    enum:
        LANES
        FC_REGISTERS
    vec vload(const real* p)
    void vstore(real* p, vec v)
    vec vload_part(const real* p, int n)
    void vstore_part(real* p, vec v, int n)
    vec vload_range(const real* p, int a, int b)
    void vstore_range(real* p, vec v, int a, int b)
    vec vload_bytes(const void* p)
    void vstore_bytes(void* p, vec v)
    vec vkeep(vec v, int n)
    vec vset(real s)
    vec vzero()
    real vsum(vec v)
    vec vslide1(vec a, vec b)
    vec vslide3(vec a, vec b)
    vec vslide_back1(vec a, vec b)
    vec veven(vec a, vec b)
    vec vodd(vec a, vec b)
    vec vziplo(vec a, vec b)
    vec vziphi(vec a, vec b)
    vec vpick2(const real* p)
    vec vpick2_part(const real* p, int n)
    void vtranspose(vec* m)
    void fetch(const void* p)
    void fetch_l2(const void* p)
    void fetch_w(const void* p)
    const real* fc_base(const real* p)


cdef inline real* data(cnp.ndarray a) noexcept:  # the caller holds the GIL
    return <real*> cnp.PyArray_DATA(a)
