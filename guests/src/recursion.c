/* Calls itself: as deep as its argument says, or without end, which must trap and not hurt the host. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static unsigned deeper(unsigned left, volatile unsigned *above)
{
    volatile unsigned here = *above + 1;
    if (left == 0)
        return here;
    return deeper(left - 1, &here) + (here & 0);
}

int main(int argc, char **argv)
{
    volatile unsigned zero = 0;
    unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4000000000u;
    printf("%u deep\n", depth);
    fflush(stdout);
    printf("%u came back\n", deeper(depth, &zero));
    return 0;
}
