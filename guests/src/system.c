/* What a POSIX process finds in its tree: files to look at, one operation for each pair of arguments. */
#include "guest.h"
#include "processes.h"

static void print(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    if (fd == -1) {
        printf("open %s = %s\n", path, error_name(errno));
        return;
    }
    long count = read(fd, bytes, sizeof bytes);
    if (count == -1)
        printf("read %s = %s\n", path, error_name(errno));
    for (long i = 0; i < count; i++)
        putchar(bytes[i] ? bytes[i] : '|');
    printf("[%ld]\n", count);
    close(fd);
}

static void names(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) {
        printf("opendir %s = %s\n", path, error_name(errno));
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)))
        printf("%s ", entry->d_name);
    printf("\n");
    closedir(directory);
}

static void target(const char *path)
{
    char text[256];
    long count = readlink(path, text, sizeof text);
    if (count == -1)
        printf("readlink %s = %s\n", path, error_name(errno));
    else
        printf("%.*s\n", (int)count, text);
}

static void status(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        printf("stat %s = %s\n", path, error_name(errno));
    else
        printf("%s %ld\n", kind_name(st.st_mode), (long)st.st_size);
}

static void say(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    long count = fd == -1 ? -1 : write(fd, "said\n", 5);
    printf("say %s = %s\n", path, count == -1 ? error_name(errno) : "5");
    if (fd != -1)
        close(fd);
}

/* A command from PATH, which looks at a device. */
static void run(const char *name)
{
    char *const args[] = {(char *)name, "stat", "/dev/null", NULL};
    int pid = 0;
    if (host_spawn_ignoring(&pid, SEARCHED, name, args, NULL, NULL, 0, NULL, 0))
        printf("spawn %s = %s\n", name, error_name(errno));
    else
        wait_and_tell(name, pid);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("process %d\n", host_getpid());
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *verb = argv[i], *path = argv[i + 1];
        if (!strcmp(verb, "cat"))
            print(path);
        else if (!strcmp(verb, "list"))
            names(path);
        else if (!strcmp(verb, "link"))
            target(path);
        else if (!strcmp(verb, "stat"))
            status(path);
        else if (!strcmp(verb, "say"))
            say(path);
        else if (!strcmp(verb, "run"))
            run(path);
        else
            return 2;
    }
    return 0;
}
