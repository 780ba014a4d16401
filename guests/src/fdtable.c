/* The descriptor table: the lowest free number is given, numbers can be moved, closed ones are dead. */
#include "guest.h"
#ifdef __wasm__
#include <wasi/api.h>
/* preview1 moves a descriptor: the old number is free afterwards. */
static int move_fd(int from, int to)
{
    errno = __wasi_fd_renumber((__wasi_fd_t)from, (__wasi_fd_t)to);
    return errno ? -1 : 0;
}
#else
static int move_fd(int from, int to)
{
    if (dup2(from, to) == -1)
        return -1;
    return from == to ? 0 : close(from);
}
#endif

static int file(const char *path)
{
    return (int)NEED(openat(w, path, O_RDWR | O_CREAT, 0666));
}

int main(int argc, char **argv)
{
    char text[16] = "";
    enter(argc, argv);
    put("a", "aaaa");
    put("b", "bbbb");
    put("c", "cccc");

    TITLE("the lowest free number");
    int first = file("a"), second = file("b"), third = file("c");
    printf("ascending: %d\n", second > first && third > second);
    TRY(close(second));
    int again = file("b");
    printf("reused: %d\n", again == second);
    TRY(close(first));
    TRY(close(again));
    again = file("c");
    printf("the lowest of two: %d\n", again == first);
    close(again);
    close(third);

    TITLE("moving");
    first = file("a"), second = file("b");
    TRY(read(first, text, 2));
    TRY(move_fd(first, second));
    TRY(read(first, text, 1));
    TRY(read(second, text, 4));
    printf("%.2s\n", text);
    TRY(move_fd(second, second));
    TRY(move_fd(first, second));
    third = file("c");
    printf("the number left is free: %d\n", third == first);
    TRY(close(third));
    TRY(close(second));
    TRY(move_fd(first, second));

    TITLE("offsets belong to the open file");
    first = file("a"), second = file("a");
    TRY(read(first, text, 3));
    TRY(lseek(second, 0, SEEK_CUR));
    close(first), close(second);

    TITLE("closed");
    TRY(close(first));
    TRY(close(-1));
    TRY(close(1000000));
    TRY(read(first, text, 1));
    TRY(lseek(-1, 0, SEEK_SET));
    TRY(fcntl(first, F_GETFL));
    TRY(ftruncate(first, 0));
    struct stat st;
    TRY(fstat(first, &st));

    TITLE("many");
    static int fds[500];
    int order = 1;
    for (int i = 0; i < 500; i++) {
        fds[i] = file("a");
        order &= i == 0 || fds[i] > fds[i - 1];
    }
    printf("ascending: %d\n", order);
    for (int i = 499; i >= 0; i -= 2)
        NEED(close(fds[i]));
    order = 1;
    for (int i = 1; i < 500; i += 2)
        order &= file("b") == fds[i];
    printf("gaps filled from below: %d\n", order);
    for (int i = 0; i < 500; i++)
        NEED(close(fds[i]));

    TITLE("standard streams");
    TRY(close(0));
    again = file("a");
    printf("number zero is reused: %d\n", again == 0);
    TRY(read(0, text, 4));
    TRY(isatty(0));
    printf("%s\n", errno == ENOTTY ? "ENOTTY" : "another error");
    return 0;
}
