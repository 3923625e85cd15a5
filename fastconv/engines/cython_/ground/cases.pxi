# cases.h as Cython sees it. A kernel that unpacks its arguments and hands them on costs nothing: all is one function.
cdef extern from "ground/cases.h" nogil:
    ctypedef void (*fc_case)(int n, const void* args) noexcept
    ctypedef void (*fc_case2)(int n, int m, const void* args) noexcept
    void fc_cases(fc_case kernel, int n, const int most, const void* args)
    void fc_cases_or_any(fc_case kernel, int n, const int most, const void* args)
    void fc_cases2(fc_case2 kernel, int n, int m, const int most1, const int most2, const int most3, const int most4,
                   const void* args)
