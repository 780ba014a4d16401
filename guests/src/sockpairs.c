/* Pairs of connected sockets in one process. */
#include "guest.h"
#include "wasix.h"
#include <poll.h>

static volatile int broken;

static void on_signal(int number)
{
    if (number == 13)
        broken++;
}

static void ready(const char *what, int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
    int count = poll(&poll_fd, 1, 0);
    if (poll_fd.revents & POLLHUP)
        printf("%s: %d, hung up\n", what, count);
    else
        printf("%s: %d, in %d, out %d\n", what, count, !!(poll_fd.revents & POLLIN), !!(poll_fd.revents & POLLOUT));
}

static int s[2];

static void open_pair(void)
{
    NEED(host_socketpair(FAMILY_UNIX, TYPE_STREAM, 0, s));
}

static void close_pair(void)
{
    NEED(close(s[0]));
    NEED(close(s[1]));
}

static void refused(const char *what, int family, int type, int protocol, int expected)
{
    int fds[2];
    int made = host_socketpair(family, type, protocol, fds);
    printf("%s: %d, the error that is meant: %d\n", what, made, errno == expected);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    host_handle(on_signal);
    char text[64] = "";

    TITLE("which there are");
    refused("no family", FAMILY_NONE, TYPE_STREAM, 0, EAFNOSUPPORT);
    refused("another one", 99, TYPE_STREAM, 0, EAFNOSUPPORT);
    refused("of the internet", FAMILY_INET, TYPE_STREAM, 0, ENOTSUP);
    refused("a protocol", FAMILY_UNIX, TYPE_STREAM, 6, EPROTONOSUPPORT);
    refused("a type without meaning", FAMILY_UNIX, 15, 0, EINVAL);
    TRY(host_socketpair(FAMILY_UNIX, TYPE_STREAM, 0, s));
    printf("two descriptors, ascending: %d\n", s[1] > s[0]);

    TITLE("what it is");
    struct stat one, other;
    TRY(fstat(s[0], &one));
    TRY(fstat(s[1], &other));
    printf("a socket: %d, two things: %d\n", S_ISSOCK(one.st_mode), one.st_ino != other.st_ino);
    TRY(lseek(s[0], 0, SEEK_CUR));
    TRY(pread(s[0], text, 1, 0));
    TRY(isatty(s[0]));
    TRY(ftruncate(s[0], 0));
    TRY(fsync(s[0]));

    TITLE("both ways");
    TRY(write(s[0], "there", 5));
    TRY(host_send(s[1], "back", 4, 0));
    TRY(read(s[0], text, sizeof text));
    printf("%.4s\n", text);
    TRY(host_recv(s[1], text, 2, 0));
    printf("%.2s\n", text);
    TRY(host_recv(s[1], text, sizeof text, 0));
    printf("%.3s\n", text);
    TRY(read(s[0], text, 0));
    TRY(write(s[0], text, 0));

    TITLE("how to receive");
    TRY(host_recv(s[0], text, 1, AT_ONCE));
    NEED(write(s[1], "abcdef", 6));
    TRY(host_recv(s[0], text, 3, PEEK));
    TRY(host_recv(s[0], text, sizeof text, PEEK));
    printf("%.6s\n", text);
    TRY(host_recv(s[0], text, 6, WAITALL));
    NEED(write(s[1], "xyz", 3));
    NEED(host_shutdown(s[1], 2));
    TRY(host_recv(s[0], text, sizeof text, WAITALL));
    TRY(host_recv(s[0], text, sizeof text, WAITALL));
    close_pair();

    TITLE("shut down for writing");
    open_pair();
    TRY(host_shutdown(s[0], 0));
    TRY(host_shutdown(s[0], 4));
    TRY(write(s[0], "end", 3));
    TRY(host_shutdown(s[0], 2));
    TRY(write(s[0], "x", 1));
    printf("SIGPIPE: %d\n", broken);
    TRY(host_send(s[0], "x", 1, 0));
    printf("SIGPIPE: %d\n", broken);
    TRY(read(s[1], text, sizeof text));
    TRY(read(s[1], text, sizeof text));
    TRY(write(s[1], "still", 5));
    TRY(read(s[0], text, sizeof text));
    ready("the one", s[0]);
    ready("the other", s[1]);
    TRY(host_shutdown(s[0], 2));
    close_pair();

    TITLE("shut down for reading");
    open_pair();
    TRY(write(s[1], "left", 4));
    TRY(host_shutdown(s[0], 1));
    TRY(read(s[0], text, sizeof text));
    TRY(read(s[0], text, sizeof text));
    TRY(write(s[1], "x", 1));
    TRY(write(s[0], "x", 1));
    TRY(read(s[1], text, 1));
    close_pair();

    TITLE("the other is closed");
    open_pair();
    TRY(write(s[1], "left", 4));
    TRY(close(s[1]));
    TRY(read(s[0], text, sizeof text));
    TRY(read(s[0], text, sizeof text));
    TRY(write(s[0], "x", 1));
    ready("alone", s[0]);
    TRY(host_shutdown(s[0], 3));
    TRY(close(s[0]));
    open_pair();
    TRY(write(s[0], "unread", 6));
    TRY(close(s[1]));
    printf("reset once: %d\n", read(s[0], text, 1) == -1 && errno == ECONNRESET);
    TRY(read(s[0], text, 1));
    TRY(close(s[0]));

    TITLE("no room");
    open_pair();
    NEED(fcntl(s[0], F_SETFL, O_NONBLOCK));
    static char page[4096];
    long written = 0, count;
    while ((count = write(s[0], page, sizeof page)) > 0)
        written += count;
    printf("until %s, enough: %d\n", error_name(errno), written >= 65536);
    TRY(host_send(s[0], "x", 1, AT_ONCE));
    ready("full", s[0]);
    ready("the other", s[1]);
    long taken = 0;
    while ((count = host_recv(s[1], page, sizeof page, AT_ONCE)) > 0)
        taken += count;
    printf("until %s, all: %d\n", error_name(errno), taken == written);
    ready("empty", s[0]);
    close_pair();

    TITLE("a wait is broken off");
    open_pair();
    TRY(host_alarm(20, 0));
    printf("recv: %d\n", host_recv(s[0], text, 1, 0) == -1 && errno == EINTR);
    close_pair();

    TITLE("no sockets");
    put("f", "text");
    int fd = (int)NEED(openat(w, "f", O_RDWR));
    TRY(host_recv(fd, text, 1, 0));
    TRY(host_send(fd, text, 1, 0));
    TRY(host_shutdown(fd, 1));
    TRY(host_shutdown(fd, 9));
    TRY(close(fd));
    TRY(host_recv(fd, text, 1, 0));
    TRY(host_send(fd, text, 1, 0));
    TRY(host_shutdown(fd, 9));
    return 0;
}
