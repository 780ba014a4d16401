/* truncate, ftruncate and posix_fallocate: growing, cutting, and what is refused. */
#include "guest.h"

static int size_of(const char *path)
{
    struct stat st;
    return fstatat(w, path, &st, 0) == -1 ? -1 : (int)st.st_size;
}

static void dump(const char *path)
{
    char text[64];
    int fd = (int)NEED(openat(w, path, O_RDONLY));
    ssize_t got = read(fd, text, sizeof text);
    printf("%s (%d): ", path, size_of(path));
    for (ssize_t i = 0; i < got; i++)
        putchar(text[i] ? text[i] : '.');
    printf("\n");
    close(fd);
}

int main(int argc, char **argv)
{
    char path[512];
    enter(argc, argv);

    TITLE("ftruncate");
    put("f", "0123456789");
    int fd = (int)NEED(openat(w, "f", O_RDWR));
    TRY(lseek(fd, 8, SEEK_SET));
    TRY(ftruncate(fd, 5));
    dump("f");
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(ftruncate(fd, 12));
    dump("f");
    TRY(write(fd, "xy", 2));
    dump("f");
    TRY(ftruncate(fd, 0));
    dump("f");
    TRY(write(fd, "z", 1));
    dump("f");
    TRY(ftruncate(fd, -1));
    int other = (int)NEED(openat(w, "f", O_RDONLY));
    TRY(ftruncate(fd, 3));
    char text[16];
    TRY(read(other, text, sizeof text));
    TRY(read(other, text, sizeof text));
    TRY(ftruncate(fd, 6));
    TRY(read(other, text, sizeof text));
    close(other);
    close(fd);
    TRY(ftruncate(fd, 0));

    TITLE("truncate");
    NEED(mkdirat(w, "d", 0777));
    NEED(symlinkat("f", w, "l"));
    NEED(symlinkat("none", w, "dangling"));
    static const char *const names[] = {"f", "l", "d", "dangling", "missing", "f/", "f/x"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", scratch, names[i]);
        printf("%s: %s\n", names[i], truncate(path, (off_t)i + 1) == -1 ? error_name(errno) : "0");
        printf("f is %d\n", size_of("f"));
    }

    TITLE("posix_fallocate");
    put("a", "text");
    fd = (int)NEED(openat(w, "a", O_RDWR));
    TRY_ERROR(posix_fallocate(fd, 0, 2));
    dump("a");
    TRY_ERROR(posix_fallocate(fd, 2, 8));
    dump("a");
    TRY_ERROR(posix_fallocate(fd, 20, 1));
    dump("a");
    TRY_ERROR(posix_fallocate(fd, 0, 0));
    TRY_ERROR(posix_fallocate(fd, -1, 1));
    TRY_ERROR(posix_fallocate(fd, 0, -1));
    TRY_ERROR(posix_fallocate(fd, INT64_MAX, 1));
    dump("a");
    TRY(lseek(fd, 0, SEEK_CUR));
    close(fd);
    fd = (int)NEED(openat(w, "a", O_RDONLY));
    TRY_ERROR(posix_fallocate(fd, 0, 100));
    close(fd);
    TRY_ERROR(posix_fallocate(fd, 0, 100));
    dump("a");

    TITLE("posix_fadvise");
    fd = (int)NEED(openat(w, "a", O_RDONLY));
    TRY_ERROR(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    TRY_ERROR(posix_fadvise(fd, 1, 100, POSIX_FADV_WILLNEED));
    TRY_ERROR(posix_fadvise(fd, 0, 0, 99));
    TRY_ERROR(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL));
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    close(fd);
    TRY_ERROR(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL));
    TRY(fsync(fd));
    return 0;
}
