/* Times: utimensat and futimens with NOW and OMIT, to the nanosecond, and what moves them by itself. */
#include "guest.h"
#include <time.h>

#ifdef __wasm__
#include <wasi/api.h>
/*
 * wasi-libc 20220510 refuses UTIME_NOW and UTIME_OMIT in the second time and sets both to 0 for NULL, without asking
 * the host. So the guest makes the calls itself.
 */
static __wasi_timestamp_t nanoseconds(const struct timespec *t)
{
    return t->tv_nsec < 0 ? 0 : (__wasi_timestamp_t)t->tv_sec * 1000000000 + (__wasi_timestamp_t)t->tv_nsec;
}

static int flags_of(const struct timespec times[2])
{
    int flags = 0;
    for (int i = 0; i < 2; i++) {
        long nsec = times ? times[i].tv_nsec : UTIME_NOW;
        if (nsec != UTIME_NOW && nsec != UTIME_OMIT && (nsec < 0 || nsec > 999999999))
            return -1;
        flags |= (nsec == UTIME_OMIT ? 0 : nsec == UTIME_NOW ? 2 : 1) << 2 * i;
    }
    return flags;
}

static int result(__wasi_errno_t error)
{
    errno = error;
    return error ? -1 : 0;
}

static int set_times_at(int dir, const char *path, const struct timespec times[2], int how)
{
    int flags = flags_of(times);
    if (flags < 0)
        return result(__WASI_ERRNO_INVAL);
    return result(__wasi_path_filestat_set_times((__wasi_fd_t)dir, !(how & AT_SYMLINK_NOFOLLOW), path,
                                                 nanoseconds(times), nanoseconds(times + 1), (__wasi_fstflags_t)flags));
}

static int set_times_of(int fd, const struct timespec times[2])
{
    static const struct timespec zero[2];
    int flags = flags_of(times);
    if (flags < 0)
        return result(__WASI_ERRNO_INVAL);
    times = times ? times : zero;
    return result(__wasi_fd_filestat_set_times((__wasi_fd_t)fd, nanoseconds(times), nanoseconds(times + 1),
                                               (__wasi_fstflags_t)flags));
}
#define utimensat set_times_at
#define futimens set_times_of
#endif

static struct stat before;

static void print_time(const char *what, struct timespec t)
{
    printf(" %s=%lld.%09ld", what, (long long)t.tv_sec, (long)t.tv_nsec);
}

static void times_of(const char *path, int flags)
{
    struct stat st;
    printf("%s:", path);
    if (fstatat(w, path, &st, flags) == -1) {
        printf(" %s\n", error_name(errno));
        return;
    }
    print_time("atime", st.st_atim);
    print_time("mtime", st.st_mtim);
    printf("\n");
}

static int later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* The kernel's clock for files ticks every few milliseconds. */
static void wait_a_tick(void)
{
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 20000000};
    nanosleep(&pause, NULL);
}

static void mark(const char *path)
{
    NEED(fstatat(w, path, &before, AT_SYMLINK_NOFOLLOW));
    wait_a_tick();
}

/* Which times of `path` are later than at the mark. */
static void moved(const char *what, const char *path)
{
    struct stat now;
    NEED(fstatat(w, path, &now, AT_SYMLINK_NOFOLLOW));
    printf("%s moves%s%s%s of %s\n", what, later(now.st_atim, before.st_atim) ? " atime" : "",
           later(now.st_mtim, before.st_mtim) ? " mtime" : "", later(now.st_ctim, before.st_ctim) ? " ctime" : "", path);
    mark(path);
}

