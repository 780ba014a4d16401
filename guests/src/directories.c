/* mkdir, rmdir and unlink: what is refused, link counts, and a directory that is gone but held open. */
#include "guest.h"

static void making(void)
{
    TITLE("mkdir");
    TRY(mkdirat(w, "d", 0777));
    TRY(mkdirat(w, "d", 0777));
    TRY(mkdirat(w, "d/", 0777));
    TRY(mkdirat(w, "slash/", 0777));
    TRY(mkdirat(w, "slashes///", 0777));
    TRY(mkdirat(w, "d/.", 0777));
    TRY(mkdirat(w, "d/..", 0777));
    TRY(mkdirat(w, "new/.", 0777));
    TRY(mkdirat(w, "new/..", 0777));
    TRY(mkdirat(w, ".", 0777));
    TRY(mkdirat(w, "", 0777));
    TRY(mkdirat(w, "no/d", 0777));
    put("file", "x");
    TRY(mkdirat(w, "file", 0777));
    TRY(mkdirat(w, "file/d", 0777));
    NEED(symlinkat("d", w, "link"));
    NEED(symlinkat("later", w, "dangling"));
    TRY(mkdirat(w, "link", 0777));
    TRY(mkdirat(w, "link/sub", 0777));
    TRY(mkdirat(w, "dangling", 0777));
    TRY(mkdirat(w, "dangling/", 0777));
    TRY(mkdirat(w, "dangling/sub", 0777));
    show("d", 0);
    TRY(mkdirat(w, "d/sub2", 0777));
    show("d", 0);
    put("d/file", "");
    show("d", 0);
    list(".");
    list("d");
}

static void removing(void)
{
    TITLE("rmdir");
    TRY(unlinkat(w, "d", AT_REMOVEDIR));
    TRY(unlinkat(w, "d/sub/", AT_REMOVEDIR));
    TRY(unlinkat(w, "d/sub2/.", AT_REMOVEDIR));
    TRY(unlinkat(w, "d/sub2/..", AT_REMOVEDIR));
    TRY(unlinkat(w, ".", AT_REMOVEDIR));
    TRY(unlinkat(w, "", AT_REMOVEDIR));
    TRY(unlinkat(w, "file", AT_REMOVEDIR));
    TRY(unlinkat(w, "file/", AT_REMOVEDIR));
    TRY(unlinkat(w, "link", AT_REMOVEDIR));
    TRY(unlinkat(w, "link/", AT_REMOVEDIR));
    TRY(unlinkat(w, "missing", AT_REMOVEDIR));
    TRY(unlinkat(w, "link/sub2", AT_REMOVEDIR));
    show("d", 0);
    TRY(unlinkat(w, "d/file", AT_REMOVEDIR));

    TITLE("unlink");
    TRY(unlinkat(w, "d", 0));
    TRY(unlinkat(w, "d/", 0));
    TRY(unlinkat(w, ".", 0));
    TRY(unlinkat(w, "d/.", 0));
    TRY(unlinkat(w, "d/..", 0));
    TRY(unlinkat(w, "", 0));
    TRY(unlinkat(w, "missing", 0));
    TRY(unlinkat(w, "missing/", 0));
    TRY(unlinkat(w, "no/x", 0));
    TRY(unlinkat(w, "file/", 0));
    TRY(unlinkat(w, "file/x", 0));
    TRY(unlinkat(w, "link/", 0));
    TRY(unlinkat(w, "dangling/", 0));
    TRY(unlinkat(w, "dangling", 0));
    TRY(unlinkat(w, "link", 0));
    TRY(unlinkat(w, "d/file", 0));
    TRY(unlinkat(w, "d", AT_REMOVEDIR));
    list(".");
}

static void gone(void)
{
    struct stat st;
    TITLE("removed but open");
    NEED(mkdirat(w, "gone", 0777));
    int fd = (int)NEED(openat(w, "gone", O_RDONLY | O_DIRECTORY));
    TRY(unlinkat(w, "gone", AT_REMOVEDIR));
    TRY(fstat(fd, &st));
    printf("nlink %lu\n", (unsigned long)st.st_nlink);
    TRY_FD(openat(fd, "x", O_WRONLY | O_CREAT, 0666));
    TRY(mkdirat(fd, "x", 0777));
    TRY(symlinkat("x", fd, "x"));
    TRY(linkat(w, "file", fd, "x", 0));
    TRY(renameat(w, "file", fd, "x"));
    TRY(fstatat(fd, ".", &st, 0));
    TRY(fstatat(fd, "x", &st, 0));
    int again = TRY_FD(openat(fd, ".", O_RDONLY | O_DIRECTORY));
    close(again);
    DIR *dir = fdopendir(fd);
    int count = 0;
    while (dir && readdir(dir))
        count++;
    printf("entries: %d\n", count);
    if (dir)
        closedir(dir);
    TRY(mkdirat(w, "gone", 0777));
    list("gone");
}

static void deep(void)
{
    TITLE("deep");
    int fd = (int)NEED(openat(w, ".", O_RDONLY | O_DIRECTORY));
    int depth;
    for (depth = 0; depth < 1000; depth++) {
        NEED(mkdirat(fd, "x", 0777));
        int next = (int)NEED(openat(fd, "x", O_RDONLY | O_DIRECTORY));
        close(fd);
        fd = next;
    }
    NEED(symlinkat("bottom", fd, "mark"));
    close(fd);
    static char path[2100];
    for (int i = 0; i < 1000; i++)
        memcpy(path + 2 * i, "x/", 2);
    strcpy(path + 2000, "mark");
    char text[16];
    TRY(readlinkat(w, path, text, sizeof text));
    while (depth > 0) {
        path[2 * depth] = 0;
        if (depth == 1000) {
            strcpy(path + 2000, "mark");
            NEED(unlinkat(w, path, 0));
            path[2000] = 0;
        }
        NEED(unlinkat(w, path, AT_REMOVEDIR));
        depth--;
    }
    list(".");
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    making();
    removing();
    gone();
    deep();
    return 0;
}
