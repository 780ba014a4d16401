/*
 * Another program in place of the one that runs: what it is given and what it keeps, scripts, and what can't be run.
 *
 * What a process is to do, it is told by ROLE, as the arguments belong to what is looked at. WASI has no chmod(2): the
 * test puts empty files that may be executed to /bin, and what is to be run is written into these.
 */
#include "processes.h"

static char *const self = "/bin/exec";

/* The role of a process and whatever else it is to find in its environment. */
static char *const *role(const char *name, const char *more)
{
    static char text[64];
    static char *list[3];
    snprintf(text, sizeof text, "ROLE=%s", name);
    list[0] = text;
    list[1] = (char *)more;
    list[2] = NULL;
    return list;
}

static void becomes(int search, const char *path, char *const *args, char *const *envs)
{
    fflush(stdout);
    host_exec(search, path, args, envs);
    printf("%s\n", error_name(errno));
    exit(50);
}

static int told_lengths(int argc, char **argv)
{
    size_t total = 0;
    for (int index = 1; index < argc; index++)
        total += strlen(argv[index]);
    printf("%d arguments, %lu bytes\n", argc, (unsigned long)total);
    return 0;
}

static int told_arguments(int argc, char **argv)
{
    for (int index = 0; index < argc; index++)
        printf("[%s]", argv[index]);
    printf("\n");
    return 0;
}

/* Executes itself with so many arguments of so many bytes. */
static int many(int count, size_t length)
{
    char **args = calloc((size_t)count + 2, sizeof *args), *text = malloc(length + 1);
    memset(text, 'x', length);
    text[length] = 0;
    args[0] = self;
    for (int index = 1; index <= count; index++)
        args[index] = text;
    becomes(BY_PATH, self, args, role("lengths", NULL));
    return 0;
}

static void told_fd(int fd)
{
    if (host_getfd(fd) < 0)
        printf("fd %d: %s\n", fd, error_name(errno));
    else
        printf("fd %d: at %ld\n", fd, (long)lseek(fd, 0, SEEK_CUR));
}

static void told_state(void)
{
    char path[4096];
    printf("in %s\n", host_getcwd(path, sizeof path) ? path : error_name(errno));
    told_fd(30);
    told_fd(31);
    printf("the same process: %d\n", getenv("PID") && atoi(getenv("PID")) == host_getpid());
}

/* What an execution keeps or takes, made up before it. */
static void changed(void)
{
    static char number[32];
    int fd = (int)NEED(open("/work/text", O_RDONLY));
    NEED(host_dup_from(fd, 30, 0));
    NEED(lseek(30, 3, SEEK_SET));
    NEED(host_dup_from(fd, 31, 1));
    NEED(host_chdir("/work/d"));
    snprintf(number, sizeof number, "PID=%d", host_getpid());
    putenv(number);
}

static volatile int handled;

static void on_signal(int number)
{
    handled = number;
}

