/*
 * What WASIX has beyond preview1, under the names and with the results of POSIX: -1 and errno. A guest that includes
 * this is a POSIX process on vnode; natively the same names are the kernel's own calls.
 */
#ifndef WASIX_H
#define WASIX_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __wasm__
#include <wasi/api.h>

#define WASIX(name) __attribute__((import_module("wasix_32v1"), import_name(#name)))

WASIX(chdir) uint16_t wasix_chdir(const char *path, size_t len);
WASIX(getcwd) uint16_t wasix_getcwd(char *path, size_t *len);
WASIX(fd_dup) uint16_t wasix_fd_dup(int fd, int *copy);
WASIX(fd_dup2) uint16_t wasix_fd_dup2(int fd, int min, uint8_t close, int *copy);
WASIX(fd_fdflags_get) uint16_t wasix_fd_fdflags_get(int fd, uint16_t *flags);
WASIX(fd_fdflags_set) uint16_t wasix_fd_fdflags_set(int fd, uint16_t flags);
WASIX(fd_pipe) uint16_t wasix_fd_pipe(int *reading, int *writing);
WASIX(fd_event) uint16_t wasix_fd_event(uint64_t initial, uint16_t flags, int *fd);
WASIX(sock_pair) uint16_t wasix_sock_pair(int family, int type, int protocol, int *first, int *second);
WASIX(clock_time_set) uint16_t wasix_clock_time_set(uint32_t clock, uint64_t time);
WASIX(proc_id) uint16_t wasix_proc_id(uint32_t *pid);
WASIX(proc_parent) uint16_t wasix_proc_parent(uint32_t pid, uint32_t *parent);
WASIX(proc_raise) uint16_t wasix_proc_raise(uint8_t signal);
WASIX(proc_signal) uint16_t wasix_proc_signal(uint32_t pid, uint8_t signal);
WASIX(proc_raise_interval) uint16_t wasix_proc_raise_interval(uint8_t signal, uint64_t interval, uint8_t repeats);
WASIX(callback_signal) void wasix_callback_signal(const char *name, size_t len);
WASIX(thread_sleep) uint16_t wasix_thread_sleep(uint64_t time);

/* The terminal, as `tty_get` and `tty_set` have it. */
struct tty {
    uint32_t columns, rows, width, height;
    uint8_t is_stdin, is_stdout, is_stderr, echo, line_buffered;
};

WASIX(tty_get) uint16_t wasix_tty_get(struct tty *tty);
WASIX(tty_set) uint16_t wasix_tty_set(const struct tty *tty);

/* The result of a call that gives an error number. */
static inline int result(uint16_t error, int value)
{
    errno = error;
    return error ? -1 : value;
}

static inline int host_chdir(const char *path)
{
    return result(wasix_chdir(path, strlen(path)), 0);
}

/* getcwd(3), with the room that a NUL needs. */
static inline char *host_getcwd(char *path, size_t room)
{
    size_t len = room;
    uint16_t error = wasix_getcwd(path, &len);
    if (!error && len >= room)
        error = ERANGE;
    errno = error;
    return error ? NULL : path;
}

static inline int host_dup(int fd)
{
    int copy = -1;
    return result(wasix_fd_dup(fd, &copy), copy);
}

/* F_DUPFD, or F_DUPFD_CLOEXEC. */
static inline int host_dup_from(int fd, int min, int close)
{
    int copy = -1;
    return result(wasix_fd_dup2(fd, min, (uint8_t)close, &copy), copy);
}

static inline int host_dup2(int from, int to)
{
    return result(__wasi_fd_renumber((__wasi_fd_t)from, (__wasi_fd_t)to), to);
}

static inline int host_getfd(int fd)
{
    uint16_t flags = 0;
    return result(wasix_fd_fdflags_get(fd, &flags), flags);
}

static inline int host_setfd(int fd, int flags)
{
    return result(wasix_fd_fdflags_set(fd, (uint16_t)flags), 0);
}

static inline int host_pipe(int fds[2])
{
    return result(wasix_fd_pipe(&fds[0], &fds[1]), 0);
}

/* eventfd(2): what counts in ones, or whole, and whether it waits. */
static inline int host_event(unsigned initial, int semaphore, int at_once)
{
    int fd = -1;
    return result(wasix_fd_event(initial, (uint16_t)(semaphore | at_once << 2), &fd), fd);
}

/* WASIX's numbers of families and types. */
enum { FAMILY_NONE = 0, FAMILY_INET = 1, FAMILY_UNIX = 3 };
enum { TYPE_STREAM = 1 };

static inline int host_socketpair(int family, int type, int protocol, int fds[2])
{
    return result(wasix_sock_pair(family, type, protocol, &fds[0], &fds[1]), 0);
}

enum { PEEK = 1, WAITALL = 2, AT_ONCE = 8 };

