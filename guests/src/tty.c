/* The terminal of a process: its state, and reading without lines and echo. A step for each argument. */
#include "guest.h"
#include "processes.h"

static volatile int interrupted;

static void on_signal(int number)
{
    if (number != CHLD)
        interrupted = number;
}

static void get(void)
{
    struct tty tty;
    if (host_tty_get(&tty)) {
        printf("tty_get = %s\n", error_name(errno));
        return;
    }
    printf("%u columns, %u rows, %u x %u, terminals %d%d%d, echo %d, lines %d\n", tty.columns, tty.rows, tty.width,
           tty.height, tty.is_stdin, tty.is_stdout, tty.is_stderr, tty.echo, tty.line_buffered);
}

static void set(int echo, int line_buffered)
{
    struct tty tty = { .columns = 1, .rows = 1, .echo = (uint8_t)echo, .line_buffered = (uint8_t)line_buffered };
    if (host_tty_set(&tty))
        printf("tty_set = %s\n", error_name(errno));
}

static void take(void)
{
    char bytes[64];
    long count = read(0, bytes, sizeof bytes);
    if (count == -1)
        printf("read = %s\n", errno == EINTR ? "EINTR" : error_name(errno));
    else
        printf("read %ld: %02x\n", count, count > 0 ? (unsigned char)bytes[0] : 0);
}

/* Has a child take one step, and tells how it ended. */
static void child(const char *step)
{
    char *const args[] = {"tty", (char *)step, NULL};
    int pid = 0, status = -1;
    if (host_spawn_ignoring(&pid, SEARCHED, "tty", args, NULL, NULL, 0, NULL, 0)) {
        printf("spawn = %s\n", error_name(errno));
        return;
    }
    while (host_wait(pid, &status, 0) == -1 && errno == EINTR)
        ;
    printf("%s: %s %d\n", step, status >= 1000 ? "signal" : "status", status % 1000);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *step = argv[i];
        if (!strcmp(step, "get"))
            get();
        else if (!strcmp(step, "raw"))
            set(0, 0);
        else if (!strcmp(step, "noecho"))
            set(0, 1);
        else if (!strcmp(step, "cooked"))
            set(1, 1);
        else if (!strcmp(step, "read"))
            take();
        else if (!strcmp(step, "child") && i + 1 < argc)
            child(argv[++i]);
        else if (!strcmp(step, "handle"))
            host_handle(on_signal);
        else if (!strcmp(step, "interrupted"))
            printf("interrupted by %d\n", interrupted);
        else if (!strcmp(step, "tty")) {
            int fd = open("/dev/tty", O_RDWR);
            printf("/dev/tty = %s\n", fd == -1 ? error_name(errno) : "fd");
            if (fd != -1 && write(fd, "to the terminal\n", 16) != 16)
                printf("write = %s\n", error_name(errno));
        } else if (!strcmp(step, "spin")) {
            printf("spinning\n");
            for (;;)
                ;
        } else if (!strcmp(step, "trap")) {
            printf("trapping\n");
            __builtin_trap();
        } else
            return 2;
    }
    printf("done\n");
    return 0;
}
