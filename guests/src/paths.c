/* Path text: slashes, dots, lengths and bytes, given to the filesystem as they are spelled. */
#include "guest.h"

static void stat_of(const char *path)
{
    struct stat st;
    printf("%s -> %s\n", path, fstatat(w, path, &st, 0) == -1 ? error_name(errno) : kind_name(st.st_mode));
}

static void slashes_and_dots(void)
{
    TITLE("slashes and dots");
    NEED(mkdirat(w, "d", 0777));
    NEED(mkdirat(w, "d/e", 0777));
    put("d/f", "text");
    NEED(symlinkat("d/e", w, "l"));
    static const char *const paths[] = {
        "d", "d/", "d//", "d/.", "d/./", "./d", ".//d", "d//e", "d/e/..", "d/e/../..", "d/e/../../d/f", "d/../d/../d",
        "d/f", "d/f/", "d/f/.", "d/f/..", "d/f/../f", "d/missing/..", "d/missing/../f", "l/..", "l/../f", "l/../../d/f", "",
        ".", "./", "./.", "..d", "d/...", "d/..e", " ", "d /f", "D", "l/", "l/.", "missing", "missing/", "missing/.",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        stat_of(paths[i]);
}

static void long_names(void)
{
    static char name[300], path[1200];
    struct stat st;
    TITLE("long names");
    memset(name, 'n', sizeof name);
    for (int length = 254; length <= 257; length++) {
        name[length] = 0;
        printf("%d bytes:", length);
        printf(" open %s", opens(name, O_WRONLY | O_CREAT) == -1 ? error_name(errno) : "0");
        printf(" stat %s", fstatat(w, name, &st, 0) == -1 ? error_name(errno) : "0");
        printf(" rename %s", renameat(w, "d/f", w, name) == -1 ? error_name(errno) : "0");
        printf(" back %s", renameat(w, name, w, "d/f") == -1 ? error_name(errno) : "0");
        printf(" mkdir %s", mkdirat(w, name, 0777) == -1 ? error_name(errno) : "0");
        printf(" rmdir %s", unlinkat(w, name, AT_REMOVEDIR) == -1 ? error_name(errno) : "0");
        printf(" symlink %s", symlinkat(name, w, name) == -1 ? error_name(errno) : "0");
        printf(" follow %s", fstatat(w, name, &st, 0) == -1 ? error_name(errno) : "0");
        printf(" unlink %s\n", unlinkat(w, name, 0) == -1 ? error_name(errno) : "0");
        snprintf(path, sizeof path, "missing/%s", name);
        printf("in a missing directory: %s\n", fstatat(w, path, &st, 0) == -1 ? error_name(errno) : "0");
        snprintf(path, sizeof path, "d/f/%s", name);
        printf("below a file: %s\n", fstatat(w, path, &st, 0) == -1 ? error_name(errno) : "0");
        name[length] = 'n';
    }
}

/* `count` bytes that name the scratch directory: "././ ... ." */
static const char *dots(int count)
{
    static char path[8000];
    for (int i = 0; i < count; i++)
        path[i] = i % 2 ? '/' : '.';
    path[count] = 0;
    return path;
}

static void long_paths(void)
{
    static const int lengths[] = {4093, 4094, 4095, 4096, 4097, 7999};
    struct stat st;
    TITLE("long paths");
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        printf("%d bytes: %s\n", lengths[i], fstatat(w, dots(lengths[i]), &st, 0) == -1 ? error_name(errno) : "0");
    static char slashes[5000];
    memset(slashes, '/', 4095);
    slashes[0] = 'd';
    printf("4095 bytes of slashes: %s\n", fstatat(w, slashes, &st, 0) == -1 ? error_name(errno) : "0");
}

static void bytes(void)
{
    static const char *const names[] = {
        "\xff\xfe", "caf\xc3\xa9", "cafe\xcc\x81", "tab\there", "new\nline", "\x01", "*?", "-rf", "a\\b", "C:", "nul", "x ", "x.",
        "\xed\xa0\x80",
    };
    char back[64];
    TITLE("bytes");
    NEED(mkdirat(w, "bytes", 0777));
    int dir = (int)NEED(openat(w, "bytes", O_RDONLY | O_DIRECTORY));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        NEED(symlinkat(names[i], dir, names[i]));
    DIR *listing = fdopendir(dir);
    struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        for (const char *c = entry->d_name; *c; c++)
            printf("%02x", (unsigned char)*c);
        ssize_t got = readlinkat(dirfd(listing), entry->d_name, back, sizeof back);
        printf(" %s\n", got == -1 ? error_name(errno) : !strncmp(back, entry->d_name, (size_t)got) ? "same text" : "other text");
    }
    if (listing)
        closedir(listing);
}

static void case_matters(void)
{
    TITLE("case matters");
    put("Name", "upper");
    put("name", "lower");
    cat("Name");
    cat("name");
    TRY(opens("NAME", O_RDONLY));
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    slashes_and_dots();
    long_names();
    long_paths();
    bytes();
    case_matters();
    return 0;
}
