/*
 * What every guest starts with.
 *
 * A guest is one C file that runs as wasm on vnode and, built by the host's compiler from the same
 * source, as a native program on the kernel. Both print what they see, and must print the same. So a
 * guest prints names of errors instead of numbers (WASI has its own), never a file descriptor's number,
 * an inode number, the size of a directory or a permission bit (WASI shows none).
 *
 * argv[1] is the scratch directory; it is made when it is not there. Everything is done below it through
 * *at() calls on a descriptor, so that path text reaches the host as it is spelled: wasi-libc rewrites
 * only paths that are absolute or relative to the emulated working directory.
 */
#ifndef GUEST_H
#define GUEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* The scratch directory: where it is, and a descriptor of it. */
static const char *scratch = "/work";
static int w = -1;

static inline const char *error_name(int number)
{
    switch (number) {
    case 0: return "0";
#define NAME(e) case e: return #e;
    NAME(E2BIG) NAME(EACCES) NAME(EAGAIN) NAME(EBADF) NAME(EBUSY) NAME(EEXIST) NAME(EFAULT) NAME(EFBIG)
    NAME(EINVAL) NAME(EIO) NAME(EISDIR) NAME(ELOOP) NAME(EMFILE) NAME(EMLINK) NAME(ENAMETOOLONG)
    NAME(ENFILE) NAME(ENODEV) NAME(ENOENT) NAME(ENOMEM) NAME(ENOSPC) NAME(ENOSYS) NAME(ENOTDIR)
    NAME(ENOTEMPTY) NAME(ENOTSOCK) NAME(ENOTSUP) NAME(ENOTTY) NAME(ENXIO) NAME(EOVERFLOW) NAME(EPERM)
    NAME(EPIPE) NAME(ERANGE) NAME(EROFS) NAME(ESPIPE) NAME(ETXTBSY) NAME(EXDEV)
#ifdef ENOTCAPABLE
    NAME(ENOTCAPABLE)
#endif
#ifdef PROCESSES_H
    NAME(ECHILD) NAME(EINTR) NAME(ENOEXEC) NAME(ESRCH)
#endif
#undef NAME
    default: return "E???";
    }
}

/* Prints `text = result`: the number, or the name of the error when it is -1. */
static inline long report(const char *text, long result)
{
    if (result == -1)
        printf("%s = %s\n", text, error_name(errno));
    else
        printf("%s = %ld\n", text, result);
    return result;
}

/* The same for what returns a descriptor, whose number differs between hosts. */
static inline int report_fd(const char *text, int fd)
{
    printf("%s = %s\n", text, fd == -1 ? error_name(errno) : "fd");
    return fd;
}

/* The same for what returns the error itself, as the posix_ functions do. */
static inline int report_error(const char *text, int error)
{
    printf("%s = %s\n", text, error_name(error));
    return error;
}

#define TRY(call) report(#call, (long)(call))
#define TRY_FD(call) report_fd(#call, (call))
#define TRY_ERROR(call) report_error(#call, (call))
#define TITLE(text) printf("# %s\n", text)

/* A call the guest can't go on without. */
#define NEED(call) need(#call, (long)(call))
static inline long need(const char *text, long result)
{
    if (result == -1) {
        printf("cannot go on: %s = %s\n", text, error_name(errno));
        exit(99);
    }
    return result;
}

/* Opens, reports and closes: for when only the outcome matters. */
static inline int opens(const char *path, int flags)
{
    int fd = openat(w, path, flags, 0666);
    if (fd == -1)
        return -1;
    close(fd);
    return 0;
}

/* Makes (or replaces the text of) a file. */
static inline void put(const char *path, const char *text)
{
    int fd = (int)NEED(openat(w, path, O_WRONLY | O_CREAT | O_TRUNC, 0666));
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length) {
        printf("cannot go on: short write to %s\n", path);
        exit(99);
    }
    close(fd);
}

static inline const char *kind_name(mode_t mode)
{
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "dir" : S_ISLNK(mode) ? "link" : S_ISCHR(mode) ? "char" : "other";
}

/* One line about what stands at `path`: the link itself when `flags` has AT_SYMLINK_NOFOLLOW. */
static inline void show(const char *path, int flags)
{
    struct stat st;
    const char *how = flags & AT_SYMLINK_NOFOLLOW ? "lstat" : "stat";
    if (fstatat(w, path, &st, flags) == -1) {
        printf("%s %s: %s\n", how, path, error_name(errno));
        return;
    }
    printf("%s %s: %s nlink=%lu", how, path, kind_name(st.st_mode), (unsigned long)st.st_nlink);
    if (!S_ISDIR(st.st_mode))
        printf(" size=%lld", (long long)st.st_size);
    printf("\n");
}

/* The text of a file, quoted, or the error. */
static inline void cat(const char *path)
{
    char text[256];
    int fd = openat(w, path, O_RDONLY);
    if (fd == -1) {
        printf("cat %s: %s\n", path, error_name(errno));
        return;
    }
    ssize_t got = read(fd, text, sizeof text);
    if (got == -1)
        printf("cat %s: read: %s\n", path, error_name(errno));
    else
        printf("cat %s: \"%.*s\"\n", path, (int)got, text);
    close(fd);
}

/* Where a link points, quoted, or the error. */
static inline void link_text(const char *path)
{
    char text[4096];
    ssize_t got = readlinkat(w, path, text, sizeof text);
    if (got == -1)
        printf("readlink %s: %s\n", path, error_name(errno));
    else
        printf("readlink %s: \"%.*s\"\n", path, (int)got, text);
}

/* 1 when both paths are one file. */
static inline int same(const char *a, const char *b)
{
    struct stat x, y;
    if (fstatat(w, a, &x, AT_SYMLINK_NOFOLLOW) == -1 || fstatat(w, b, &y, AT_SYMLINK_NOFOLLOW) == -1)
        return -1;
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted, on one line. */
static inline void list(const char *path)
{
    int fd = openat(w, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd == -1 ? NULL : fdopendir(fd);
    if (!dir) {
        printf("list %s: %s\n", path, error_name(errno));
        return;
    }
    static char *names[4096];
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) && count < 4096)
        names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof names[0], by_name);
    printf("list %s:", path);
    for (size_t i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

/*
 * A native run is told by GUEST_ROOT which directory to be confined to, so that absolute links mean the same to it as
 * to the guest, whose root is its own.
 */
static inline void confine(void)
{
#ifndef __wasm__
    const char *root = getenv("GUEST_ROOT");
    if (root) {
        NEED(chroot(root));
        NEED(chdir("/"));
        NEED(unsetenv("GUEST_ROOT"));
    }
    umask(022);
#endif
}

/* Takes the scratch directory from the arguments. */
static inline void enter(int argc, char **argv)
{
    confine();
    if (argc > 1)
        scratch = argv[1];
    if (mkdir(scratch, 0777) == -1 && errno != EEXIST)
        NEED(-1);
    w = (int)NEED(open(scratch, O_RDONLY | O_DIRECTORY));
}

#endif
