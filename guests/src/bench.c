/*
 * What filesystem calls cost: `bench SCRATCH [PERCENT [OPERATION...]]`.
 *
 * Each operation is prepared, repeated, checked and cleared away; only the repetition is timed. With PERCENT (of
 * the usual number of repetitions) it prints `operation repetitions nanoseconds digest`; without, a few repetitions
 * are made and the digest alone is printed. The digest is of what the calls gave, and the same everywhere.
 *
 * Paths are relative to a descriptor, so that the same text is walked natively and on every runtime.
 */
#include "guest.h"
#include <time.h>

enum { FILE_SIZE = 1 << 20, PIECE = 65536, SEQUENTIAL = 64 << 20, ENTRIES = 1000, DEPTH = 12, CHAIN = 8 };

static unsigned char buffer[PIECE];
static char deep[3 * DEPTH + 8];
static int fd = -1;

/* Ends the program: a result that is wrong makes every time worthless. */
static void wrong(const char *what)
{
    printf("wrong: %s (%s)\n", what, error_name(errno));
    exit(1);
}

#define MUST(condition) do { if (!(condition)) wrong(#condition); } while (0)

static uint64_t digest(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x100000001b3u;
}

static void make(const char *path, size_t size)
{
    int made = (int)NEED(openat(w, path, O_RDWR | O_CREAT | O_TRUNC, 0644));
    for (size_t done = 0; done < size; done += PIECE) {
        size_t piece = size - done < PIECE ? size - done : PIECE;
        MUST(write(made, buffer, piece) == (ssize_t)piece);
    }
    close(made);
}

/* The tree that every operation finds: a file `f`, one below twelve directories, links to it. */
static void plant(void)
{
    char path[32], target[32];
    for (int i = 0; i < PIECE; i++)
        buffer[i] = (unsigned char)(i * 7 + i / 256);
    make("f", FILE_SIZE);
    for (int i = 0; i + 1 < DEPTH; i++) {
        strcat(deep, i ? "/d" : "d");
        NEED(mkdirat(w, deep, 0755));
    }
    strcat(deep, "/f");
    make(deep, 4096);
    NEED(symlinkat("f", w, "l1"));
    for (int i = 2; i <= CHAIN; i++) {
        snprintf(path, sizeof path, "l%d", i);
        snprintf(target, sizeof target, "l%d", i - 1);
        NEED(symlinkat(target, w, path));
    }
}

static void clear_away(void)
{
    char path[32];
    for (int i = 1; i <= CHAIN; i++) {
        snprintf(path, sizeof path, "l%d", i);
        NEED(unlinkat(w, path, 0));
    }
    NEED(unlinkat(w, deep, 0));
    for (char *slash; (slash = strrchr(deep, '/')); NEED(unlinkat(w, deep, AT_REMOVEDIR)))
        *slash = 0;
    NEED(unlinkat(w, "f", 0));
}

static uint64_t stats(const char *path, long n)
{
    struct stat st;
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        MUST(fstatat(w, path, &st, 0) == 0);
        sum += (uint64_t)st.st_size;
    }
    return sum;
}

static uint64_t stat_1(long n) { return stats("f", n); }
static uint64_t stat_12(long n) { return stats(deep, n); }
static uint64_t stat_link(long n) { return stats("l1", n); }
static uint64_t stat_chain(long n) { return stats("l8", n); }

static uint64_t stat_missing(long n)
{
    struct stat st;
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        MUST(fstatat(w, "missing", &st, 0) == -1 && errno == ENOENT);
        sum++;
    }
    return sum;
}

static uint64_t fstat_(long n)
{
    struct stat st;
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        MUST(fstat(fd, &st) == 0);
        sum += (uint64_t)st.st_size;
    }
    return sum;
}

static uint64_t open_close(long n)
{
    for (long i = 0; i < n; i++) {
        int opened = openat(w, "f", O_RDONLY);
        MUST(opened >= 0);
        MUST(close(opened) == 0);
    }
    return (uint64_t)n;
}

