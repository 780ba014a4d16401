/* rename(2): every kind of thing over every kind of thing, links, and the last component's oddities. */
#include "guest.h"

static const char *const kinds[] = {"missing", "file", "dir", "full", "link", "dirlink", "dangling"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Makes one thing of the kind at `path`. */
static void make(const char *kind, const char *path)
{
    char inside[64];
    if (!strcmp(kind, "file"))
        put(path, path);
    else if (!strcmp(kind, "link"))
        NEED(symlinkat("target", w, path));
    else if (!strcmp(kind, "dirlink"))
        NEED(symlinkat("targetdir", w, path));
    else if (!strcmp(kind, "dangling"))
        NEED(symlinkat("nowhere", w, path));
    else if (strcmp(kind, "missing")) {
        NEED(mkdirat(w, path, 0777));
        if (!strcmp(kind, "full")) {
            snprintf(inside, sizeof inside, "%s/inside", path);
            put(inside, "x");
        }
    }
}

static void drop(const char *path)
{
    char inside[64];
    snprintf(inside, sizeof inside, "%s/inside", path);
    struct stat st;
    if (fstatat(w, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        unlinkat(w, inside, 0);
    if (unlinkat(w, path, 0) == -1)
        unlinkat(w, path, AT_REMOVEDIR);
}

static const char *at(const char *path)
{
    static char text[2][64];
    static int turn;
    struct stat st;
    char *out = text[turn ^= 1];
    if (fstatat(w, path, &st, AT_SYMLINK_NOFOLLOW) == -1)
        return "-";
    snprintf(out, 64, "%s", kind_name(st.st_mode));
    return out;
}

/* Each pair four times: plain, slash on the old path, slash on the new one, slash on both. */
static void matrix(void)
{
    TITLE("matrix");
    put("target", "t");
    NEED(mkdirat(w, "targetdir", 0777));
    for (int slash = 0; slash < 4; slash++)
        for (int i = 0; i < KINDS; i++)
            for (int j = 0; j < KINDS; j++) {
                const char *from = slash & 1 ? "from/" : "from", *to = slash & 2 ? "to/" : "to";
                make(kinds[i], "from");
                make(kinds[j], "to");
                const char *result = renameat(w, from, w, to) == -1 ? error_name(errno) : "0";
                const char *left = at("from"), *right = at("to");
                printf("%s%s -> %s%s: %s; then %s %s\n", kinds[i], from + 4, kinds[j], to + 2, result, left, right);
                drop("from");
                drop("to");
            }
    list(".");
    list("targetdir");
}

static void links(void)
{
    TITLE("links");
    put("file", "text");
    NEED(mkdirat(w, "a", 0777));
    NEED(mkdirat(w, "b", 0777));
    NEED(symlinkat("../file", w, "a/rel"));
    NEED(symlinkat("nowhere", w, "a/dangling"));
    TRY(renameat(w, "a/rel", w, "b/rel"));
    cat("b/rel");
    TRY(renameat(w, "b/rel", w, "rel"));
    cat("rel");
    TRY(renameat(w, "a/dangling", w, "b/dangling"));
    link_text("b/dangling");
    TRY(renameat(w, "b/dangling", w, "b/moved"));
    TRY(renameat(w, "file", w, "b/moved"));
    show("b/moved", AT_SYMLINK_NOFOLLOW);
    TRY(renameat(w, "rel", w, "b/moved"));
    show("b/moved", AT_SYMLINK_NOFOLLOW);
    list("b");
}

static void trees(void)
{
    TITLE("trees");
    NEED(mkdirat(w, "t", 0777));
    NEED(mkdirat(w, "t/u", 0777));
    NEED(mkdirat(w, "t/u/v", 0777));
    put("t/u/v/leaf", "leaf");
    NEED(symlinkat("u/v", w, "t/short"));
    int inside = (int)NEED(openat(w, "t/u/v", O_RDONLY | O_DIRECTORY));
    TRY(renameat(w, "t", w, "t/u/v/t"));
    TRY(renameat(w, "t", w, "t/t"));
    TRY(renameat(w, "t/u/v", w, "t"));
    TRY(renameat(w, "t/u/v", w, "t/u"));
    TRY(renameat(w, "t", w, "t"));
    show("t", 0);
    show("a", 0);
    TRY(renameat(w, "t", w, "a/t"));
    show("a", 0);
    cat("a/t/short/leaf");
    TRY(renameat(w, "a/t/u/v", w, "a/v"));
    show("a/t/u", 0);
    cat("a/t/short/leaf");
    cat("a/v/../v/leaf");
    int leaf = openat(inside, "leaf", O_RDONLY);
    printf("through the open directory: %s\n", leaf == -1 ? error_name(errno) : "0");
    close(leaf);
    close(inside);
    TRY(renameat(w, "a/t/short/", w, "x"));
}

static void last_component(void)
{
    TITLE("last component");
    TRY(renameat(w, ".", w, "x"));
    TRY(renameat(w, "a/.", w, "x"));
    TRY(renameat(w, "a/..", w, "x"));
    TRY(renameat(w, "a", w, "."));
    TRY(renameat(w, "a", w, "b/."));
    TRY(renameat(w, "a", w, "b/.."));
    TRY(renameat(w, "missing", w, "b/.."));
    TRY(renameat(w, "", w, "x"));
    TRY(renameat(w, "a", w, ""));
    TRY(renameat(w, "missing/x", w, "x"));
    TRY(renameat(w, "a", w, "missing/x"));
    TRY(renameat(w, "target/x", w, "x"));
    TRY(renameat(w, "a", w, "target/x"));
    list(".");
}

static void replaced_while_open(void)
{
    char text[16];
    TITLE("replaced while open");
    put("old", "old text");
    put("new", "new text");
    int fd = (int)NEED(openat(w, "old", O_RDONLY));
    TRY(renameat(w, "new", w, "old"));
    TRY(read(fd, text, sizeof text));
    printf("%.8s\n", text);
    struct stat st;
    NEED(fstat(fd, &st));
    printf("nlink %lu\n", (unsigned long)st.st_nlink);
    cat("old");
    close(fd);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    matrix();
    links();
    trees();
    last_component();
    replaced_while_open();
    return 0;
}
