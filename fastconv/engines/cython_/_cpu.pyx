# The instruction sets of this CPU and of this build; compiled for the baseline.
cdef extern from *:
    """
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    static int fc_level(void) {
        __builtin_cpu_init();
    #define HAS(f) __builtin_cpu_supports(f)
        if (!(HAS("ssse3") && HAS("sse4.1") && HAS("sse4.2") && HAS("popcnt"))) return 1;
        if (!(HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2"))) return 2;
        if (!(HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") && HAS("avx512vl"))) return 3;
        return 4;
    }
    #else
    static int fc_level(void) { return 0; }
    #endif
    #ifndef FC_BUILT
    #define FC_BUILT ""
    #endif
    #ifdef _OPENMP
    #define FC_OPENMP 1
    #else
    #define FC_OPENMP 0
    #endif
    """
    int fc_level() nogil
    const char* FC_BUILT
    int FC_OPENMP

BUILT = tuple(FC_BUILT.decode().split())
OPENMP = bool(FC_OPENMP)


def level():
    """Level of the x86-64 instruction sets (1 to 4), 0 elsewhere."""
    return fc_level()
