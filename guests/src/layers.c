/*
 * What calls cost on layers: `layers SCRATCH plant OPERATION` fills what is to be the lower, and
 * `layers SCRATCH PERCENT OPERATION` works on the layers: prints `operation repetitions nanoseconds digest`, as `bench`.
 * Without more it does all of it in one directory, with few repetitions, and prints digests alone.
 */
#include "guest.h"
#include <time.h>

enum { FILE_SIZE = 1 << 20, PIECE = 65536, ENTRIES = 1000, MORE = 100, DEPTH = 12, SMALL = 1000 };

static unsigned char buffer[PIECE];
static char deep[3 * DEPTH + 8];
static off_t large = 1 << 30;
static int fd = -1;

/* Ends the program: a result that is wrong makes every time worthless. */
static void wrong(const char *what)
{
    printf("wrong: %s (%s)\n", what, error_name(errno));
    exit(1);
}

#define MUST(condition) do { if (!(condition)) wrong(#condition); } while (0)

static void make(const char *path, off_t size)
{
    int made = (int)NEED(openat(w, path, O_RDWR | O_CREAT | O_TRUNC, 0644));
    for (off_t done = 0; done < size; done += PIECE) {
        size_t piece = size - done < PIECE ? (size_t)(size - done) : PIECE;
        MUST(write(made, buffer, piece) == (ssize_t)piece);
    }
    close(made);
}

static const char *numbered(const char *format, long number)
{
    static char path[64];
    snprintf(path, sizeof path, format, number);
    return path;
}

static void name_deep(void)
{
    *deep = 0;
    for (int i = 0; i + 1 < DEPTH; i++)
        strcat(deep, "d/");
    strcat(deep, "f");
}

static int is(const char *operation, const char *name)
{
    return !operation || !strcmp(operation, name);
}

/* The tree of the lower. */
static void plant(const char *operation)
{
    make("f", FILE_SIZE);
    for (size_t end = 1; end < strlen(deep); end += 2) {
        char path[sizeof deep];
        snprintf(path, end + 1, "%s", deep);
        NEED(mkdirat(w, path, 0755));
    }
    make(deep, 4096);
    NEED(symlinkat("f", w, "link"));
    NEED(mkdirat(w, "many", 0755));
    for (long i = 0; i < ENTRIES; i++)
        make(numbered("many/entry-%04ld", i), 0);
    if (is(operation, "copy-up-4k")) {
        NEED(mkdirat(w, "small", 0755));
        for (long i = 0; i < SMALL; i++)
            make(numbered("small/%04ld", i), 4096);
    }
    if (is(operation, "copy-up-1g"))
        make("large", large);
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
static uint64_t stat_upper(long n) { return stats("upper", n); }

static uint64_t stat_missing(long n)
{
    struct stat st;
    for (long i = 0; i < n; i++)
        MUST(fstatat(w, "missing", &st, 0) == -1 && errno == ENOENT);
    return (uint64_t)n;
}

/* Each file once, before it is known. */
static uint64_t stat_first(long n)
{
    struct stat st;
    for (long i = 0; i < n; i++)
        MUST(fstatat(w, numbered("many/entry-%04ld", i), &st, 0) == 0);
    return (uint64_t)n;
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
    for (long i = 0; i < n; i++)
        MUST(readlinkat(w, "link", text, sizeof text) == 1);
    return (uint64_t)n;
}

/* One repetition is one entry. */
static uint64_t readdir_(long n)
{
    uint64_t sum = 0;
    DIR *dir = fdopendir((int)NEED(openat(w, "many", O_RDONLY | O_DIRECTORY)));
    MUST(dir);
    for (long done = 0; done < n; done += ENTRIES + MORE) {
        long seen = 0;
        struct dirent *entry;
        while ((entry = readdir(dir)))
            seen += entry->d_name[0] != '.';
        MUST(seen == ENTRIES + MORE);
        sum += (uint64_t)seen;
        rewinddir(dir);
    }
    closedir(dir);
    return sum;
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

static uint64_t pread_4k(long n)
{
    static unsigned char page[4096];
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        off_t offset = (off_t)(i * 37 % (FILE_SIZE / 4096)) * 4096;
        MUST(pread(fd, page, sizeof page, offset) == sizeof page);
        sum = (sum ^ page[i & 4095]) * 0x100000001b3u;
    }
    return sum;
}

/* Has a file copied up: by writing a byte of it. */
static void change(const char *path, off_t offset)
{
    int opened = openat(w, path, O_WRONLY);
    MUST(opened >= 0);
    MUST(pwrite(opened, "x", 1, offset) == 1);
    MUST(close(opened) == 0);
}

static uint64_t copy_up_small(long n)
{
    for (long i = 0; i < n; i++)
        change(numbered("small/%04ld", i), 7);
    return (uint64_t)n;
}

static uint64_t copy_up_large(long n)
{
    struct stat st;
    change("large", large / 2);
    MUST(fstatat(w, "large", &st, 0) == 0 && st.st_size == large);
    return (uint64_t)n;
}

static const struct operation {
    const char *name;
    uint64_t (*run)(long n);
    long usual;
    long most;
} operations[] = {
    { "stat-1", stat_1, 50000, 0 },
    { "stat-12", stat_12, 25000, 0 },
    { "stat-upper", stat_upper, 50000, 0 },
    { "stat-missing", stat_missing, 50000, 0 },
    { "stat-first", stat_first, ENTRIES, ENTRIES },
    { "open-close", open_close, 20000, 0 },
    { "readlink", readlink_, 40000, 0 },
    { "readdir-entry", readdir_, 300 * (ENTRIES + MORE), 0 },
    { "pread-4k", pread_4k, 60000, 0 },
    { "create-close-unlink", create_unlink, 3000, 0 },
    { "copy-up-4k", copy_up_small, SMALL, SMALL },
    { "copy-up-1g", copy_up_large, 1, 1 },
};

static int64_t now(void)
{
    struct timespec time;
    MUST(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* What the upper has of its own, before anything is timed. */
static void cover(void)
{
    make("upper", 4096);
    for (long i = 0; i < MORE; i++)
        make(numbered("many/more-%04ld", i), 0);
    fd = (int)NEED(openat(w, "f", O_RDONLY));
}

static void run(const struct operation *operation, long percent)
{
    long n = percent ? operation->usual * percent / 100 : 50;
    n = n < 1 ? 1 : n;
    if (operation->most && n > operation->most)
        n = operation->most;
    int64_t start = now();
    uint64_t sum = operation->run(n);
    int64_t time = now() - start;
    if (percent)
        printf("%s %ld %lld %016llx\n", operation->name, n, (long long)time, (unsigned long long)sum);
    else
        printf("%s %016llx\n", operation->name, (unsigned long long)sum);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    const char *what = argc > 2 ? argv[2] : 0, *operation = argc > 3 ? argv[3] : 0;
    for (int i = 0; i < PIECE; i++)
        buffer[i] = (unsigned char)(i * 7 + i / 256);
    name_deep();
    if (!what)
        large = 1 << 20;
    if (!what || !strcmp(what, "plant"))
        plant(operation);
    if (what && !strcmp(what, "plant"))
        return 0;
    cover();
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (is(operation, operations[i].name))
            run(&operations[i], what ? atol(what) : 0);
    close(fd);
    return 0;
}
