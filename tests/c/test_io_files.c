/* The model file on disk: the order of the steps of a save, every system call and every allocation
 * failing in turn, links, permissions and things that are no files, readers and kills in the middle.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#include "../../src_c/files/io.h"

enum { OLD = 3, NEW = 5000, NEWER = 5001 }; /* rows of the tensor tell the versions of a file apart */

static float values[NEWER * 2];

static int save_with(const grc_io_system *system, const grc_allocator *allocator, const char *path, uint64_t rows,
                     grc_io_error *error)
{
    const unsigned char mark = (unsigned char)rows;
    const grc_io_tensor tensors[] = {
        {"mark", GRC_IO_U8, 0, {0}, &mark, 1},
        {"0.weight", GRC_IO_F32, 2, {rows, 2}, values, rows * 2 * sizeof(float)},
    };
    const grc_io_pair pairs[] = {{"format", "gradcore"}, {"format_version", "1"}};
    if (!system)
        return grc_io_write(path, tensors, 2, pairs, 2, error);
    return grc_io_write_with(system, allocator, path, tensors, 2, pairs, 2, error);
}

static int save(const char *path, uint64_t rows)
{
    return save_with(NULL, NULL, path, rows, NULL);
}

/* Rows of a file that is whole, 0 for any other. */
static uint64_t rows_of(const char *path)
{
    grc_io_file *file = NULL;
    uint64_t rows = 0;
    if (grc_io_open(path, NULL, &file, NULL) != GRC_IO_OK)
        return 0;
    const grc_io_tensor *weight = grc_io_tensor_named(file, "0.weight");
    const grc_io_tensor *mark = grc_io_tensor_named(file, "mark");
    if (weight && mark && memcmp(weight->data, values, weight->bytes) == 0
        && *(const unsigned char *)mark->data == (unsigned char)weight->shape[0])
        rows = weight->shape[0];
    grc_io_close(file);
    return rows;
}

static int is_temporary(const char *name)
{
    return strncmp(name, ".gradcore-", 10) == 0;
}

/* Temporary files in the working directory; removes them. */
static int sweep_temporaries(void)
{
    int n = 0;
    DIR *folder = opendir(".");
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (is_temporary(entry->d_name) && unlink(entry->d_name) == 0)
            n++;
    closedir(folder);
    return n;
}

/* ---- A system that fails on demand ---- */

typedef struct faults {
    long calls, fail_at; /* the call that fails, counted from 1 */
    int sticky;          /* and every later one */
    int code;            /* errno of the failure */
    size_t most;         /* bytes that one read or write moves, 0: any number */
    int open_files;
    int unlink_failed;
    char trace[4096]; /* one letter a call */
} faults;

static int fails(void *context, char letter)
{
    faults *f = context;
    if (f->calls + 1 < (long)sizeof f->trace)
        f->trace[f->calls] = letter;
    f->calls++;
    if (f->calls != f->fail_at && !(f->sticky && f->fail_at && f->calls > f->fail_at))
        return 0;
    errno = f->code;
    return 1;
}

#define REAL grc_io_posix()

static int faulty_open(void *context, const char *path, int flags, unsigned mode)
{
    int fd = fails(context, flags & O_CREAT ? 'C' : 'o') ? -1 : REAL->open_file(NULL, path, flags, mode);
    ((faults *)context)->open_files += fd >= 0;
    return fd;
}

static int faulty_close(void *context, int fd)
{
    int failed = fails(context, 'c'), code = errno;
    ((faults *)context)->open_files--; /* a failing close gives the descriptor up all the same */
    close(fd);
    errno = code;
    return failed ? -1 : 0;
}

static size_t at_most(const faults *f, size_t n)
{
    return f->most && n > f->most ? f->most : n;
}

static ptrdiff_t faulty_read(void *context, int fd, void *bytes, size_t n)
{
    return fails(context, 'g') ? -1 : REAL->read_file(NULL, fd, bytes, at_most(context, n));
}

static ptrdiff_t faulty_write(void *context, int fd, const void *bytes, size_t n)
{
    return fails(context, 'w') ? -1 : REAL->write_file(NULL, fd, bytes, at_most(context, n));
}

static int faulty_sync(void *context, int fd)
{
    struct stat info;
    fstat(fd, &info);
    return fails(context, S_ISDIR(info.st_mode) ? 'S' : 's') ? -1 : REAL->sync_file(NULL, fd);
}

static int faulty_set_mode(void *context, int fd, unsigned mode)
{
    return fails(context, 'm') ? -1 : REAL->set_mode(NULL, fd, mode);
}

