/* New files that a save writes beside the old one: which of them nobody writes any more, because the process was
 * killed. A writer holds a lock on its file, which ends with the process, on this machine or on another one that
 * shares the folder; numbers of processes tell neither of other machines and containers nor of those that came
 * later. Where a file system has no locks, nothing is removed. */
#include "posix.h"

#include <dirent.h>
#include <string.h>
#include <sys/file.h>

#include "io_internal.h"

enum { DAY = 24 * 60 * 60 };

int grc_io_hold(void *context, int fd)
{
    struct stat info;
    int done;
    (void)context;
    do
        done = flock(fd, LOCK_EX); /* a sweep has it for a moment at most */
    while (done != 0 && errno == EINTR);
    if (done != 0)
        return -1;
    if (fstat(fd, &info) == 0 && info.st_nlink == 0)
        return GRC_IO_SWEPT;
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Whether nobody writes the file behind fd. Writers of a version without locks are given a day. */
static int is_left(int fd, const char *name)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() || info.st_nlink != 1)
        return 0;
    if (!has_prefix(name, GRC_IO_TEMPORARY) && info.st_mtime > time(NULL) - DAY)
        return 0;
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void grc_io_sweep(void *context, const char *folder)
{
    (void)context;
    DIR *entries = opendir(folder);
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (!has_prefix(entry->d_name, ".gradcore-") || !has_suffix(entry->d_name, ".tmp"))
            continue;
        const int fd = openat(dirfd(entries), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (is_left(fd, entry->d_name))
            unlinkat(dirfd(entries), entry->d_name, 0);
        close(fd);
    }
    closedir(entries);
}
