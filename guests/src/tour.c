/*
 * The tour: builds a small tree with links of every kind in the filesystem it is given, moves things about,
 * and prints what it sees. Run by `vnode run tour.wasm` it has an empty memory filesystem as its root.
 * It exits with 0 only if every call ended as it does on Linux.
 */
#include "guest.h"

static int checks, wrong;

/* One step: what was done, how it ended, and whether Linux ends it so. */
static void step(const char *what, long result, int expected)
{
    int error = result == -1 ? errno : 0;
    checks++;
    printf("  %-58s %s", what, error ? error_name(error) : "ok");
    if (error != expected) {
        wrong++;
        printf("   <- on Linux: %s", expected ? error_name(expected) : "ok");
    }
    printf("\n");
}

static void is(const char *what, int truth)
{
    checks++;
    wrong += !truth;
    printf("  %-58s %s\n", what, truth ? "yes" : "NO   <- on Linux: yes");
}

static void title(const char *text)
{
    printf("\n%s\n", text);
}

static int holds(const char *path, const char *text)
{
    char got[128];
    int fd = openat(w, path, O_RDONLY);
    if (fd == -1)
        return 0;
    ssize_t count = read(fd, got, sizeof got);
    close(fd);
    return count == (ssize_t)strlen(text) && !memcmp(got, text, (size_t)count);
}

static int points_to(const char *path, const char *text)
{
    char got[128];
    ssize_t count = readlinkat(w, path, got, sizeof got);
    return count == (ssize_t)strlen(text) && !memcmp(got, text, (size_t)count);
}

static int links_of(const char *path)
{
    struct stat st;
    return fstatat(w, path, &st, AT_SYMLINK_NOFOLLOW) == -1 ? -1 : (int)st.st_nlink;
}

/* What a link leads to. */
static void print_end(const char *path)
{
    struct stat st;
    if (fstatat(w, path, &st, 0) == -1)
        printf("   [%s]", error_name(errno));
    else if (S_ISDIR(st.st_mode))
        printf("   [a directory]");
    else
        printf("   [a file of %lld bytes]", (long long)st.st_size);
}

