/* readv, writev, preadv, pwritev: every segment is used, empty ones too, and ends fall anywhere. */
#include "guest.h"
#include <sys/uio.h>

static void dump(const char *what, const char *text, size_t count)
{
    printf("%s: ", what);
    for (size_t i = 0; i < count; i++)
        putchar(text[i] ? text[i] : '.');
    printf("\n");
}

int main(int argc, char **argv)
{
    char a[8], b[8], c[8];
    enter(argc, argv);
    int fd = (int)NEED(openat(w, "v", O_RDWR | O_CREAT, 0666));

    TITLE("gather");
    struct iovec out[] = {
        {.iov_base = (void *)"one", .iov_len = 3}, {.iov_base = NULL, .iov_len = 0},
        {.iov_base = (void *)"", .iov_len = 0},    {.iov_base = (void *)"twotwo", .iov_len = 6},
        {.iov_base = (void *)"3", .iov_len = 1},
    };
    TRY(writev(fd, out, 5));
    TRY(lseek(fd, 0, SEEK_CUR));
    cat("v");
    TRY(pwritev(fd, out, 5, 4));
    TRY(lseek(fd, 0, SEEK_CUR));
    cat("v");

    TITLE("scatter");
    memset(a, 0, 8), memset(b, 0, 8), memset(c, 0, 8);
    struct iovec in[] = {
        {.iov_base = a, .iov_len = 2}, {.iov_base = NULL, .iov_len = 0},
        {.iov_base = b, .iov_len = 5}, {.iov_base = c, .iov_len = 8},
    };
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(readv(fd, in, 4));
    dump("a", a, 8), dump("b", b, 8), dump("c", c, 8);
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(readv(fd, in, 4));
    memset(a, 0, 8), memset(b, 0, 8), memset(c, 0, 8);
    TRY(preadv(fd, in, 4, 9));
    dump("a", a, 8), dump("b", b, 8), dump("c", c, 8);
    TRY(preadv(fd, in, 4, 100));
    TRY(readv(fd, in, 0));
    TRY(writev(fd, out, 0));

    TITLE("one buffer twice");
    struct iovec twice[] = {{.iov_base = a, .iov_len = 4}, {.iov_base = a, .iov_len = 4}};
    memset(a, 0, 8);
    TRY(preadv(fd, twice, 2, 0));
    dump("a", a, 8);

    TITLE("many segments");
    static struct iovec many[1024];
    static char big[1024 * 129];
    for (int i = 0; i < 1024; i++) {
        memset(big + i * 129, 'a' + i % 26, (size_t)(i % 130));
        many[i].iov_base = big + i * 129;
        many[i].iov_len = (size_t)(i % 130);
    }
    TRY(ftruncate(fd, 0));
    long total = TRY(pwritev(fd, many, 1024, 0));
    static char all[1024 * 129];
    TRY(pread(fd, all, sizeof all, 0) == total);
    long at = 0, wrong = 0;
    for (int i = 0; i < 1024; i++)
        for (int j = 0; j < i % 130; j++)
            wrong += all[at++] != 'a' + i % 26;
    printf("wrong bytes: %ld\n", wrong);
    memset(big, 0, sizeof big);
    TRY(preadv(fd, many, 1024, 0) == total);
    wrong = 0;
    for (int i = 0; i < 1024; i++)
        for (int j = 0; j < i % 130; j++)
            wrong += ((char *)many[i].iov_base)[j] != 'a' + i % 26;
    printf("wrong bytes: %ld\n", wrong);

    TITLE("appending in one piece");
    int log = (int)NEED(openat(w, "log", O_WRONLY | O_CREAT | O_APPEND, 0666));
    TRY(writev(log, out, 5));
    TRY(lseek(log, 0, SEEK_SET));
    TRY(writev(log, out, 5));
    cat("log");

    TITLE("wrong descriptors");
    TRY(readv(log, in, 4));
    int read_only = (int)NEED(openat(w, "v", O_RDONLY));
    TRY(writev(read_only, out, 5));
    close(read_only);
    TRY(readv(read_only, in, 4));
    close(log);
    close(fd);
    return 0;
}
