/* Ends with the exit code that its argument says, after text that is not yet flushed. */
#include <stdio.h>
#include <stdlib.h>

static void at_exit(void)
{
    printf("at exit\n");
}

int main(int argc, char **argv)
{
    atexit(at_exit);
    printf("no newline at the end of this: ");
    if (argc > 2)
        _Exit(atoi(argv[1]));
    exit(argc > 1 ? atoi(argv[1]) : 0);
}
