/*
 * Processes, under the names of POSIX with results of -1 and errno: posix_spawn, execve, waitpid. On vnode they are
 * WASIX's, natively the kernel's own.
 *
 * A guest that spawns finds programs at /bin: itself under its own name, and natively as well (the test puts it there).
 */
#ifndef PROCESSES_H
#define PROCESSES_H

#include "guest.h"
#include "wasix.h"

/* What a child does before its program runs, in the order given. */
enum { CLOSES = 0, DUPS = 1, OPENS = 2, GOES = 3, GOES_TO = 4 };

struct action {
    int what;
    int fd;
    int from;
    const char *path;
    int flags;
};

#define CLOSE(fd) { CLOSES, fd, 0, NULL, 0 }
#define DUP(from, to) { DUPS, to, from, NULL, 0 }
#define OPEN(fd, path, flags) { OPENS, fd, 0, path, flags }
#define GO(path) { GOES, 0, 0, path, 0 }
#define GO_TO(fd) { GOES_TO, fd, 0, NULL, 0 }

/* How a program is found. */
enum { BY_PATH = 0, SEARCHED = 1 };

#ifdef __wasm__

struct wire_action {
    uint8_t what;
    uint32_t fd, from;
    const char *path;
    uint32_t path_len;
    uint32_t dirflags;
    uint16_t oflags;
    uint64_t rights, inheriting;
    uint16_t fdflags, fdflagsext;
};

struct wire_disposition {
    uint8_t number, disposition;
};

struct wire_pid {
    uint8_t tag;
    uint32_t pid;
};

struct wire_status {
    uint8_t tag;
    uint8_t status[4] __attribute__((aligned(2)));
};

WASIX(proc_spawn3)
uint16_t wasix_proc_spawn3(const char *name, size_t name_len, char *const *args, size_t args_len, char *const *envs,
                           size_t envs_len, const struct wire_action *actions, size_t actions_len,
                           const struct wire_disposition *signals, size_t signals_len, uint8_t search, const char *path,
                           size_t path_len, uint32_t *pid);
WASIX(proc_spawn2)
uint16_t wasix_proc_spawn2(const char *name, size_t name_len, const char *args, size_t args_len, const char *envs,
                           size_t envs_len, const struct wire_action *actions, size_t actions_len,
                           const struct wire_disposition *signals, size_t signals_len, uint8_t search, const char *path,
                           size_t path_len, uint32_t *pid);
WASIX(proc_exec3)
uint16_t wasix_proc_exec3(const char *name, size_t name_len, const char *args, size_t args_len, const char *envs,
                          size_t envs_len, uint8_t search, const char *path, size_t path_len);
WASIX(proc_exec4)
uint16_t wasix_proc_exec4(const char *name, size_t name_len, char *const *args, size_t args_len, char *const *envs,
                          size_t envs_len, uint8_t search, const char *path, size_t path_len);
WASIX(proc_join) uint16_t wasix_proc_join(struct wire_pid *pid, uint32_t flags, struct wire_status *status);
WASIX(proc_signals_sizes_get) uint16_t wasix_proc_signals_sizes_get(size_t *count);
WASIX(proc_signals_get) uint16_t wasix_proc_signals_get(struct wire_disposition *signals);

