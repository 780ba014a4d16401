/* fd_readdir on the wire: records, a truncated last one, resuming from every cookie with every buffer size. */
#define ABI "wasi_snapshot_preview1"
#include "raw.h"

enum { HEADER = 24, ENTRIES = 40 };

struct entry {
    u64 cookie, inode;
    u32 length;
    uint8_t type;
    char name[64];
};

static char buffer[65536];
static struct entry listed[ENTRIES + 8];

/* Reads one whole record at `cookie` if the buffer of `length` bytes holds it; its size, 0 at the end. */
static u32 one(u32 fd, u64 cookie, u32 length, struct entry *out)
{
    u32 used = 0;
    memset(buffer, 0x55, length + 64);
    if (fd_readdir(fd, P(buffer), length, cookie, P(&used)))
        return 0xffffffff;
    if (used > length)
        return 0xfffffffe;
    for (u32 i = used; i < length + 64; i++)
        if (buffer[i] != 0x55)
            return 0xfffffffd; /* wrote behind what it says it used */
    if (used < HEADER)
        return used == length ? used : 0;
    out->cookie = load64(buffer);
    out->inode = load64(buffer + 8);
    out->length = load32(buffer + 16);
    out->type = (uint8_t)buffer[20];
    if (buffer[21] | buffer[22] | buffer[23])
        return 0xfffffffc; /* padding that is not zero */
    if (out->length < sizeof out->name && used >= HEADER + out->length) {
        memcpy(out->name, buffer + HEADER, out->length);
        out->name[out->length] = 0;
    }
    return used;
}

static void fill(u32 dir)
{
    char name[40];
    for (int i = 0; i < ENTRIES; i++) {
        u32 fd, length = (u32)(2 + i * 7 % 29);
        memset(name, 'a' + i % 26, sizeof name);
        name[0] = (char)('A' + i / 26);
        if (path_open(dir, 0, P(name), length, CREAT | EXCL, FD_WRITE, 0, 0, P(&fd)) || fd_close(fd))
            __builtin_trap();
    }
}

static u32 list_all(u32 dir)
{
    u32 count = 0;
    u64 cookie = 0;
    while (count < ENTRIES + 8) {
        struct entry *e = &listed[count];
        if (one(dir, cookie, HEADER + 64, e) < HEADER)
            break;
        cookie = e->cookie;
        count++;
    }
    return count;
}

/* From each cookie the same entry follows, whatever came before. */
static u32 resumes_wrong(u32 dir, u32 count)
{
    u32 wrong = 0;
    for (u32 i = count; i-- > 1;) {
        struct entry e = {0};
        u32 used = one(dir, listed[i - 1].cookie, HEADER + 64, &e);
        wrong += used < HEADER || e.cookie != listed[i].cookie || e.length != listed[i].length ||
                 memcmp(e.name, listed[i].name, e.length) || e.inode != listed[i].inode || e.type != listed[i].type;
    }
    return wrong;
}

/* With each buffer size, bytes are the prefix of the whole listing and the buffer is full unless at the end. */
static u32 sizes_wrong(u32 dir)
{
    static char whole[8192], part[8192];
    u32 total = 0, used = 0, wrong = 0;
    if (fd_readdir(dir, P(whole), sizeof whole, 0, P(&total)))
        return 1000000;
    for (u32 length = 0; length < total + 3; length++) {
        memset(part, 0x33, sizeof part);
        wrong += fd_readdir(dir, P(part), length, 0, P(&used)) != SUCCESS;
        wrong += used != (length < total ? length : total);
        wrong += memcmp(part, whole, used) != 0;
        wrong += part[used] != 0x33;
    }
    return wrong;
}

/* The loop of a C library: on a truncated record, asks again from that record. */
static u32 walk(u32 dir, u32 length)
{
    u32 count = 0, used = 0;
    u64 cookie = 0;
    for (;;) {
        if (fd_readdir(dir, P(buffer), length, cookie, P(&used)))
            return 1000000;
        u32 at = 0;
        while (used - at >= HEADER && used - at >= HEADER + load32(buffer + at + 16)) {
            cookie = load64(buffer + at);
            at += HEADER + load32(buffer + at + 16);
            count++;
        }
        if (used < length)
            return count;
        if (at == 0)
            return 2000000;
    }
}

void checks(void)
{
    u32 dir, used;
    char stat[64];
    struct entry e = {0};
    IS(path_create_directory(3, PATH("d")), SUCCESS);
    IS(path_open(3, 0, PATH("d"), DIRECTORY, ALL_RIGHTS, ALL_RIGHTS, 0, P(&dir)), ISDIR);
    IS(path_open(3, 0, PATH("d"), DIRECTORY, FD_READ | FD_READDIR, ALL_RIGHTS, 0, P(&dir)), SUCCESS);
    fill(dir);

    u32 count = list_all(dir);
    IS(count, ENTRIES + 2);
    IS(listed[0].length == 1 && listed[0].name[0] == '.', 1);
    IS(listed[1].length == 2 && !memcmp(listed[1].name, "..", 2), 1);
    IS(listed[0].type, DIR_TYPE);
    IS(listed[2].type, FILE_TYPE);
    IS(fd_filestat_get(dir, P(stat)), SUCCESS);
    TRUE(listed[0].inode == load64(stat + 8));
    IS(path_filestat_get(dir, 0, P(listed[5].name), listed[5].length, P(stat)), SUCCESS);
    TRUE(listed[5].inode == load64(stat + 8));
    IS(resumes_wrong(dir, count), 0);
    IS(sizes_wrong(dir), 0);
    IS(walk(dir, 64), ENTRIES + 2);
    IS(walk(dir, 100), ENTRIES + 2);
    IS(walk(dir, 4096), ENTRIES + 2);
    IS(walk(dir, sizeof buffer), ENTRIES + 2);

    /* A cookie whose entry is gone still has its place. */
    IS(path_unlink_file(dir, P(listed[10].name), listed[10].length), SUCCESS);
    IS(one(dir, listed[9].cookie, HEADER + 64, &e) >= HEADER && e.cookie == listed[11].cookie, 1);
    IS(one(dir, listed[10].cookie, HEADER + 64, &e) >= HEADER && e.cookie == listed[11].cookie, 1);
    IS(walk(dir, 64), ENTRIES + 1);

    /* The end, and cookies that were never given. */
    IS(fd_readdir(dir, P(buffer), 100, listed[count - 1].cookie, P(&used)), SUCCESS);
    IS(used, 0);
    TRUE(fd_readdir(dir, P(buffer), 100, (u64)-1, P(&used)) == SUCCESS ? used <= 100 : 1);
    TRUE(fd_readdir(dir, P(buffer), 100, (u64)1 << 63, P(&used)) == SUCCESS ? used <= 100 : 1);

    /* What is no directory. */
    put_file(PATH("f"), "x", 1);
    u32 file = open_at(PATH("f"), 0, FD_READ);
    IS(fd_readdir(file, P(buffer), 100, 0, P(&used)), NOTDIR);
    IS(fd_readdir(77, P(buffer), 100, 0, P(&used)), BADF);

    /* A directory that is gone has no entries. */
    IS(path_create_directory(3, PATH("gone")), SUCCESS);
    IS(path_open(3, 0, PATH("gone"), DIRECTORY, FD_READDIR, 0, 0, P(&dir)), SUCCESS);
    IS(path_remove_directory(3, PATH("gone")), SUCCESS);
    TRUE(fd_readdir(dir, P(buffer), 100, 0, P(&used)) == NOENT || used == 0);
}
