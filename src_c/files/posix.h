/* First include of every file that calls POSIX: the feature macros come before any system header. */
#ifndef GRC_IO_POSIX_H
#define GRC_IO_POSIX_H

#undef _GNU_SOURCE /* it would replace strerror_r by one with another signature */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1 /* F_FULLFSYNC */
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#endif
