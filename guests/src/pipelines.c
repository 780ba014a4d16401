/* Pipes between processes: their ends are inherited and shared, and the last one of a kind that is closed is told. */
#include "processes.h"

static char *const self = "/bin/pipelines";

static char *const *words(const char *what, const char *one)
{
    return memcpy(malloc(5 * sizeof(char *)), ARGS(self, (char *)scratch, (char *)what, (char *)one),
                  5 * sizeof(char *));
}

/* A pipe that is not inherited unless an action says so. */
static void piped(int fds[2])
{
    NEED(host_pipe(fds));
    NEED(host_setfd(fds[0], FD_CLOEXEC));
    NEED(host_setfd(fds[1], FD_CLOEXEC));
}

static void shut(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static int begun(const char *what, const char *one, const struct action *actions, int count)
{
    int pid = -1;
    fflush(stdout);
    NEED(host_spawn(&pid, self, words(what, one), actions, count));
    return pid;
}

/* All that can be read. */
static void drain(const char *title, int fd)
{
    char text[256];
    size_t length = 0;
    ssize_t got;
    while (length < sizeof text && (got = read(fd, text + length, sizeof text - length)) > 0)
        length += (size_t)got;
    printf("%s: \"%.*s\"\n", title, (int)length, text);
}

/* Writes all of it, however often that takes. */
static int pours(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t put = write(fd, bytes, length);
        if (put < 0)
            return -1;
        bytes += put;
        length -= (size_t)put;
    }
    return 0;
}

static volatile int counts[65];

static void on_signal(int number)
{
    counts[number]++;
}

static int child(char **argv)
{
    const char *what = argv[2], *one = argv[3];
    static char bytes[10007];
    ssize_t got;
    w = open(scratch, O_RDONLY | O_DIRECTORY);
    if (!strcmp(what, "say"))
        return pours(1, one, strlen(one)) ? 1 : 0;
    if (!strcmp(what, "say-at")) {
        until_there(one);
        return pours(1, one, strlen(one)) ? 1 : 0;
    }
    if (!strcmp(what, "upper")) {
        while ((got = read(0, bytes, sizeof bytes)) > 0) {
            for (ssize_t index = 0; index < got; index++)
                if (bytes[index] >= 'a' && bytes[index] <= 'z')
                    bytes[index] -= 'a' - 'A';
            if (pours(1, bytes, (size_t)got))
                return 1;
        }
        return 0;
    }
    if (!strcmp(what, "add")) {
        while ((got = read(0, bytes, sizeof bytes)) > 0) {
            for (ssize_t index = 0; index < got; index++)
                bytes[index]++;
            if (pours(1, bytes, (size_t)got))
                return 1;
        }
        return 0;
    }
    if (!strcmp(what, "pour")) {
        for (long left = atol(one), at = 0; left > 0; left -= got) {
            for (size_t index = 0; index < sizeof bytes; index++, at++)
                bytes[index] = (char)(at % 251);
            got = left < (long)sizeof bytes ? left : (long)sizeof bytes;
            if (pours(1, bytes, (size_t)got))
                return 1;
        }
        return 0;
    }
    if (!strcmp(what, "check")) {
        long at = 0, wrong = 0;
        while ((got = read(0, bytes, sizeof bytes)) > 0)
            for (ssize_t index = 0; index < got; index++, at++)
                wrong += bytes[index] != (char)((char)(at % 251) + atoi(one));
        printf("%ld bytes, %ld wrong\n", at, wrong);
        return wrong != 0;
    }
    if (!strcmp(what, "yes")) {
        for (;;)
            if (write(1, "yes\n", 4) < 0)
                return 1;
    }
    if (!strcmp(what, "take")) {
        for (int length = 0; length < 8; length += (int)got)
            got = read(0, bytes + length, (size_t)(8 - length));
        printf("took \"%.8s\"\n", bytes);
        return 0;
    }
    if (!strcmp(what, "broken")) {
        int ignores = is_ignored(13), handles = !strcmp(one, "handled");
        if (handles)
            host_handle(on_signal);
        ssize_t put = write(1, "x", 1);
        int error = errno;
        NEED(host_dup2(9, 1));
        printf("ignored %d, handled %d: %s\n", ignores, counts[13], put == -1 ? error_name(error) : "written");
        return 3;
    }
    if (!strcmp(what, "waits")) {
        put(one, "");
        return (int)read(0, bytes, 1);
    }
    if (!strcmp(what, "fills")) {
        put(one, "");
        for (;;)
            pours(1, bytes, sizeof bytes);
    }
    if (!strcmp(what, "holds")) {
        until_there(one);
        return 0;
    }
    if (!strcmp(what, "counts")) {
        long total = 0;
        while ((got = read(0, bytes, sizeof bytes)) > 0)
            total += got;
        printf("%ld bytes\n", total);
        return 0;
    }
    return 98;
}