static int faulty_stat_file(void *context, int fd, struct stat *out)
{
    return fails(context, 'i') ? -1 : REAL->stat_file(NULL, fd, out);
}

static int faulty_stat_path(void *context, const char *path, struct stat *out)
{
    return fails(context, 'I') ? -1 : REAL->stat_path(NULL, path, out);
}

static ptrdiff_t faulty_read_link(void *context, const char *path, char *out, size_t capacity)
{
    return fails(context, 'l') ? -1 : REAL->read_link(NULL, path, out, capacity);
}

static int faulty_rename(void *context, const char *from, const char *to)
{
    return fails(context, 'R') ? -1 : REAL->rename_path(NULL, from, to);
}

static int faulty_unlink(void *context, const char *path)
{
    int failed = fails(context, 'u');
    ((faults *)context)->unlink_failed |= failed;
    return failed ? -1 : REAL->unlink_path(NULL, path);
}

static grc_io_system faulty(faults *f)
{
    return (grc_io_system){f,
                           faulty_open,
                           faulty_close,
                           faulty_read,
                           faulty_write,
                           faulty_sync,
                           faulty_set_mode,
                           faulty_stat_file,
                           faulty_stat_path,
                           faulty_read_link,
                           faulty_rename,
                           faulty_unlink,
                           NULL,
                           NULL};
}

/* ---- Tests ---- */

static void test_order_of_steps(void)
{
    faults f = {.most = 30000};
    const grc_io_system system = faulty(&f);
    CHECK(save("model", OLD) == GRC_IO_OK && rows_of("model") == OLD);
    CHECK(save_with(&system, NULL, "model", NEW, NULL) == GRC_IO_OK && rows_of("model") == NEW);
    /* link? target, its permission, folder, create, mode, front, weight in two pieces, mark, sync ... */
    CHECK_NOTE(strcmp(f.trace, "lIocoCmwwwwscRSc") == 0, "%s", f.trace);
    CHECK(f.open_files == 0 && sweep_temporaries() == 0);
}

/* Fails call n of a save over an old file, for every n until the save has fewer calls than that. */
static void fail_every_call(int sticky, int code, size_t most)
{
    for (long n = 1;; n++) {
        faults f = {.fail_at = n, .sticky = sticky, .code = code, .most = most};
        const grc_io_system system = faulty(&f);
        grc_io_error error = {0};
        CHECK(save("model", OLD) == GRC_IO_OK);
        int status = save_with(&system, NULL, "model", NEW, &error);
        int in_place = status == GRC_IO_OK || strstr(error.message, "new file is in place") != NULL;
        uint64_t rows = rows_of("model");
        CHECK_NOTE(rows == (in_place ? NEW : OLD), "call %ld (%s): %s", n, f.trace, error.message);
        CHECK_NOTE(status == GRC_IO_OK || error.message[0], "call %ld", n);
        CHECK_NOTE(f.open_files == 0, "call %ld (%s): %d left open", n, f.trace, f.open_files);
        int left = sweep_temporaries();
        CHECK_NOTE(left == 0 || f.unlink_failed, "call %ld (%s)", n, f.trace);
        if (f.calls < n) {
            CHECK(status == GRC_IO_OK);
            break;
        }
        const char letter = f.trace[n - 1];
        if (code == EINTR && !sticky && strchr("oCwsSc", letter))
            CHECK_NOTE(status == GRC_IO_OK, "call %ld (%s): an interruption is no error", n, f.trace);
        if (code == EIO && strchr("lICmwsRS", letter))
            CHECK_NOTE(status == GRC_IO_SYSTEM && error.code == EIO, "call %ld (%s)", n, f.trace);
    }
}

static void test_failing_saves(void)
{
    fail_every_call(0, EIO, 0);
    fail_every_call(1, EIO, 0);
    fail_every_call(0, ENOSPC, 7000);
    fail_every_call(1, ENOSPC, 7000);
    fail_every_call(0, EINTR, 7000);
    fail_every_call(0, EINVAL, 0);
}

