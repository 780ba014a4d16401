/* The module wasi_unstable, where it differs: the order of whence, the 56-byte filestat, the subscriptions. */
#define ABI "wasi_unstable"
#include "raw.h"

enum { CURRENT = 0, END = 1, SET = 2 }; /* whence */

static u32 number;
static u64 wide;
static unsigned char stat[80];
static char buffer[256];

static void seeking(u32 fd)
{
    IS(fd_seek(fd, 4, SET, P(&wide)), SUCCESS);
    IS(wide, 4);
    IS(fd_seek(fd, 2, CURRENT, P(&wide)), SUCCESS);
    IS(wide, 6);
    IS(fd_seek(fd, (u64)-3, END, P(&wide)), SUCCESS);
    IS(wide, 7);
    IS(fd_tell(fd, P(&wide)), SUCCESS);
    IS(wide, 7);
    IS(fd_seek(fd, 0, 3, P(&wide)), INVAL);
    IS(fd_seek(fd, (u64)-1, SET, P(&wide)), INVAL);
}

/* dev 0, ino 8, type 16, nlink 20 (32 bits), size 24, atim 32, mtim 40, ctim 48. */
static void stats(u32 fd)
{
    IS(fd_filestat_set_times(fd, 1111, 2222, 1 | 4), SUCCESS);
    memset(stat, 0x55, sizeof stat);
    IS(fd_filestat_get(fd, P(stat)), SUCCESS);
    IS(stat[16], FILE_TYPE);
    IS(stat[17] | stat[18] | stat[19], 0);
    IS(load32(stat + 20), 2);
    IS(load64(stat + 24), 10);
    IS(load64(stat + 32), 1111);
    IS(load64(stat + 40), 2222);
    IS(stat[56], 0x55);
    unsigned char again[80];
    memset(again, 0x55, sizeof again);
    IS(path_filestat_get(3, FOLLOW, PATH("link"), P(again)), SUCCESS);
    IS(memcmp(stat, again, 80), 0);
    IS(path_filestat_get(3, 0, PATH("link"), P(again)), SUCCESS);
    IS(again[16], LINK_TYPE);
    IS(load64(again + 24), 1);
    IS(again[56], 0x55);
    u32 end = (u32)__builtin_wasm_memory_size(0) * 65536;
    IS(fd_filestat_get(fd, end - 56), SUCCESS);
    IS(fd_filestat_get(fd, end - 55), FAULT);
}

/* userdata 0, type 8, then a clock: identifier 16, id 24, timeout 32, precision 40, flags 48; 56 bytes. */
static void polling(u32 fd)
{
    static char in[2 * 56], out[2 * 32];
    wide = 1000000;
    in[0] = 11;
    in[24] = 1;
    memcpy(in + 32, &wide, 8);
    IS(poll_oneoff(P(in), P(out), 1, P(&number)), SUCCESS);
    IS(number, 1);
    IS(load64(out), 11);
    IS(out[10], 0);
    wide = 100000000000000;
    memcpy(in + 32, &wide, 8);
    in[56] = 22;
    in[56 + 8] = 1;
    memcpy(in + 56 + 16, &fd, 4);
    IS(poll_oneoff(P(in), P(out), 2, P(&number)), SUCCESS);
    IS(number, 1);
    IS(load64(out), 22);
    IS(out[10], 1);
    IS(poll_oneoff(P(in), P(out), 0, P(&number)), INVAL);
}

static void the_rest(void)
{
    u32 used = 0, count = 0, size = 0;
    IS(path_create_directory(3, PATH("d")), SUCCESS);
    IS(path_rename(3, PATH("g"), 3, PATH("d/g")), SUCCESS);
    u32 dir = open_at(PATH("d"), DIRECTORY, FD_READDIR);
    IS(fd_readdir(dir, P(buffer), sizeof buffer, 0, P(&used)), SUCCESS);
    IS(used, 3 * 24 + 1 + 2 + 1);
    IS(load32(buffer + 16), 1);
    IS(fd_close(dir), SUCCESS);
    IS(path_unlink_file(3, PATH("d/g")), SUCCESS);
    IS(path_remove_directory(3, PATH("d")), SUCCESS);
    IS(path_readlink(3, PATH("link"), P(buffer), 10, P(&used)), SUCCESS);
    IS(used, 1);
    IS(args_sizes_get(P(&count), P(&size)), SUCCESS);
    TRUE(count >= 1);
    IS(environ_sizes_get(P(&count), P(&size)), SUCCESS);
    IS(fd_prestat_get(3, P(buffer)), SUCCESS);
    IS(clock_time_get(1, 0, P(&wide)), SUCCESS);
    IS(random_get(P(buffer), 8), SUCCESS);
    IS(fd_renumber(3, 9999), BADF);
    IS(fd_close(9999), BADF);
}

void checks(void)
{
    put_file(PATH("f"), "0123456789", 10);
    IS(path_link(3, 0, PATH("f"), 3, PATH("g")), SUCCESS);
    IS(path_symlink(PATH("f"), 3, PATH("link")), SUCCESS);
    u32 fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    seeking(fd);
    stats(fd);
    polling(fd);
    IS(fd_close(fd), SUCCESS);
    the_rest();
}
