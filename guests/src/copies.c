/* Copies of descriptors: their numbers, what they share, and what is each one's own. */
#include "guest.h"
#include "wasix.h"

static int file(const char *path, int flags)
{
    return (int)NEED(openat(w, path, flags, 0666));
}

/* The next bytes of a file, read by one of its descriptors. */
static void next(const char *name, int fd)
{
    char text[3] = "";
    ssize_t count = read(fd, text, 2);
    printf("%s: %s\n", name, count < 0 ? error_name(errno) : text);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    put("a", "0123456789");
    put("b", "abcdefghij");

    TITLE("the lowest free number");
    int first = file("a", O_RDWR), second = file("b", O_RDWR);
    int copy = host_dup(first);
    printf("the next: %d\n", copy == second + 1);
    close(second);
    int low = host_dup(first);
    printf("a hole: %d\n", low == second);
    close(low);
    int high = host_dup_from(first, copy + 10, 0);
    printf("from a number on: %d\n", high == copy + 10);
    int higher = host_dup_from(first, copy + 10, 1);
    printf("the one after: %d\n", higher == copy + 11);
    TRY(host_dup(1000));
    TRY(host_dup_from(1000, 0, 0));
    TRY(host_dup_from(first, -1, 0));
    TRY(host_dup(-1));

    TITLE("one position");
    next("first", first);
    next("copy", copy);
    next("high", high);
    TRY(lseek(higher, 1, SEEK_SET));
    next("first", first);
    int apart = file("a", O_RDONLY);
    next("opened apart", apart);
    next("copy", copy);
    close(apart);

    TITLE("one set of flags");
    TRY(fcntl(copy, F_SETFL, O_APPEND));
    printf("first appends: %d\n", (fcntl(first, F_GETFL) & O_APPEND) != 0);
    TRY(write(first, "++", 2));
    TRY(lseek(copy, 0, SEEK_CUR));

    TITLE("each its own close-on-exec");
    printf("%d %d %d %d\n", host_getfd(first), host_getfd(copy), host_getfd(high), host_getfd(higher));
    TRY(host_setfd(first, FD_CLOEXEC));
    printf("%d %d %d %d\n", host_getfd(first), host_getfd(copy), host_getfd(high), host_getfd(higher));
    low = host_dup(first);
    printf("a copy's: %d\n", host_getfd(low));
    TRY(host_setfd(higher, 0));
    printf("%d %d\n", host_getfd(first), host_getfd(higher));
    TRY(host_getfd(1000));
    TRY(host_setfd(1000, FD_CLOEXEC));

    TITLE("to a number");
    second = file("b", O_RDWR);
    printf("that: %d\n", host_dup2(first, second) == second);
    printf("its close-on-exec: %d\n", host_getfd(second));
    TRY(lseek(first, 4, SEEK_SET));
    next("second", second);
    next("first is open", first);
    TRY(host_dup2(first, first) == first);
    printf("as it was: %d\n", host_getfd(first));
    TRY(host_dup2(1000, second));
    next("second", second);
    printf("a free one: %d\n", host_dup2(first, copy + 20) == copy + 20);
    next("that", copy + 20);

    TITLE("the last one closes");
    NEED(unlinkat(w, "a", 0));
    TRY(close(first));
    TRY(close(first));
    TRY(lseek(copy, 0, SEEK_SET));
    next("copy of a removed file", copy);
    return 0;
}