static uint64_t readlink_(long n)
{
    char text[64];
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        ssize_t length = readlinkat(w, "l8", text, sizeof text);
        MUST(length == 2);
        sum += (uint64_t)text[1];
    }
    return sum;
}

static uint64_t symlink_unlink(long n)
{
    for (long i = 0; i < n; i++) {
        MUST(symlinkat("f", w, "new") == 0);
        MUST(unlinkat(w, "new", 0) == 0);
    }
    return (uint64_t)n;
}

static uint64_t create_unlink(long n)
{
    for (long i = 0; i < n; i++) {
        int made = openat(w, "new", O_RDWR | O_CREAT | O_EXCL, 0644);
        MUST(made >= 0);
        MUST(close(made) == 0);
        MUST(unlinkat(w, "new", 0) == 0);
    }
    return (uint64_t)n;
}

static uint64_t mkdir_rmdir(long n)
{
    for (long i = 0; i < n; i++) {
        MUST(mkdirat(w, "new", 0755) == 0);
        MUST(unlinkat(w, "new", AT_REMOVEDIR) == 0);
    }
    return (uint64_t)n;
}

static uint64_t rename_(long n)
{
    make("old", 1);
    for (long i = 0; i < n; i += 2) {
        MUST(renameat(w, "old", w, "new") == 0);
        MUST(renameat(w, "new", w, "old") == 0);
    }
    MUST(unlinkat(w, "old", 0) == 0);
    return (uint64_t)n;
}

/* The directory that `readdir` lists. */
static void many(int make_them)
{
    char path[32];
    if (make_them)
        NEED(mkdirat(w, "many", 0755));
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(path, sizeof path, "many/entry-%04d", i);
        if (make_them)
            make(path, 0);
        else
            NEED(unlinkat(w, path, 0));
    }
    if (!make_them)
        NEED(unlinkat(w, "many", AT_REMOVEDIR));
}

/* One repetition is one entry. */
static uint64_t readdir_(long n)
{
    uint64_t sum = 0;
    DIR *dir = fdopendir((int)NEED(openat(w, "many", O_RDONLY | O_DIRECTORY)));
    MUST(dir);
    for (long done = 0; done < n; done += ENTRIES) {
        long seen = 0;
        struct dirent *entry;
        while ((entry = readdir(dir)))
            seen += entry->d_name[0] == 'e';
        MUST(seen == ENTRIES);
        sum += (uint64_t)seen;
        rewinddir(dir);
    }
    closedir(dir);
    return sum;
}

static off_t offset_of(long i)
{
    return (off_t)(i * 37 % (FILE_SIZE / 4096)) * 4096;
}

static uint64_t pread_4k(long n)
{
    static unsigned char page[4096];
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        MUST(pread(fd, page, sizeof page, offset_of(i)) == sizeof page);
        sum = digest(sum, page[i & 4095]);
    }
    return sum;
}

static uint64_t pwrite_4k(long n)
{
    for (long i = 0; i < n; i++)
        MUST(pwrite(fd, buffer + (offset_of(i) & (PIECE - 1)), 4096, offset_of(i)) == 4096);
    return (uint64_t)n;
}

static uint64_t write_1(long n)
{
    unsigned char byte;
    for (long i = 0; i < n; i++) {
        if (i % FILE_SIZE == 0)
            MUST(lseek(fd, 0, SEEK_SET) == 0);
        MUST(write(fd, buffer + i % PIECE, 1) == 1);
    }
    MUST(pread(fd, &byte, 1, (n - 1) % FILE_SIZE) == 1 && byte == buffer[(n - 1) % PIECE]);
    return (uint64_t)n;
}

static uint64_t append_(long n)
{
    uint64_t sum = 0;
    struct stat st;
    int log = (int)NEED(openat(w, "log", O_WRONLY | O_CREAT | O_APPEND, 0644));
    for (long i = 0; i < n; i++) {
        MUST(write(log, buffer, 64) == 64);
        if (i % 16384 == 16383) {
            MUST(fstat(log, &st) == 0);
            sum = digest(sum, (uint64_t)st.st_size);
            MUST(ftruncate(log, 0) == 0);
        }
    }
    close(log);
    MUST(unlinkat(w, "log", 0) == 0);
    return sum;
}