static void there_and_back(void)
{
    int there[2], back[2];
    TITLE("from a child");
    piped(there);
    int pid = begun("say", "hello", ACTIONS(DUP(there[1], 1)));
    close(there[1]);
    drain("read", there[0]);
    close(there[0]);
    wait_and_tell("ended", pid);

    TITLE("to a child and back");
    piped(there);
    piped(back);
    pid = begun("upper", "", ACTIONS(DUP(there[0], 0), DUP(back[1], 1)));
    close(there[0]);
    close(back[1]);
    NEED(write(there[1], "abc, ", 5));
    char text[8];
    printf("at once: %.*s\n", (int)read(back[0], text, sizeof text), text);
    NEED(write(there[1], "def", 3));
    close(there[1]);
    drain("at the end", back[0]);
    close(back[0]);
    wait_and_tell("ended", pid);

    TITLE("a megabyte and a byte");
    piped(there);
    piped(back);
    int pour = begun("pour", "1048577", ACTIONS(DUP(there[1], 1)));
    int add = begun("add", "", ACTIONS(DUP(there[0], 0), DUP(back[1], 1)));
    int check = begun("check", "1", ACTIONS(DUP(back[0], 0)));
    shut(there);
    shut(back);
    wait_and_tell("checks", check);
    wait_and_tell("adds", add);
    wait_and_tell("pours", pour);
}

/* `pour | add | add | add | check`. */
static void five(void)
{
    int pids[5], from = -1;
    char *const what[] = { "pour", "add", "add", "add", "check" };
    TITLE("five in a row");
    for (int index = 0; index < 5; index++) {
        int fds[2] = { -1, -1 };
        if (index < 4)
            piped(fds);
        struct action actions[2];
        int count = 0;
        if (from >= 0)
            actions[count++] = (struct action)DUP(from, 0);
        if (index < 4)
            actions[count++] = (struct action)DUP(fds[1], 1);
        pids[index] = begun(what[index], index ? "3" : "300000", actions, count);
        if (from >= 0)
            close(from);
        if (index < 4)
            close(fds[1]);
        from = fds[0];
    }
    for (int index = 4; index >= 0; index--)
        wait_and_tell(what[index], pids[index]);
}

static void ends(void)
{
    int fds[2];
    TITLE("the end is where the last writer ends");
    piped(fds);
    int first = begun("say-at", "one", ACTIONS(DUP(fds[1], 1)));
    int second = begun("say-at", "two", ACTIONS(DUP(fds[1], 1)));
    close(fds[1]);
    char text[8];
    put("two", "");
    printf("%.*s\n", (int)read(fds[0], text, sizeof text), text);
    wait_and_tell("two", second);
    put("one", "");
    printf("%.*s\n", (int)read(fds[0], text, sizeof text), text);
    printf("then %d\n", (int)read(fds[0], text, sizeof text));
    close(fds[0]);
    wait_and_tell("one", first);

    TITLE("who inherits an end holds it");
    piped(fds);
    int reader = begun("counts", "", ACTIONS(DUP(fds[0], 0)));
    int holder = begun("holds", "gate", ACTIONS(DUP(fds[1], 40)));
    NEED(write(fds[1], "12345", 5));
    shut(fds);
    host_sleep(20);
    int status = -1;
    TRY(host_wait(reader, &status, 1));
    put("gate", "");
    wait_and_tell("reader", reader);
    wait_and_tell("holder", holder);

    TITLE("all ends are inherited unless they are closed by it");
    NEED(host_pipe(fds));
    reader = begun("counts", "", ACTIONS(DUP(fds[0], 0), CLOSE(fds[0]), CLOSE(fds[1])));
    NEED(write(fds[1], "123", 3));
    shut(fds);
    wait_and_tell("reader", reader);
}

