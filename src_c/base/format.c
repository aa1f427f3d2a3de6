/* Text with numbers in it. The host of a library sets the locale, and a comma in "got 0,5" would tell its
 * programs another number than ours; no other function of the core may print a number with a fraction. */
#define _DEFAULT_SOURCE
#include <locale.h>
#include <stdio.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include "format.h"

#if defined(__unix__) || defined(__APPLE__)
#define GRC_HAVE_USELOCALE 1
#endif

void grc_format(char *out, size_t size, const char *format, va_list arguments)
{
#ifdef GRC_HAVE_USELOCALE
    /* Of this thread alone, and back: others may print or read numbers meanwhile. */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t before = plain ? uselocale(plain) : (locale_t)0;
    vsnprintf(out, size, format, arguments);
    if (plain) {
        uselocale(before);
        freelocale(plain);
    }
#else
    vsnprintf(out, size, format, arguments);
#endif
}
