/* preview1 calls that no C library reaches, or whose numbers it hides. */
#define ABI "wasi_snapshot_preview1"
#include "raw.h"

static u32 number;
static u64 wide;
static char stat[64], buffer[4096];
static struct iov iov;

static void descriptors(void)
{
    u32 a = open_at(PATH("f"), 0, FD_READ), b = open_at(PATH("f"), 0, FD_READ);
    IS(fd_fdstat_get(a, P(stat)), SUCCESS);
    IS(stat[0], FILE_TYPE);
    IS(stat[1], 0);
    IS(load32(stat + 4), 0);
    IS(fd_renumber(a, 9999), BADF);
    IS(fd_renumber(9999, a), BADF);
    IS(fd_renumber(a, a), SUCCESS);
    IS(fd_renumber(a, b), SUCCESS);
    IS(fd_tell(a, P(&wide)), BADF);
    IS(fd_tell(b, P(&wide)), SUCCESS);
    IS(fd_close(b), SUCCESS);
    IS(fd_close(b), BADF);
    IS(fd_close(0xffffffff), BADF);
    IS(fd_renumber(0xffffffff, 0xfffffffe), BADF);
    IS(fd_fdstat_get(3, P(stat)), SUCCESS);
    IS(stat[0], DIR_TYPE);
}

static void preopens(void)
{
    memset(buffer, 0x55, 8);
    IS(fd_prestat_get(3, P(buffer)), SUCCESS);
    IS(buffer[0], 0);
    TRUE(buffer[1] == 0 && buffer[2] == 0 && buffer[3] == 0);
    IS(load32(buffer + 4), 1);
    IS(fd_prestat_dir_name(3, P(buffer), 1), SUCCESS);
    IS(buffer[0], '/');
    IS(fd_prestat_dir_name(3, P(buffer), 0), NAMETOOLONG);
    IS(fd_prestat_get(4, P(buffer)), BADF);
    IS(fd_prestat_get(0, P(buffer)), BADF);
    u32 dir = open_at(PATH("d"), DIRECTORY, FD_READDIR);
    IS(fd_prestat_get(dir, P(buffer)), BADF);
    IS(fd_close(dir), SUCCESS);
}

static void flags(void)
{
    u32 fd;
    IS(path_open(3, 2, PATH("f"), 0, FD_READ, 0, 0, P(&fd)), INVAL);
    IS(path_open(3, 0, PATH("f"), 16, FD_READ, 0, 0, P(&fd)), INVAL);
    IS(path_open(3, 0, PATH("f"), 0, FD_READ, 0, 32, P(&fd)), INVAL);
    IS(path_open(3, 0, PATH("new"), CREAT | DIRECTORY, FD_READ, 0, 0, P(&fd)), INVAL);
    IS(path_filestat_get(3, 0, PATH("new"), P(stat)), NOENT);
    fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    IS(fd_seek(fd, 0, 3, P(&wide)), INVAL);
    IS(fd_seek(fd, 4, 0, P(&wide)), SUCCESS);
    IS(wide, 4);
    IS(fd_seek(fd, (u64)-1, 1, P(&wide)), SUCCESS);
    IS(wide, 3);
    IS(fd_seek(fd, (u64)-1, 2, P(&wide)), SUCCESS);
    IS(wide, 9);
    IS(fd_seek(fd, (u64)-1, 0, P(&wide)), INVAL);
    IS(fd_advise(fd, 0, 0, 6), INVAL);
    IS(fd_advise(fd, 0, 0, 5), SUCCESS);
    IS(fd_allocate(fd, 0, 0), INVAL);
    IS(fd_allocate(fd, (u64)-1, 1), INVAL);
    IS(fd_filestat_set_size(fd, (u64)-1), INVAL);
    IS(fd_filestat_set_size(fd, (u64)1 << 63), INVAL);
    IS(fd_fdstat_set_flags(fd, 32), INVAL);
    IS(fd_filestat_set_times(fd, 1, 1, 1 | 2), INVAL);
    IS(fd_filestat_set_times(fd, 1, 1, 4 | 8), INVAL);
    IS(fd_filestat_set_times(fd, 1, 1, 16), INVAL);
    IS(fd_filestat_set_times(fd, (u64)1000000000 * 60, (u64)1000000000 * 90 + 7, 1 | 4), SUCCESS);
    IS(fd_filestat_get(fd, P(stat)), SUCCESS);
    IS(load64(stat + 40), 60000000000);
    IS(load64(stat + 48), 90000000007);
    IS(fd_filestat_set_times(fd, (u64)-1, (u64)-1, 1 | 4), SUCCESS);
    IS(fd_filestat_get(fd, P(stat)), SUCCESS);
    IS(fd_close(fd), SUCCESS);
}

