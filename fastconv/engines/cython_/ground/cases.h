/* One way to pick a register block: a kernel is called with the size of its block as a constant, one copy of its code a
   size. The kernel is always inline (in Cython `cdef inline`, see vector.pxi), and so is what picks: the compilers see
   through the pointer, so that loops over a block unroll and its sums stay in registers. `args` points to what the
   kernel needs besides; sizes that are not among the cases do nothing, and `most` must be a constant. */
#ifndef FC_CASES_H
#define FC_CASES_H
#include "vector.h"

typedef void (*fc_case)(int n, const void *args);
typedef void (*fc_case2)(int n, int m, const void *args);

#define FC_CASE(k) case k: if (k <= most) kernel(k, args); break;
/* kernel(n, args), 1 <= n <= most <= 16 */
FC_INLINE void fc_cases(fc_case kernel, int n, const int most, const void *args) {
    switch (n) {
        FC_CASE(1) FC_CASE(2) FC_CASE(3) FC_CASE(4) FC_CASE(5) FC_CASE(6) FC_CASE(7) FC_CASE(8)
        FC_CASE(9) FC_CASE(10) FC_CASE(11) FC_CASE(12) FC_CASE(13) FC_CASE(14) FC_CASE(15) FC_CASE(16)
    }
}
#undef FC_CASE

/* the same for small n; kernel(0, args) for others, a kernel that finds its size in its arguments */
FC_INLINE void fc_cases_or_any(fc_case kernel, int n, const int most, const void *args) {
    if (0 < n && n <= most) fc_cases(kernel, n, most, args);
    else kernel(0, args);
}

#define FC_CASE2(m, k) case k: if (k <= most##m) kernel(k, m, args); break;
#define FC_ROW(m)                                                                                        \
    case m: switch (n) {                                                                                 \
        FC_CASE2(m, 1) FC_CASE2(m, 2) FC_CASE2(m, 3) FC_CASE2(m, 4) FC_CASE2(m, 5) FC_CASE2(m, 6)         \
        FC_CASE2(m, 7) FC_CASE2(m, 8) FC_CASE2(m, 9) FC_CASE2(m, 10) FC_CASE2(m, 11) FC_CASE2(m, 12)      \
        FC_CASE2(m, 13) FC_CASE2(m, 14) FC_CASE2(m, 15) FC_CASE2(m, 16)                                  \
    } break;
/* kernel(n, m, args), 1 <= m <= 4; with m vectors n is at most most1, most2, most3 or most4 (0: no such case) */
FC_INLINE void fc_cases2(fc_case2 kernel, int n, int m, const int most1, const int most2, const int most3,
                         const int most4, const void *args) {
    switch (m) { FC_ROW(1) FC_ROW(2) FC_ROW(3) FC_ROW(4) }
}
#undef FC_ROW
#undef FC_CASE2
#endif
