/* Traps, as its argument says: by unreachable code, out of bounds, a division, a wrong call, or abort(). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static int divide(volatile int by)
{
    return 7 / by;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "unreachable";
    printf("before\n");
    fflush(stdout);
    if (!strcmp(how, "unreachable"))
        __builtin_trap();
    if (!strcmp(how, "bounds"))
        *(volatile char *)(uintptr_t)0xfffffff0 = 1;
    if (!strcmp(how, "divide"))
        printf("%d\n", divide(0));
    if (!strcmp(how, "call"))
        ((void (*volatile)(void))(uintptr_t)0x00ffffff)();
    if (!strcmp(how, "abort"))
        abort();
    printf("after\n");
    return 0;
}
