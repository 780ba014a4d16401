/* Children by posix_spawn: what they are given, every action, what fails, and how they end. */
#include "processes.h"

static const char *self = "/bin/spawn";

/* What a child does, told by its second argument. */
static int child(int argc, char **argv)
{
    const char *what = argv[2];
    if (!strcmp(what, "exit"))
        return atoi(argv[3]);
    if (!strcmp(what, "say")) {
        for (int index = 3; index < argc; index++)
            printf("[%s]", argv[index]);
        printf("\n");
        return 0;
    }
    if (!strcmp(what, "cwd")) {
        char path[4096];
        const char *here = host_getcwd(path, sizeof path) ? path : error_name(errno);
        size_t length = strlen(scratch);
        printf("in %s\n", strncmp(here, scratch, length) ? here : here + length);
        return 0;
    }
    if (!strcmp(what, "copy")) {
        char text[64];
        ssize_t got = read(0, text, sizeof text);
        if (got < 0)
            printf("read: %s\n", error_name(errno));
        else
            printf("read %d: %.*s\n", (int)got, (int)got, text);
        return 0;
    }
    if (!strcmp(what, "has")) {
        for (int index = 3; index < argc; index++)
            printf("%s: %s\n", argv[index], host_getfd(atoi(argv[index])) < 0 ? error_name(errno) : "open");
        return 0;
    }
    if (!strcmp(what, "writes")) {
        int fd = atoi(argv[3]);
        ssize_t wrote = write(fd, argv[4], strlen(argv[4]));
        return wrote == (ssize_t)strlen(argv[4]) ? 0 : 1;
    }
    if (!strcmp(what, "env")) {
        printf("GREETING=%s\n", getenv("GREETING") ? getenv("GREETING") : "(none)");
        return 0;
    }
    if (!strcmp(what, "raise")) {
        host_raise(atoi(argv[3]));
        return 5;
    }
    if (!strcmp(what, "ignores")) {
        printf("ignored: %d\n", is_ignored(atoi(argv[3])));
        return 0;
    }
    if (!strcmp(what, "links")) {
        w = open(scratch, O_RDONLY | O_DIRECTORY);
        return symlinkat(argv[3], w, argv[4]) == -1 ? 1 : 0;
    }
    return 98;
}

static char *const *words(char *what, char *one, char *two)
{
    static char *list[8];
    list[0] = (char *)self;
    list[1] = (char *)scratch;
    list[2] = what;
    list[3] = one;
    list[4] = two;
    list[5] = NULL;
    return list;
}

static char where[4096];

