/* Text with numbers in it, the same in every locale. */
#ifndef GRC_FORMAT_H
#define GRC_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

/* vsnprintf as in the C locale: the decimal point is a point, whatever the process or the thread has set. */
void grc_format(char *out, size_t size, const char *format, va_list arguments);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
