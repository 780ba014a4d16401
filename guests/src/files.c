/*
 * What people do with files, as words on the command line: `files mkdir /data/a : write /data/a/f text : cat /data/a/f`.
 * Each step says how it ended, and the next is tried all the same. Paths are the caller's, resolved by the C library
 * against the directories that it was given.
 */
#include "guest.h"
#include <time.h>

static void say(const char *verb, const char *path, long result)
{
    printf("%s %s: %s\n", verb, path, result == -1 ? error_name(errno) : "ok");
}

static long write_text(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | flags, 0666);
    if (fd == -1)
        return -1;
    ssize_t count = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return count == (ssize_t)strlen(text) ? 0 : -1;
}

static void read_text(const char *path)
{
    char text[256];
    int fd = open(path, O_RDONLY);
    ssize_t count = fd == -1 ? -1 : read(fd, text, sizeof text);
    if (count == -1)
        printf("cat %s: %s\n", path, error_name(errno));
    else
        printf("cat %s: \"%.*s\"\n", path, (int)count, text);
    if (fd != -1)
        close(fd);
}

static void read_target(const char *path)
{
    char text[4096];
    ssize_t count = readlink(path, text, sizeof text);
    if (count == -1)
        printf("readlink %s: %s\n", path, error_name(errno));
    else
        printf("readlink %s: \"%.*s\"\n", path, (int)count, text);
}

static void tell(const char *verb, const char *path, int follow)
{
    struct stat st;
    if ((follow ? stat : lstat)(path, &st) == -1)
        printf("%s %s: %s\n", verb, path, error_name(errno));
    else if (S_ISDIR(st.st_mode))
        printf("%s %s: dir\n", verb, path);
    else {
        /* What was changed by this run has another time in the next. */
        char changed[24] = "just now";
        if (st.st_mtim.tv_sec < time(NULL) - 3600)
            snprintf(changed, sizeof changed, "at %lld", (long long)st.st_mtim.tv_sec);
        printf("%s %s: %s of %lld bytes, %lu links, changed %s\n", verb, path, kind_name(st.st_mode),
               (long long)st.st_size, (unsigned long)st.st_nlink, changed);
    }
}

static long touch(const char *path, const char *seconds)
{
    struct timespec times[2] = {{.tv_sec = atoll(seconds)}, {.tv_sec = atoll(seconds)}};
    return utimensat(AT_FDCWD, path, times, 0);
}

/* Changes of an open file: what only a descriptor for writing may be asked. */
static long through_descriptor(const char *path, int flags, const char *how)
{
    int fd = open(path, flags);
    if (fd == -1)
        return -1;
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    long result = !strcmp(how, "times") ? futimens(fd, times) : ftruncate(fd, 0);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

/* Opens and keeps `count` files "PATH<n>"; each must be one of its own. */
static long hold(const char *path, const char *count)
{
    char name[512];
    for (int i = 0; i < atoi(count); i++) {
        snprintf(name, sizeof name, "%s%d", path, i);
        if (open(name, O_RDWR | O_CREAT, 0666) == -1)
            return -1;
    }
    return 0;
}

static void list_path(const char *path)
{
    int before = w;
    w = open(path, O_RDONLY | O_DIRECTORY);
    if (w == -1) {
        printf("list %s: %s\n", path, error_name(errno));
    } else {
        printf("%s ", path);
        list(".");
        close(w);
    }
    w = before;
}

/* Says that it waits, and goes on with the next line of input. */
static void wait_for_line(void)
{
    char byte = 0;
    printf("wait\n");
    fflush(stdout);
    while (read(0, &byte, 1) == 1 && byte != '\n')
        ;
}

/* One step of `count` words. */
static int step(char **word, int count)
{
    const char *verb = word[0], *path = count > 1 ? word[1] : "", *other = count > 2 ? word[2] : "";
    if (!strcmp(verb, "write"))
        say(verb, path, write_text(path, other, O_CREAT | O_TRUNC));
    else if (!strcmp(verb, "create"))
        say(verb, path, write_text(path, other, O_CREAT | O_EXCL));
    else if (!strcmp(verb, "append"))
        say(verb, path, write_text(path, other, O_APPEND));
    else if (!strcmp(verb, "overwrite"))
        say(verb, path, write_text(path, other, 0));
    else if (!strcmp(verb, "truncate"))
        say(verb, path, write_text(path, "", O_TRUNC));
    else if (!strcmp(verb, "mkdir"))
        say(verb, path, mkdir(path, 0777));
    else if (!strcmp(verb, "rmdir"))
        say(verb, path, rmdir(path));
    else if (!strcmp(verb, "unlink"))
        say(verb, path, unlink(path));
    else if (!strcmp(verb, "rename"))
        say(verb, path, rename(path, other));
    else if (!strcmp(verb, "link"))
        say(verb, path, link(path, other));
    else if (!strcmp(verb, "symlink"))
        say(verb, other, symlink(path, other));
    else if (!strcmp(verb, "touch"))
        say(verb, path, touch(path, other));
    else if (!strcmp(verb, "ftouch"))
        say(verb, path, through_descriptor(path, O_RDONLY, "times"));
    else if (!strcmp(verb, "ftruncate"))
        say(verb, path, through_descriptor(path, O_RDONLY, "length"));
    else if (!strcmp(verb, "hold"))
        say(verb, path, hold(path, other));
    else if (!strcmp(verb, "cat"))
        read_text(path);
    else if (!strcmp(verb, "readlink"))
        read_target(path);
    else if (!strcmp(verb, "stat"))
        tell(verb, path, 1);
    else if (!strcmp(verb, "lstat"))
        tell(verb, path, 0);
    else if (!strcmp(verb, "list"))
        list_path(path);
    else if (!strcmp(verb, "wait"))
        wait_for_line();
    else
        return printf("%s is no verb\n", verb), 1;
    return 0;
}

int main(int argc, char **argv)
{
    confine();
    for (int start = 1, end; start < argc; start = end + 1) {
        for (end = start; end < argc && strcmp(argv[end], ":"); end++)
            ;
        if (end > start && step(argv + start, end - start))
            return 1;
    }
    return 0;
}
