/* Signals from one process to another: how they end it wherever it is, and how it handles them. */
#include "processes.h"

static char *const self = "/bin/killing";

static char *const *words(const char *what, const char *one)
{
    return memcpy(malloc(5 * sizeof(char *)), ARGS(self, (char *)scratch, (char *)what, (char *)one),
                  5 * sizeof(char *));
}

static int begun(const char *what, const char *one)
{
    int pid = -1;
    fflush(stdout);
    NEED(host_spawn(&pid, self, words(what, one), NONE));
    return pid;
}

/* The same, when it has made the file of this name: it is where it is to be, or about to. */
static int ready(const char *what, const char *name)
{
    unlinkat(w, name, 0);
    int pid = begun(what, name);
    until_there(name);
    return pid;
}

static void sends(const char *title, int pid, int number)
{
    if (host_kill(pid, number) == -1)
        printf("%s: %s\n", title, error_name(errno));
    wait_and_tell(title, pid);
}

/* Sends again and again: a signal may come between the look for it and the call that it is to end. */
static void sends_until(const char *title, int pid, int number)
{
    int status = -1, got;
    while ((got = host_wait(pid, &status, 1)) == 0) {
        host_kill(pid, number);
        host_sleep(10);
    }
    printf("%s: %d, status %d\n", title, got == pid, status);
}

static volatile int counts[65];

static void on_signal(int number)
{
    counts[number]++;
}

static int child(char **argv)
{
    const char *what = argv[2], *one = argv[3];
    w = open(scratch, O_RDONLY | O_DIRECTORY);
    if (!strcmp(what, "exit"))
        return atoi(one);
    if (!strcmp(what, "sleeps")) {
        put(one, "");
        host_sleep(100000);
        return 1;
    }
    if (!strcmp(what, "loops")) {
        put(one, "");
        for (volatile unsigned turn = 0;; turn++)
            ;
    }
    if (!strcmp(what, "calls")) {
        put(one, "");
        for (;;)
            host_getpid();
    }
    if (!strcmp(what, "waits")) {
        int status, pid = begun("until", "go-on");
        put(one, "");
        host_wait(pid, &status, 0);
        return 1;
    }
    if (!strcmp(what, "until")) {
        until_there(one);
        put("went-on", "");
        return 0;
    }
    if (!strcmp(what, "handles-in-loop")) {
        host_handle(on_signal);
        put(one, "");
        while (!counts[USR1])
            ;
        while (!counts[TERM])
            ;
        return 3;
    }
    if (!strcmp(what, "handles-in-sleep")) {
        host_handle(on_signal);
        put(one, "");
        while (!counts[USR1])
            host_sleep(100000);
        return 4;
    }
    if (!strcmp(what, "handles-in-wait")) {
        int status, pid = begun("sleeps", "sleeper");
        until_there("sleeper");
        host_handle(on_signal);
        put(one, "");
        while (!counts[TERM])
            host_wait(pid, &status, 0);
        NEED(host_kill(pid, 9));
        while (host_wait(pid, &status, 0) == -1 && errno == EINTR)
            ;
        return 5;
    }
    if (!strcmp(what, "handles")) {
        host_handle(on_signal);
        put(one, "");
        for (;;)
            host_sleep(100000);
    }
    if (!strcmp(what, "alarms")) {
        host_alarm(30, 0);
        host_sleep(100000);
        return 6;
    }
    if (!strcmp(what, "alarms-in-loop")) {
        host_alarm(30, 0);
        for (volatile unsigned turn = 0;; turn++)
            ;
    }
    if (!strcmp(what, "no-zombies")) {
        int status = -1;
        printf("ignored: %d\n", is_ignored(CHLD));
        int first = begun("exit", "1"), second = begun("exit", "2");
        TRY(host_wait(second, &status, 0));
        TRY(host_wait(-1, &status, 0));
        TRY(host_kill(first, 0));
        return 0;
    }
    if (!strcmp(what, "kills-parent")) {
        return host_kill(host_getppid(), atoi(one));
    }
    if (!strcmp(what, "killed-by-child")) {
        int status;
        host_wait(begun("kills-parent", one), &status, 0);
        host_sleep(100000);
        return 1;
    }
    return 98;
}

