/* The working directory: through links, after a rename and a removal, and what can't be one. */
#include "guest.h"
#include "wasix.h"

static char path[8192];

/* Where it is, below the scratch directory. */
static void here(void)
{
    if (!host_getcwd(path, sizeof path)) {
        printf("here: %s\n", error_name(errno));
        return;
    }
    size_t length = strlen(scratch);
    printf("here: %s\n", strncmp(path, scratch, length) ? path : path + length);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    NEED(host_chdir(scratch));
    here();

    TITLE("down and up");
    NEED(mkdirat(w, "d", 0755));
    NEED(mkdirat(w, "d/e", 0755));
    TRY(host_chdir("d/e"));
    here();
    TRY(host_chdir(".."));
    here();
    TRY(host_chdir("."));
    TRY(host_chdir("e//"));
    here();
    TRY(host_chdir("../../d/./e/.."));
    here();

    TITLE("through links");
    NEED(symlinkat("d/e", w, "link"));
    NEED(symlinkat("link/", w, "slash"));
    NEED(symlinkat("loop", w, "loop"));
    NEED(symlinkat("nowhere", w, "dangling"));
    NEED(host_chdir(scratch));
    TRY(host_chdir("link"));
    here();
    TRY(host_chdir(".."));
    here();
    NEED(host_chdir(scratch));
    TRY(host_chdir("slash"));
    here();
    snprintf(path, sizeof path, "%s/link/..", scratch);
    TRY(host_chdir(path));
    here();

    TITLE("what can't be one");
    put("file", "text");
    NEED(symlinkat("file", w, "tofile"));
    NEED(host_chdir(scratch));
    TRY(host_chdir("file"));
    TRY(host_chdir("tofile"));
    TRY(host_chdir("missing"));
    TRY(host_chdir("loop"));
    TRY(host_chdir("dangling"));
    TRY(host_chdir("file/.."));
    TRY(host_chdir(""));
    memset(path, 'n', 300);
    path[300] = 0;
    TRY(host_chdir(path));
    memset(path, '/', 5000);
    path[5000] = 0;
    TRY(host_chdir(path));
    here();

    TITLE("room for it");
    NEED(host_chdir("d"));
    size_t length = strlen(scratch) + 2;
    printf("exactly: %d\n", host_getcwd(path, length + 1) == path);
    printf("without its end: %s\n", host_getcwd(path, length) ? "fits" : error_name(errno));
    printf("of one byte: %s\n", host_getcwd(path, 1) ? "fits" : error_name(errno));
    printf("of none: %s\n", host_getcwd(path, 0) ? "fits" : error_name(errno));

    TITLE("renamed");
    NEED(renameat(w, "d", w, "moved"));
    here();
    TRY(host_chdir("e"));
    here();
    NEED(renameat(w, "moved/e", w, "away"));
    here();
    TRY(host_chdir(".."));
    here();

    TITLE("removed");
    NEED(host_chdir("away"));
    NEED(unlinkat(w, "away", AT_REMOVEDIR));
    here();
    TRY(host_chdir("."));
    TRY(host_chdir("x"));
    TRY(host_chdir(".."));
    here();
    return 0;
}
