/* Signals of a process to itself: handled at once, one in another, in a sleep, in a loop that makes no call. */
#include "guest.h"
#include "wasix.h"

static volatile int counts[32];
static volatile int depth, deepest, again;

static void on_signal(int number)
{
    depth++;
    if (depth > deepest)
        deepest = depth;
    counts[number]++;
    if (number == USR1)
        host_raise(USR2);
    if (number == TERM && again-- > 0)
        host_raise(TERM);
    depth--;
}

static void counted(const char *what)
{
    printf("%s: USR1 %d, USR2 %d, ALRM %d, TERM %d, CHLD %d, deepest %d\n", what, counts[USR1], counts[USR2],
           counts[ALRM], counts[TERM], counts[CHLD], deepest);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    host_handle(on_signal);

    TITLE("handled before the call returns");
    TRY(host_raise(USR2));
    counted("raised");
    TRY(host_kill(host_getpid(), CHLD));
    counted("sent");
    TRY(host_kill(host_getpid(), 0));
    counted("asked");
    TRY(host_kill(host_getpid(), 99));
    TRY(host_raise(-1));

    TITLE("one in another's handler");
    TRY(host_raise(USR1));
    counted("nested");

    TITLE("the same in its own waits");
    again = 3;
    deepest = 0;
    TRY(host_raise(TERM));
    counted("again");

    TITLE("a sleep ends early");
    TRY(host_alarm(20, 0));
    printf("slept through: %d\n", host_sleep(60000) == 0 || errno != EINTR);
    counted("slept");
    TRY(host_sleep(1));

    TITLE("a loop without calls");
    TRY(host_alarm(2, 1));
    while (counts[ALRM] < 6)
        ;
    TRY(host_alarm(0, 0));
    int last = counts[ALRM];
    host_sleep(30);
    printf("stopped: %d\n", counts[ALRM] - last <= 1);
    return 0;
}
