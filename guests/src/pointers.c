/* Hostile pointers: every pointer of every call out of bounds gives EFAULT, and nothing is done. */
#define ABI "wasi_snapshot_preview1"
#include "raw.h"

static char buffer[256];
static u32 number, fd;
static u32 end; /* the size of the memory: the first address that is not there */

static u64 size_of(u32 path, u32 length)
{
    char stat[64];
    return path_filestat_get(3, 0, path, length, P(stat)) ? (u64)-1 : load64(stat + 32);
}

static u64 offset(void)
{
    u64 at = 0;
    fd_tell(fd, P(&at));
    return at;
}

static void results(void)
{
    IS(args_sizes_get(end, P(&number)), FAULT);
    IS(args_sizes_get(P(&number), end - 3), FAULT);
    IS(args_get(P(buffer), end), FAULT);
    IS(args_get(0xfffffffc, P(buffer)), FAULT);
    IS(environ_sizes_get(end, end), FAULT);
    IS(clock_time_get(0, 0, end - 7), FAULT);
    IS(clock_time_get(0, 0, 0xffffffff), FAULT);
    IS(clock_res_get(0, end), FAULT);
    IS(fd_fdstat_get(fd, end - 23), FAULT);
    IS(fd_filestat_get(fd, end - 63), FAULT);
    IS(fd_filestat_get(fd, 0xfffffff8), FAULT);
    IS(fd_prestat_get(3, end - 7), FAULT);
    IS(fd_prestat_dir_name(3, end, 1), FAULT);
    IS(fd_tell(fd, end), FAULT);
    IS(fd_tell(fd, end - 8), SUCCESS);
    IS(random_get(end - 1, 2), FAULT);
    IS(random_get(1, 0xffffffff), FAULT);
    IS(path_filestat_get(3, 0, PATH("f"), end - 63), FAULT);
    IS(path_filestat_get(3, 0, PATH("f"), end - 64), SUCCESS);
}

static void nothing_is_done(void)
{
    struct iov iov = {P(buffer), 4};
    IS(fd_seek(fd, 1, 0, end), FAULT);
    IS(offset(), 0);
    IS(fd_read(fd, P(&iov), 1, end), FAULT);
    IS(offset(), 0);
    IS(fd_write(fd, P(&iov), 1, end - 3), FAULT);
    IS(offset(), 0);
    IS(fd_pwrite(fd, P(&iov), 1, 100, end), FAULT);
    IS(size_of(PATH("f")), 10);
    IS(fd_pread(fd, P(&iov), 1, 0, end), FAULT);
    IS(path_open(3, 0, PATH("made"), CREAT, FD_WRITE, 0, 0, end), FAULT);
    IS(size_of(PATH("made")), (u64)-1);
    IS(path_open(3, 0, PATH("f"), TRUNC, FD_WRITE, 0, 0, end - 2), FAULT);
    IS(size_of(PATH("f")), 10);
    u32 next = open_at(PATH("f"), 0, FD_READ);
    IS(next, fd + 1);
    IS(fd_close(next), SUCCESS);
}

static void vectors(void)
{
    struct iov good_then_bad[2] = {{P(buffer), 4}, {end - 2, 4}};
    struct iov wraps = {0xfffffff0, 0x20};
    struct iov huge = {0, 0xffffffff};
    struct iov overflow[2] = {{0, 0x10000}, {0, 0xffffffff}};
    IS(fd_read(fd, P(good_then_bad), 2, P(&number)), FAULT);
    IS(offset(), 0);
    IS(fd_write(fd, P(good_then_bad), 2, P(&number)), FAULT);
    IS(size_of(PATH("f")), 10);
    IS(fd_read(fd, P(&wraps), 1, P(&number)), FAULT);
    IS(fd_read(fd, P(&huge), 1, P(&number)), INVAL); /* more than a result can tell */
    TRUE(fd_write(fd, P(overflow), 2, P(&number)) != SUCCESS);
    IS(fd_read(fd, end - 4, 1, P(&number)), FAULT);
    IS(fd_read(fd, end, 1, P(&number)), FAULT);
    TRUE(fd_read(fd, 16, 0x20000000, P(&number)) != SUCCESS);
    TRUE(fd_read(fd, 16, 0xffffffff, P(&number)) != SUCCESS);
    IS(fd_pread(fd, end, 1, 0, P(&number)), FAULT);
    IS(fd_pwrite(fd, P(good_then_bad), 2, 0, P(&number)), FAULT);
    IS(offset(), 0);
    IS(size_of(PATH("f")), 10);
}