/* A process with a role. */
static int acts(const char *what, int argc, char **argv)
{
    if (!strcmp(what, "arguments"))
        return told_arguments(argc, argv);
    if (!strcmp(what, "lengths"))
        return told_lengths(argc, argv);
    if (!strcmp(what, "exec"))
        becomes(BY_PATH, argv[1], argv + 2, role("arguments", NULL));
    if (!strcmp(what, "search"))
        becomes(SEARCHED, argv[1], argv + 2, role("arguments", NULL));
    if (!strcmp(what, "lines")) {
        as_text = 1;
        becomes(BY_PATH, argv[1], argv + 2, role("arguments", NULL));
    }
    if (!strcmp(what, "many"))
        return many(atoi(argv[1]), strtoul(argv[2], NULL, 10));
    if (!strcmp(what, "keeps")) {
        becomes(BY_PATH, self, ARGS(self, "told"), NULL);
    }
    if (!strcmp(what, "gives"))
        becomes(BY_PATH, self, ARGS(self), role("told", "ADDED=2"));
    if (!strcmp(what, "told")) {
        printf("KEPT=%s ADDED=%s\n", getenv("KEPT") ? getenv("KEPT") : "", getenv("ADDED") ? getenv("ADDED") : "");
        return 0;
    }
    if (!strcmp(what, "changes")) {
        changed();
        becomes(BY_PATH, self, ARGS(self), role("state", getenv("PID") - 4));
    }
    if (!strcmp(what, "state")) {
        told_state();
        return 0;
    }
    if (!strcmp(what, "fails")) {
        host_handle(on_signal);
        changed();
        TRY(host_exec(BY_PATH, "/bin/none", ARGS(self), role("state", NULL)));
        TRY(host_exec(BY_PATH, "/bin/blank0", ARGS(self), role("state", NULL)));
        told_state();
        host_raise(USR1);
        printf("handled: %d\n", handled == USR1);
        return 0;
    }
    if (!strcmp(what, "ignores"))
        becomes(BY_PATH, self, ARGS(self, "10"), role("raises", NULL));
    if (!strcmp(what, "handles")) {
        host_handle(on_signal);
        becomes(BY_PATH, self, ARGS(self, "15"), role("raises", NULL));
    }
    if (!strcmp(what, "raises")) {
        printf("ignored: %d\n", is_ignored(atoi(argv[1])));
        fflush(stdout);
        host_raise(atoi(argv[1]));
        return 7;
    }
    if (!strcmp(what, "alarms")) {
        host_alarm(100, 0);
        becomes(BY_PATH, self, ARGS(self), role("sleeps", NULL));
    }
    if (!strcmp(what, "sleeps")) {
        host_sleep(60000);
        return 7;
    }
    if (!strcmp(what, "again")) {
        int left = atoi(argv[1]);
        if (!left)
            return 9;
        char number[16];
        snprintf(number, sizeof number, "%d", left - 1);
        becomes(BY_PATH, self, ARGS(self, number), role("again", NULL));
    }
    return 98;
}

/* Runs itself in a role. */
static void plays(const char *title, const char *name, char *const *args, const int *ignored, int count)
{
    int pid = -1;
    printf("%s: ", title);
    fflush(stdout);
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, args, role(name, "KEPT=1"), NONE, ignored, count));
    wait_and_tell("", pid);
}

static void executes(const char *title, const char *path)
{
    plays(title, "exec", ARGS(self, (char *)path, "given", "one", "two words"), NONE);
}

static void searches(const char *title, const char *path, const char *name)
{
    char variable[64];
    int pid = -1;
    printf("%s: ", title);
    fflush(stdout);
    /* Who searches is the child, by the PATH that it has. */
    snprintf(variable, sizeof variable, "PATH=%s", path);
    NEED(host_spawn_ignoring(&pid, BY_PATH, self, ARGS(self, (char *)name, "given", "one"), role("search", variable),
                             NONE, NONE));
    wait_and_tell("", pid);
}

/* Writes a file that may be executed. */
static void write_blank(int number, const void *bytes, size_t length)
{
    char path[32];
    snprintf(path, sizeof path, "/bin/blank%d", number);
    int fd = (int)NEED(open(path, O_WRONLY | O_TRUNC));
    if (write(fd, bytes, length) != (ssize_t)length)
        exit(99);
    close(fd);
}

static void script(const char *title, const char *text)
{
    write_blank(0, text, strlen(text));
    executes(title, "/bin/blank0");
}

/* A line of so many bytes without its newline, blanks or letters behind the interpreter. */
static void long_script(const char *title, size_t length, char filler, const char *end)
{
    static char text[1024];
    memset(text, filler, sizeof text);
    memcpy(text, "#!/bin/exec ", 12);
    strcpy(text + length, end);
    script(title, text);
}

