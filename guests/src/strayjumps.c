/* Jumps that C doesn't define - argv[1] says which - and more snapshots than anybody keeps. */
#include "guest.h"
#include "jump.h"

static host_jmp_buf to;
static volatile int sum;

/* Returns, so that its frame is gone. */
__attribute__((noinline)) static int checkpoint(int seed)
{
    volatile char room[4000];
    for (unsigned i = 0; i < sizeof room; i++)
        room[i] = (char)(seed + (int)i);
    if (host_setjmp(to))
        printf("in a frame that is gone\n");
    return room[seed & 4095 % sizeof room];
}

__attribute__((noinline)) static int deep(int depth)
{
    if (depth == 0)
        return host_setjmp(to);
    return deep(depth - 1) + sum;
}

/* Takes most of the C stack, which is 1 MiB. */
__attribute__((noinline)) static int deep_with_little_room(int depth)
{
    volatile char room[900 << 10];
    room[sum] = 1;
    return deep(depth) + room[sum];
}

/* Unwinds and rewinds and jumps until somebody ends it. */
__attribute__((noinline)) static int endless(int depth)
{
    if (depth > 0)
        return endless(depth - 1) + sum;
    for (volatile int round = 1;; round++)
        if (host_setjmp(to) == 0 && round % 3 == 0)
            host_longjmp(to, 1);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    if (strcmp(way, "zero") == 0) {
        host_longjmp(to, 1);
    } else if (strcmp(way, "invented") == 0) {
        if (host_setjmp(to) == 0) {
            memset(&to, 0x5a, sizeof to);
            host_longjmp(to, 1);
        }
    } else if (strcmp(way, "gone") == 0) {
        sum += checkpoint(argc);
        host_longjmp(to, 1);
    } else if (strcmp(way, "many") == 0) {
        enum { COUNT = 100000 };
        host_jmp_buf *all = calloc(COUNT, sizeof *all);
        volatile int made = 0;
        while (made < COUNT) {
            if (host_setjmp(all[made]) != 0)
                printf("jumped to the last, %d made\n", made);
            made = made + 1;
        }
        if (made == COUNT)
            host_longjmp(all[COUNT - 1], 1);
        fflush(stdout);
        host_longjmp(all[0], 1);
    } else if (strcmp(way, "endless") == 0) {
        return endless(300);
    } else if (strcmp(way, "deep") == 0) {
        for (int depth = 1; depth < 2000; depth *= 10) {
            printf("%d deep: %d\n", depth, deep(depth));
            fflush(stdout);
        }
        printf("deep: %d\n", deep(50000));
        fflush(stdout);
        printf("too deep: %d\n", deep_with_little_room(50000));
    }
    return 0;
}
