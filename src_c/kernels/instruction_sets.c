/* Which kernels this CPU may run: CPUID says what it has, XGETBV what the system saves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instruction_sets.h"

#if defined(__x86_64__)
/* The compiler's run-time library reads CPUID and XGETBV (what the system saves) once and keeps the answer:
 * asking the CPU itself costs tens of microseconds on a virtual machine. */
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Tables of instruction set `isa`, or NULL where the binary or the CPU has none. */
static const grc_kernels *tables(enum grc_isa isa)
{
    switch (isa) {
    case GRC_ISA_scalar: return grc_kernels_scalar;
#if defined(__x86_64__)
    case GRC_ISA_avx2: return has_avx2() ? grc_kernels_avx2 : NULL;
    case GRC_ISA_avx512: return has_avx512() ? grc_kernels_avx512 : NULL;
#elif defined(__aarch64__)
    case GRC_ISA_neon: return grc_kernels_neon;
#endif
    default: return NULL;
    }
}

static int best(enum grc_isa limit)
{
    int found = GRC_ISA_scalar;
    for (int i = 0; i <= (int)limit; i++)
        if (tables((enum grc_isa)i))
            found = i;
    return found;
}

#define GRC_NAME(name) #name,
static const char *const isa_names[] = {GRC_ISAS(GRC_NAME)};

static int find(const char *name)
{
    for (int i = 0; i < GRC_ISA_COUNT; i++)
        if (strcmp(name, isa_names[i]) == 0)
            return i;
    return GRC_NONE;
}

const char *grc_isa_default(const char **reason)
{
    const char *wish = getenv("GRADCORE_ISA");
    const int limit = wish && *wish ? find(wish) : GRC_NONE;
    *reason = limit == GRC_NONE
                  ? (wish && *wish ? "best of this CPU (GRADCORE_ISA names no instruction set)" : "best of this CPU")
                  : "GRADCORE_ISA";
    return isa_names[best(limit == GRC_NONE ? GRC_ISA_COUNT - 1 : (enum grc_isa)limit)];
}

const char *grc_isa_name(int32_t index)
{
    for (int i = 0; i < GRC_ISA_COUNT; i++)
        if (tables((enum grc_isa)i) && index-- == 0)
            return isa_names[i];
    return NULL;
}

/* "'scalar', 'avx2'" of those that this CPU runs, for a message. */
static const char *known_names(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; grc_isa_name(i) && used < size; i++) {
        const int n = snprintf(text + used, size - used, "%s'%s'", i ? ", " : "", grc_isa_name(i));
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}

const grc_kernels *grc_kernels_find(const char *isa, int dtype, gradcore_error *error)
{
    const char *reason;
    const grc_kernels *found;
    char known[64];
    const int i = find(isa ? isa : grc_isa_default(&reason));
    if (i == GRC_NONE || !(found = tables((enum grc_isa)i))) {
        grc_fail(error, GRADCORE_INVALID, "isa: expected one of %s, got '%.40s'", known_names(known, sizeof known),
                 isa);
        return NULL;
    }
    return &found[dtype];
}