static void test_failing_loads(void)
{
    static const int codes[] = {EIO, EINTR};
    CHECK(save("model", NEW) == GRC_IO_OK);
    for (int k = 0; k < 2; k++) {
        for (long n = 1;; n++) {
            counter memory = {0};
            const grc_allocator allocator = {counter_allocate, counter_release, &memory};
            faults f = {.fail_at = n, .code = codes[k], .most = 9000};
            const grc_io_system system = faulty(&f);
            grc_io_file *file = NULL;
            int status = grc_io_open_with(&system, &allocator, "model", &file, NULL);
            char letter = f.calls < n ? 'c' : f.trace[n - 1];
            int harmless = letter == 'c' || (codes[k] == EINTR && letter != 'i');
            CHECK_NOTE(status == (harmless ? GRC_IO_OK : GRC_IO_SYSTEM), "call %ld (%s)", n, f.trace);
            grc_io_close(file);
            CHECK(f.open_files == 0 && memory.live == 0 && memory.live_bytes == 0);
            if (f.calls < n)
                break;
        }
    }
}

static void test_failing_allocations(void)
{
    CHECK(save("model", OLD) == GRC_IO_OK);
    int status = GRC_IO_NO_MEMORY;
    for (long n = 1; status != GRC_IO_OK; n++) {
        counter memory = {.fail_at = n};
        const grc_allocator allocator = {counter_allocate, counter_release, &memory};
        status = save_with(REAL, &allocator, "model", NEW, NULL);
        CHECK(status == (memory.calls < n ? GRC_IO_OK : GRC_IO_NO_MEMORY));
        CHECK(rows_of("model") == (status == GRC_IO_OK ? NEW : OLD));
        CHECK(memory.live == 0 && memory.live_bytes == 0 && sweep_temporaries() == 0);
    }
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 ? (unsigned)info.st_mode & 0777 : 0;
}

