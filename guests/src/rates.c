/*
 * What processes cost: `rates SCRATCH SELF [PERCENT [OPERATION...]]`, where SELF is the program's own path.
 *
 * As bench.c: with PERCENT it prints `operation repetitions nanoseconds digest`, without the digest alone.
 */
#include "processes.h"
#include <time.h>

enum { BLOCK = 65536 };

static char block[BLOCK];
static char *self;

#define MUST(condition) do { if (!(condition)) { printf("wrong: %s (%s)\n", #condition, error_name(errno)); exit(1); } } while (0)

/* Children that end at once, one after the other. */
static uint64_t spawn_wait(long n)
{
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        int pid = -1, status = -1;
        MUST(host_spawn(&pid, self, ARGS(self, "exits"), NONE) == 0);
        MUST(host_wait(pid, &status, 0) == pid);
        sum += (uint64_t)status;
    }
    return sum;
}

/* Blocks from a child through a pipe. */
static uint64_t pipe_64k(long n)
{
    int ends[2], pid = -1, status = -1;
    char count[24];
    snprintf(count, sizeof count, "%ld", n);
    MUST(host_pipe(ends) == 0);
    MUST(host_spawn(&pid, self, ARGS(self, "writes", count), ACTIONS(DUP(ends[1], 1), CLOSE(ends[0]), CLOSE(ends[1]))) == 0);
    close(ends[1]);
    uint64_t sum = 0;
    ssize_t got;
    while ((got = read(ends[0], block, sizeof block)) > 0)
        sum += (uint64_t)got;
    MUST(got == 0 && host_wait(pid, &status, 0) == pid && status == 0);
    close(ends[0]);
    return sum;
}

/* A byte to a child and back, through two pipes. */
static uint64_t pipe_byte(long n)
{
    int there[2], back[2], pid = -1, status = -1;
    MUST(host_pipe(there) == 0 && host_pipe(back) == 0);
    MUST(host_spawn(&pid, self, ARGS(self, "echoes"), ACTIONS(DUP(there[0], 0), DUP(back[1], 1), CLOSE(there[0]), CLOSE(there[1]), CLOSE(back[0]), CLOSE(back[1]))) == 0);
    close(there[0]);
    close(back[1]);
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        char byte = (char)i;
        MUST(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
        sum += (unsigned char)byte;
    }
    close(there[1]);
    close(back[0]);
    MUST(host_wait(pid, &status, 0) == pid && status == 0);
    return sum;
}

static const struct operation {
    const char *name;
    uint64_t (*run)(long n);
    long usual;
} operations[] = {
    { "spawn-wait", spawn_wait, 300 },
    { "pipe-64k", pipe_64k, 20000 },
    { "pipe-byte", pipe_byte, 10000 },
};

static int child(int argc, char **argv)
{
    if (!strcmp(argv[1], "exits"))
        return 7;
    if (!strcmp(argv[1], "echoes")) {
        char byte;
        while (read(0, &byte, 1) == 1)
            MUST(write(1, &byte, 1) == 1);
        return 0;
    }
    for (long n = argc > 2 ? atol(argv[2]) : 0; n > 0; n--)
        if (write(1, block, sizeof block) != sizeof block)
            return 1;
    return 0;
}

static int64_t now(void)
{
    struct timespec time;
    MUST(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '/')
        return child(argc, argv);
    enter(argc, argv);
    MUST(argc > 2);
    self = argv[2];
    long percent = argc > 3 ? atol(argv[3]) : 0;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        const struct operation *operation = &operations[i];
        if (argc > 4 && strcmp(argv[4], operation->name))
            continue;
        long n = percent ? operation->usual * percent / 100 : 20;
        int64_t start = now();
        uint64_t sum = operation->run(n);
        int64_t time = now() - start;
        if (percent)
            printf("%s %ld %lld %016llx\n", operation->name, n, (long long)time, (unsigned long long)sum);
        else
            printf("%s %016llx\n", operation->name, (unsigned long long)sum);
    }
    return 0;
}
