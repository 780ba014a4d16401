/* open(2): access modes and flags against each kind of file, and what each descriptor then allows. */
#include "guest.h"

static const struct {
    const char *name;
    int flags;
} modes[] = {
    {"RDONLY", O_RDONLY}, {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR},
}, extras[] = {
    {"", 0},
    {"|CREAT", O_CREAT},
    {"|EXCL|CREAT", O_EXCL | O_CREAT},
    {"|DIRECTORY", O_DIRECTORY},
    {"|NOFOLLOW", O_NOFOLLOW},
    {"|DIRECTORY|NOFOLLOW", O_DIRECTORY | O_NOFOLLOW},
    {"|CREAT|NOFOLLOW", O_CREAT | O_NOFOLLOW},
};
static const char *const paths[] = {
    "file", "dir", "link", "dirlink", "dangling", "missing", "file/", "dir/", "dirlink/", "missing/", "dangling/",
    ".", "dir/.", "dir/..", "file/x", "nodir/x", "",
};
#define COUNT(table) (sizeof table / sizeof table[0])

static void matrix(void)
{
    TITLE("matrix");
    put("file", "text");
    NEED(mkdirat(w, "dir", 0777));
    NEED(symlinkat("file", w, "link"));
    NEED(symlinkat("dir", w, "dirlink"));
    NEED(symlinkat("target", w, "dangling"));
    for (size_t p = 0; p < COUNT(paths); p++)
        for (size_t m = 0; m < COUNT(modes); m++) {
            printf("\"%s\" %s:", paths[p], modes[m].name);
            for (size_t e = 0; e < COUNT(extras); e++) {
                printf(" %s", opens(paths[p], modes[m].flags | extras[e].flags) == -1 ? error_name(errno) : "0");
                unlinkat(w, "missing", 0);
                unlinkat(w, "target", 0);
            }
            printf("\n");
        }
    list(".");
}

static void access_modes(void)
{
    char text[8] = "";
    TITLE("what a descriptor allows");
    for (size_t m = 0; m < COUNT(modes); m++) {
        int fd = (int)NEED(openat(w, "file", modes[m].flags));
        printf("%s\n", modes[m].name);
        TRY(read(fd, text, 2));
        TRY(write(fd, "T", 1));
        TRY(pread(fd, text, 2, 0));
        TRY(pwrite(fd, "T", 1, 0));
        TRY(lseek(fd, 0, SEEK_CUR));
        TRY((fcntl(fd, F_GETFL) & O_ACCMODE) == modes[m].flags);
        close(fd);
    }
    cat("file");
    int fd = (int)NEED(openat(w, "dir", O_RDONLY));
    TRY(read(fd, text, 2));
    TRY(write(fd, "x", 1));
    close(fd);
    fd = (int)NEED(openat(w, "file", O_RDONLY));
    TRY_FD(openat(fd, "x", O_RDONLY));
    TRY(mkdirat(fd, "x", 0777));
    close(fd);
    TRY(read(fd, text, 1));
    TRY(write(fd, text, 1));
    TRY(close(fd));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY_FD(openat(fd, "x", O_RDONLY));
}

static void truncating(void)
{
    TITLE("O_TRUNC");
    put("file", "some text");
    TRY(opens("file", O_WRONLY | O_TRUNC));
    show("file", 0);
    put("file", "some text");
    TRY(opens("link", O_RDWR | O_TRUNC));
    show("file", 0);
    put("file", "some text");
    TRY(opens("file", O_WRONLY | O_TRUNC | O_CREAT | O_EXCL));
    show("file", 0);
    TRY(opens("dir", O_WRONLY | O_TRUNC));
    TRY(opens("missing", O_WRONLY | O_TRUNC));
    TRY(opens("link", O_WRONLY | O_TRUNC | O_NOFOLLOW));
    show("file", 0);
}

static void appending(void)
{
    char text[16];
    TITLE("O_APPEND");
    put("log", "0123");
    int a = (int)NEED(openat(w, "log", O_RDWR | O_APPEND)), b = (int)NEED(openat(w, "log", O_WRONLY | O_APPEND));
    TRY(lseek(a, 0, SEEK_CUR));
    TRY(write(a, "a", 1));
    TRY(lseek(a, 0, SEEK_CUR));
    TRY(write(b, "bb", 2));
    TRY(write(a, "c", 1));
    TRY(lseek(a, 0, SEEK_CUR));
    TRY(lseek(a, 1, SEEK_SET));
    TRY(read(a, text, 2));
    TRY(lseek(a, 0, SEEK_CUR));
    TRY(write(a, "d", 1));
    TRY(lseek(a, 0, SEEK_CUR));
    cat("log");
    TRY(!!(fcntl(a, F_GETFL) & O_APPEND));
    TRY(fcntl(a, F_SETFL, fcntl(a, F_GETFL) & ~O_APPEND));
    TRY(!!(fcntl(a, F_GETFL) & O_APPEND));
    TRY(lseek(a, 0, SEEK_SET));
    TRY(write(a, "X", 1));
    cat("log");
    TRY(fcntl(a, F_SETFL, fcntl(a, F_GETFL) | O_APPEND));
    TRY(write(a, "Y", 1));
    TRY(pwrite(a, "Z", 1, 0));
    cat("log");
    close(a);
    close(b);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    matrix();
    access_modes();
    truncating();
    appending();
    return 0;
}
