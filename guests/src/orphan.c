/* Files without a name: what was opened stays whole after unlink, rename over it, and removal of its directory. */
#include "guest.h"

static void state(const char *what, int fd)
{
    struct stat st;
    char text[64];
    if (fstat(fd, &st) == -1) {
        printf("%s: %s\n", what, error_name(errno));
        return;
    }
    ssize_t got = pread(fd, text, sizeof text, 0);
    printf("%s: nlink=%lu size=%lld \"%.*s\"\n", what, (unsigned long)st.st_nlink, (long long)st.st_size,
           got < 0 ? 0 : (int)got, text);
}

int main(int argc, char **argv)
{
    enter(argc, argv);

    TITLE("unlinked");
    put("f", "text");
    int fd = (int)NEED(openat(w, "f", O_RDWR));
    int second = (int)NEED(openat(w, "f", O_RDONLY));
    TRY(unlinkat(w, "f", 0));
    TRY_FD(openat(w, "f", O_RDONLY));
    state("open", fd);
    TRY(pwrite(fd, "TEXT and more", 13, 0));
    state("second", second);
    TRY(ftruncate(fd, 2));
    state("second", second);
    TRY(futimens(fd, NULL));
    put("f", "another");
    state("open", fd);
    cat("f");
    struct stat a, b;
    NEED(fstat(fd, &a));
    NEED(fstatat(w, "f", &b, 0));
    printf("another inode: %d\n", a.st_ino != b.st_ino);
    TRY(close(fd));
    state("second", second);
    TRY(close(second));

    TITLE("one name of two");
    put("x", "both");
    NEED(linkat(w, "x", w, "y", 0));
    fd = (int)NEED(openat(w, "x", O_RDWR));
    TRY(unlinkat(w, "x", 0));
    state("open", fd);
    TRY(pwrite(fd, "B", 1, 0));
    cat("y");
    TRY(unlinkat(w, "y", 0));
    state("open", fd);
    close(fd);

    TITLE("its directory removed");
    NEED(mkdirat(w, "d", 0777));
    put("d/f", "inside");
    fd = (int)NEED(openat(w, "d/f", O_RDWR));
    int dir = (int)NEED(openat(w, "d", O_RDONLY | O_DIRECTORY));
    TRY(unlinkat(w, "d/f", 0));
    TRY(unlinkat(w, "d", AT_REMOVEDIR));
    state("open", fd);
    TRY(write(fd, "still", 5));
    state("open", fd);
    TRY_FD(openat(dir, "f", O_RDWR | O_CREAT, 0666));
    close(dir);
    close(fd);

    TITLE("a big one, many times");
    static char block[1 << 20];
    memset(block, 'b', sizeof block);
    int ok = 0;
    for (int i = 0; i < 64; i++) {
        fd = (int)NEED(openat(w, "big", O_RDWR | O_CREAT | O_EXCL, 0666));
        for (int j = 0; j < 4; j++)
            ok += write(fd, block, sizeof block) == (ssize_t)sizeof block;
        NEED(unlinkat(w, "big", 0));
        close(fd);
    }
    printf("blocks written: %d\n", ok);
    list(".");
    return 0;
}
