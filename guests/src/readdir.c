/* Reading directories: order, positions, and directories that change while they are read. */
#include "guest.h"

static DIR *open_list(const char *path)
{
    int fd = (int)NEED(openat(w, path, O_RDONLY | O_DIRECTORY));
    DIR *dir = fdopendir(fd);
    if (!dir)
        NEED(-1);
    return dir;
}

static int is_dot(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

static const char *type_name(int type)
{
    return type == DT_REG ? "file" : type == DT_DIR ? "dir" : type == DT_LNK ? "link" : "other";
}

static void fill(const char *dir, int count)
{
    char path[64];
    NEED(mkdirat(w, dir, 0777));
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/f%04d", dir, i);
        put(path, "");
    }
}

static void order(void)
{
    struct dirent *entry;
    TITLE("order and types");
    NEED(mkdirat(w, "d", 0777));
    put("d/file", "");
    NEED(mkdirat(w, "d/dir", 0777));
    NEED(symlinkat("file", w, "d/link"));
    NEED(symlinkat("none", w, "d/dangling"));
    NEED(linkat(w, "d/file", w, "d/again", 0));
    DIR *dir = open_list("d");
    while ((entry = readdir(dir))) {
        struct stat st;
        char path[300];
        snprintf(path, sizeof path, "d/%s", entry->d_name);
        NEED(fstatat(w, path, &st, AT_SYMLINK_NOFOLLOW));
        printf("%s %s%s\n", entry->d_name, type_name(entry->d_type), st.st_ino == entry->d_ino ? "" : " other inode");
    }
    printf("at the end again: %s\n", readdir(dir) ? "an entry" : "nothing");
    rewinddir(dir);
    printf("rewound: %s\n", (entry = readdir(dir)) ? entry->d_name : "nothing");
    closedir(dir);
}

static void positions(void)
{
    enum { N = 20 };
    char names[N + 2][16];
    long at[N + 2];
    struct dirent *entry;
    int count = 0, wrong = 0;
    TITLE("telldir and seekdir");
    fill("p", N);
    DIR *dir = open_list("p");
    for (;;) {
        long here = telldir(dir);
        if (!(entry = readdir(dir)) || count == N + 2)
            break;
        at[count] = here;
        snprintf(names[count++], sizeof names[0], "%.15s", entry->d_name);
    }
    printf("entries: %d\n", count);
    for (int i = count - 1; i >= 0; i--) {
        seekdir(dir, at[i]);
        entry = readdir(dir);
        wrong += !entry || strcmp(entry->d_name, names[i]) != 0;
    }
    printf("wrong after seekdir: %d\n", wrong);
    seekdir(dir, at[count / 2]);
    char path[32];
    snprintf(path, sizeof path, "p/%s", names[count / 2]);
    NEED(unlinkat(w, path, 0));
    seekdir(dir, at[count / 2]);
    entry = readdir(dir);
    printf("entry removed at the position, the next comes: %d\n", entry && !strcmp(entry->d_name, names[count / 2 + 1]));
    closedir(dir);
}

/* What rm -rf does: removes every entry as it is read. */
static void deleting(void)
{
    struct dirent *entry;
    int removed = 0;
    TITLE("deleting while listing");
    fill("big", 1000);
    DIR *dir = open_list("big");
    while ((entry = readdir(dir)))
        if (!is_dot(entry->d_name)) {
            NEED(unlinkat(dirfd(dir), entry->d_name, 0));
            removed++;
        }
    closedir(dir);
    printf("removed %d in one pass\n", removed);
    list("big");
    TRY(unlinkat(w, "big", AT_REMOVEDIR));
}

static void creating(void)
{
    struct dirent *entry;
    int old = 0, made = 0, seen_twice = 0;
    static char seen[64][16];
    int count = 0;
    TITLE("creating while listing");
    fill("grow", 10);
    DIR *dir = open_list("grow");
    while ((entry = readdir(dir)) && made < 1000) {
        char name[32];
        for (int i = 0; i < count; i++)
            seen_twice += !strcmp(seen[i], entry->d_name);
        if (count < 64)
            snprintf(seen[count++], sizeof seen[0], "%.15s", entry->d_name);
        old += entry->d_name[0] == 'f';
        snprintf(name, sizeof name, "n%04d", made++);
        close((int)NEED(openat(dirfd(dir), name, O_WRONLY | O_CREAT, 0666)));
    }
    closedir(dir);
    printf("the scan ended: %d\n", made < 1000);
    printf("old entries seen: %d, seen twice: %d\n", old, seen_twice);
}

static void renaming(void)
{
    struct dirent *entry;
    int stays = 0;
    TITLE("renaming others while listing");
    fill("move", 200);
    DIR *dir = open_list("move");
    for (int i = 0; (entry = readdir(dir)) && i < 2000; i++) {
        int number = 0;
        if (sscanf(entry->d_name, "f%d", &number) != 1)
            continue;
        stays += number % 2 == 0;
        if (number % 2 == 1) {
            char to[32];
            snprintf(to, sizeof to, "g%04d", number);
            NEED(renameat(dirfd(dir), entry->d_name, dirfd(dir), to));
        }
    }
    closedir(dir);
    printf("entries left alone, each seen once: %d\n", stays);
}

/* An entry replaced by rename is seen by every scan, before or after. */
static void replacing(void)
{
    struct dirent *entry;
    int seen = 0;
    TITLE("replacing while listing");
    fill("swap", 10);
    put("fresh", "fresh");
    DIR *dir = open_list("swap");
    for (int i = 0; i < 4; i++)
        readdir(dir);
    rewinddir(dir);
    NEED(renameat(w, "fresh", w, "swap/f0003"));
    while ((entry = readdir(dir)))
        seen += !strcmp(entry->d_name, "f0003");
    closedir(dir);
    printf("seen %d time(s)\n", seen);
}

static void two_streams(void)
{
    struct dirent *a, *b;
    TITLE("two streams");
    DIR *x = open_list("d"), *y = open_list("d");
    a = readdir(x);
    a = readdir(x);
    a = readdir(x);
    char first[32];
    snprintf(first, sizeof first, "%.31s", a ? a->d_name : "nothing");
    b = readdir(y);
    printf("%s %s\n", first, b ? b->d_name : "nothing");
    closedir(x);
    closedir(y);
}

static void errors(void)
{
    TITLE("errors");
    list("missing");
    list("d/file");
    list("d/link");
    list("d/dangling");
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    order();
    positions();
    deleting();
    creating();
    renaming();
    replacing();
    two_streams();
    errors();
    return 0;
}
