/* Calls itself: as deep as its argument says, or without end, which must trap and not hurt the host. */
#include <stdio.h>
#include <stdlib.h>

/* Keeps nothing in memory, so that it is the engine's stack that grows; the asm keeps this a call. */
__attribute__((noinline)) static unsigned deeper(unsigned left)
{
    if (left == 0)
        return 0;
    unsigned below = deeper(left - 1);
    __asm__ volatile("" : "+r"(below));
    return below + 1;
}

int main(int argc, char **argv)
{
    unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4000000000u;
    printf("%u deep\n", depth);
    fflush(stdout);
    printf("%u came back\n", deeper(depth));
    return 0;
}