static inline size_t count_of(char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

/* Strings one after the other, each ended by a newline. */
static inline char *joined(char *const *list)
{
    size_t length = 1;
    for (size_t index = 0; list && list[index]; index++)
        length += strlen(list[index]) + 1;
    char *text = malloc(length), *end = text;
    for (size_t index = 0; list && list[index]; index++) {
        size_t part = strlen(list[index]);
        memcpy(end, list[index], part);
        end[part] = '\n';
        end += part + 1;
    }
    *end = 0;
    return text;
}

/* Whether lists go as text, a line each, as older programs have it. */
static int as_text;

static inline int host_spawn_ignoring(int *pid, int search, const char *path, char *const *args, char *const *envs,
                                      const struct action *actions, int count, const int *ignored, int ignored_count)
{
    /* What the parent has said comes before what the child says. */
    fflush(stdout);
    static struct wire_action wire[64];
    static struct wire_disposition signals[32];
    memset(wire, 0, sizeof wire);
    for (int index = 0; index < count && index < 64; index++) {
        const struct action *action = &actions[index];
        struct wire_action *to = &wire[index];
        int access = action->flags & O_ACCMODE;
        to->what = (uint8_t)action->what;
        to->fd = (uint32_t)action->fd;
        to->from = (uint32_t)action->from;
        to->path = action->path;
        to->path_len = action->path ? strlen(action->path) : 0;
        to->dirflags = action->flags & O_NOFOLLOW ? 0 : 1;
        to->oflags = (action->flags >> 12) & 0xf;
        to->fdflags = action->flags & 0xfff;
        to->rights = (access != O_WRONLY ? __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_READDIR : 0) |
                     (access != O_RDONLY ? __WASI_RIGHTS_FD_WRITE : 0);
    }
    for (int index = 0; index < ignored_count; index++)
        signals[index] = (struct wire_disposition){ (uint8_t)ignored[index], 1 };
    const char *directories = getenv("PATH");
    size_t directories_len = directories ? strlen(directories) : 0;
    uint32_t child = 0;
    uint16_t error;
    if (as_text) {
        char *arguments = joined(args), *variables = envs ? joined(envs) : NULL;
        error = wasix_proc_spawn2(path, strlen(path), arguments, strlen(arguments), variables,
                                  variables ? strlen(variables) : 0, wire, (size_t)count, ignored ? signals : NULL,
                                  (size_t)ignored_count, (uint8_t)search, directories, directories_len, &child);
        free(arguments);
        free(variables);
    } else {
        error = wasix_proc_spawn3(path, strlen(path), args, count_of(args), envs, count_of(envs), wire, (size_t)count,
                                  ignored ? signals : NULL, (size_t)ignored_count, (uint8_t)search, directories,
                                  directories_len, &child);
    }
    if (!error)
        *pid = (int)child;
    return result(error, 0);
}

/* execve(2), or execvpe(3). Without variables those of the process stay. */
static inline int host_exec(int search, const char *path, char *const *args, char *const *envs)
{
    const char *directories = getenv("PATH");
    size_t directories_len = directories ? strlen(directories) : 0;
    if (as_text) {
        char *arguments = joined(args), *variables = envs ? joined(envs) : NULL;
        uint16_t error = wasix_proc_exec3(path, strlen(path), arguments, strlen(arguments), variables,
                                          variables ? strlen(variables) : 0, (uint8_t)search, directories,
                                          directories_len);
        free(arguments);
        free(variables);
        return result(error, 0);
    }
    return result(wasix_proc_exec4(path, strlen(path), args, count_of(args), envs, count_of(envs), (uint8_t)search,
                                   directories, directories_len), 0);
}

/* waitpid(2): the status is that of the child, or 1000 and the number of the signal that ended it. */
static inline int host_wait(int pid, int *status, int at_once)
{
    struct wire_pid who = { pid > 0, 0 };
    struct wire_status how = { 0, { 0 } };
    who.pid = (uint32_t)pid;
    uint16_t error = wasix_proc_join(&who, at_once ? 1 : 0, &how);
    if (!error && how.tag)
        *status = how.tag == 2 ? 1000 + how.status[2] : how.status[0] | how.status[1] << 8;
    return result(error, how.tag ? (int)who.pid : 0);
}

static inline int host_getppid(void)
{
    uint32_t parent = 0;
    return result(wasix_proc_parent((uint32_t)host_getpid(), &parent), (int)parent);
}

/* Whether a signal is ignored from the start. */
static inline int is_ignored(int number)
{
    size_t count = 0;
    static struct wire_disposition signals[64];
    wasix_proc_signals_sizes_get(&count);
    if (count <= 64)
        wasix_proc_signals_get(signals);
    for (size_t index = 0; index < count && index < 64; index++)
        if (signals[index].number == number)
            return signals[index].disposition == 1;
    return 0;
}

#else

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static int as_text;

static inline int host_spawn_ignoring(int *pid, int search, const char *path, char *const *args, char *const *envs,
                                      const struct action *actions, int count, const int *ignored, int ignored_count)
{
    fflush(stdout);
    posix_spawn_file_actions_t list;
    posix_spawn_file_actions_init(&list);
    int error = 0;
    for (int index = 0; index < count && !error; index++) {
        const struct action *action = &actions[index];
        switch (action->what) {
        case CLOSES: error = posix_spawn_file_actions_addclose(&list, action->fd); break;
        case DUPS: error = posix_spawn_file_actions_adddup2(&list, action->from, action->fd); break;
        case OPENS: error = posix_spawn_file_actions_addopen(&list, action->fd, action->path, action->flags, 0666); break;
        case GOES: error = posix_spawn_file_actions_addchdir_np(&list, action->path); break;
        case GOES_TO: error = posix_spawn_file_actions_addfchdir_np(&list, action->fd); break;
        }
    }
    /* posix_spawn(3) can set the default only: what is ignored is inherited. */
    for (int index = 0; index < ignored_count; index++)
        signal(ignored[index], SIG_IGN);
    pid_t child = 0;
    char *const *variables = envs ? envs : environ;
    if (!error)
        error = search ? posix_spawnp(&child, path, &list, NULL, args, variables)
                       : posix_spawn(&child, path, &list, NULL, args, variables);
    for (int index = 0; index < ignored_count; index++)
        signal(ignored[index], SIG_DFL);
    posix_spawn_file_actions_destroy(&list);
    errno = error;
    if (error)
        return -1;
    *pid = child;
    return 0;
}

static inline int host_exec(int search, const char *path, char *const *args, char *const *envs)
{
    char *const *variables = envs ? envs : environ;
    return search ? execvpe(path, args, variables) : execve(path, args, variables);
}

static inline int host_wait(int pid, int *status, int at_once)
{
    int how = 0, ended = waitpid(pid > 0 ? pid : -1, &how, at_once ? WNOHANG : 0);
    if (ended > 0)
        *status = WIFSIGNALED(how) ? 1000 + WTERMSIG(how) : WEXITSTATUS(how);
    return ended;
}

#define host_getppid getppid

/* A test may be run where signals are ignored (nohup(1)), and that is inherited. */
__attribute__((constructor)) static void default_signals(void)
{
    /* What the guest itself has its children inherit is tested: only the first is told its root. */
    for (int number = 1; number < 32 && getenv("GUEST_ROOT"); number++)
        signal(number, SIG_DFL);
}

static inline int is_ignored(int number)
{
    struct sigaction action;
    sigaction(number, NULL, &action);
    return action.sa_handler == SIG_IGN;
}
#endif

static inline int host_spawn(int *pid, const char *path, char *const *args, const struct action *actions, int count)
{
    return host_spawn_ignoring(pid, BY_PATH, path, args, NULL, actions, count, NULL, 0);
}

/* Waits for one child and prints its status. */
static inline void wait_and_tell(const char *what, int pid)
{
    int status = -1;
    fflush(stdout);
    int ended = host_wait(pid, &status, 0);
    if (ended != pid)
        printf("%s: waited for another\n", what);
    else if (status >= 1000)
        printf("%s: signal %d\n", what, status - 1000);
    else
        printf("%s: status %d\n", what, status);
}

/* Waits until another process has made a file in the scratch directory, for a minute at most. */
static inline void until_there(const char *name)
{
    struct stat st;
    for (int turn = 0; fstatat(w, name, &st, 0) == -1; turn++) {
        if (turn == 30000) {
            printf("cannot go on: nobody makes %s\n", name);
            exit(99);
        }
        host_sleep(2);
    }
}

/* Spawns, waits and tells. */
static inline int runs(const char *what, const char *path, char *const *args, const struct action *actions, int count)
{
    int pid = -1;
    fflush(stdout);
    if (host_spawn(&pid, path, args, actions, count) == -1) {
        printf("%s: %s\n", what, error_name(errno));
        return -1;
    }
    wait_and_tell(what, pid);
    return 0;
}

#define ARGS(...) ((char *[]){ __VA_ARGS__, NULL })
#define ACTIONS(...) ((struct action[]){ __VA_ARGS__ }), sizeof((struct action[]){ __VA_ARGS__ }) / sizeof(struct action)
#define NONE NULL, 0

#endif
