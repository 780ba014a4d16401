/* Pipes in one process: the end of reading and of writing, what fits, what waits, what polls. */
#include "guest.h"
#include "wasix.h"
#include <poll.h>
#include <sys/uio.h>

static volatile int broken;

static void on_signal(int number)
{
    if (number == 13)
        broken++;
}

static void nonblocking(int fd, int on)
{
    NEED(fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0));
}

/*
 * What a descriptor is ready for, without waiting. C libraries differ in what else they say of one that was hung up:
 * there it is only told that it was.
 */
static void ready(const char *what, int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
    int count = poll(&poll_fd, 1, 0);
    if (poll_fd.revents & (POLLHUP | POLLERR))
        printf("%s: %d, hung up\n", what, count);
    else
        printf("%s: %d, in %d, out %d\n", what, count, !!(poll_fd.revents & POLLIN), !!(poll_fd.revents & POLLOUT));
}

static char bytes[100000];

/* Writes pieces until no more fit. */
static long fill(int fd, size_t piece)
{
    long all = 0, count;
    while ((count = write(fd, bytes, piece)) > 0)
        all += count;
    printf("until %s\n", error_name(errno));
    return all;
}

static long drain(int fd)
{
    static char sink[sizeof bytes];
    long all = 0, count;
    while ((count = read(fd, sink, sizeof sink)) > 0)
        all += count;
    printf("until %s\n", count == 0 ? "the end" : error_name(errno));
    return all;
}

static void open_pipe(int fds[2])
{
    NEED(host_pipe(fds));
    nonblocking(fds[0], 1);
    nonblocking(fds[1], 1);
}

