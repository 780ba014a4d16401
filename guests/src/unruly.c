/* Processes that do no good: they trap, multiply, loop, leave their children behind. On vnode only. */
#include "processes.h"

#ifndef __wasm__
#error "not for the kernel"
#endif

static char *const self = "/bin/unruly";

static int begun(const char *what, const char *one)
{
    int pid = -1;
    fflush(stdout);
    return host_spawn(&pid, self, ARGS(self, (char *)what, (char *)one), NONE) == -1 ? -1 : pid;
}

/* Waits for a line, so that somebody can look. */
static void looked_at(const char *when)
{
    char byte = 0;
    printf("%s\n", when);
    fflush(stdout);
    while (read(0, &byte, 1) == 1 && byte != '\n')
        ;
}

static int traps(void)
{
    static const char *const ways[] = { "unreachable", "stack", "bounds" };
    for (int index = 0; index < 3; index++)
        wait_and_tell(ways[index], begun("trapping", ways[index]));
    wait_and_tell("well", begun("exit", "3"));
    return 0;
}

static int deep(volatile int *left)
{
    volatile int own[1024];
    own[0] = *left + 1;
    return own[0] ? deep(own) + own[1] : 0;
}

static int trapping(const char *way)
{
    volatile int start = 1;
    if (!strcmp(way, "unreachable"))
        __builtin_trap();
    if (!strcmp(way, "stack"))
        return deep(&start);
    return *(volatile int *)0x7ffffff0;
}

/* As many as there may be: each begins others, until there is no room. */
static int bomb(void)
{
    while (begun("bombing", "") != -1)
        ;
    printf("%s\n", error_name(errno));
    int status;
    TRY(host_wait(-1, &status, 1));
    return 4;
}

static int bombing(void)
{
    while (begun("bombing", "") != -1)
        ;
    for (;;)
        host_sleep(100000);
}

/* As many as there may be, one after the other's end, and again. */
static int refill(void)
{
    int pids[2000], count;
    for (int turn = 0; turn < 3; turn++) {
        for (count = 0; count < 2000 && (pids[count] = begun("sleep", "")) != -1; count++)
            ;
        printf("%d, then %s\n", count, error_name(errno));
        for (int index = 0; index < count; index++)
            host_kill(pids[index], 9);
        int status, right = 0;
        for (int index = 0; index < count; index++)
            right += host_wait(pids[index], &status, 0) == pids[index] && status == 1009;
        printf("all ended: %d\n", right == count);
    }
    return 0;
}

static int leaves(void)
{
    for (int index = 0; index < 5; index++) {
        begun("loop", "");
        begun("sleep", "");
        begun("middle", "");
    }
    printf("leaves\n");
    return 5;
}

/* Begins many, of which it waits for a third, kills a third, and leaves the others. */
static int storm(int seed)
{
    int pids[200], status;
    for (int index = 0; index < 200; index++) {
        static const char *const what[] = { "exit", "sleep", "loop", "parent" };
        int kind = (index * 7 + seed) % 4;
        pids[index] = begun(index % 3 ? what[kind] : "exit", "1");
        if (index % 3)
            host_kill(pids[index], (index + seed) % 2 ? 9 : TERM);
        else if (index % 2)
            host_wait(pids[index], &status, 0);
    }
    for (int index = 0; index < 200; index += 6)
        host_wait(pids[index], &status, 0);
    return 44;
}

/* Whoever is left by the others is the first one's to wait for. */
static int storms(const char *milliseconds)
{
    static const char *const seeds[] = { "0", "1", "2", "3" };
    int pid, status, count = 0, middles = 0;
    for (int index = 0; index < 4; index++)
        begun("storm", seeds[index]);
    if (*milliseconds) {
        host_sleep(atoi(milliseconds));
        return 5;
    }
    while ((pid = host_wait(-1, &status, 0)) > 0) {
        count++;
        middles += status == 44;
    }
    printf("%s, storms: %d, others, if not those of who was killed: %d\n", error_name(errno), middles, count >= 536);
    return 0;
}

static int again(int left)
{
    char number[16];
    if (left == 990 || left == 0)
        looked_at(left ? "begun" : "over");
    if (left == 0)
        return 9;
    snprintf(number, sizeof number, "%d", left - 1);
    host_exec(BY_PATH, self, ARGS(self, "again", number), NULL);
    return 1;
}

/* Runs each file that is named. */
static int runs_all(char **files)
{
    for (; *files; files++)
        runs(*files, *files, ARGS(*files), NONE);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *one = argc > 2 ? argv[2] : "";
    int status;
    if (!strcmp(what, "traps"))
        return traps();
    if (!strcmp(what, "trapping"))
        return trapping(one);
    if (!strcmp(what, "exit"))
        return atoi(one);
    if (!strcmp(what, "bomb"))
        return bomb();
    if (!strcmp(what, "bombing"))
        return bombing();
    if (!strcmp(what, "refill"))
        return refill();
    if (!strcmp(what, "storms"))
        return storms(one);
    if (!strcmp(what, "storm"))
        return storm(atoi(one));
    if (!strcmp(what, "leaves"))
        return leaves();
    if (!strcmp(what, "loops")) {
        for (int index = 0; index < 4; index++)
            begun(index % 2 ? "middle" : "loop", "");
        printf("looping\n");
        fflush(stdout);
        for (;;)
            ;
    }
    if (!strcmp(what, "loop"))
        for (;;)
            ;
    if (!strcmp(what, "sleep"))
        host_sleep(1000000);
    if (!strcmp(what, "middle"))
        return host_wait(begun("loop", ""), &status, 0) == -1;
    if (!strcmp(what, "parent"))
        return host_wait(begun("exit", "0"), &status, 0) == -1;
    if (!strcmp(what, "again"))
        return again(atoi(one));
    if (!strcmp(what, "runs"))
        return runs_all(argv + 2);
    return 98;
}