static void setting(void)
{
    struct timespec both[2] = {{.tv_sec = 1000000000, .tv_nsec = 123456789}, {.tv_sec = 2, .tv_nsec = 1}};
    TITLE("setting");
    put("f", "text");
    NEED(symlinkat("f", w, "l"));
    NEED(symlinkat("none", w, "dangling"));
    TRY(utimensat(w, "f", both, 0));
    times_of("f", 0);
    both[0].tv_nsec = UTIME_OMIT;
    both[1].tv_sec = 4102444800;
    both[1].tv_nsec = 999999999;
    TRY(utimensat(w, "f", both, 0));
    times_of("f", 0);
    both[0].tv_sec = 5;
    both[0].tv_nsec = 5;
    both[1].tv_nsec = UTIME_OMIT;
    TRY(utimensat(w, "l", both, 0));
    times_of("f", 0);
    both[1].tv_sec = 7;
    both[1].tv_nsec = 7;
    TRY(utimensat(w, "l", both, AT_SYMLINK_NOFOLLOW));
    times_of("l", AT_SYMLINK_NOFOLLOW);
    times_of("f", 0);
    TRY(utimensat(w, "dangling", both, 0));
    TRY(utimensat(w, "dangling", both, AT_SYMLINK_NOFOLLOW));
    times_of("dangling", AT_SYMLINK_NOFOLLOW);
    both[0].tv_nsec = both[1].tv_nsec = UTIME_OMIT;
    TRY(utimensat(w, "f", both, 0));
    TRY(utimensat(w, "missing", both, AT_SYMLINK_NOFOLLOW));
    times_of("f", 0);
    both[0].tv_nsec = 1000000000;
    TRY(utimensat(w, "f", both, 0));
    both[0].tv_nsec = 0;
    both[0].tv_sec = 0;
    both[1] = both[0];
    TRY(utimensat(w, "f/", both, 0));
    TRY(utimensat(w, "f", both, 0));
    times_of("f", 0);
    int fd = (int)NEED(openat(w, "f", O_RDONLY));
    both[0].tv_sec = 11;
    both[1].tv_sec = 12;
    TRY(futimens(fd, both));
    times_of("f", 0);
    both[0].tv_nsec = UTIME_OMIT;
    both[1].tv_nsec = UTIME_NOW;
    TRY(futimens(fd, both));
    struct stat st;
    NEED(fstat(fd, &st));
    printf("atime kept: %d, mtime now: %d\n", st.st_atim.tv_sec == 11, st.st_mtim.tv_sec > 1600000000);
    TRY(futimens(fd, NULL));
    NEED(fstat(fd, &st));
    printf("both now: %d\n", st.st_atim.tv_sec > 1600000000 && st.st_mtim.tv_sec > 1600000000);
    close(fd);
    TRY(futimens(fd, NULL));
    fd = (int)NEED(openat(w, ".", O_RDONLY | O_DIRECTORY));
    both[0].tv_sec = 21, both[0].tv_nsec = 0;
    both[1].tv_sec = 22, both[1].tv_nsec = 0;
    TRY(futimens(fd, both));
    times_of(".", 0);
    close(fd);
}

static void moving(void)
{
    char text[8];
    TITLE("what moves times");
    NEED(mkdirat(w, "d", 0777));
    mark("d");
    put("d/f", "text");
    moved("creating a file in it", "d");
    int fd = (int)NEED(openat(w, "d/f", O_RDWR));
    moved("opening a file in it", "d");
    mark("d/f");
    NEED(write(fd, "more", 4));
    moved("writing", "d/f");
    NEED(write(fd, "", 0));
    moved("writing nothing", "d/f");
    NEED(pread(fd, text, 4, 0));
    moved("the first read after a write", "d/f");
    NEED(pread(fd, text, 4, 0));
    moved("the second read", "d/f");
    NEED(ftruncate(fd, 2));
    moved("truncating", "d/f");
    NEED(ftruncate(fd, 2));
    moved("truncating to the same size", "d/f");
    NEED(linkat(w, "d/f", w, "d/g", 0));
    moved("linking", "d/f");
    NEED(renameat(w, "d/g", w, "d/h"));
    moved("renaming", "d/f");
    NEED(unlinkat(w, "d/h", 0));
    moved("unlinking", "d/f");
    close((int)NEED(openat(w, "d/f", O_WRONLY | O_TRUNC)));
    moved("opening with O_TRUNC", "d/f");
    close((int)NEED(openat(w, "d/f", O_WRONLY | O_TRUNC)));
    moved("opening with O_TRUNC when empty", "d/f");
    struct timespec omit[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    NEED(futimens(fd, omit));
    moved("futimens with OMIT twice", "d/f");
    omit[0].tv_nsec = 0;
    omit[0].tv_sec = 1;
    NEED(futimens(fd, omit));
    moved("futimens of an old atime", "d/f");
    close(fd);
    mark("d");
    NEED(renameat(w, "d/f", w, "d/i"));
    moved("renaming in it", "d");
    NEED(symlinkat("i", w, "d/l"));
    moved("a link in it", "d");
    mark("d/l");
    cat("d/l");
    moved("following", "d/l");
    mark("d");
    NEED(unlinkat(w, "d/l", 0));
    moved("removing in it", "d");
    unlinkat(w, "d/none", 0);
    moved("a failed removal", "d");
    NEED(mkdirat(w, "d/sub", 0777));
    moved("a directory in it", "d");
    NEED(renameat(w, "d", w, "e"));
    moved("renaming it", "e");
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    setting();
    moving();
    return 0;
}