static void boundaries(void)
{
    u32 fd;
    char stat_of_root[64];
    IS(path_open(3, FOLLOW, PATH("/f"), 0, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    IS(path_open(3, FOLLOW, PATH("../f"), 0, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    IS(path_open(3, FOLLOW, PATH("d/../../f"), 0, FD_READ, 0, 0, P(&fd)), NOTCAPABLE);
    IS(path_filestat_get(3, 0, PATH(".."), P(stat)), NOTCAPABLE);
    IS(path_create_directory(3, PATH("/x")), NOTCAPABLE);
    IS(path_create_directory(3, PATH("../x")), NOTCAPABLE);
    IS(path_rename(3, PATH("f"), 3, PATH("../g")), NOTCAPABLE);
    IS(path_rename(3, PATH("/f"), 3, PATH("g")), NOTCAPABLE);
    IS(path_unlink_file(3, PATH("/f")), NOTCAPABLE);
    u32 dir = open_at(PATH("d"), DIRECTORY, FD_READDIR);
    IS(path_filestat_get(dir, 0, PATH("../f"), P(stat)), NOTCAPABLE);
    /* What a link says is the process root's matter, not the descriptor's. */
    IS(path_symlink(PATH("/f"), dir, PATH("abs")), SUCCESS);
    IS(path_symlink(PATH("../f"), dir, PATH("up")), SUCCESS);
    IS(path_symlink(PATH("../../../../f"), dir, PATH("far")), SUCCESS);
    IS(path_filestat_get(3, 0, PATH("f"), P(stat_of_root)), SUCCESS);
    IS(path_filestat_get(dir, FOLLOW, PATH("abs"), P(stat)), SUCCESS);
    IS(memcmp(stat, stat_of_root, 16), 0);
    IS(path_filestat_get(dir, FOLLOW, PATH("up"), P(stat)), SUCCESS);
    IS(path_filestat_get(dir, FOLLOW, PATH("far"), P(stat)), SUCCESS);
    IS(memcmp(stat, stat_of_root, 16), 0);
    IS(path_filestat_get(3, 0, PATH("f\0g"), P(stat)), INVAL);
    IS(path_create_directory(3, PATH("a\0b")), INVAL);
    IS(path_symlink(PATH("a\0b"), 3, PATH("l")), INVAL);
    IS(fd_close(dir), SUCCESS);
}

static void polling(void)
{
    static char in[3 * 48], out[3 * 32];
    memset(in, 0, sizeof in);
    IS(poll_oneoff(P(in), P(out), 0, P(&number)), INVAL);
    /* A clock of 1 ms, relative and monotonic. */
    in[0] = 11;
    in[16] = 1;
    wide = 1000000;
    memcpy(in + 24, &wide, 8);
    IS(poll_oneoff(P(in), P(out), 1, P(&number)), SUCCESS);
    IS(number, 1);
    IS(load64(out), 11);
    IS(load32(out + 8), 0);
    /* The same with a file that is ready: only the file happens. */
    wide = 100000000000000;
    memcpy(in + 24, &wide, 8);
    u32 fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    in[48] = 22;
    in[48 + 8] = 1;
    memcpy(in + 48 + 16, &fd, 4);
    u32 closed = 7777;
    in[96] = 33;
    in[96 + 8] = 2;
    memcpy(in + 96 + 16, &closed, 4);
    IS(poll_oneoff(P(in), P(out), 2, P(&number)), SUCCESS);
    IS(number, 1);
    IS(load64(out), 22);
    IS(out[10], 1);
    IS(load64(out + 16), 10);
    IS(poll_oneoff(P(in), P(out), 3, P(&number)), SUCCESS);
    IS(number, 2);
    IS(load64(out + 32), 33);
    IS(load32(out + 32 + 8) & 0xffff, BADF);
    /* Clocks and tags that are not there. */
    in[16] = 77;
    TRUE(poll_oneoff(P(in), P(out), 1, P(&number)) == INVAL || (out[8] == INVAL && number == 1));
    in[8] = 3;
    IS(poll_oneoff(P(in), P(out), 1, P(&number)), INVAL);
    IS(fd_close(fd), SUCCESS);
}

static void clocks_and_random(void)
{
    u64 a = 0, b = 0;
    for (u32 id = 0; id < 4; id++) {
        IS(clock_time_get(id, 0, P(&a)), SUCCESS);
        IS(clock_time_get(id, (u64)-1, P(&b)), SUCCESS);
        TRUE(id == 0 || b >= a);
        IS(clock_res_get(id, P(&a)), SUCCESS);
        TRUE(a > 0 && a <= 10000000);
    }
    IS(clock_time_get(4, 0, P(&a)), INVAL);
    IS(clock_res_get(0xffffffff, P(&a)), INVAL);
    IS(random_get(P(buffer), sizeof buffer), SUCCESS);
    u32 zeros = 0;
    for (u32 i = 0; i < sizeof buffer; i++)
        zeros += buffer[i] == 0;
    TRUE(zeros < 64);
    IS(sched_yield(), SUCCESS);
}

static void sockets(void)
{
    u32 fd = open_at(PATH("f"), 0, FD_READ | FD_WRITE);
    IS(sock_recv(fd, P(&iov), 1, 0, P(&number), P(&wide)), NOTSOCK);
    IS(sock_send(fd, P(&iov), 1, 0, P(&number)), NOTSOCK);
    IS(sock_shutdown(fd, 1), NOTSOCK);
    IS(sock_shutdown(7777, 1), BADF);
    IS(fd_close(fd), SUCCESS);
}

static void links(void)
{
    static char long_text[4096];
    memset(long_text, 'x', sizeof long_text);
    IS(path_symlink(P(long_text), 4095, 3, PATH("long")), SUCCESS);
    IS(path_symlink(P(long_text), 4096, 3, PATH("longer")), NAMETOOLONG);
    IS(path_symlink(P(long_text), 0, 3, PATH("empty")), NOENT);
    IS(path_readlink(3, PATH("long"), P(buffer), 100, P(&number)), SUCCESS);
    IS(number, 100);
    IS(path_readlink(3, PATH("long"), P(buffer), 4096, P(&number)), SUCCESS);
    IS(number, 4095);
    IS(path_readlink(3, PATH("f"), P(buffer), 10, P(&number)), INVAL);
    IS(path_filestat_get(3, 0, PATH("long"), P(stat)), SUCCESS);
    IS(stat[16], LINK_TYPE);
    IS(load64(stat + 32), 4095);
}

void checks(void)
{
    iov.at = P(buffer);
    iov.len = 2;
    put_file(PATH("f"), "0123456789", 10);
    IS(path_create_directory(3, PATH("d")), SUCCESS);
    descriptors();
    preopens();
    flags();
    boundaries();
    polling();
    clocks_and_random();
    sockets();
    links();
}