static void defaults(void)
{
    static const int stopping[] = { 19, 20, 21, 22 };
    TITLE("what each signal does");
    for (int number = 1; number < 32; number++) {
        int stops = 0;
        for (int index = 0; index < 4; index++)
            stops |= stopping[index] == number;
        if (stops)
            continue;
        int pid = ready("sleeps", "defaults");
        NEED(host_kill(pid, number));
        /* One that is ignored has it live on. */
        if (number == CHLD || number == 18 || number == 23 || number == 28) {
            host_sleep(5);
            printf("lives on: %d\n", host_kill(pid, 0) == 0);
            NEED(host_kill(pid, 9));
        }
        char title[16];
        snprintf(title, sizeof title, "%d", number);
        wait_and_tell(title, pid);
    }
}

int main(int argc, char **argv)
{
    if (argc > 3) {
        scratch = argv[1];
        return child(argv);
    }
    enter(argc, argv);

    TITLE("wherever it is");
    sends("asleep, terminated", ready("sleeps", "a"), TERM);
    sends("asleep, killed", ready("sleeps", "b"), 9);
    sends("in a loop, terminated", ready("loops", "c"), TERM);
    sends("in a loop, killed", ready("loops", "d"), 9);
    sends("in calls, terminated", ready("calls", "e"), TERM);
    sends("in calls, killed", ready("calls", "f"), 9);
    sends("waiting, terminated", ready("waits", "g"), TERM);
    sends("waiting, killed", ready("waits", "h"), 9);
    put("go-on", "");
    until_there("went-on");
    sends("just begun, terminated", begun("sleeps", "i"), TERM);
    sends("just begun, killed", begun("loops", "j"), 9);
    wait_and_tell("by its child", begun("killed-by-child", "15"));

    TITLE("handled");
    int pid = ready("handles-in-loop", "k");
    NEED(host_kill(pid, USR1));
    sends("in a loop", pid, TERM);
    sends_until("in a sleep", ready("handles-in-sleep", "l"), USR1);
    sends_until("in a wait", ready("handles-in-wait", "m"), TERM);
    pid = ready("handles", "n");
    NEED(host_kill(pid, TERM));
    host_sleep(20);
    TRY(host_kill(pid, 0));
    int status = -1;
    TRY(host_wait(pid, &status, 1));
    sends("killed all the same", pid, 9);

    TITLE("a timer is the child's own");
    wait_and_tell("asleep", begun("alarms", ""));
    wait_and_tell("in a loop", begun("alarms-in-loop", ""));

    TITLE("whom there isn't");
    pid = begun("exit", "0");
    wait_and_tell("ended", pid);
    TRY(host_kill(pid, 0));
    TRY(host_kill(pid, 9));
    TRY(host_kill(0x7ffffff0, 0));
    pid = ready("sleeps", "o");
    TRY(host_kill(pid, 65));
    TRY(host_kill(pid, 0));
    sends("ended", pid, 9);

    defaults();

    TITLE("children's ends are told");
    host_handle(on_signal);
    pid = begun("exit", "0");
    while (!counts[CHLD])
        host_sleep(2);
    wait_and_tell("told", pid);
    pid = begun("exit", "0");
    while (counts[CHLD] < 2)
        ;
    wait_and_tell("told in a loop", pid);

    TITLE("no zombies where they are ignored");
    int ignored[] = { CHLD };
    fflush(stdout);
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("no-zombies", ""), NULL, NONE, ignored, 1));
    wait_and_tell("ignores", pid);
    return 0;
}
