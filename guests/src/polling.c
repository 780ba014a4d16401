/* poll: files are always ready, time-outs run, and a closed descriptor is told. */
#include "guest.h"
#include <poll.h>
#include <time.h>

static long since(struct timespec start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
}

static struct timespec begin(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    put("f", "text");
    int fd = (int)NEED(openat(w, "f", O_RDWR));

    TITLE("files");
    struct pollfd p[3] = {{.fd = fd, .events = POLLIN}, {.fd = fd, .events = POLLOUT}, {.fd = fd, .events = POLLIN | POLLOUT}};
    TRY(poll(p, 1, -1));
    printf("in %d\n", !!(p[0].revents & POLLIN));
    TRY(poll(p, 2, 10000));
    printf("in %d out %d\n", !!(p[0].revents & POLLIN), !!(p[1].revents & POLLOUT));
    TRY(poll(p + 2, 1, 0));
    printf("both %d\n", (p[2].revents & (POLLIN | POLLOUT)) == (POLLIN | POLLOUT));
    NEED(lseek(fd, 0, SEEK_END));
    TRY(poll(p, 1, -1));
    printf("at the end too: %d\n", !!(p[0].revents & POLLIN));
    struct pollfd out = {.fd = 1, .events = POLLOUT};
    TRY(poll(&out, 1, -1));
    printf("standard output: %d\n", !!(out.revents & POLLOUT));

    TITLE("clocks");
    struct timespec start = begin();
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 30000000};
    TRY(nanosleep(&pause, NULL));
    printf("slept long enough: %d\n", since(start) >= 30);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    start = until;
    until.tv_nsec += 30000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_nsec -= 1000000000, until.tv_sec++;
    TRY_ERROR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    printf("slept long enough: %d\n", since(start) >= 30);
    start = begin();
    TRY_ERROR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL));
    printf("a time that is past does not wait: %d\n", since(start) < 1000);
    clock_gettime(CLOCK_REALTIME, &until);
    start = begin();
    until.tv_nsec += 30000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_nsec -= 1000000000, until.tv_sec++;
    TRY_ERROR(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL));
    printf("slept long enough: %d\n", since(start) >= 29);
    pause.tv_nsec = 1000000000;
    TRY(nanosleep(&pause, NULL));
    close(fd);
    return 0;
}
