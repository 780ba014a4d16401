/* Symbolic links: relative, absolute, dangling, looping, and how many of them one path may take. */
#include "guest.h"

/* A chain of `count` links named PREFIX1 .. PREFIXcount, the last of them pointing to `target`. */
static void chain(const char *prefix, int count, const char *target)
{
    char from[32], to[32];
    for (int i = 1; i <= count; i++) {
        snprintf(from, sizeof from, "%s%d", prefix, i);
        snprintf(to, sizeof to, "%s%d", prefix, i + 1);
        NEED(symlinkat(i == count ? target : to, w, from));
    }
}

static void relative(void)
{
    TITLE("relative");
    NEED(mkdirat(w, "d", 0777));
    NEED(mkdirat(w, "d/e", 0777));
    put("d/file", "in d");
    put("top", "on top");
    TRY(symlinkat("file", w, "d/here"));
    TRY(symlinkat("../top", w, "d/up"));
    TRY(symlinkat("d/./e/../file", w, "winding"));
    TRY(symlinkat("d", w, "dir"));
    TRY(symlinkat("d/", w, "dirslash"));
    TRY(symlinkat("d/file/", w, "fileslash"));
    cat("d/here");
    cat("d/up");
    cat("winding");
    cat("dir/file");
    cat("dir/e/../up");
    cat("dirslash/file");
    cat("fileslash");
    show("dir", AT_SYMLINK_NOFOLLOW);
    show("dir/", AT_SYMLINK_NOFOLLOW);
    show("dir/.", AT_SYMLINK_NOFOLLOW);
    show("dir", 0);
    show("top/", AT_SYMLINK_NOFOLLOW);
    show("d/here/", AT_SYMLINK_NOFOLLOW);
    link_text("dirslash");
    link_text("dir/");
    link_text("top");
    list("dir");
}

static void absolute(void)
{
    char target[512];
    TITLE("absolute");
    snprintf(target, sizeof target, "%s/d/file", scratch);
    TRY(symlinkat(target, w, "abs"));
    snprintf(target, sizeof target, "//%s/./d/e/", scratch + 1);
    TRY(symlinkat(target, w, "absdir"));
    snprintf(target, sizeof target, "/../../..%s/d/up", scratch);
    TRY(symlinkat(target, w, "absup"));
    TRY(symlinkat("/", w, "root"));
    cat("abs");
    cat("absdir/../file");
    cat("absup");
    show("absdir", 0);
    show("root", 0);
    show("root/", AT_SYMLINK_NOFOLLOW);
    snprintf(target, sizeof target, "root%s/top", scratch);
    cat(target);
    printf("readlink abs is below the scratch directory: %d\n",
           readlinkat(w, "abs", target, sizeof target) > 0 && !strncmp(target, scratch, strlen(scratch)));
}

static void dangling(void)
{
    TITLE("dangling");
    TRY(symlinkat("nowhere", w, "dangling"));
    TRY(symlinkat("no/where", w, "deep"));
    show("dangling", 0);
    show("dangling", AT_SYMLINK_NOFOLLOW);
    show("dangling/", AT_SYMLINK_NOFOLLOW);
    TRY(symlinkat("x", w, "dangling"));
    TRY(mkdirat(w, "dangling", 0777));
    TRY(mkdirat(w, "dangling/", 0777));
    TRY(opens("dangling", O_RDONLY));
    TRY(opens("dangling", O_WRONLY | O_CREAT | O_EXCL));
    TRY(opens("dangling", O_WRONLY | O_CREAT | O_NOFOLLOW));
    TRY(opens("deep", O_WRONLY | O_CREAT));
    show("nowhere", AT_SYMLINK_NOFOLLOW);
    TRY(opens("dangling", O_WRONLY | O_CREAT));
    show("nowhere", AT_SYMLINK_NOFOLLOW);
    show("dangling", 0);
    TRY(unlinkat(w, "dangling", 0));
    show("nowhere", AT_SYMLINK_NOFOLLOW);
    NEED(symlinkat("made/", w, "slashed"));
    TRY(opens("slashed", O_WRONLY | O_CREAT));
    list(".");
}