static void scripts(void)
{
    TITLE("scripts");
    script("no argument", "#!/bin/exec\n");
    script("one argument", "#!/bin/exec -x\n");
    script("blanks", "#! \t/bin/exec \t -x  y\tz \t \n");
    script("no newline", "#!/bin/exec -x");
    script("nothing else", "#!/bin/exec");
    script("blanks at the end", "#!/bin/exec  \n");
    script("blanks at the end, no newline", "#!/bin/exec  ");
    script("blanks behind the argument, no newline", "#!/bin/exec x ");
    script("carriage return", "#!/bin/exec\r\n");
    script("carriage return behind", "#!/bin/exec -x\r\n");
    script("more lines", "#!/bin/exec\n-x\n#!/bin/none\n");
    script("relative", "#!exec\n");
    script("relative, found", "#!../bin/exec\n");
    script("missing", "#!/bin/none\n");
    script("not executable", "#!/work/text\n");
    script("a directory", "#!/bin\n");
    script("below a file", "#!/bin/exec/x\n");
    script("empty", "#!\n");
    script("blank", "#! \t \n");
    script("only the mark", "#!");
    script("half of the mark", "#");
    script("blank before", " #!/bin/exec\n");
    write_blank(0, "#!/bin/exec\0 -x\n", 16);
    executes("a NUL byte behind", "/bin/blank0");
    write_blank(0, "#!/bin/exec \0-x\n", 16);
    executes("a NUL byte in place of the argument", "/bin/blank0");
    write_blank(0, "#!\0/bin/exec -x\n", 17);
    executes("a NUL byte in place of the path", "/bin/blank0");
    write_blank(0, "#!/bin/exec -x\0y\n", 17);
    executes("a NUL byte in the argument", "/bin/blank0");
    write_blank(0, "#!/bin/exec -x\n\0\0\0", 18);
    executes("NUL bytes on the next line", "/bin/blank0");

    TITLE("long lines");
    long_script("254 bytes", 254, 'x', "\n");
    long_script("255 bytes", 255, 'x', "\n");
    long_script("256 bytes", 256, 'x', "\n");
    long_script("257 bytes", 257, 'x', "\n");
    long_script("600 bytes", 600, 'x', "\n");
    long_script("255 bytes, no newline", 255, 'x', "");
    long_script("256 bytes, no newline", 256, 'x', "");
    long_script("255 bytes of blanks", 255, ' ', "\n");
    long_script("256 bytes of blanks", 256, ' ', "\n");
    long_script("256 bytes of blanks, no newline", 256, ' ', "");
    long_script("300 bytes of blanks and an argument", 300, ' ', "x\n");
    static char text[400];
    memset(text, '/', sizeof text - 1);
    memcpy(text, "#!", 2);
    strcpy(text + 240, "bin/exec\n");
    script("a path of 248 bytes", text);
    memset(text + 240, '/', 8);
    strcpy(text + 248, "bin/exec\n");
    script("a path that is cut", text);
    memset(text + 2, ' ', 300);
    strcpy(text + 200, "/bin/exec\n");
    script("many blanks before", text);
    memset(text + 200, ' ', 100);
    strcpy(text + 246, "/bin/exec");
    script("the path up to byte 255, no newline", text);
    memset(text + 200, ' ', 100);
    strcpy(text + 247, "/bin/exec");
    script("the path up to byte 256, no newline", text);
    memset(text + 200, ' ', 100);
    strcpy(text + 245, "/bin/exec x\n");
    script("the argument at byte 256", text);
    memset(text + 200, ' ', 100);
    strcpy(text + 246, "/bin/exec x\n");
    script("the argument behind byte 256", text);
    memset(text + 200, ' ', 100);
    strcpy(text + 260, "/bin/exec\n");
    script("too many blanks before", text);
    memset(text + 2, ' ', 300);
    strcpy(text + 247, "/bin/exec -x\n");
    script("the path up to the end", text);
}

static void chains(void)
{
    TITLE("scripts of scripts");
    for (int levels = 1; levels <= 6; levels++) {
        char line[32];
        snprintf(line, sizeof line, levels == 1 ? "#!/bin/exec a\n" : "#!/bin/blank%d %c\n", levels - 2, 'a' + levels - 1);
        write_blank(levels - 1, line, strlen(line));
        printf("%d ", levels);
        snprintf(line, sizeof line, "/bin/blank%d", levels - 1);
        executes("levels", line);
    }
    script("itself", "#!/bin/blank0\n");
    script("a script that can't be run", "#!/bin/blank7\n");

    TITLE("scripts by other names");
    const char *line = "#!/bin/exec -x\n";
    write_blank(0, line, strlen(line));
    NEED(symlinkat("/bin/blank0", w, "tolink"));
    executes("through a link", "/work/tolink");
    executes("relative", "tolink");
    executes("with dots", "./d/.././tolink");
    searches("by PATH", "/none:/bin", "blank0");
    searches("by PATH through a link", "/none:/work", "tolink");
    searches("here by PATH", ":/none", "tolink");
    searches("with a slash", "/none", "./tolink");
    searches("not in PATH", "/none:/work", "blank0");
    searches("not executable", "/none:/work", "text");
    searches("not executable, then found", "/work:/bin", "blank0");
    put("notexec", line);
    executes("without x", "/work/notexec");
}