static char *in_scratch(const char *name)
{
    snprintf(where, sizeof where, "%s/%s", scratch, name);
    return where;
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        scratch = argv[1];
        return child(argc, argv);
    }
    enter(argc, argv);
    NEED(host_chdir(scratch));
    int out = (int)NEED(openat(w, "out", O_RDWR | O_CREAT | O_TRUNC, 0666));

    TITLE("status and arguments");
    runs("nothing", self, words("exit", "0", NULL), NONE);
    runs("seven", self, words("exit", "7", NULL), NONE);
    runs("256", self, words("exit", "256", NULL), NONE);
    runs("says", self, words("say", "two words", ""), NONE);
    as_text = 1;
    runs("says by lines", self, words("say", "two words", "last"), NONE);
    as_text = 0;

    TITLE("variables");
    int pid = -1;
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("env", NULL, NULL), ARGS("GREETING=hello", "OTHER=x"), NONE, NONE));
    wait_and_tell("given", pid);
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("env", NULL, NULL), ARGS("OTHER=x"), NONE, NONE));
    wait_and_tell("not given", pid);

    TITLE("actions in their order");
    put("in", "text of a file");
    char input[4096], output[4096], directory[4096];
    snprintf(input, sizeof input, "%s", in_scratch("in"));
    snprintf(output, sizeof output, "%s", in_scratch("made"));
    NEED(mkdirat(w, "d", 0755));
    snprintf(directory, sizeof directory, "%s", in_scratch("d"));
    int dir = (int)NEED(openat(w, "d", O_RDONLY | O_DIRECTORY));
    runs("open as 0", self, words("copy", NULL, NULL), ACTIONS(OPEN(0, input, O_RDONLY)));
    runs("open relative", self, words("copy", NULL, NULL), ACTIONS(OPEN(0, "in", O_RDONLY)));
    runs("open and dup", self, words("copy", NULL, NULL), ACTIONS(OPEN(20, input, O_RDONLY), DUP(20, 0), CLOSE(20)));
    runs("output", self, words("say", "into the file", NULL), ACTIONS(OPEN(1, output, O_WRONLY | O_CREAT | O_TRUNC)));
    cat("made");
    runs("append", self, words("say", "more", NULL), ACTIONS(OPEN(1, "made", O_WRONLY | O_APPEND)));
    cat("made");
    runs("exclusive", self, words("say", "no", NULL), ACTIONS(OPEN(1, "made", O_WRONLY | O_CREAT | O_EXCL)));
    runs("missing", self, words("copy", NULL, NULL), ACTIONS(OPEN(0, "none", O_RDONLY)));
    runs("closed", self, words("copy", NULL, NULL), ACTIONS(CLOSE(0)));
    runs("close of nothing", self, words("exit", "3", NULL), ACTIONS(CLOSE(77)));
    runs("dup of nothing", self, words("exit", "3", NULL), ACTIONS(DUP(77, 5)));
    runs("chdir", self, words("cwd", NULL, NULL), ACTIONS(GO("d")));
    runs("chdir to a file", self, words("cwd", NULL, NULL), ACTIONS(GO("in")));
    runs("chdir to nothing", self, words("cwd", NULL, NULL), ACTIONS(GO("none")));
    runs("fchdir", self, words("cwd", NULL, NULL), ACTIONS(GO_TO(dir)));
    runs("fchdir to a file", self, words("cwd", NULL, NULL), ACTIONS(GO_TO(out)));
    runs("fchdir to nothing", self, words("cwd", NULL, NULL), ACTIONS(GO_TO(77)));
    runs("open below", self, words("say", "below", NULL), ACTIONS(GO(directory), OPEN(1, "f", O_WRONLY | O_CREAT)));
    cat("d/f");
    runs("here", self, words("cwd", NULL, NULL), NONE);

    TITLE("descriptors that are handed on");
    int kept = (int)NEED(host_dup_from(out, 30, 0));
    int closed = (int)NEED(host_dup_from(out, 31, 1));
    runs("kept and closed", self, words("has", "30", "31"), NONE);
    runs("dup2 keeps", self, words("has", "31", "32"), ACTIONS(DUP(31, 32)));
    runs("dup2 onto itself", self, words("has", "31", NULL), ACTIONS(DUP(31, 31)));
    TRY(host_getfd(closed));
    runs("one offset", self, words("writes", "30", "child,"), NONE);
    NEED(write(kept, "parent,", 7));
    runs("one offset again", self, words("writes", "30", "child"), NONE);
    cat("out");
    printf("at %ld\n", (long)lseek(out, 0, SEEK_CUR));

    TITLE("what can't be run");
    runs("missing", "/bin/missing", words("exit", "1", NULL), NONE);
    runs("no directory", "/bin/spawn/x", words("exit", "1", NULL), NONE);
    runs("a directory", scratch, words("exit", "1", NULL), NONE);
    runs("not executable", input, words("exit", "1", NULL), NONE);
    runs("empty path", "", words("exit", "1", NULL), NONE);
    NEED(symlinkat("loop", w, "loop"));
    runs("a loop", "loop", words("exit", "1", NULL), NONE);
    NEED(symlinkat(self, w, "link"));
    runs("through a link", "link", words("exit", "9", NULL), NONE);

    TITLE("searched for");
    setenv("PATH", "/nowhere:/bin", 1);
    NEED(host_spawn_ignoring(&pid, SEARCHED, "spawn", words("exit", "4", NULL), NULL, NONE, NONE));
    wait_and_tell("found", pid);
    TRY(host_spawn_ignoring(&pid, SEARCHED, "missing", words("exit", "4", NULL), NULL, NONE, NONE));
    setenv("PATH", ":/nowhere", 1);
    NEED(host_spawn_ignoring(&pid, SEARCHED, "link", words("exit", "4", NULL), NULL, NONE, NONE));
    wait_and_tell("here", pid);
    setenv("PATH", scratch, 1);
    TRY(host_spawn_ignoring(&pid, SEARCHED, "in", words("exit", "4", NULL), NULL, NONE, NONE));
    TRY(host_spawn_ignoring(&pid, SEARCHED, "", words("exit", "4", NULL), NULL, NONE, NONE));

    TITLE("signals");
    runs("terminated", self, words("raise", "15", NULL), NONE);
    runs("killed", self, words("raise", "9", NULL), NONE);
    runs("ignored by default", self, words("raise", "17", NULL), NONE);
    int ignored[] = { USR1 };
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("ignores", "10", NULL), NULL, NONE, ignored, 1));
    wait_and_tell("inherits", pid);
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, words("raise", "10", NULL), NULL, NONE, ignored, 1));
    wait_and_tell("survives", pid);
    runs("the default", self, words("raise", "10", NULL), NONE);

    TITLE("one tree");
    runs("a link made by a child", self, words("links", "in", "fromchild"), NONE);
    show("fromchild", AT_SYMLINK_NOFOLLOW);
    cat("fromchild");
    runs("seen by a later one", self, words("copy", NULL, NULL), ACTIONS(OPEN(0, "fromchild", O_RDONLY)));

    TITLE("nobody to wait for");
    int status = 0;
    TRY(host_wait(-1, &status, 0));
    TRY(host_wait(-1, &status, 1));
    TRY(host_wait(12345, &status, 0));
    return 0;
}