static void paths(void)
{
    IS(path_create_directory(3, end, 1), FAULT);
    IS(path_create_directory(3, end - 1, 2), FAULT);
    IS(path_create_directory(3, 0xffffffff, 0xffffffff), FAULT);
    IS(path_unlink_file(3, end - 4, 5), FAULT);
    IS(path_remove_directory(3, end, 9), FAULT);
    IS(path_open(3, 0, end, 1, 0, FD_READ, 0, 0, P(&number)), FAULT);
    IS(path_rename(3, PATH("f"), 3, end, 1), FAULT);
    IS(path_rename(3, end, 1, 3, PATH("g")), FAULT);
    IS(path_link(3, 0, PATH("f"), 3, end, 1), FAULT);
    IS(path_symlink(end, 1, 3, PATH("l")), FAULT);
    IS(path_symlink(PATH("text"), 3, end, 1), FAULT);
    IS(path_filestat_get(3, 0, end, 1, P(buffer)), FAULT);
    IS(path_filestat_set_times(3, 0, end, 1, 0, 0, 0), FAULT);
    IS(path_readlink(3, PATH("link"), end - 1, 4, P(&number)), FAULT);
    IS(path_readlink(3, PATH("link"), P(buffer), 4, end), FAULT);
    IS(path_readlink(3, end, 1, P(buffer), 4, P(&number)), FAULT);
}

static void others(void)
{
    static char subscription[48], event[32];
    IS(fd_readdir(3, end - 10, 11, 0, P(&number)), FAULT);
    IS(fd_readdir(3, P(buffer), 64, 0, end), FAULT);
    IS(fd_readdir(3, 0, 0xffffffff, 0, P(&number)), FAULT);
    IS(poll_oneoff(end, P(event), 1, P(&number)), FAULT);
    IS(poll_oneoff(P(subscription), end - 31, 1, P(&number)), FAULT);
    IS(poll_oneoff(P(subscription), P(event), 1, end), FAULT);
    TRUE(poll_oneoff(P(subscription), P(event), 0x10000000, P(&number)) != SUCCESS);
    TRUE(poll_oneoff(P(subscription), P(event), 0xffffffff, P(&number)) != SUCCESS);
}

/* Nothing is read or written, so the address does not matter; but one past the end is not an address. */
static void nothing_to_touch(void)
{
    struct iov empty[2] = {{end, 0}, {0, 0}};
    struct iov mixed[3] = {{end, 0}, {P(buffer), 4}, {0, 0}};
    IS(fd_read(fd, P(empty), 2, P(&number)), SUCCESS);
    IS(number, 0);
    IS(fd_write(fd, P(empty), 2, P(&number)), SUCCESS);
    IS(fd_read(fd, 0, 0, P(&number)), SUCCESS);
    IS(fd_write(fd, end, 0, P(&number)), SUCCESS);
    IS(fd_read(fd, P(mixed), 3, P(&number)), SUCCESS);
    IS(number, 4);
    IS(memcmp(buffer, "0123", 4), 0);
    IS(random_get(end, 0), SUCCESS);
    IS(random_get(0, 0), SUCCESS);
    IS(fd_readdir(3, end, 0, 0, P(&number)), SUCCESS);
    IS(number, 0);
    IS(path_readlink(3, PATH("link"), end, 0, P(&number)), SUCCESS);
    IS(number, 0);
    IS(path_create_directory(3, end, 0), NOENT);
    IS(path_create_directory(3, 0, 0), NOENT);
}

void checks(void)
{
    end = (u32)__builtin_wasm_memory_size(0) * 65536;
    put_file(PATH("f"), "0123456789", 10);
    IS(path_symlink(PATH("target"), 3, PATH("link")), SUCCESS);
    fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    results();
    nothing_is_done();
    vectors();
    paths();
    others();
    nothing_to_touch();
}