static void close_pipe(int fds[2])
{
    NEED(close(fds[0]));
    NEED(close(fds[1]));
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    host_handle(on_signal);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + i % 26);
    int fds[2];
    char text[64] = "";

    TITLE("what it is");
    TRY(host_pipe(fds));
    printf("two descriptors, ascending: %d\n", fds[1] > fds[0]);
    struct stat reading, writing;
    TRY(fstat(fds[0], &reading));
    TRY(fstat(fds[1], &writing));
    printf("one thing: %d, size %ld, %s\n", reading.st_ino == writing.st_ino, (long)reading.st_size,
           kind_name(reading.st_mode));
    TRY(lseek(fds[0], 0, SEEK_CUR));
    TRY(pread(fds[0], text, 1, 0));
    TRY(pwrite(fds[1], text, 1, 0));
    TRY(ftruncate(fds[1], 0));
    TRY(fsync(fds[1]));
    TRY(read(fds[1], text, 1));
    TRY(write(fds[0], text, 1));
    TRY(isatty(fds[0]));
    TRY(host_shutdown(fds[0], 1));
    TRY(host_recv(fds[0], text, 1, 0));
    TRY(host_send(fds[1], text, 1, 0));
    TRY(openat(fds[0], "x", O_RDONLY));

    TITLE("bytes in order");
    TRY(write(fds[1], "hello ", 6));
    TRY(write(fds[1], "there", 5));
    TRY(read(fds[0], text, 3));
    printf("%.3s\n", text);
    TRY(read(fds[0], text, sizeof text));
    printf("%.8s\n", text);
    TRY(read(fds[0], text, 0));
    TRY(write(fds[1], text, 0));
    struct iovec parts[3] = { { "one", 3 }, { "", 0 }, { "two", 3 } };
    TRY(writev(fds[1], parts, 3));
    char first[2], second[9];
    struct iovec places[2] = { { first, sizeof first }, { second, sizeof second } };
    TRY(readv(fds[0], places, 2));
    printf("%.2s %.4s\n", first, second);

    TITLE("the end");
    TRY(write(fds[1], "last", 4));
    TRY(close(fds[1]));
    TRY(read(fds[0], text, 2));
    TRY(read(fds[0], text, 20));
    TRY(read(fds[0], text, 20));
    TRY(read(fds[0], text, 20));
    ready("at the end", fds[0]);
    TRY(close(fds[0]));

    TITLE("nobody reads");
    NEED(host_pipe(fds));
    TRY(write(fds[1], "lost", 4));
    TRY(close(fds[0]));
    TRY(write(fds[1], "x", 1));
    printf("SIGPIPE: %d\n", broken);
    TRY(write(fds[1], "x", 0));
    TRY(writev(fds[1], parts, 3));
    printf("SIGPIPE: %d\n", broken);
    ready("without readers", fds[1]);
    TRY(close(fds[1]));

    TITLE("nothing there, no room");
    open_pipe(fds);
    TRY(read(fds[0], text, 1));
    ready("reading, empty", fds[0]);
    ready("writing, empty", fds[1]);
    printf("filled with %ld\n", fill(fds[1], 1000));
    ready("reading, full", fds[0]);
    ready("writing, full", fds[1]);
    printf("drained of %ld\n", drain(fds[0]));
    ready("writing, drained", fds[1]);
    printf("filled with %ld\n", fill(fds[1], 65536));
    TRY(read(fds[0], text, 1));
    TRY(write(fds[1], "x", 1));
    ready("a byte read", fds[1]);
    static char page[4096];
    TRY(read(fds[0], page, 4095));
    ready("a page read", fds[1]);
    TRY(write(fds[1], "x", 1));
    TRY(write(fds[1], page, 4096));
    TRY(write(fds[1], page, 4095));
    TRY(write(fds[1], "x", 1));
    printf("drained of %ld\n", drain(fds[0]));

    TITLE("all or nothing up to PIPE_BUF, a part of more");
    printf("filled with %ld\n", fill(fds[1], 4096));
    TRY(read(fds[0], page, 4096));
    TRY(write(fds[1], bytes, 5000));
    TRY(write(fds[1], bytes, 1));
    TRY(read(fds[0], page, 4096));
    TRY(write(fds[1], bytes, 100));
    TRY(write(fds[1], bytes, 4096));
    TRY(write(fds[1], bytes, 4097));
    printf("drained of %ld\n", drain(fds[0]));
    TRY(write(fds[1], bytes, sizeof bytes));
    printf("drained of %ld\n", drain(fds[0]));
    close_pipe(fds);

    TITLE("several hold an end");
    open_pipe(fds);
    int copy = (int)NEED(host_dup(fds[1]));
    TRY(close(fds[1]));
    TRY(read(fds[0], text, 1));
    TRY(write(copy, "x", 1));
    TRY(close(copy));
    TRY(read(fds[0], text, 10));
    TRY(read(fds[0], text, 10));
    TRY(close(fds[0]));
    open_pipe(fds);
    copy = (int)NEED(host_dup(fds[0]));
    printf("flags are shared: %d\n", !!(fcntl(copy, F_GETFL) & O_NONBLOCK));
    TRY(host_getfd(fds[0]));
    TRY(close(fds[0]));
    TRY(write(fds[1], "y", 1));
    TRY(close(copy));
    TRY(write(fds[1], "y", 1));
    TRY(close(fds[1]));

    TITLE("a wait is broken off");
    NEED(host_pipe(fds));
    TRY(host_alarm(20, 0));
    printf("read: %d\n", read(fds[0], text, 1) == -1 && errno == EINTR);
    nonblocking(fds[1], 1);
    fill(fds[1], 4096);
    nonblocking(fds[1], 0);
    TRY(host_alarm(20, 0));
    printf("write: %d\n", write(fds[1], text, 1) == -1 && errno == EINTR);
    struct pollfd poll_fd = { .fd = fds[1], .events = POLLOUT };
    TRY(poll(&poll_fd, 1, 20));
    close_pipe(fds);

    TITLE("many");
    static int many[200][2];
    for (int i = 0; i < 200; i++) {
        NEED(host_pipe(many[i]));
        NEED(write(many[i][1], bytes, (size_t)i + 1));
    }
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        NEED(close(many[i][1]));
        sum += drain(many[i][0]) == i + 1;
        NEED(close(many[i][0]));
    }
    printf("each has its own: %ld\n", sum);
    return 0;
}
