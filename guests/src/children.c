/* Children: waited for in any order, with and without waiting, zombies, those of others and those whose parent is gone. */
#include "processes.h"

static char *const self = "/bin/children";

static char *const *words(const char *what, const char *one, const char *two)
{
    return memcpy(malloc(6 * sizeof(char *)), ARGS(self, (char *)scratch, (char *)what, (char *)one, (char *)two),
                  6 * sizeof(char *));
}

static int begun(const char *what, const char *one, const char *two)
{
    int pid = -1;
    fflush(stdout);
    NEED(host_spawn(&pid, self, words(what, one, two), NONE));
    return pid;
}

static int begun_with(const char *what, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    return begun(what, text, NULL);
}

static volatile int ended;

static void on_signal(int number)
{
    ended += number == CHLD;
}

static void any_order(void)
{
    int pids[40], status, right;
    TITLE("waited for from the last to the first");
    for (int index = 0; index < 40; index++)
        pids[index] = begun_with("exit", index);
    right = 0;
    for (int index = 39; index >= 0; index--)
        right += host_wait(pids[index], &status, 0) == pids[index] && status == index;
    printf("%d as they should\n", right);
    TRY(host_wait(-1, &status, 0));

    TITLE("whichever ends");
    int seen[40] = { 0 };
    for (int index = 0; index < 40; index++)
        pids[index] = begun_with("exit", index);
    right = 0;
    for (int index = 0; index < 40; index++) {
        int pid = host_wait(-1, &status, 0);
        right += status >= 0 && status < 40 && pids[status] == pid && !seen[status]++;
    }
    printf("%d as they should\n", right);
    TRY(host_wait(-1, &status, 0));

    TITLE("some by their number, the others as they end");
    for (int index = 0; index < 40; index++)
        pids[index] = begun_with("exit", index);
    right = 0;
    for (int index = 0; index < 40; index += 2)
        right += host_wait(pids[index], &status, 0) == pids[index] && status == index;
    for (int index = 1; index < 40; index += 2)
        right += host_wait(-1, &status, 0) > 0 && status % 2 == 1;
    printf("%d as they should\n", right);
    TRY(host_wait(-1, &status, 1));

    TITLE("many at once");
    static int living[100];
    for (int index = 0; index < 100; index++)
        living[index] = begun("gate", "many", "5");
    right = 0;
    for (int index = 0; index < 100; index++)
        right += host_wait(living[index], &status, 1) == 0;
    printf("%d live\n", right);
    put("many", "");
    right = 0;
    for (int index = 0; index < 100; index++)
        right += host_wait(-1, &status, 0) > 0 && status == 5;
    printf("%d ended\n", right);
    TRY(host_wait(-1, &status, 1));

    TITLE("one after the other");
    right = 0;
    for (int index = 0; index < 200; index++) {
        int pid = begun_with("exit", index);
        right += pid != host_getpid() && host_wait(pid, &status, 0) == pid && status == index;
    }
    printf("%d as they should\n", right);
}

static void at_once(void)
{
    int status = -1;
    TITLE("without waiting");
    int pid = begun("gate", "one", "7");
    TRY(host_wait(pid, &status, 1));
    TRY(host_wait(-1, &status, 1));
    printf("the status is untouched: %d\n", status == -1);
    put("one", "");
    int got;
    while ((got = host_wait(pid, &status, 1)) == 0)
        host_sleep(2);
    printf("found: %d, status %d\n", got == pid, status);
    TRY(host_wait(pid, &status, 1));
    TRY(host_wait(pid, &status, 0));

    TITLE("no child of its own");
    TRY(host_wait(host_getpid(), &status, 1));
    TRY(host_wait(1, &status, 1));
    TRY(host_wait(host_getppid(), &status, 1) == -1);
    TRY(host_wait(0x7ffffff0, &status, 1));
}

static void zombies(void)
{
    int status = -1;
    TITLE("a zombie");
    host_handle(on_signal);
    int pid = begun("exit", "6", NULL);
    while (!ended)
        host_sleep(2);
    TRY(host_kill(pid, 0));
    TRY(host_kill(pid, TERM));
    TRY(host_kill(pid, 9));
    wait_and_tell("its status", pid);
    TRY(host_kill(pid, 0));
    TRY(host_kill(pid, TERM));
    TRY(host_wait(pid, &status, 1));
}

/* A process in the middle: its child outlives it. */
static int middle(void)
{
    char number[16];
    snprintf(number, sizeof number, "%d", host_getpid());
    begun("orphan", number, NULL);
    until_there("orphan-lives");
    return 4;
}

/* Its parent ends while it lives. */
static int orphan(int parent)
{
    printf("its parent at first: %d\n", host_getppid() == parent);
    fflush(stdout);
    put("orphan-lives", "");
    until_there("parent-gone");
    printf("another one later: %d\n", host_getppid() != parent && host_getppid() > 0);
    fflush(stdout);
    put("orphan-ends", "");
    return 0;
}

/* None that is the first: what is orphaned must not become its own child. */
static int above(void)
{
    int status = -1;
    int pid = begun("middle", NULL, NULL);
    until_there("orphan-lives");
    TITLE("a child's child is nobody's to wait for");
    wait_and_tell("the middle", pid);
    TRY(host_wait(-1, &status, 1));
    TRY(host_wait(-1, &status, 0));
    fflush(stdout);
    put("parent-gone", "");
    until_there("orphan-ends");
    TRY(host_wait(-1, &status, 0));
    return 3;
}

/* Ends before its children, of which some are zombies then or soon. */
static int leaves(void)
{
    begun("exit", "1", NULL);
    begun("stays", NULL, NULL);
    begun("exit", "2", NULL);
    return 8;
}

static int child(int argc, char **argv)
{
    const char *what = argv[2];
    w = open(scratch, O_RDONLY | O_DIRECTORY);
    if (!strcmp(what, "exit"))
        return atoi(argv[3]);
    if (!strcmp(what, "gate")) {
        until_there(argv[3]);
        return atoi(argv[4]);
    }
    if (!strcmp(what, "stays")) {
        until_there("left");
        put("went", "");
        return 1;
    }
    if (!strcmp(what, "parent"))
        return host_getppid() == atoi(argv[3]) ? 0 : 1;
    if (!strcmp(what, "sibling")) {
        int status = -1;
        TRY(host_wait(atoi(argv[3]), &status, 0));
        TRY(host_wait(atoi(argv[3]), &status, 1));
        TRY(host_kill(atoi(argv[3]), 0));
        return 0;
    }
    if (!strcmp(what, "above"))
        return above();
    if (!strcmp(what, "middle"))
        return middle();
    if (!strcmp(what, "orphan"))
        return orphan(atoi(argv[3]));
    if (!strcmp(what, "leaves"))
        return leaves();
    return argc > 99;
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        scratch = argv[1];
        return child(argc, argv);
    }
    enter(argc, argv);

    any_order();
    at_once();
    zombies();

    TITLE("of whom it is");
    wait_and_tell("its parent is this", begun_with("parent", host_getpid()));
    int other = begun("gate", "other", "2");
    wait_and_tell("another's child", begun_with("sibling", other));
    put("other", "");
    wait_and_tell("the other", other);

    wait_and_tell("above", begun("above", NULL, NULL));
    TITLE("left behind");
    wait_and_tell("leaves", begun("leaves", NULL, NULL));
    put("left", "");
    until_there("went");
    return 0;
}
