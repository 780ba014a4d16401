/* Much of everything: descriptors, entries, depth, sizes. Each has an end that is told, or costs what is in it. */
#define ABI "wasi_snapshot_preview1"
#include "raw.h"

enum { MFILE = 33, NOSPC = 51, FILES = 20000, DEPTH = 3000, SUBSCRIPTIONS = 5000 };

static char buffer[1 << 20];
static u32 number;

static void descriptors(void)
{
    static u32 fds[100000];
    u32 count = 0, error = SUCCESS;
    while (count < 100000) {
        error = path_open(3, 0, PATH("f"), 0, FD_READ, 0, 0, P(&fds[count]));
        if (error)
            break;
        count++;
    }
    IS(error, MFILE);
    TRUE(count > 100 && count < 100000);
    IS(path_open(3, 0, PATH("not-made"), CREAT, FD_WRITE, 0, 0, P(&number)), MFILE);
    char stat[64];
    IS(path_filestat_get(3, 0, PATH("not-made"), P(stat)), NOENT);
    IS(fd_close(fds[count / 2]), SUCCESS);
    IS(path_open(3, 0, PATH("f"), 0, FD_READ, 0, 0, P(&number)), SUCCESS);
    IS(number, fds[count / 2]);
    u32 wrong = 0;
    for (u32 i = 0; i < count; i++)
        wrong += fd_close(fds[i]) != SUCCESS;
    IS(wrong, 0);
}

static u32 name_of(char *name, u32 i)
{
    u32 length = 0;
    do
        name[length++] = (char)('a' + i % 26);
    while (i /= 26);
    return length;
}

static void entries(void)
{
    u32 dir, fd, wrong = 0, seen = 0, used;
    char name[8];
    IS(path_create_directory(3, PATH("many")), SUCCESS);
    IS(path_open(3, 0, PATH("many"), DIRECTORY, FD_READDIR, ALL_RIGHTS, 0, P(&dir)), SUCCESS);
    for (u32 i = 0; i < FILES; i++) {
        u32 length = name_of(name, i);
        wrong += path_open(dir, 0, P(name), length, CREAT | EXCL, FD_WRITE, 0, 0, P(&fd)) || fd_close(fd);
    }
    IS(wrong, 0);
    /* One entry at a time, each from its cookie: the whole is linear, or this would not end. */
    for (u64 cookie = 0; seen < FILES + 10; seen++) {
        if (fd_readdir(dir, P(buffer), 40, cookie, P(&used)) || used < 24)
            break;
        cookie = load64(buffer);
    }
    IS(seen, FILES + 2);
    IS(path_rename(3, PATH("many"), 3, PATH("more")), SUCCESS);
    for (u32 i = 0; i < FILES; i++) {
        u32 length = name_of(name, i);
        wrong += path_unlink_file(dir, P(name), length) != SUCCESS;
    }
    IS(wrong, 0);
    IS(path_remove_directory(3, PATH("more")), SUCCESS);
    IS(fd_close(dir), SUCCESS);
}

/* Down by descriptors, past any length of a path; what is left is the host's to drop. */
static void depth(void)
{
    u32 dir = 3, next = 0, wrong = 0;
    for (u32 i = 0; i < DEPTH; i++) {
        wrong += path_create_directory(dir, PATH("down")) != SUCCESS;
        wrong += path_open(dir, 0, PATH("down"), DIRECTORY, FD_READDIR, ALL_RIGHTS, 0, P(&next)) != SUCCESS;
        if (dir != 3)
            wrong += fd_close(dir) != SUCCESS;
        dir = next;
    }
    IS(wrong, 0);
    IS(path_symlink(PATH("/f"), dir, PATH("up")), SUCCESS);
    char stat[64];
    IS(path_filestat_get(dir, FOLLOW, PATH("up"), P(stat)), SUCCESS);
    IS(path_rename(3, PATH("down"), dir, PATH("loop")), INVAL);
    IS(fd_close(dir), SUCCESS);
}

static void sizes(void)
{
    u64 huge = (u64)1 << 62;
    struct iov iov = {P(buffer), 4};
    char stat[64];
    u32 fd = open_at(PATH("sparse"), CREAT, FD_READ | FD_WRITE);
    IS(fd_filestat_set_size(fd, huge), SUCCESS);
    IS(fd_pwrite(fd, P(&iov), 1, huge, P(&number)), SUCCESS);
    IS(fd_pwrite(fd, P(&iov), 1, huge / 2, P(&number)), SUCCESS);
    IS(fd_filestat_get(fd, P(stat)), SUCCESS);
    TRUE(load64(stat + 32) == huge + 4);
    memset(buffer, 1, 8);
    IS(fd_pread(fd, P(&iov), 1, huge - 100, P(&number)), SUCCESS);
    IS(load32(buffer), 0);
    IS(fd_allocate(fd, 0, huge), NOSPC);
    IS(fd_filestat_get(fd, P(stat)), SUCCESS);
    TRUE(load64(stat + 32) == huge + 4);
    IS(fd_filestat_set_size(fd, 3), SUCCESS);
    IS(fd_close(fd), SUCCESS);
}

static void lengths(void)
{
    static char subscriptions[SUBSCRIPTIONS * 48], events[SUBSCRIPTIONS * 32];
    memset(buffer, 'x', sizeof buffer);
    IS(path_create_directory(3, P(buffer), sizeof buffer), NAMETOOLONG);
    IS(path_symlink(P(buffer), sizeof buffer, 3, PATH("long")), NAMETOOLONG);
    IS(path_symlink(PATH("f"), 3, P(buffer), 256), NAMETOOLONG);
    memset(buffer, '/', sizeof buffer);
    IS(path_create_directory(3, P(buffer), sizeof buffer), NAMETOOLONG);
    IS(random_get(P(buffer), sizeof buffer), SUCCESS);
    u32 fd = open_at(PATH("f"), 0, FD_READ);
    for (u32 i = 0; i < SUBSCRIPTIONS; i++) {
        subscriptions[i * 48 + 8] = 1;
        memcpy(subscriptions + i * 48 + 16, &fd, 4);
    }
    IS(poll_oneoff(P(subscriptions), P(events), SUBSCRIPTIONS, P(&number)), SUCCESS);
    IS(number, SUBSCRIPTIONS);
    IS(fd_close(fd), SUCCESS);
}

void checks(void)
{
    put_file(PATH("f"), "0123456789", 10);
    descriptors();
    entries();
    depth();
    sizes();
    lengths();
}
