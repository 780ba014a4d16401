/*
 * The WASI functions as the module imports them: numbers only, pointers as the 32-bit numbers they are, so that
 * a guest can pass what no C library would. A guest that includes this is linked without start files and imports
 * nothing but ABI, which it defines first: "wasi_snapshot_preview1" or "wasi_unstable". It checks itself: one
 * line for each check, exit code 1 if one was wrong.
 *
 *     #define ABI "wasi_snapshot_preview1"
 *     #include "raw.h"
 *     void checks(void) { IS(fd_close(99), BADF); }
 */
#ifndef RAW_H
#define RAW_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IMPORT(result, name) __attribute__((import_module(ABI), import_name(#name))) result name
typedef uint32_t u32;
typedef uint64_t u64;

IMPORT(u32, args_get)(u32 argv, u32 buf);
IMPORT(u32, args_sizes_get)(u32 argc, u32 size);
IMPORT(u32, clock_res_get)(u32 id, u32 resolution);
IMPORT(u32, clock_time_get)(u32 id, u64 precision, u32 time);
IMPORT(u32, environ_get)(u32 environ, u32 buf);
IMPORT(u32, environ_sizes_get)(u32 count, u32 size);
IMPORT(u32, fd_advise)(u32 fd, u64 offset, u64 len, u32 advice);
IMPORT(u32, fd_allocate)(u32 fd, u64 offset, u64 len);
IMPORT(u32, fd_close)(u32 fd);
IMPORT(u32, fd_datasync)(u32 fd);
IMPORT(u32, fd_fdstat_get)(u32 fd, u32 stat);
IMPORT(u32, fd_fdstat_set_flags)(u32 fd, u32 flags);
IMPORT(u32, fd_fdstat_set_rights)(u32 fd, u64 base, u64 inheriting);
IMPORT(u32, fd_filestat_get)(u32 fd, u32 stat);
IMPORT(u32, fd_filestat_set_size)(u32 fd, u64 size);
IMPORT(u32, fd_filestat_set_times)(u32 fd, u64 atim, u64 mtim, u32 flags);
IMPORT(u32, fd_pread)(u32 fd, u32 iovs, u32 count, u64 offset, u32 nread);
IMPORT(u32, fd_prestat_dir_name)(u32 fd, u32 path, u32 len);
IMPORT(u32, fd_prestat_get)(u32 fd, u32 prestat);
IMPORT(u32, fd_pwrite)(u32 fd, u32 iovs, u32 count, u64 offset, u32 nwritten);
IMPORT(u32, fd_read)(u32 fd, u32 iovs, u32 count, u32 nread);
IMPORT(u32, fd_readdir)(u32 fd, u32 buf, u32 len, u64 cookie, u32 used);
IMPORT(u32, fd_renumber)(u32 from, u32 to);
IMPORT(u32, fd_seek)(u32 fd, u64 offset, u32 whence, u32 at);
IMPORT(u32, fd_sync)(u32 fd);
IMPORT(u32, fd_tell)(u32 fd, u32 at);
IMPORT(u32, fd_write)(u32 fd, u32 iovs, u32 count, u32 nwritten);
IMPORT(u32, path_create_directory)(u32 fd, u32 path, u32 len);
IMPORT(u32, path_filestat_get)(u32 fd, u32 flags, u32 path, u32 len, u32 stat);
IMPORT(u32, path_filestat_set_times)(u32 fd, u32 flags, u32 path, u32 len, u64 atim, u64 mtim, u32 fst);
IMPORT(u32, path_link)(u32 old, u32 flags, u32 path, u32 len, u32 fd, u32 to, u32 to_len);
IMPORT(u32, path_open)(u32 fd, u32 lookup, u32 path, u32 len, u32 oflags, u64 base, u64 inherit, u32 flags, u32 opened);
IMPORT(u32, path_readlink)(u32 fd, u32 path, u32 len, u32 buf, u32 buf_len, u32 used);
IMPORT(u32, path_remove_directory)(u32 fd, u32 path, u32 len);
IMPORT(u32, path_rename)(u32 fd, u32 path, u32 len, u32 to_fd, u32 to, u32 to_len);
IMPORT(u32, path_symlink)(u32 text, u32 text_len, u32 fd, u32 path, u32 len);
IMPORT(u32, path_unlink_file)(u32 fd, u32 path, u32 len);
IMPORT(u32, poll_oneoff)(u32 in, u32 out, u32 count, u32 happened);
IMPORT(void, proc_exit)(u32 code);
IMPORT(u32, random_get)(u32 buf, u32 len);
IMPORT(u32, sched_yield)(void);
IMPORT(u32, sock_recv)(u32 fd, u32 iovs, u32 count, u32 flags, u32 len, u32 out_flags);
IMPORT(u32, sock_send)(u32 fd, u32 iovs, u32 count, u32 flags, u32 len);
IMPORT(u32, sock_shutdown)(u32 fd, u32 how);

