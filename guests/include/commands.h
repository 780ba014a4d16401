/*
 * The small commands of the shell, each a program by its own name: what they do to files is told by error names on
 * stderr and a status of 1.
 *
 * Paths are taken from `here`, an open directory, as a C library for WASI knows no current directory of the process.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "processes.h"

static int here = -1;

/* Opens the directory that the process is in. */
static inline int look_here(void)
{
    static char path[4096];
    if (here >= 0)
        close(here);
    here = -1;
    if (!host_getcwd(path, sizeof path))
        return -1;
    here = open(path, O_RDONLY | O_DIRECTORY);
    return here < 0 ? -1 : host_setfd(here, FD_CLOEXEC);
}

static int failed(const char *command, const char *path)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s: %s\n", command, path, error_name(errno));
    return 1;
}

/* Copies all of one descriptor to another. */
static int copied(int from, int to)
{
    static char bytes[65536];
    ssize_t got;
    while ((got = read(from, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0; at < got;) {
            ssize_t put = write(to, bytes + at, (size_t)(got - at));
            if (put < 0)
                return -1;
            at += put;
        }
    return got < 0 ? -1 : 0;
}

/* For each file, or for the standard input, what a function says. */
static int each_file(const char *command, char **files, int (*does)(int fd))
{
    int status = 0;
    if (!*files)
        return does(0) ? failed(command, "-") : 0;
    for (; *files; files++) {
        int fd = openat(here, *files, O_RDONLY);
        if (fd < 0 || does(fd))
            status = failed(command, *files);
        if (fd >= 0)
            close(fd);
    }
    return status;
}

static int cat_one(int fd)
{
    return copied(fd, 1);
}

static int count_one(int fd)
{
    static char bytes[65536];
    long lines = 0, words = 0, total = 0;
    int within = 0;
    ssize_t got;
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t index = 0; index < got; index++, total++) {
            int blank = bytes[index] == ' ' || bytes[index] == '\n';
            lines += bytes[index] == '\n';
            words += within && blank;
            within = !blank;
        }
    printf("%ld %ld %ld\n", lines, words + within, total);
    return got < 0 ? -1 : 0;
}

/* Lines of a stream, at most so many; they are the caller's. */
static size_t lines_of(FILE *file, char **lines, size_t room)
{
    static char line[65536];
    size_t count = 0;
    while (count < room && fgets(line, sizeof line, file))
        lines[count++] = strdup(line);
    return count;
}

static int sorted(void)
{
    static char *lines[65536];
    size_t count = lines_of(stdin, lines, 65536);
    qsort(lines, count, sizeof lines[0], by_name);
    for (size_t index = 0; index < count; index++)
        fputs(lines[index], stdout);
    return 0;
}

static int found(const char *text)
{
    static char line[65536];
    int status = 1;
    while (fgets(line, sizeof line, stdin))
        if (strstr(line, text)) {
            status = 0;
            fputs(line, stdout);
        }
    return status;
}

/* The names in a directory, sorted; the count, or -1. They are the caller's. */
static int names_in(const char *path, char **names, int room)
{
    int fd = openat(here, path, O_RDONLY | O_DIRECTORY), count = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!dir)
        return -1;
    while (count < room && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, (size_t)count, sizeof names[0], by_name);
    return count;
}

static int listed(char **paths)
{
    static char *names[4096], *const all[] = { ".", NULL };
    int status = 0;
    for (char *const *path = *paths ? paths : all; *path; path++) {
        struct stat st;
        if (fstatat(here, *path, &st, 0) == -1 && fstatat(here, *path, &st, AT_SYMLINK_NOFOLLOW) == -1) {
            status = failed("ls", *path);
            continue;
        }
        if (!S_ISDIR(st.st_mode)) {
            printf("%s\n", *path);
            continue;
        }
        int count = names_in(*path, names, 4096);
        if (count < 0)
            status = failed("ls", *path);
        for (int index = 0; index < count; index++) {
            if (names[index][0] != '.')
                printf("%s\n", names[index]);
            free(names[index]);
        }
    }
    return status;
}

/* Removes a tree. */
static int removed(const char *path)
{
    struct stat st;
    if (fstatat(here, path, &st, AT_SYMLINK_NOFOLLOW) == -1)
        return -1;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(here, path, 0);
    char **names = malloc(4096 * sizeof *names);
    int count = names_in(path, names, 4096), status = count < 0 ? -1 : 0;
    for (int index = 0; index < count; index++) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, names[index]);
        status |= removed(below);
        free(names[index]);
    }
    free(names);
    return status ? status : unlinkat(here, path, AT_REMOVEDIR);
}

/* Where a file goes that is moved or copied to a path: into a directory, under its own name. */
static const char *target(const char *from, const char *to)
{
    static char within[4096];
    struct stat st;
    const char *slash = strrchr(from, '/');
    if (fstatat(here, to, &st, 0) == -1 || !S_ISDIR(st.st_mode))
        return to;
    snprintf(within, sizeof within, "%s/%s", to, slash ? slash + 1 : from);
    return within;
}

