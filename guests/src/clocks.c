/* Clocks and random numbers: they run forward, their resolutions are sane, random bytes differ. */
#include "guest.h"
#include <time.h>

int main(int argc, char **argv)
{
    struct timespec a, b;
    enter(argc, argv);

    TITLE("clocks");
    TRY(clock_gettime(CLOCK_REALTIME, &a));
    printf("after 2020: %d\n", a.tv_sec > 1577836800);
    printf("nanoseconds in range: %d\n", a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
    printf("time() agrees: %d\n", time(NULL) - (time_t)a.tv_sec <= 1);
    int backwards = 0, moved = 0;
    TRY(clock_gettime(CLOCK_MONOTONIC, &a));
    for (int i = 0; i < 100000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &b);
        backwards += b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec);
        moved += b.tv_nsec != a.tv_nsec;
        a = b;
    }
    printf("backwards: %d, moved: %d\n", backwards, moved > 0);
    TRY(clock_getres(CLOCK_REALTIME, &b));
    printf("resolution in range: %d\n", b.tv_sec == 0 && b.tv_nsec > 0 && b.tv_nsec <= 10000000);
    TRY(clock_getres(CLOCK_MONOTONIC, &b));
    printf("resolution in range: %d\n", b.tv_sec == 0 && b.tv_nsec > 0 && b.tv_nsec <= 10000000);

    TITLE("files and the clock");
    struct stat st;
    clock_gettime(CLOCK_REALTIME, &a);
    put("f", "x");
    clock_gettime(CLOCK_REALTIME, &b);
    NEED(fstatat(w, "f", &st, 0));
    printf("a new file's time is now: %d\n", st.st_mtim.tv_sec >= a.tv_sec - 1 && st.st_mtim.tv_sec <= b.tv_sec);
    printf("its three times agree: %d\n", st.st_mtim.tv_sec - st.st_ctim.tv_sec == 0 && st.st_atim.tv_sec - st.st_ctim.tv_sec <= 0);

    TITLE("random");
    static unsigned char x[512], y[256];
    int counts[256] = {0}, kinds = 0;
    TRY(getentropy(x, 256));
    TRY(getentropy(y, 256));
    printf("different: %d\n", memcmp(x, y, sizeof y) != 0);
    for (int i = 0; i < 256; i++)
        counts[x[i]]++;
    for (int i = 0; i < 256; i++)
        kinds += counts[i] > 0;
    printf("many values: %d\n", kinds > 100);
    TRY(getentropy(x, 0));
    TRY(getentropy(x, 257));
    return 0;
}
