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
    /* 1: AVX512_BF16, 3: AMX as well. Bits of cpuid 7: EDX 22, 24 of leaf 0, EAX 5 of leaf 1. */
    #include <cpuid.h>
    static int fc_bf16(void) {
        unsigned a, b, c, tiles, d, more;
        if (fc_level() < 4 || !__get_cpuid_count(7, 0, &a, &b, &c, &tiles)) return 0;
        if (!__get_cpuid_count(7, 1, &more, &b, &c, &d) || !(more >> 5 & 1)) return 0;
        return tiles >> 22 & tiles >> 24 & 1 ? 3 : 1;
    }
    #else
    static int fc_level(void) { return 0; }
    static int fc_bf16(void) { return 0; }
    #endif
    #if defined(__x86_64__) && defined(__linux__)
    #include <sys/syscall.h>
    #include <unistd.h>
    /* ARCH_REQ_XCOMP_PERM, tile data */
    static int fc_permit_tiles(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
    #else
    static int fc_permit_tiles(void) { return 0; }
    #endif
    #if defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11 /* as in split.h */
    #define FC_BF16_UNITS 1
    #else
    #define FC_BF16_UNITS 0
    #endif
    #if defined(__aarch64__)
    #define FC_NEON 1
    #else
    #define FC_NEON 0
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
    int fc_bf16() nogil
    int fc_permit_tiles() nogil
    const char* FC_BUILT
    int FC_NEON
    int FC_OPENMP
    int FC_BF16_UNITS

BUILT = tuple(FC_BUILT.decode().split())
OPENMP = bool(FC_OPENMP)
BF16_UNITS = bool(FC_BF16_UNITS)


def able():
    """The instruction sets of this CPU that kernels can be built for, widest first."""
    levels = [f"x86_64_v{k}" for k in range(fc_level(), 1, -1)]
    return (*levels, *(["neon"] if FC_NEON else []), "portable")


def bf16_unit():
    """The widest unit of this CPU for products of bfloat16: ``amx`` if the kernel permits it, ``avx512_bf16`` or none.

    The permission holds for the process from then on.
    """
    found = fc_bf16()
    return "amx" if found == 3 and fc_permit_tiles() else "avx512_bf16" if found else ""
