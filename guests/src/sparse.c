/* Seeking and sparse files: holes read as zeros, far offsets cost nothing, bad offsets are refused. */
#include "guest.h"

static int all_zero(int fd, off_t from, size_t count)
{
    static char buffer[65536];
    while (count > 0) {
        size_t want = count < sizeof buffer ? count : sizeof buffer;
        memset(buffer, 'x', want);
        ssize_t got = pread(fd, buffer, want, from);
        if (got <= 0)
            return 0;
        for (ssize_t i = 0; i < got; i++)
            if (buffer[i])
                return 0;
        from += got;
        count -= (size_t)got;
    }
    return 1;
}

int main(int argc, char **argv)
{
    char text[32];
    struct stat st;
    enter(argc, argv);
    int fd = (int)NEED(openat(w, "s", O_RDWR | O_CREAT, 0666));

    TITLE("seeking");
    TRY(write(fd, "hello", 5));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(lseek(fd, -2, SEEK_CUR));
    TRY(lseek(fd, -6, SEEK_CUR));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(lseek(fd, -5, SEEK_END));
    TRY(lseek(fd, -6, SEEK_END));
    TRY(lseek(fd, -1, SEEK_SET));
    TRY(lseek(fd, 0, 77));
    TRY(lseek(fd, 100, SEEK_END));
    TRY(read(fd, text, 1));
    TRY(lseek(fd, 0, SEEK_CUR));
    NEED(fstat(fd, &st));
    printf("size %lld\n", (long long)st.st_size);
    TRY(write(fd, "!", 1));
    NEED(fstat(fd, &st));
    printf("size %lld\n", (long long)st.st_size);
    printf("gap is zero: %d\n", all_zero(fd, 5, 100));

    TITLE("far away");
    off_t far = (off_t)1 << 40;
    printf("seek %d\n", lseek(fd, far, SEEK_SET) == far);
    TRY(write(fd, "far", 3));
    NEED(fstat(fd, &st));
    printf("size %lld\n", (long long)st.st_size);
    printf("hole is zero: %d\n", all_zero(fd, 106, 1 << 20) && all_zero(fd, far - 70000, 70000));
    TRY(pread(fd, text, sizeof text, far));
    printf("%.3s\n", text);
    TRY(pread(fd, text, sizeof text, far + 3));
    TRY(pread(fd, text, sizeof text, far + 100));
    TRY(pread(fd, text, sizeof text, -1));
    TRY(pwrite(fd, "x", 1, -1));
    TRY(pread(fd, text, 0, 0));
    TRY(pwrite(fd, "x", 0, far * 2));
    NEED(fstat(fd, &st));
    printf("size %lld\n", (long long)st.st_size);

    TITLE("the end of numbers");
    off_t last = INT64_MAX;
    printf("seek %d\n", lseek(fd, last, SEEK_SET) == last);
    TRY(write(fd, "x", 1));
    TRY(write(fd, "x", 0));
    TRY(read(fd, text, 1));
    TRY(lseek(fd, 1, SEEK_CUR));
    TRY(lseek(fd, INT64_MAX, SEEK_END));
    TRY(pwrite(fd, "xyz", 3, last - 1));
    NEED(fstat(fd, &st));
    printf("size %lld\n", (long long)st.st_size);

    TITLE("pread and pwrite leave the offset");
    TRY(lseek(fd, 2, SEEK_SET));
    TRY(pwrite(fd, "HE", 2, 0));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(pread(fd, text, 5, 0));
    printf("%.5s\n", text);
    TRY(lseek(fd, 0, SEEK_CUR));

    TITLE("holes made by cutting");
    for (int i = 0; i < 40; i++)
        NEED(pwrite(fd, "0123456789abcdef", 16, (off_t)i * 8192));
    TRY(ftruncate(fd, 100000));
    TRY(ftruncate(fd, 400000));
    printf("after the cut: %d\n", all_zero(fd, 100000, 300000));
    TRY(pread(fd, text, 16, 98304));
    printf("%.16s\n", text);
    printf("between: %d\n", all_zero(fd, 90128, 8176));
    TRY(ftruncate(fd, 98308));
    TRY(ftruncate(fd, 98320));
    TRY(pread(fd, text, 16, 98304));
    for (int i = 0; i < 16; i++)
        printf("%c", text[i] ? text[i] : '.');
    printf("\n");

    TITLE("no seeking on a directory's bytes");
    int dir = (int)NEED(openat(w, ".", O_RDONLY | O_DIRECTORY));
    TRY(pread(dir, text, 1, 0));
    close(dir);
    close(fd);
    return 0;
}