static int copied_file(const char *from, const char *to)
{
    int source = openat(here, from, O_RDONLY), status = -1;
    int sink = source < 0 ? -1 : openat(here, to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (sink >= 0)
        status = copied(source, sink);
    close(sink);
    close(source);
    return status;
}

/* `mv`, `cp` and `ln`: the last argument is where to. */
static int transferred(const char *command, int argc, char **argv)
{
    int soft = argc > 3 && !strcmp(argv[1], "-s"), status = 0;
    for (int index = 1 + soft; index < argc - 1; index++) {
        const char *from = argv[index], *to = target(from, argv[argc - 1]);
        int done = !strcmp(command, "mv") ? renameat(here, from, here, to)
                   : !strcmp(command, "cp") ? copied_file(from, to)
                   : soft                   ? symlinkat(from, here, to)
                                            : linkat(here, from, here, to, 0);
        if (done == -1)
            status = failed(command, from);
    }
    return status;
}

static int held(int argc, char **argv)
{
    struct stat st;
    if (argc == 4)
        return !strcmp(argv[2], "=") ? strcmp(argv[1], argv[3]) != 0 : strcmp(argv[1], argv[3]) == 0;
    if (argc != 3 || fstatat(here, argv[2], &st, argv[1][1] == 'L' ? AT_SYMLINK_NOFOLLOW : 0) == -1)
        return 1;
    switch (argv[1][1]) {
    case 'f': return !S_ISREG(st.st_mode);
    case 'd': return !S_ISDIR(st.st_mode);
    case 'L': return !S_ISLNK(st.st_mode);
    case 's': return !st.st_size;
    default: return 0;
    }
}

/* For each path, what a call says. */
static int each(const char *command, char **paths, int (*does)(const char *path))
{
    int status = 0;
    for (; *paths; paths++)
        if (does(*paths) == -1)
            status = failed(command, *paths);
    return status;
}

static int made(const char *path)
{
    return mkdirat(here, path, 0777);
}

static int unmade(const char *path)
{
    return unlinkat(here, path, AT_REMOVEDIR);
}

static int unlinked(const char *path)
{
    return unlinkat(here, path, 0);
}

static int touched(const char *path)
{
    int fd = openat(here, path, O_WRONLY | O_CREAT, 0666);
    return fd < 0 ? -1 : close(fd);
}

static int told_link(const char *path)
{
    char text[4096];
    ssize_t length = readlinkat(here, path, text, sizeof text);
    if (length >= 0)
        printf("%.*s\n", (int)length, text);
    return length < 0 ? -1 : 0;
}

static const char *const commands[] = { "cat", "cp",    "echo", "env",  "false", "grep", "head", "ln",   "ls",   "mkdir", "mv",
                                        "pwd", "readlink", "rm", "rmdir", "seq", "sleep", "sort", "test", "touch", "true", "wc",
                                        "yes", NULL };

/* Runs a command by its name. */
static int command(const char *name, int argc, char **argv)
{
#define IS(text) (!strcmp(name, text))
    if (IS("cat"))
        return each_file(name, argv + 1, cat_one);
    if (IS("wc"))
        return each_file(name, argv + 1, count_one);
    if (IS("echo")) {
        int plain = argc > 1 && !strcmp(argv[1], "-n");
        for (int index = 1 + plain; index < argc; index++)
            printf(index + 1 < argc ? "%s " : "%s", argv[index]);
        if (!plain)
            putchar('\n');
        return 0;
    }
    if (IS("env")) {
        const char *value = argc > 1 ? getenv(argv[1]) : NULL;
        return !value || puts(value) < 0;
    }
    if (IS("grep"))
        return argc > 1 ? found(argv[1]) : 2;
    if (IS("head")) {
        int left = argc > 1 ? atoi(argv[1]) : 10, byte = 0;
        while (left > 0 && (byte = getchar()) != EOF) {
            putchar(byte);
            left -= byte == '\n';
        }
        return 0;
    }
    if (IS("mv") || IS("cp") || IS("ln"))
        return transferred(name, argc, argv);
    if (IS("ls"))
        return listed(argv + 1);
    if (IS("mkdir"))
        return each(name, argv + 1, made);
    if (IS("rmdir"))
        return each(name, argv + 1, unmade);
    if (IS("touch"))
        return each(name, argv + 1, touched);
    if (IS("readlink"))
        return each(name, argv + 1, told_link);
    if (IS("rm")) {
        int all = argc > 1 && !strcmp(argv[1], "-r");
        return each(name, argv + 1 + all, all ? removed : unlinked);
    }
    if (IS("pwd")) {
        char path[4096];
        if (!host_getcwd(path, sizeof path))
            return failed(name, ".");
        printf("%s\n", path);
        return 0;
    }
    if (IS("seq")) {
        for (int number = 1; argc > 1 && number <= atoi(argv[1]); number++)
            printf("%d\n", number);
        return 0;
    }
    if (IS("sleep"))
        return argc > 1 && host_sleep(atoi(argv[1])) == -1;
    if (IS("sort"))
        return sorted();
    if (IS("test"))
        return held(argc, argv);
    if (IS("yes")) {
        while (puts("y") >= 0)
            ;
        return 1;
    }
    return IS("true") ? 0 : IS("false") ? 1 : -1;
#undef IS
}

#endif
