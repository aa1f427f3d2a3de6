/* Writing a model file: the header is built in memory, then header and tensors go to a new file that
 * replaces the old one by a rename, so that a reader or a crash meets the old file or the new one. */
#include "posix.h"

#include <string.h>

#include "io_internal.h"

#ifndef O_DIRECTORY
#define O_DIRECTORY 0
#endif

enum { PATH_BYTES = 4096, WRITE_CHUNK = 1 << 30, MAX_LINKS = 40, MAX_TRIES = 100 };

/* One replacement of `target` by way of `temporary`, in the folder behind folder_fd. */
typedef struct replacement {
    const grc_io_system *system;
    grc_io_error *error;
    int fd, held_fd, folder_fd; /* -1: not open */
    int exists;        /* target does, with permission bits `mode` */
    unsigned mode;
    char target[PATH_BYTES], folder[PATH_BYTES], temporary[PATH_BYTES + 96];
} replacement;

static int open_retry(const replacement *r, const char *path, int flags, unsigned mode)
{
    int fd;
    do
        fd = r->system->open_file(r->system->context, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Bytes of `path` up to and with its last slash. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* r->target = path with symbolic links at its end followed, so that the link survives the rename. */
static int resolve(replacement *r, const char *path)
{
    char link[PATH_BYTES];
    if (strlen(path) >= PATH_BYTES)
        return grc_io_fail_system(r->error, ENAMETOOLONG, "write the file");
    memcpy(r->target, path, strlen(path) + 1);
    for (int i = 0; i <= MAX_LINKS; i++) {
        ptrdiff_t length = r->system->read_link(r->system->context, r->target, link, sizeof link);
        if (length < 0 && (errno == EINVAL || errno == ENOENT))
            return GRC_IO_OK; /* no link, or nothing there */
        if (length < 0)
            return grc_io_fail_system(r->error, errno, "write the file");
        size_t keep = length > 0 && link[0] == '/' ? 0 : folder_length(r->target);
        if (keep + (size_t)length >= PATH_BYTES)
            return grc_io_fail_system(r->error, ENAMETOOLONG, "follow a symbolic link");
        memcpy(r->target + keep, link, (size_t)length);
        r->target[keep + (size_t)length] = '\0';
    }
    return grc_io_fail_system(r->error, ELOOP, "follow a symbolic link");
}

/* Refuses what a rename would wrongly replace: folders, devices, and files that may not be written. */
static int inspect_target(replacement *r)
{
    struct stat info;
    r->exists = r->system->stat_path(r->system->context, r->target, &info) == 0;
    if (!r->exists)
        return errno == ENOENT ? GRC_IO_OK : grc_io_fail_system(r->error, errno, "write the file");
    if (!S_ISREG(info.st_mode))
        return grc_io_fail(r->error, GRC_IO_ARGUMENT, "path: expected a regular file or a new name, found %s",
                           S_ISDIR(info.st_mode) ? "a folder" : "a device, pipe or socket");
    r->mode = (unsigned)info.st_mode & 0777;
    int fd = open_retry(r, r->target, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return grc_io_fail_system(r->error, errno, "write over the old file");
    r->system->close_file(r->system->context, fd);
    return GRC_IO_OK;
}

static int open_folder(replacement *r)
{
    size_t n = folder_length(r->target);
    memcpy(r->folder, n ? r->target : "./", n ? n : 2);
    r->folder[n ? n : 2] = '\0';
    r->folder_fd = open_retry(r, r->folder, O_RDONLY | O_DIRECTORY, 0);
    return r->folder_fd < 0 ? grc_io_fail_system(r->error, errno, "open the folder of the file") : GRC_IO_OK;
}

/* A name that nobody has: process, clock and a counter, and O_EXCL against whoever has it after all. It is held
 * from then on; where somebody's sweep was faster, another one is made. */
static int create_temporary(replacement *r)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < MAX_TRIES; i++) {
        snprintf(r->temporary, sizeof r->temporary, "%s" GRC_IO_TEMPORARY "%lx-%llx%08lx-%d.tmp", r->folder,
                 (unsigned long)getpid(), (unsigned long long)now.tv_sec, (unsigned long)now.tv_nsec, i);
        r->fd = open_retry(r, r->temporary, O_WRONLY | O_CREAT | O_EXCL, r->exists ? r->mode : 0666);
        if (r->fd < 0 && errno == EEXIST)
            continue;
        if (r->fd >= 0 && r->system->hold_file)
            r->held_fd = r->system->hold_file(r->system->context, r->fd);
        if (r->held_fd != GRC_IO_SWEPT)
            break;
        r->system->close_file(r->system->context, r->fd);
        r->fd = r->held_fd = -1;
        errno = EAGAIN;
    }
    return r->fd < 0 ? grc_io_fail_system(r->error, errno, "create a file beside it") : GRC_IO_OK;
}

static int write_all(replacement *r, const void *bytes, uint64_t n)
{
    const unsigned char *from = bytes;
    while (n) {
        size_t chunk = n < WRITE_CHUNK ? (size_t)n : WRITE_CHUNK;
        ptrdiff_t done = r->system->write_file(r->system->context, r->fd, from, chunk);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return grc_io_fail_system(r->error, done < 0 ? errno : ENOSPC, "write the file");
        from += done;
        n -= (uint64_t)done;
    }
    return GRC_IO_OK;
}

static int write_visitor(void *state, const grc_io_tensor *tensor)
{
    return write_all(state, tensor->data, tensor->bytes);
}

static int sync_retry(const replacement *r, int fd)
{
    int failed;
    do
        failed = r->system->sync_file(r->system->context, fd);
    while (failed && errno == EINTR);
    return failed;
}

/* Fills the temporary file and closes it; afterwards its content is on the disk. */
static int fill_temporary(replacement *r, const grc_io_content *c, const char *front)
{
    const grc_io_system *system = r->system;
    int status = GRC_IO_OK;
    if (r->exists && system->set_mode(system->context, r->fd, r->mode) != 0)
        status = grc_io_fail_system(r->error, errno, "set the permissions of the file");
    if (status == GRC_IO_OK)
        status = write_all(r, front, GRC_IO_PREFIX + c->header_bytes);
    if (status == GRC_IO_OK)
        status = grc_io_visit(c, write_visitor, r);
    if (status == GRC_IO_OK && sync_retry(r, r->fd) != 0)
        status = grc_io_fail_system(r->error, errno, "bring the file to the disk");
    /* After an interrupted close the descriptor is gone all the same, and the data was synced. */
    int closed = system->close_file(system->context, r->fd) == 0 || errno == EINTR;
    if (status == GRC_IO_OK && !closed)
        status = grc_io_fail_system(r->error, errno, "close the file");
    return status;
}

static int rename_over(replacement *r)
{
    const grc_io_system *system = r->system;
    if (system->rename_path(system->context, r->temporary, r->target) != 0)
        return grc_io_fail_system(r->error, errno, "rename the new file over the old one");
    r->temporary[0] = '\0';
    /* Some file systems cannot sync a folder and say so; then there is nothing to be done. */
    if (sync_retry(r, r->folder_fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        return grc_io_fail_system(r->error, errno,
                                  "sync the folder; the new file is in place, but a power cut may undo it");
    return GRC_IO_OK;
}

static int replace(const grc_io_system *system, const char *path, const grc_io_content *c, const char *front,
                   grc_io_error *error)
{
    replacement r = {.system = system, .error = error, .fd = -1, .held_fd = -1, .folder_fd = -1};
    int status = resolve(&r, path);
    if (status == GRC_IO_OK)
        status = inspect_target(&r);
    if (status == GRC_IO_OK)
        status = open_folder(&r);
    if (status == GRC_IO_OK && system->sweep_folder)
        system->sweep_folder(system->context, r.folder);
    if (status == GRC_IO_OK)
        status = create_temporary(&r);
    if (status == GRC_IO_OK) {
        status = fill_temporary(&r, c, front);
        if (status == GRC_IO_OK)
            status = rename_over(&r);
        if (r.temporary[0])
            system->unlink_path(system->context, r.temporary);
    }
    if (r.held_fd >= 0)
        system->close_file(system->context, r.held_fd);
    if (r.folder_fd >= 0)
        system->close_file(system->context, r.folder_fd);
    return status;
}

int grc_io_write_with(const grc_io_system *system, const grc_allocator *allocator, const char *path,
                      const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta,
                      grc_io_error *error)
{
    grc_io_content c = {.tensors = tensors, .n = n, .meta = meta, .n_meta = n_meta};
    if (!allocator)
        allocator = grc_io_default_allocator();
    int status = path ? grc_io_measure(&c, error) : grc_io_fail(error, GRC_IO_ARGUMENT, "path: got NULL");
    if (status == GRC_IO_OK)
        status = grc_io_check_distinct(&c, allocator, error);
    if (status)
        return status;
    size_t bytes = (size_t)(GRC_IO_PREFIX + c.header_bytes);
    char *front = grc_io_allocate(allocator, bytes);
    if (!front)
        return grc_io_fail(error, GRC_IO_NO_MEMORY, "no memory for a header of %zu bytes", bytes);
    grc_io_write_front(front, &c);
    status = replace(system, path, &c, front, error);
    grc_io_release(allocator, front, bytes);
    return status;
}

int grc_io_write(const char *path, const grc_io_tensor *tensors, size_t n, const grc_io_pair *meta, size_t n_meta,
                 grc_io_error *error)
{
    return grc_io_write_with(grc_io_posix(), NULL, path, tensors, n, meta, n_meta, error);
}
