#include "backend/cpu/isa.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512", "avx512-bf16", "amx"};

const char *isa_name(enum isa isa)
{
    return names[isa];
}

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux saves a process's tiles once it has asked for it (Documentation/arch/x86/xstate.rst). */
static bool may_use_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static bool has_amx(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & AMX_BF16 && d & AMX_TILE &&
           may_use_tiles();
}

static enum isa of_processor(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f")) return ISA_AVX2;
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512bf16"))
        return ISA_AVX512;
    return has_amx() ? ISA_AMX : ISA_AVX512_BF16;
}
#else
static enum isa of_processor(void)
{
    return ISA_PORTABLE;
}
#endif

int isa_most(enum isa *isa, struct err *e)
{
    const char *asked = getenv(ISA_VARIABLE);
    *isa = of_processor();
    if (!asked) return 0;
    for (enum isa i = ISA_PORTABLE; i <= ISA_AMX; i++)
        if (strcmp(asked, names[i]) == 0) {
            if (i < *isa) *isa = i;
            return 0;
        }
    return err_set(e, "%s is \"%s\"; set it to portable, avx2, avx512, avx512-bf16 or amx",
                   ISA_VARIABLE, asked);
}
