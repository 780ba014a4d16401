/* Rights: what path_open grants, that they only shrink, and that every call asks for its own. */
#define ABI "wasi_snapshot_preview1"
#include "raw.h"

static u32 number;
static char stat[64], buffer[64];
static struct iov iov;

static u64 rights_of(u32 fd, u32 at)
{
    return fd_fdstat_get(fd, P(stat)) ? 0 : load64(stat + at);
}
#define BASE(fd) rights_of(fd, 8)
#define INHERITING(fd) rights_of(fd, 16)

/* What the access mode never allows has the error of POSIX; ENOTCAPABLE is for a right that was taken away. */
static void granted(void)
{
    u32 fd = open_at(PATH("f"), 0, FD_READ);
    TRUE(BASE(fd) & FD_READ);
    TRUE(!(BASE(fd) & FD_WRITE));
    TRUE(BASE(fd) & FD_SEEK);
    IS(fd_read(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_write(fd, P(&iov), 1, P(&number)), BADF);
    IS(fd_pwrite(fd, P(&iov), 1, 0, P(&number)), BADF);
    IS(fd_filestat_set_size(fd, 0), INVAL);
    IS(fd_close(fd), SUCCESS);
    fd = open_at(PATH("f"), 0, FD_WRITE);
    IS(fd_read(fd, P(&iov), 1, P(&number)), BADF);
    IS(fd_write(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_close(fd), SUCCESS);
    fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    IS(fd_read(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_write(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_close(fd), SUCCESS);
}

static void shrinking(void)
{
    u32 fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    u64 all = BASE(fd);
    IS(fd_fdstat_set_rights(fd, all, INHERITING(fd)), SUCCESS);
    IS(fd_fdstat_set_rights(fd, all & ~FD_SEEK, 0), SUCCESS);
    IS(INHERITING(fd), 0);
    TRUE(BASE(fd) == (all & ~FD_SEEK));
    IS(fd_fdstat_set_rights(fd, all, 0), NOTCAPABLE);
    IS(fd_fdstat_set_rights(fd, FD_READ, FD_READ), NOTCAPABLE);
    TRUE(BASE(fd) == (all & ~FD_SEEK));
    IS(fd_seek(fd, 1, 0, P(buffer)), NOTCAPABLE);
    IS(fd_fdstat_set_rights(fd, FD_READ, 0), SUCCESS);
    IS(fd_read(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_write(fd, P(&iov), 1, P(&number)), NOTCAPABLE);
    IS(fd_tell(fd, P(buffer)), NOTCAPABLE);
    IS(fd_filestat_get(fd, P(stat)), NOTCAPABLE);
    IS(fd_filestat_set_times(fd, 0, 0, 0), NOTCAPABLE);
    IS(fd_allocate(fd, 0, 1), NOTCAPABLE);
    IS(fd_advise(fd, 0, 1, 0), NOTCAPABLE);
    IS(fd_sync(fd), NOTCAPABLE);
    IS(fd_datasync(fd), NOTCAPABLE);
    IS(fd_fdstat_set_flags(fd, APPEND), NOTCAPABLE);
    IS(fd_fdstat_set_rights(fd, 0, 0), SUCCESS);
    IS(fd_read(fd, P(&iov), 1, P(&number)), NOTCAPABLE);
    IS(BASE(fd), 0);
    IS(fd_close(fd), SUCCESS);
}

/* A directory that may open but nothing else, and what is opened through it. */
static void directory(void)
{
    u32 dir, fd;
    IS(path_open(3, 0, PATH("d"), DIRECTORY, FD_READDIR, ALL_RIGHTS, 0, P(&dir)), SUCCESS);
    IS(fd_fdstat_set_rights(dir, PATH_OPEN, FD_READ | FD_SEEK), SUCCESS);
    IS(path_create_directory(dir, PATH("x")), NOTCAPABLE);
    IS(path_symlink(PATH("x"), dir, PATH("x")), NOTCAPABLE);
    IS(path_unlink_file(dir, PATH("f")), NOTCAPABLE);
    IS(path_remove_directory(dir, PATH("f")), NOTCAPABLE);
    IS(path_rename(dir, PATH("f"), 3, PATH("x")), NOTCAPABLE);
    IS(path_rename(3, PATH("f"), dir, PATH("x")), NOTCAPABLE);
    IS(path_link(dir, 0, PATH("f"), 3, PATH("x")), NOTCAPABLE);
    IS(path_link(3, 0, PATH("f"), dir, PATH("x")), NOTCAPABLE);
    IS(path_readlink(dir, PATH("f"), P(buffer), 8, P(&number)), NOTCAPABLE);
    IS(path_filestat_get(dir, 0, PATH("f"), P(stat)), NOTCAPABLE);
    IS(path_filestat_set_times(dir, 0, PATH("f"), 0, 0, 0), NOTCAPABLE);
    IS(fd_readdir(dir, P(buffer), 64, 0, P(&number)), NOTCAPABLE);
    IS(path_open(dir, 0, PATH("new"), CREAT, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    IS(path_open(dir, 0, PATH("f"), TRUNC, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    TRUE(path_open(dir, 0, PATH("f"), 0, FD_READ, 0, 0, P(&fd)) == SUCCESS);
    TRUE((BASE(fd) & ~(FD_READ | FD_SEEK)) == 0);
    IS(fd_read(fd, P(&iov), 1, P(&number)), SUCCESS);
    IS(fd_filestat_get(fd, P(stat)), NOTCAPABLE);
    IS(fd_close(fd), SUCCESS);
    IS(fd_fdstat_set_rights(dir, 0, 0), SUCCESS);
    IS(path_open(dir, 0, PATH("f"), 0, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    IS(fd_close(dir), SUCCESS);
    IS(fd_fdstat_set_rights(dir, 0, 0), BADF);
}

void checks(void)
{
    iov.at = P(buffer);
    iov.len = 2;
    put_file(PATH("f"), "0123456789", 10);
    IS(path_create_directory(3, PATH("d")), SUCCESS);
    put_file(PATH("d/f"), "0123456789", 10);
    granted();
    shrinking();
    directory();
}