static void print_entry(const char *path, const char *name, const char *indent)
{
    struct stat st;
    char text[128];
    if (fstatat(w, path, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        printf("  %s%s: %s\n", indent, name, error_name(errno));
        wrong++;
        return;
    }
    char kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : '-';
    printf("  %c %3lu ", kind, (unsigned long)st.st_nlink);
    if (S_ISDIR(st.st_mode))
        printf("     ");
    else
        printf("%4lld ", (long long)st.st_size);
    printf("%s%s", indent, name);
    if (S_ISLNK(st.st_mode)) {
        ssize_t count = readlinkat(w, path, text, sizeof text);
        printf(" -> %.*s", count < 0 ? 0 : (int)count, text);
        print_end(path);
    }
    printf("\n");
}

/* Every name below `path`, sorted, links not followed. */
static void print_tree(const char *path, const char *indent)
{
    char *names[64], below[256], deeper[64];
    size_t count = 0;
    int fd = openat(w, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *dir = fd == -1 ? NULL : fdopendir(fd);
    if (!dir) {
        printf("  %s: %s\n", path, error_name(errno));
        wrong++;
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) && count < 64)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof names[0], by_name);
    snprintf(deeper, sizeof deeper, "%s  ", indent);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        snprintf(below, sizeof below, "%s%s%s", strcmp(path, ".") ? path : "", strcmp(path, ".") ? "/" : "", names[i]);
        print_entry(below, names[i], indent);
        if (fstatat(w, below, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
            print_tree(below, deeper);
        free(names[i]);
    }
}

static void tree(const char *when)
{
    title(when);
    printf("  type, links, size, name\n");
    print_tree(".", "");
}

static int write_file(const char *path, const char *text)
{
    int fd = openat(w, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd == -1)
        return -1;
    ssize_t count = write(fd, text, strlen(text));
    close(fd);
    return count == (ssize_t)strlen(text) ? 0 : -1;
}

static void build(void)
{
    title("A small system is built.");
    step("mkdir bin etc home usr", mkdirat(w, "bin", 0777) | mkdirat(w, "etc", 0777) | mkdirat(w, "home", 0777) |
         mkdirat(w, "usr", 0777), 0);
    step("mkdir home/ada usr/bin", mkdirat(w, "home/ada", 0777) | mkdirat(w, "usr/bin", 0777), 0);
    step("write bin/dash", write_file("bin/dash", "#!dash\n"), 0);
    step("write etc/motd", write_file("etc/motd", "Welcome.\n"), 0);
    step("symlink bin/sh -> dash              (relative)", symlinkat("dash", w, "bin/sh"), 0);
    step("symlink usr/bin/sh -> ../../bin/sh  (through a link)", symlinkat("../../bin/sh", w, "usr/bin/sh"), 0);
    step("symlink home/ada/motd -> /etc/motd  (absolute)", symlinkat("/etc/motd", w, "home/ada/motd"), 0);
    step("symlink home/ada/sys -> /usr        (to a directory)", symlinkat("/usr", w, "home/ada/sys"), 0);
    step("symlink home/ada/todo -> notes/todo (dangling)", symlinkat("notes/todo", w, "home/ada/todo"), 0);
    step("symlink home/ada/me -> me           (a loop)", symlinkat("me", w, "home/ada/me"), 0);
    step("symlink home/ada/yin -> yang, yang -> yin", symlinkat("yang", w, "home/ada/yin") | symlinkat("yin", w, "home/ada/yang"), 0);
    step("link bin/dash bin/ash               (a hard link)", linkat(w, "bin/dash", w, "bin/ash", 0), 0);
    step("link bin/sh bin/sh2                 (of the link itself)", linkat(w, "bin/sh", w, "bin/sh2", 0), 0);
}

static void follow(void)
{
    struct stat st;
    title("Links are followed.");
    is("home/ada/motd reads as etc/motd", holds("home/ada/motd", "Welcome.\n"));
    is("home/ada/sys/bin/sh reads as bin/dash", holds("home/ada/sys/bin/sh", "#!dash\n"));
    is("home/ada/sys/../etc/motd: .. is the real parent", holds("home/ada/sys/../etc/motd", "Welcome.\n"));
    is("bin/ash and bin/dash are one file with two links", same("bin/ash", "bin/dash") == 1 && links_of("bin/ash") == 2);
    is("bin/sh and bin/sh2 are one link with two names", same("bin/sh", "bin/sh2") == 1 && links_of("bin/sh") == 2);
    step("stat home/ada/todo", fstatat(w, "home/ada/todo", &st, 0), ENOENT);
    step("lstat home/ada/todo", fstatat(w, "home/ada/todo", &st, AT_SYMLINK_NOFOLLOW), 0);
    step("stat home/ada/me", fstatat(w, "home/ada/me", &st, 0), ELOOP);
    step("stat home/ada/yin", fstatat(w, "home/ada/yin", &st, 0), ELOOP);
    step("open home/ada/motd with O_NOFOLLOW", openat(w, "home/ada/motd", O_RDONLY | O_NOFOLLOW), ELOOP);
    step("readlink etc/motd (no link)", readlinkat(w, "etc/motd", (char[8]){0}, 8), EINVAL);
    step("mkdir home/ada/todo (a dangling link is in the way)", mkdirat(w, "home/ada/todo", 0777), EEXIST);
    step("rmdir home/ada/sys (a link is no directory)", unlinkat(w, "home/ada/sys", AT_REMOVEDIR), ENOTDIR);
    step("link usr -> usr2 (no hard links to directories)", linkat(w, "usr", w, "usr2", 0), EPERM);
}

static void rearrange(void)
{
    title("Things are moved.");
    step("rename home/ada/todo home/todo (a dangling link)", renameat(w, "home/ada/todo", w, "home/todo"), 0);
    is("its text went along unchanged", points_to("home/todo", "notes/todo"));
    step("mkdir home/notes", mkdirat(w, "home/notes", 0777), 0);
    step("write home/todo (creates what the link points to)", write_file("home/todo", "Sleep.\n"), 0);
    is("home/notes/todo is there now", holds("home/notes/todo", "Sleep.\n"));
    step("rename home/ada/me home/self (a loop)", renameat(w, "home/ada/me", w, "home/self"), 0);
    is("home/self still says \"me\"", points_to("home/self", "me"));
    step("write etc/motd.new", write_file("etc/motd.new", "Good evening.\n"), 0);
    step("rename etc/motd.new etc/motd (over a file)", renameat(w, "etc/motd.new", w, "etc/motd"), 0);
    is("home/ada/motd reads the new text", holds("home/ada/motd", "Good evening.\n"));
    step("rename bin/ash bin/dash (two names of one file: nothing)", renameat(w, "bin/ash", w, "bin/dash"), 0);
    is("both names are still there", links_of("bin/ash") == 2);
    step("rename home home/ada/home (into itself)", renameat(w, "home", w, "home/ada/home"), EINVAL);
    step("rename bin home (over a full directory)", renameat(w, "bin", w, "home"), ENOTEMPTY);
    step("rename etc/motd usr (a file over a directory)", renameat(w, "etc/motd", w, "usr"), EISDIR);
    step("rename home users (a whole tree)", renameat(w, "home", w, "users"), 0);
    is("users/ada/motd leads where it did", holds("users/ada/motd", "Good evening.\n"));
    is("users/todo leads where it did", holds("users/todo", "Sleep.\n"));
    step("rename usr system (what an absolute link points to)", renameat(w, "usr", w, "system"), 0);
    step("open users/ada/sys/bin/sh", openat(w, "users/ada/sys/bin/sh", O_RDONLY), ENOENT);
}

static void hold_on(void)
{
    char text[8] = "";
    title("What is open stays.");
    int fd = openat(w, "users/notes/todo", O_RDWR);
    step("open users/notes/todo", fd, 0);
    step("unlink users/notes/todo", unlinkat(w, "users/notes/todo", 0), 0);
    is("it still reads", read(fd, text, 7) == 7 && !memcmp(text, "Sleep.\n", 7));
    is("and has no name left", fstat(fd, &(struct stat){0}) == 0 && fstatat(w, "users/todo", &(struct stat){0}, 0) == -1);
    close(fd);
}

int main(int argc, char **argv)
{
    scratch = "/";
    enter(argc, argv);
    printf("A tour of the filesystem, from %s.\n", scratch);
    build();
    tree("This is what it looks like:");
    follow();
    rearrange();
    hold_on();
    tree("And this is left:");
    if (wrong)
        printf("\n%d of %d checks differ from Linux.\n", wrong, checks);
    else
        printf("\nAll %d checks as on Linux.\n", checks);
    return wrong != 0;
}
