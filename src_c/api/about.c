/* What the library says of itself: the rows of its tables, and how it was built. */
#include <string.h>

#include "../base/registry.h"
#include "../base/team.h"
#include "../kernels/instruction_sets.h"

const char *gradcore_list(const char *family, int32_t index)
{
    if (!family || index < 0)
        return NULL;
    return strcmp(family, "isa") == 0 ? grc_isa_name(index) : grc_list(family, index);
}

const char *gradcore_describe(const char *family, const char *name, const char *property)
{
    return grc_describe(family, name, property);
}

void gradcore_get_build_info(gradcore_build_info *info)
{
    if (!info || info->size < sizeof *info)
        return;
#ifdef _OPENMP
    info->openmp = _OPENMP;
#else
    info->openmp = 0;
#endif
#if defined(__clang__)
    info->compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
    info->compiler = "gcc " __VERSION__;
#else
    info->compiler = "unknown";
#endif
#ifdef GRADCORE_BUILD_FLAGS
    info->flags = GRADCORE_BUILD_FLAGS;
#else
    info->flags = "unknown";
#endif
    info->isa = grc_isa_default(&info->isa_reason);
    info->threads = grc_threads_counted(&info->threads_reason);
}
