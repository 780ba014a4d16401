/* The C library's view: arguments, environment, the standard streams, FILE buffers and the working directory. */
#include "guest.h"

extern char **environ;

static void given(int argc, char **argv)
{
    TITLE("arguments and environment");
    for (int i = 1; i < argc; i++)
        printf("argument %d: \"%s\"\n", i, argv[i]);
    static char *names[256];
    size_t count = 0;
    for (char **e = environ; e && *e && count < 256; e++)
        names[count++] = *e;
    qsort(names, count, sizeof names[0], by_name);
    for (size_t i = 0; i < count; i++)
        printf("environment: \"%s\"\n", names[i]);
    printf("GREETING: %s\n", getenv("GREETING") ? getenv("GREETING") : "(none)");
}

static void echo(void)
{
    char line[64];
    int number = 0;
    TITLE("standard input");
    while (fgets(line, sizeof line, stdin))
        printf("%d: %s%s", ++number, line, strchr(line, '\n') ? "" : "|\n");
    printf("end %d, error %d\n", feof(stdin) != 0, ferror(stdin) != 0);
}

static void streams(void)
{
    char path[512], line[64];
    TITLE("FILE");
    snprintf(path, sizeof path, "%s/report.txt", scratch);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 10000; i++)
        fprintf(f, "line %d\n", i);
    TRY(fclose(f));
    show("report.txt", 0);
    f = fopen(path, "r+");
    TRY(fseek(f, -5, SEEK_END));
    TRY(fgets(line, sizeof line, f) != NULL);
    printf("%s", line);
    TRY(fseek(f, 5, SEEK_SET));
    fputs("X", f);
    rewind(f);
    TRY(fgets(line, sizeof line, f) != NULL);
    printf("%s", line);
    TRY(ftell(f));
    TRY(ungetc('#', f));
    TRY(fgetc(f));
    TRY(fclose(f));
    f = fopen(path, "a+");
    fputs("the end\n", f);
    TRY(fflush(f));
    TRY(ftell(f));
    TRY(fclose(f));
    show("report.txt", 0);
    f = fopen(path, "r");
    char word[16];
    int n = 0;
    TRY(fscanf(f, "%15s X%d", word, &n));
    printf("%s\n", word);
    printf("writing is refused: %d\n", fputs("x", f) == EOF);
    TRY(fclose(f));
    TRY(fopen(path, "wx") == NULL);
    printf("%s\n", error_name(errno));
    TRY(rename(path, "/nowhere/at/all"));
    TRY(remove(path));
    TRY(remove(path));
}

/* The working directory is the C library's own on WASI; both must find the same files. */
static void working_directory(void)
{
    char path[512];
    TITLE("working directory");
    TRY(chdir(scratch));
    TRY(getcwd(path, sizeof path) && !strcmp(path, scratch));
    put("here", "by name");
    FILE *f = fopen("here", "r");
    TRY(f != NULL);
    if (f)
        fclose(f);
    TRY(mkdir("sub", 0777));
    TRY(chdir("sub"));
    TRY(symlink("../here", "back"));
    f = fopen("back", "r");
    TRY(f != NULL);
    if (f)
        fclose(f);
    TRY(rmdir("../sub/none"));
    TRY(unlink("back"));
    TRY(chdir("/"));
    list("sub");
    TRY(chdir("/no/such"));
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    given(argc, argv);
    echo();
    streams();
    working_directory();
    fflush(stdout);
    fprintf(stderr, "to standard error\n");
    return 7;
}
