/* Which of the processor's instructions the kernels use. */
#pragma once

#include "base/err.h"

/* Each has what the one before has. */
enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16, ISA_AMX };
#define ISA_VARIABLE "SPECREJ_MAX_ISA"

/* "portable", "avx2", "avx512", "avx512-bf16" or "amx". */
const char *isa_name(enum isa isa);

/* The most that the processor has, that the system lets this process use (it is asked for AMX), and
 * that the variable SPECREJ_MAX_ISA, a name, allows.  Error: the variable is no name. */
int isa_most(enum isa *isa, struct err *e);