static int is_link(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

/* What an earlier call left in errno is nobody's error. */
static void test_old_errors(void)
{
    const int codes[] = {EINTR, EEXIST, EAGAIN, ENOENT};
    for (int i = 0; i < 4; i++) {
        errno = codes[i];
        CHECK(save("errors", OLD) == GRC_IO_OK);
        errno = codes[i];
        CHECK(rows_of("errors") == OLD);
    }
    CHECK(unlink("errors") == 0 && sweep_temporaries() == 0);
}

static void test_links(void)
{
    char absolute[4096];
    CHECK(mkdir("folder", 0777) == 0 && save("folder/real", OLD) == GRC_IO_OK);
    CHECK(symlink("real", "folder/inner") == 0 && symlink("folder/inner", "outer") == 0);
    CHECK(save("outer", NEW) == GRC_IO_OK && rows_of("folder/real") == NEW);
    CHECK(is_link("outer") && is_link("folder/inner") && !is_link("folder/real"));
    CHECK(getcwd(absolute, sizeof absolute - 16) != NULL && strcat(absolute, "/folder/real"));
    CHECK(symlink(absolute, "absolute") == 0);
    CHECK(save("absolute", OLD) == GRC_IO_OK && rows_of("folder/real") == OLD && is_link("absolute"));
    CHECK(symlink("folder/fresh", "dangling") == 0);
    CHECK(save("dangling", NEW) == GRC_IO_OK && rows_of("folder/fresh") == NEW && is_link("dangling"));
    CHECK(symlink("loop", "loop") == 0 && save("loop", NEW) == GRC_IO_SYSTEM);
    CHECK(symlink("nowhere/x", "lost") == 0 && save("lost", NEW) == GRC_IO_NOT_FOUND);
    CHECK(save(absolute, NEW) == GRC_IO_OK && rows_of(absolute) == NEW);
}

static void test_modes(void)
{
    mode_t mask = umask(027);
    CHECK(save("fresh", OLD) == GRC_IO_OK && mode_of("fresh") == 0640);
    CHECK(chmod("fresh", 0600) == 0 && save("fresh", NEW) == GRC_IO_OK && mode_of("fresh") == 0600);
    CHECK(chmod("fresh", 0666) == 0 && save("fresh", OLD) == GRC_IO_OK && mode_of("fresh") == 0666);
    umask(mask);
    if (geteuid() != 0) { /* nothing is read-only to root */
        CHECK(chmod("fresh", 0444) == 0 && save("fresh", NEW) == GRC_IO_SYSTEM && rows_of("fresh") == OLD);
        grc_io_file *file = NULL;
        CHECK(chmod("fresh", 0) == 0 && grc_io_open("fresh", NULL, &file, NULL) == GRC_IO_SYSTEM);
    }
}

static void test_what_is_no_file(void)
{
    grc_io_file *file = NULL;
    grc_io_error error = {0};
    char long_path[6000];
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    CHECK(mkdir("directory", 0777) == 0 && mkfifo("pipe", 0666) == 0);
    CHECK(save("directory", NEW) == GRC_IO_ARGUMENT && save("pipe", NEW) == GRC_IO_ARGUMENT);
    CHECK(save("/dev/null", NEW) == GRC_IO_ARGUMENT);
    CHECK(save("", NEW) == GRC_IO_NOT_FOUND && save("missing/model", NEW) == GRC_IO_NOT_FOUND);
    CHECK(save("model/below", NEW) == GRC_IO_NOT_FOUND && save(NULL, NEW) == GRC_IO_ARGUMENT);
    CHECK(save("fresh/", NEW) != GRC_IO_OK && save(long_path, NEW) == GRC_IO_SYSTEM);
    CHECK(grc_io_open("directory", NULL, &file, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_open("pipe", NULL, &file, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_open("/dev/zero", NULL, &file, &error) == GRC_IO_ARGUMENT);
    CHECK(grc_io_open("missing", NULL, &file, &error) == GRC_IO_NOT_FOUND && error.code == ENOENT);
    CHECK(grc_io_open(long_path, NULL, &file, &error) == GRC_IO_SYSTEM);
    CHECK(grc_io_open(NULL, NULL, &file, &error) == GRC_IO_ARGUMENT);
    CHECK(truncate("model", 0) == 0 && grc_io_open("model", NULL, &file, &error) == GRC_IO_FORMAT);
    CHECK(file == NULL && sweep_temporaries() == 0);
}

/* The file shrinks after the reader has asked for its size: stat tells of 64 bytes that are gone. */
static int stat_before(void *context, int fd, struct stat *out)
{
    int status = REAL->stat_file(context, fd, out);
    out->st_size += 64;
    return status;
}

static void test_shrinking_file(void)
{
    struct stat info;
    grc_io_system system = *REAL;
    grc_io_error error = {0};
    grc_io_file *file = NULL;
    system.stat_file = stat_before;
    CHECK(save("short", NEW) == GRC_IO_OK && stat("short", &info) == 0);
    CHECK(truncate("short", info.st_size - 64) == 0);
    CHECK(grc_io_open_with(&system, NULL, "short", &file, &error) == GRC_IO_FORMAT && file == NULL);
    CHECK_NOTE(strstr(error.message, "shrank"), "%s", error.message);
}

/* A process that saves two versions in turn and is killed; every look at the file finds it whole. */
static void test_readers_and_kills(void)
{
    CHECK(save("busy", NEW) == GRC_IO_OK);
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                if (save("busy", NEW) || save("busy", NEWER))
                    _exit(1);
        for (int look = 0; look < 20; look++) {
            uint64_t rows = rows_of("busy");
            CHECK_NOTE(rows == NEW || rows == NEWER, "rows %llu", (unsigned long long)rows);
        }
        int how;
        kill(child, SIGKILL);
        CHECK(waitpid(child, &how, 0) == child && WIFSIGNALED(how));
        uint64_t rows = rows_of("busy");
        CHECK(rows == NEW || rows == NEWER);
    }
    CHECK(save("busy", OLD) == GRC_IO_OK && rows_of("busy") == OLD);
    CHECK(sweep_temporaries() == 0); /* what a killed process left, the next save has removed */
}

static void put(const char *name, time_t age)
{
    const struct timespec times[] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
    int fd = open(name, O_WRONLY | O_CREAT, 0666);
    CHECK(fd >= 0 && close(fd) == 0 && utimensat(AT_FDCWD, name, times, 0) == 0);
}

static int exists(const char *name)
{
    struct stat info;
    return lstat(name, &info) == 0;
}

/* A save while another one has written half: which goes on all the same. */
static int nested_writes;

static ptrdiff_t write_and_save(void *context, int fd, const void *bytes, size_t n)
{
    if (nested_writes++ < 3)
        CHECK(save("other", OLD) == GRC_IO_OK);
    return REAL->write_file(context, fd, bytes, n);
}

static int save_and_rename(void *context, const char *from, const char *to)
{
    CHECK(exists(from) && save("other", NEW) == GRC_IO_OK && exists(from));
    return REAL->rename_path(context, from, to);
}

/* A sweep between the making of a file and its lock: another name is taken, each of the first two times. */
static int swept;

static int sweep_first(void *context, int fd)
{
    if (swept++ < 2)
        REAL->sweep_folder(context, "./");
    return REAL->hold_file(context, fd);
}

static int hold_nothing(void *context, int fd)
{
    (void)context, (void)fd;
    errno = ENOLCK;
    return -1;
}

static void test_leftovers(void)
{
    const time_t hours = 3600;
    put(".gradcore-held-1-2-0.tmp", 0);
    put(".gradcore-1-2-0.tmp", 25 * hours);
    put(".gradcore-1-2-1.tmp", 23 * hours); /* perhaps of a version without locks, which is writing it */
    put(".gradcore-held-1", 25 * hours);
    put("gradcore-held-1.tmp", 25 * hours);
    CHECK(symlink("model", ".gradcore-held-2.tmp") == 0 && mkdir(".gradcore-held-3.tmp", 0777) == 0);
    CHECK(link("gradcore-held-1.tmp", ".gradcore-held-4.tmp") == 0);
    CHECK(save("model", OLD) == GRC_IO_OK && rows_of("model") == OLD);
    CHECK(!exists(".gradcore-held-1-2-0.tmp") && !exists(".gradcore-1-2-0.tmp"));
    CHECK(exists(".gradcore-1-2-1.tmp") && exists(".gradcore-held-1") && exists("gradcore-held-1.tmp"));
    CHECK(exists(".gradcore-held-2.tmp") && exists(".gradcore-held-3.tmp") && exists(".gradcore-held-4.tmp"));
    CHECK(rmdir(".gradcore-held-3.tmp") == 0 && sweep_temporaries() == 4);

    grc_io_system system = *REAL;
    system.write_file = write_and_save;
    system.rename_path = save_and_rename;
    CHECK(save_with(&system, NULL, "model", NEW, NULL) == GRC_IO_OK && rows_of("model") == NEW);
    CHECK(nested_writes >= 3 && rows_of("other") == NEW);

    system = *REAL;
    system.hold_file = sweep_first;
    CHECK(save_with(&system, NULL, "model", OLD, NULL) == GRC_IO_OK && rows_of("model") == OLD && swept == 3);
    system.hold_file = hold_nothing;
    CHECK(save_with(&system, NULL, "model", NEW, NULL) == GRC_IO_OK && rows_of("model") == NEW);
    swept = -1000000; /* always */
    system.hold_file = sweep_first;
    CHECK(save_with(&system, NULL, "model", OLD, NULL) == GRC_IO_SYSTEM && rows_of("model") == NEW);
    CHECK(sweep_temporaries() == 0);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>

#include "../../gradcore/include/gradcore/gradcore.h"

/* What the calls that allocate by malloc give back is all that they took. */
static void test_nothing_is_kept(void)
{
    const gradcore_tensor w = {.name = "w", .dtype = "F32", .ndim = 1, .shape = {2}, .data = values, .bytes = 8};
    const gradcore_tensor bad = {.name = "", .dtype = "F32", .ndim = 1, .shape = {2}, .data = values, .bytes = 8};
    size_t before = 0;
    for (int turn = 0; turn < 60; turn++) {
        gradcore_file *file = NULL;
        void *bytes = NULL;
        size_t size = 0;
        CHECK(gradcore_file_save("kept", &w, 1, NULL, 0, NULL) == GRADCORE_OK);
        CHECK(gradcore_file_open("kept", &file, NULL) == GRADCORE_OK);
        gradcore_file_close(file);
        CHECK(gradcore_file_open("none", &file, NULL) == GRADCORE_NOT_FOUND);
        CHECK(gradcore_file_encode(&w, 1, NULL, 0, &bytes, &size, NULL) == GRADCORE_OK);
        CHECK(gradcore_file_decode(bytes, size, &file, NULL) == GRADCORE_OK);
        CHECK(gradcore_file_tensors(file) == 1);
        gradcore_file_close(file);
        CHECK(gradcore_file_decode(bytes, size - 1, &file, NULL) == GRADCORE_FORMAT);
        gradcore_free(bytes);
        CHECK(gradcore_file_encode(&bad, 1, NULL, 0, &bytes, &size, NULL) == GRADCORE_INVALID);
        CHECK(gradcore_file_decode(NULL, 0, &file, NULL) == GRADCORE_INVALID);
        if (turn == 9)
            before = mallinfo2().uordblks;
    }
    CHECK(mallinfo2().uordblks <= before);
    unlink("kept");
}
#else
static void test_nothing_is_kept(void)
{
}
#endif

int main(void)
{
    char folder[] = "/tmp/gradcore-io-XXXXXX";
    char command[64];
    for (int i = 0; i < NEWER * 2; i++)
        values[i] = (float)i;
    CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0);
    test_order_of_steps();
    test_failing_saves();
    test_failing_loads();
    test_failing_allocations();
    test_old_errors();
    test_links();
    test_modes();
    test_what_is_no_file();
    test_shrinking_file();
    test_readers_and_kills();
    test_leftovers();
    test_nothing_is_kept();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(chdir("/") == 0 && system(command) == 0);
    return check_report();
}
