# Planes to lanes and back: LANES x LANES register transposes, with tails.
#
# Planes are `plane` numbers apart, each a run of n numbers, up to LANES planes; lanes are vectors of one number of each
# plane, `pitch` numbers apart (LANES: densely; the number of channels: channels last) or at places of a table. A run
# that ends inside a block of LANES steps back and does some numbers twice, which spares the masks.


cdef inline void planes_load(const real* x, intp plane, intp planes, int n, vec* m) noexcept nogil:
    """n <= LANES numbers of each plane, a vector a plane; what is missing is zero."""
    cdef intp c
    if n == LANES and planes == LANES:
        for c in range(LANES):
            m[c] = vload(x)
            x = fc_base(x + plane)
    elif n == LANES:
        for c in range(LANES):
            m[c] = vload(x + c * plane) if c < planes else vzero()
    else:
        for c in range(LANES):
            m[c] = vload_part(x + c * plane, n) if c < planes else vzero()


cdef inline void planes_load_spread(const real* x, intp plane, intp planes, intp step, int n, vec* m) noexcept nogil:
    """The same for numbers `step` apart."""
    cdef intp c, t
    cdef real r[LANES]
    if step == 2:
        for c in range(LANES):
            if c >= planes:
                m[c] = vzero()
            elif n == LANES:
                m[c] = vpick2(x + c * plane)
            else:
                m[c] = vpick2_part(x + c * plane, n)
        return
    for c in range(LANES):
        for t in range(LANES):
            r[t] = x[c * plane + t * step] if c < planes and t < n else 0
        m[c] = vload(r)


cdef inline void planes_store(const vec* m, real* y, intp plane, intp planes, int n) noexcept nogil:
    """n <= LANES numbers of each plane."""
    cdef intp c
    if n == LANES and planes == LANES:
        for c in range(LANES):
            vstore(y, m[c])
            y = <real*> fc_base(y + plane)
    elif n == LANES:
        for c in range(planes):
            vstore(y + c * plane, m[c])
    else:
        for c in range(planes):
            vstore_part(y + c * plane, m[c], n)


cdef inline intp _block_at(intp p, intp n) noexcept nogil:
    """Where the block of numbers p .. begins: the last one steps back."""
    return max(<intp> 0, min(p, n - LANES))


cdef inline void planes_to_lanes(const bint whole, const real* x, intp plane, intp planes, intp step, intp n, real* d,
                                 intp pitch, intp ahead) noexcept nogil:
    """d[p * pitch :+ planes] = number p * step of every plane; whole: LANES numbers, the missing ones zero.

    `ahead` numbers on is what is wanted next (0: nothing).
    """
    cdef vec m[LANES]
    cdef intp p = 0, at, c
    cdef int k, q = <int> min(<intp> LANES, n)
    while p < n:
        at = _block_at(p, n)
        if ahead:
            for c in range(planes):
                fetch(x + c * plane + at * step + ahead)
        if step == 1:
            planes_load(x + at, plane, planes, q, m)
        else:
            planes_load_spread(x + at * step, plane, planes, step, q, m)
        vtranspose(m)
        if q < LANES or not (whole or planes == LANES):
            for k in range(q):
                vstore_part(d + (at + k) * pitch, m[k], LANES if whole else <int> planes)
        else:
            for k in range(LANES):
                vstore(d + (at + k) * pitch, m[k])
        p += LANES


cdef inline void planes_to_places(const real* x, intp plane, intp planes, intp n, real* d,
                                  const intp* place) noexcept nogil:
    """d[place[p] :+ LANES] = number p of every plane, missing ones zero."""
    cdef vec m[LANES]
    cdef intp p = 0, at
    cdef int k, q = <int> min(<intp> LANES, n)
    while p < n:
        at = _block_at(p, n)
        planes_load(x + at, plane, planes, q, m)
        vtranspose(m)
        if q == LANES:
            for k in range(LANES):
                vstore(d + place[at + k], m[k])
        else:
            for k in range(q):
                vstore(d + place[k], m[k])
        p += LANES


cdef inline void lanes_to_planes(const bint whole, const bint add, const real* s, intp pitch, real* y, intp plane,
                                 intp planes, intp n, vec bias) noexcept nogil:
    """Number p of every plane = s[p * pitch :+ planes], with a bias a plane if `add`; whole: LANES may be read."""
    cdef vec m[LANES]
    cdef intp p = 0, at
    cdef int k, q = <int> min(<intp> LANES, n), some = <int> planes
    while p < n:
        at = _block_at(p, n)
        if q == LANES and (whole or planes == LANES):
            for k in range(LANES):
                m[k] = vload(s + (at + k) * pitch)
        else:
            for k in range(LANES):
                if k >= q:
                    m[k] = vzero()
                else:
                    m[k] = vload(s + (at + k) * pitch) if whole else vload_part(s + (at + k) * pitch, some)
        if add:
            for k in range(LANES):
                m[k] += bias
        vtranspose(m)
        planes_store(m, y + at, plane, planes, q)
        p += LANES


cdef inline void places_to_planes(const bint add, const real* s, const intp* place, real* y, intp plane, intp planes,
                                  intp n, vec bias) noexcept nogil:
    """The same for vectors at places of a table."""
    cdef vec m[LANES]
    cdef intp p = 0, at
    cdef int k, q = <int> min(<intp> LANES, n)
    while p < n:
        at = _block_at(p, n)
        for k in range(LANES):
            m[k] = vload(s + place[at + k if k < q else at])
        if add:
            for k in range(LANES):
                m[k] += bias
        vtranspose(m)
        planes_store(m, y + at, plane, planes, q)
        p += LANES