static void loops(void)
{
    TITLE("loops");
    TRY(symlinkat("self", w, "self"));
    TRY(symlinkat("pong", w, "ping"));
    TRY(symlinkat("ping", w, "pong"));
    TRY(symlinkat(".", w, "dot"));
    TRY(symlinkat("d/../viadir", w, "viadir"));
    show("self", 0);
    show("self", AT_SYMLINK_NOFOLLOW);
    show("self/x", AT_SYMLINK_NOFOLLOW);
    show("ping", 0);
    show("viadir", 0);
    cat("dot/dot/dot/top");
    TRY(opens("self", O_WRONLY | O_CREAT));
    TRY(opens("self", O_WRONLY | O_CREAT | O_EXCL));
    TRY(opens("self", O_RDONLY | O_NOFOLLOW));
    TRY(mkdirat(w, "self/sub", 0777));
    TRY(renameat(w, "self", w, "itself"));
    show("itself", 0);
    link_text("itself");
}

/*
 * Opens a path of many links, and again if that ends in ELOOP: Linux walks without locks first, and when it has to give
 * that up because something changes at the same time, it counts the links of both attempts (total_link_count is
 * not reset between them). So 40 links fail there once in a while; 41 always.
 */
static const char *opens_at_last(const char *path)
{
    for (int attempt = 0; attempt < 50; attempt++)
        if (opens(path, O_RDONLY) == 0)
            return "0";
        else if (errno != ELOOP)
            break;
    return error_name(errno);
}

static void chains(void)
{
    char path[1024] = "";
    TITLE("chains");
    chain("c", 41, "top");
    printf("39 links in a row: %s\n", opens_at_last("c3"));
    printf("40 links in a row: %s\n", opens_at_last("c2"));
    printf("41 links in a row: %s\n", opens_at_last("c1"));
    show("c1", AT_SYMLINK_NOFOLLOW);
    for (int i = 0; i < 40; i++)
        strcat(path, "dot/");
    strcat(path, "top");
    printf("40 links on the way: %s\n", opens_at_last(path));
    memmove(path + 4, path, strlen(path) + 1);
    memcpy(path, "dot/", 4);
    printf("41 links on the way: %s\n", opens_at_last(path));
}

static void text(void)
{
    static char target[4200], got[4200];
    TITLE("text");
    TRY(symlinkat("", w, "empty"));
    memset(target, 'x', 4096);
    TRY(symlinkat(target, w, "toolong"));
    target[4095] = 0;
    printf("4095 bytes: %d\n", symlinkat(target, w, "longest"));
    printf("read back: %zd\n", readlinkat(w, "longest", got, sizeof got));
    show("longest", 0);
    show("longest", AT_SYMLINK_NOFOLLOW);
    TRY(symlinkat("caf\xc3\xa9/\xff\x01 spaced", w, "bytes"));
    ssize_t count = readlinkat(w, "bytes", got, sizeof got);
    printf("bytes:");
    for (ssize_t i = 0; i < count; i++)
        printf(" %02x", (unsigned char)got[i]);
    printf("\n");
    memset(got, '.', 8);
    printf("truncated: %zd %.8s\n", readlinkat(w, "bytes", got, 3), got);
    TRY(symlinkat("x", w, "bytes"));
    TRY(symlinkat("x", w, "nodir/x"));
    TRY(symlinkat("x", w, "top/x"));
    TRY(symlinkat("x", w, "fresh/"));
    TRY(symlinkat("x", w, "d/"));
    TRY(symlinkat("x", w, "."));
    TRY(unlinkat(w, "dir/", 0));
    TRY(unlinkat(w, "dir", AT_REMOVEDIR));
    TRY(unlinkat(w, "dir/", AT_REMOVEDIR));
    TRY(unlinkat(w, "dir", 0));
    list(".");
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    relative();
    absolute();
    dangling();
    loops();
    chains();
    text();
    return 0;
}