static inline long host_recv(int fd, void *buffer, size_t room, int flags)
{
    __wasi_iovec_t into = { buffer, room };
    __wasi_size_t count = 0;
    __wasi_roflags_t told = 0;
    return result(__wasi_sock_recv((__wasi_fd_t)fd, &into, 1, (__wasi_riflags_t)flags, &count, &told), (int)count);
}

static inline long host_send(int fd, const void *buffer, size_t length, int flags)
{
    __wasi_ciovec_t from = { buffer, length };
    __wasi_size_t count = 0;
    uint16_t error = __wasi_sock_send((__wasi_fd_t)fd, &from, 1, flags & AT_ONCE ? 1 : 0, &count);
    return result(error, (int)count);
}

/* 1 for reading, 2 for writing, 3 for both. */
static inline int host_shutdown(int fd, int how)
{
    return result(__wasi_sock_shutdown((__wasi_fd_t)fd, (__wasi_sdflags_t)how), 0);
}

static inline int host_settime(int clock, uint64_t time)
{
    return result(wasix_clock_time_set((uint32_t)clock, time), 0);
}

static inline int host_tty_get(struct tty *tty)
{
    return result(wasix_tty_get(tty), 0);
}

static inline int host_tty_set(const struct tty *tty)
{
    return result(wasix_tty_set(tty), 0);
}

static inline int host_getpid(void)
{
    uint32_t pid = 0;
    return result(wasix_proc_id(&pid), (int)pid);
}

static inline int host_raise(int number)
{
    return result(wasix_proc_raise((uint8_t)number), 0);
}

static inline int host_kill(int pid, int number)
{
    return result(wasix_proc_signal((uint32_t)pid, (uint8_t)number), 0);
}

/* SIGALRM after so many milliseconds, or each time that they are over. */
static inline int host_alarm(int milliseconds, int repeats)
{
    return result(wasix_proc_raise_interval(14, (uint64_t)milliseconds * 1000000, (uint8_t)repeats), 0);
}

static inline int host_sleep(int milliseconds)
{
    return result(wasix_thread_sleep((uint64_t)milliseconds * 1000000), 0);
}

/*
 * The linker would make each export a program of its own, which starts the C library and ends it: a handler of signals is
 * called while the program is in the middle of something. It doesn't where a program starts the library itself.
 */
void __wasm_call_ctors(void);
int __main_void(void);

int __original_main(void)
{
    __wasm_call_ctors();
    exit(__main_void());
}

/* Has `handler` called for every signal. */
static void (*signal_handler)(int number);

__attribute__((export_name("__wasm_signal"))) void wasm_signal(int number)
{
    signal_handler(number);
}

static inline void host_handle(void (*handler)(int number))
{
    signal_handler = handler;
    wasix_callback_signal("__wasm_signal", 13);
}
#else
#define host_chdir chdir
#define host_getcwd getcwd
#define host_dup dup
#define host_dup_from(fd, min, close) fcntl(fd, (close) ? F_DUPFD_CLOEXEC : F_DUPFD, min)
#define host_dup2 dup2
#define host_getfd(fd) fcntl(fd, F_GETFD)
#define host_setfd(fd, flags) fcntl(fd, F_SETFD, flags)
#define host_pipe pipe
#define host_recv recv
#define host_send send
#define host_shutdown(fd, how) shutdown(fd, (how) - 1)
#define host_getpid getpid
#define host_raise raise
#define host_kill kill

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

static inline int host_event(unsigned initial, int semaphore, int at_once)
{
    return eventfd(initial, (semaphore ? EFD_SEMAPHORE : 0) | (at_once ? EFD_NONBLOCK : 0));
}

enum { FAMILY_NONE = AF_UNSPEC, FAMILY_INET = AF_INET, FAMILY_UNIX = AF_UNIX };
enum { TYPE_STREAM = SOCK_STREAM };
enum { PEEK = MSG_PEEK, WAITALL = MSG_WAITALL, AT_ONCE = MSG_DONTWAIT };
#define host_socketpair socketpair

static inline int host_settime(int clock, uint64_t time)
{
    struct timespec to = { (time_t)(time / 1000000000), (long)(time % 1000000000) };
    return clock_settime(clock, &to);
}

static inline int host_alarm(int milliseconds, int repeats)
{
    struct timeval time = { milliseconds / 1000, milliseconds % 1000 * 1000 };
    struct itimerval timer = { repeats ? time : (struct timeval){ 0, 0 }, time };
    return setitimer(ITIMER_REAL, &timer, NULL);
}

static inline int host_sleep(int milliseconds)
{
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000L };
    return nanosleep(&time, NULL);
}

static inline void host_handle(void (*handler)(int number))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    for (int number = 1; number < 32; number++)
        sigaction(number, &action, NULL);
}
#endif

/* Linux's numbers, which WASIX has, too. */
enum { USR1 = 10, USR2 = 12, ALRM = 14, TERM = 15, CHLD = 17 };

#endif