static void broken(void)
{
    int fds[2];
    TITLE("nobody reads");
    piped(fds);
    int yes = begun("yes", "", ACTIONS(DUP(fds[1], 1)));
    int take = begun("take", "", ACTIONS(DUP(fds[0], 0)));
    shut(fds);
    wait_and_tell("take", take);
    wait_and_tell("yes", yes);

    piped(fds);
    close(fds[0]);
    int ignored[] = { 13 }, pid = -1;
    wait_and_tell("by default", begun("broken", "", ACTIONS(DUP(1, 9), DUP(fds[1], 1))));
    wait_and_tell("handled", begun("broken", "handled", ACTIONS(DUP(1, 9), DUP(fds[1], 1))));
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("broken", ""), NULL,
                             ACTIONS(DUP(1, 9), DUP(fds[1], 1)), ignored, 1));
    wait_and_tell("ignored", pid);
    close(fds[1]);
}

static void blocked(void)
{
    int fds[2];
    TITLE("killed while they wait");
    piped(fds);
    static const int numbers[] = { 9, TERM };
    for (int index = 0; index < 2; index++) {
        char name[8];
        snprintf(name, sizeof name, "r%d", index);
        int pid = begun("waits", name, ACTIONS(DUP(fds[0], 0)));
        until_there(name);
        host_sleep(10);
        NEED(host_kill(pid, numbers[index]));
        wait_and_tell("a reader", pid);
        name[0] = 'w';
        pid = begun("fills", name, ACTIONS(DUP(fds[1], 1)));
        until_there(name);
        host_sleep(10);
        NEED(host_kill(pid, numbers[index]));
        wait_and_tell("a writer", pid);
        shut(fds);
        piped(fds);
    }
    shut(fds);
}

static void thousands(void)
{
    TITLE("ten thousand pipes");
    int right = 0, first[2], fds[2];
    NEED(host_pipe(first));
    shut(first);
    for (int index = 0; index < 10000; index++) {
        char byte = 0;
        if (host_pipe(fds) == -1 || write(fds[1], "x", 1) != 1 || read(fds[0], &byte, 1) != 1)
            break;
        right += byte == 'x' && fds[0] == first[0] && fds[1] == first[1];
        shut(fds);
    }
    printf("%d of the same numbers\n", right);
    static int held[400][2];
    for (int turn = 0; turn < 25; turn++) {
        for (int index = 0; index < 400; index++) {
            NEED(host_pipe(held[index]));
            NEED(write(held[index][1], &index, sizeof index));
        }
        for (int index = 0; index < 400; index++) {
            int got = -1;
            NEED(read(held[index][0], &got, sizeof got));
            right += got == index;
            shut(held[index]);
        }
    }
    printf("%d, up to 400 at a time\n", right);

    TITLE("three hundred pipelines");
    right = 0;
    for (int index = 0; index < 300; index++) {
        int status = -1;
        char byte = 0;
        piped(fds);
        int pid = begun("say", "x", ACTIONS(DUP(fds[1], 1)));
        close(fds[1]);
        right += read(fds[0], &byte, 1) == 1 && byte == 'x' && read(fds[0], &byte, 1) == 0 &&
                 host_wait(pid, &status, 0) == pid && status == 0;
        close(fds[0]);
    }
    printf("%d as they should\n", right);
}

int main(int argc, char **argv)
{
    if (argc > 3) {
        scratch = argv[1];
        return child(argv);
    }
    enter(argc, argv);
    there_and_back();
    five();
    ends();
    broken();
    blocked();
    thousands();
    return 0;
}