static void unrunnable(void)
{
    TITLE("what is no program");
    script("empty", "");
    script("text", "echo hello\n");
    write_blank(0, "\177ELF\2\1\1", 7);
    executes("an ELF header cut", "/bin/blank0");
    write_blank(0, "\0asm\1\0\0", 7);
    executes("a wasm header cut", "/bin/blank0");
    write_blank(0, "\0asm\1\0\0\0\1\377", 10);
    executes("wasm cut", "/bin/blank0");
    static char zeros[8192];
    write_blank(0, zeros, sizeof zeros);
    executes("zeros", "/bin/blank0");

    TITLE("what can't be found or executed");
    executes("missing", "/bin/none");
    executes("empty path", "");
    executes("a directory", "/bin");
    executes("below a file", "/bin/exec/x");
    executes("with a slash", "/bin/exec/");
    executes("not executable", "/work/text");
    NEED(symlinkat("loop", w, "loop"));
    executes("a loop", "/work/loop");
    NEED(symlinkat("none", w, "dangling"));
    executes("a dangling link", "/work/dangling");
    static char name[5000];
    memset(name, 'n', 256);
    memcpy(name, "/bin/", 5);
    executes("a name of 251 bytes", name);
    memset(name + 5, 'n', 256);
    executes("a name of 256 bytes", name);
    memset(name, '/', 4094);
    strcpy(name + 4086, "bin/exec");
    executes("a path of 4094 bytes", name);
    memset(name, '/', 4095);
    strcpy(name + 4087, "bin/exec");
    executes("a path of 4095 bytes", name);
    memset(name, '/', 4096);
    strcpy(name + 4088, "bin/exec");
    executes("a path of 4096 bytes", name);

    TITLE("the shell reads what is no program");
    script("not by execve", "echo hello\n");
    NEED(symlinkat("exec", (int)NEED(open("/bin", O_RDONLY | O_DIRECTORY)), "sh"));
    searches("by PATH", "/bin", "blank0");
    searches("by a path", "/none", "/bin/blank0");
    write_blank(1, "#!/bin/none\n", 12);
    searches("not if the interpreter is missing", "/bin", "blank1");
    NEED(unlink("/bin/sh"));
}

int main(int argc, char **argv)
{
    if (getenv("ROLE"))
        return acts(argc > 1 && !strcmp(argv[1], "told") ? "told" : getenv("ROLE"), argc, argv);
    enter(argc, argv);
    NEED(host_chdir(scratch));
    put("text", "0123456789");
    NEED(mkdirat(w, "d", 0755));

    TITLE("arguments");
    executes("three", self);
    plays("by lines", "lines", ARGS(self, self, "given", "one", "two words"), NONE);
    plays("empty ones", "exec", ARGS(self, self, "", "", "x"), NONE);
    plays("none", "exec", ARGS(self, self), NONE);
    plays("another name", "exec", ARGS(self, self, "-other"), NONE);

    TITLE("environment");
    plays("kept", "keeps", ARGS(self), NONE);
    plays("given", "gives", ARGS(self), NONE);

    TITLE("what is kept and what isn't");
    plays("after", "changes", ARGS(self), NONE);
    plays("after a failure", "fails", ARGS(self), NONE);
    int ignored[] = { USR1 };
    plays("an ignored signal", "ignores", ARGS(self), ignored, 1);
    plays("a signal not ignored", "ignores", ARGS(self), NONE);
    plays("a handled signal", "handles", ARGS(self), NONE);
    plays("a timer", "alarms", ARGS(self), NONE);
    plays("a hundred times", "again", ARGS(self, "100"), NONE);

    TITLE("how much");
    plays("131071 bytes", "many", ARGS(self, "1", "131071"), NONE);
    plays("131072 bytes", "many", ARGS(self, "1", "131072"), NONE);
    plays("11 times 131071", "many", ARGS(self, "11", "131071"), NONE);
    plays("17 times 131071", "many", ARGS(self, "17", "131071"), NONE);
    plays("5000 short ones", "many", ARGS(self, "5000", "3"), NONE);

    scripts();
    chains();
    unrunnable();
    return 0;
}