enum {
    SUCCESS = 0, AGAIN = 6, BADF = 8, EXIST = 20, FAULT = 21, FBIG = 22, INVAL = 28, IO = 29, ISDIR = 31, LOOP = 32,
    NAMETOOLONG = 37, NOENT = 44, NOSYS = 52, NOTDIR = 54, NOTEMPTY = 55, NOTSOCK = 57, NOTSUP = 58, OVERFLOW = 61,
    PERM = 63, SPIPE = 70, NOTCAPABLE = 76,
};
enum { CREAT = 1, DIRECTORY = 2, EXCL = 4, TRUNC = 8 };     /* oflags */
enum { FOLLOW = 1 };                                        /* lookupflags */
enum { APPEND = 1 };                                        /* fdflags */
enum { DIR_TYPE = 3, FILE_TYPE = 4, LINK_TYPE = 7 };        /* filetype */

#define RIGHT(bit) ((u64)1 << (bit))
#define FD_READ RIGHT(1)
#define FD_SEEK RIGHT(2)
#define FD_TELL RIGHT(5)
#define FD_WRITE RIGHT(6)
#define PATH_CREATE_FILE RIGHT(10)
#define PATH_OPEN RIGHT(13)
#define FD_READDIR RIGHT(14)
#define PATH_FILESTAT_GET RIGHT(18)
#define FD_FILESTAT_GET RIGHT(21)
#define ALL_RIGHTS (RIGHT(30) - 1)

struct iov {
    u32 at, len;
};

/* A pointer as the number it is; a literal with its length. */
#define P(pointer) ((u32)(uintptr_t)(pointer))
#define PATH(literal) P(literal), (u32)(sizeof(literal) - 1)

static char line[512];
static u32 line_length, wrong_checks, all_checks;

static void put_text(const char *text)
{
    while (*text && line_length < sizeof line)
        line[line_length++] = *text++;
}

static void put_number(u64 number)
{
    char digits[24];
    int at = 24;
    digits[--at] = 0;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    put_text(digits + at);
}

static void end_line(void)
{
    u32 written;
    put_text("\n");
    struct iov iov = {P(line), line_length};
    if (fd_write(1, P(&iov), 1, P(&written)) != SUCCESS)
        __builtin_trap();
    line_length = 0;
}

static void check(const char *text, u64 got, u64 expected, const char *expected_text)
{
    all_checks++;
    put_text(got == expected ? "ok    " : "WRONG ");
    put_text(text);
    put_text(" = ");
    put_text(expected_text);
    if (got != expected) {
        wrong_checks++;
        put_text(" expected, got ");
        put_number(got);
    }
    end_line();
}

#define IS(call, expected) check(#call, (call), (expected), #expected)
#define TRUE(condition) check(#condition, !!(condition), 1, "1")

static inline u32 load32(const void *at)
{
    u32 value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline u64 load64(const void *at)
{
    u64 value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Opens below the first preopened directory; a number no descriptor has if that fails. */
static inline u32 open_at(u32 path, u32 length, u32 oflags, u64 rights)
{
    u32 fd = 0;
    u32 error = path_open(3, FOLLOW, path, length, oflags, rights, ALL_RIGHTS, 0, P(&fd));
    return error ? 1000000 + error : fd;
}

/* Puts `length` bytes into a new file. */
static inline void put_file(u32 path, u32 path_length, const char *bytes, u32 length)
{
    u32 written;
    u32 fd = open_at(path, path_length, CREAT | TRUNC, FD_READ | FD_WRITE);
    struct iov iov = {P(bytes), length};
    if (fd_write(fd, P(&iov), 1, P(&written)) != SUCCESS || fd_close(fd) != SUCCESS)
        __builtin_trap();
}

void checks(void);

__attribute__((export_name("_start"))) void _start(void)
{
    checks();
    put_text(wrong_checks ? "wrong: " : "all as expected: ");
    put_number(wrong_checks ? wrong_checks : all_checks);
    end_line();
    proc_exit(wrong_checks != 0);
}

#endif
