/* Hard links: one file under many names, links to links, and what can't be linked. */
#include "guest.h"

int main(int argc, char **argv)
{
    char name[16];
    enter(argc, argv);

    TITLE("one file, two names");
    put("a", "first");
    TRY(linkat(w, "a", w, "b", 0));
    show("a", 0);
    printf("same: %d\n", same("a", "b"));
    put("b", "second");
    cat("a");
    TRY(unlinkat(w, "a", 0));
    show("b", 0);
    show("a", 0);

    TITLE("many");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%02d", i);
        NEED(linkat(w, "b", w, name, 0));
    }
    show("n57", 0);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%02d", i);
        NEED(unlinkat(w, name, 0));
    }
    show("b", 0);

    TITLE("across directories");
    NEED(mkdirat(w, "d", 0777));
    NEED(mkdirat(w, "d/e", 0777));
    TRY(linkat(w, "b", w, "d/e/b", 0));
    TRY(linkat(w, "d/e/b", w, "d/c", 0));
    printf("same: %d\n", same("b", "d/c"));
    show("d", 0);
    show("d/c", 0);

    TITLE("links to links");
    NEED(symlinkat("b", w, "s"));
    NEED(symlinkat("nowhere", w, "dangling"));
    TRY(linkat(w, "s", w, "s2", 0));
    show("s2", AT_SYMLINK_NOFOLLOW);
    link_text("s2");
    printf("same: %d\n", same("s", "s2"));
    TRY(linkat(w, "s", w, "s3", AT_SYMLINK_FOLLOW));
    printf("same: %d\n", same("b", "s3"));
    TRY(linkat(w, "dangling", w, "dangling2", 0));
    show("dangling", AT_SYMLINK_NOFOLLOW);
    TRY(linkat(w, "dangling", w, "dangling3", AT_SYMLINK_FOLLOW));
    TRY(unlinkat(w, "s", 0));
    cat("s2");

    TITLE("errors");
    TRY(linkat(w, "d", w, "dir", 0));
    TRY(linkat(w, "b", w, "b", 0));
    TRY(linkat(w, "b", w, "d", 0));
    TRY(linkat(w, "b", w, "dangling", 0));
    TRY(linkat(w, "missing", w, "x", 0));
    TRY(linkat(w, "missing", w, "b", 0));
    TRY(linkat(w, "b", w, "missing/x", 0));
    TRY(linkat(w, "b/", w, "x", 0));
    TRY(linkat(w, "b", w, "x/", 0));
    TRY(linkat(w, "b", w, "d/", 0));
    TRY(linkat(w, "b", w, "b/x", 0));
    TRY(linkat(w, "", w, "x", 0));
    TRY(linkat(w, "b", w, "", 0));
    TRY(linkat(w, "b", w, ".", 0));
    TRY(linkat(w, ".", w, "x", 0));
    TRY(linkat(w, "d/e/.", w, "x", 0));

    TITLE("a rename between two names of one file does nothing");
    TRY(renameat(w, "b", w, "d/c"));
    show("b", 0);
    show("d/c", 0);
    list(".");
    list("d");
    return 0;
}
