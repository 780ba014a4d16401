/* Counters of events (eventfd), and the clock that can be set to no such times. */
#include "guest.h"
#include "wasix.h"
#include <poll.h>
#include <sys/uio.h>
#include <time.h>

static void on_signal(int number)
{
    (void)number;
}

static void ready(const char *what, int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
    int count = poll(&poll_fd, 1, 0);
    printf("%s: %d, in %d, out %d\n", what, count, !!(poll_fd.revents & POLLIN), !!(poll_fd.revents & POLLOUT));
}

static void add(int fd, uint64_t number)
{
    long count = write(fd, &number, sizeof number);
    printf("add %llu = %s\n", (unsigned long long)number, count == 8 ? "8" : error_name(errno));
}

static void take(int fd)
{
    uint64_t number = 0;
    long count = read(fd, &number, sizeof number);
    printf("take = %s, %llu\n", count == 8 ? "8" : error_name(errno), (unsigned long long)number);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    host_handle(on_signal);

    TITLE("counted");
    int fd = (int)NEED(host_event(3, 0, 1));
    ready("3", fd);
    take(fd);
    take(fd);
    ready("0", fd);
    add(fd, 5);
    add(fd, 6);
    add(fd, 0);
    take(fd);
    add(fd, 0);
    take(fd);

    TITLE("the highest");
    add(fd, UINT64_MAX);
    add(fd, UINT64_MAX - 1);
    ready("highest", fd);
    add(fd, 1);
    add(fd, 0);
    take(fd);
    add(fd, UINT64_MAX - 2);
    ready("one less", fd);
    add(fd, 2);
    add(fd, 1);
    take(fd);

    TITLE("what it is");
    char bytes[16] = "";
    TRY(read(fd, bytes, 7));
    TRY(write(fd, bytes, 7));
    add(fd, 1);
    TRY(read(fd, bytes, 16));
    TRY(write(fd, bytes, 9));
    TRY(isatty(fd));
    TRY(host_shutdown(fd, 1));
    TRY(ftruncate(fd, 0));
    struct stat st;
    TRY(fstat(fd, &st));
    uint64_t one = 1, two = 2;
    struct iovec both[2] = { { &one, 8 }, { &two, 8 } };
    TRY(writev(fd, both, 2));
    take(fd);
    int copy = (int)NEED(host_dup(fd));
    add(copy, 7);
    take(fd);
    TRY(close(fd));
    take(copy);
    TRY(close(copy));

    TITLE("in ones");
    fd = (int)NEED(host_event(2, 1, 1));
    take(fd);
    add(fd, 1);
    take(fd);
    take(fd);
    take(fd);
    TRY(close(fd));

    TITLE("waiting");
    fd = (int)NEED(host_event(0, 0, 0));
    NEED(host_alarm(20, 0));
    take(fd);
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    TRY(poll(&poll_fd, 1, 20));
    add(fd, 9);
    TRY(poll(&poll_fd, 1, -1));
    take(fd);
    TRY(close(fd));

    TITLE("times that no clock is set to");
    TRY(host_settime(0, 0));
    TRY(host_settime(0, UINT64_MAX));
    TRY(host_settime(0, INT64_MAX));
    TRY(host_settime(1, 1000000000000000000));
    TRY(host_settime(2, 1000000000000000000));
    TRY(host_settime(3, 1000000000000000000));
    TRY(host_settime(77, 1000000000000000000));
    return 0;
}
