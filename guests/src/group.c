/* Signals to several processes at once. A family is one process group there, which only vnode has. */
#include "processes.h"

#ifndef __wasm__
#error "all processes of the host would be told"
#endif

static char *const self = "/bin/group";
static volatile int counts[65];

static void on_signal(int number)
{
    counts[number]++;
}

static int begun(const char *what, const char *name)
{
    int pid = -1;
    fflush(stdout);
    unlinkat(w, name, 0);
    NEED(host_spawn(&pid, self, ARGS(self, (char *)scratch, (char *)what, (char *)name), NONE));
    until_there(name);
    return pid;
}

/* Ends by the signal that it waits for, and tells so by its status. */
static int waits(const char *name, int others)
{
    host_handle(on_signal);
    put(name, "");
    if (others) {
        until_there("go");
        TRY(host_kill(-1, USR2));
        /* One that it sends itself comes at once. */
        printf("its own: %d\n", counts[USR2]);
        return 6;
    }
    while (!counts[USR1] && !counts[USR2])
        host_sleep(5);
    return counts[USR1] ? 4 : 5;
}

int main(int argc, char **argv)
{
    if (argc > 3) {
        scratch = argv[1];
        w = open(scratch, O_RDONLY | O_DIRECTORY);
        return waits(argv[3], !strcmp(argv[2], "sends"));
    }
    enter(argc, argv);
    host_handle(on_signal);

    TITLE("to all");
    int first = begun("waits", "a"), second = begun("waits", "b");
    TRY(host_kill(0, 0));
    TRY(host_kill(0, USR1));
    printf("its own: %d\n", counts[USR1]);
    wait_and_tell("first", first);
    wait_and_tell("second", second);

    TITLE("to all but the first and the sender");
    first = begun("waits", "c");
    second = begun("waits", "d");
    int sender = begun("sends", "e");
    put("go", "");
    wait_and_tell("sender", sender);
    wait_and_tell("first", first);
    wait_and_tell("second", second);
    printf("its own: %d\n", counts[USR2]);

    TITLE("with nobody else");
    TRY(host_kill(0, 0));
    TRY(host_kill(-1, 0));
    TRY(host_kill(-1, USR2));
    return 0;
}