/* One repetition is 64 KiB. */
static uint64_t write_sequential(long n)
{
    struct stat st;
    uint64_t sum = 0;
    for (long i = 0; i < n;) {
        int big = (int)NEED(openat(w, "big", O_WRONLY | O_CREAT | O_TRUNC, 0644));
        for (long end = i + SEQUENTIAL / PIECE; i < n && i < end; i++)
            MUST(write(big, buffer, PIECE) == PIECE);
        MUST(fstat(big, &st) == 0);
        sum = digest(sum, (uint64_t)st.st_size);
        close(big);
    }
    MUST(unlinkat(w, "big", 0) == 0);
    return sum;
}

static uint64_t read_sequential(long n)
{
    static unsigned char piece[PIECE];
    uint64_t sum = 0;
    int big = (int)NEED(openat(w, "big", O_RDONLY));
    for (long i = 0; i < n; i++) {
        ssize_t got = read(big, piece, PIECE);
        if (got == 0) {
            MUST(lseek(big, 0, SEEK_SET) == 0);
            got = read(big, piece, PIECE);
        }
        MUST(got == PIECE && piece[i % PIECE] == buffer[i % PIECE]);
        sum = digest(sum, piece[i % PIECE]);
    }
    close(big);
    return sum;
}

static const struct operation {
    const char *name;
    uint64_t (*run)(long n);
    long usual; /* Repetitions that take the kernel some 20 ms. */
} operations[] = {
    { "stat-1", stat_1, 50000 },
    { "stat-12", stat_12, 25000 },
    { "stat-missing", stat_missing, 50000 },
    { "stat-link", stat_link, 40000 },
    { "stat-chain-8", stat_chain, 15000 },
    { "fstat", fstat_, 100000 },
    { "open-close", open_close, 30000 },
    { "readlink", readlink_, 50000 },
    { "symlink-unlink", symlink_unlink, 10000 },
    { "create-close-unlink", create_unlink, 8000 },
    { "mkdir-rmdir", mkdir_rmdir, 8000 },
    { "rename", rename_, 20000 },
    { "readdir-entry", readdir_, 300000 },
    { "pread-4k", pread_4k, 60000 },
    { "pwrite-4k", pwrite_4k, 50000 },
    { "write-1", write_1, 100000 },
    { "append-64", append_, 80000 },
    { "write-64m", write_sequential, 1024 },
    { "read-64m", read_sequential, 2048 },
};

static int wanted(int argc, char **argv, const char *name)
{
    for (int i = 3; i < argc; i++)
        if (!strcmp(argv[i], name))
            return 1;
    return argc <= 3;
}

static void prepare(const char *name, int before)
{
    if (!strcmp(name, "readdir-entry"))
        many(before);
    if (strcmp(name, "read-64m"))
        return;
    if (before)
        make("big", SEQUENTIAL);
    else
        NEED(unlinkat(w, "big", 0));
}

static int64_t now(void)
{
    struct timespec time;
    MUST(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    long percent = argc > 2 ? atol(argv[2]) : 0;
    plant();
    fd = (int)NEED(openat(w, "f", O_RDWR));
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        const struct operation *operation = &operations[i];
        if (!wanted(argc, argv, operation->name))
            continue;
        long n = percent ? operation->usual * percent / 100 : 50;
        prepare(operation->name, 1);
        int64_t start = now();
        uint64_t sum = operation->run(n);
        int64_t time = now() - start;
        prepare(operation->name, 0);
        if (percent)
            printf("%s %ld %lld %016llx\n", operation->name, n, (long long)time, (unsigned long long)sum);
        else
            printf("%s %016llx\n", operation->name, (unsigned long long)sum);
    }
    close(fd);
    clear_away();
    return 0;
}
