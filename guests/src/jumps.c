/* setjmp and longjmp: out of calls, loops, recursion, a sort and handlers of signals; again and again; memory stays. */
#include "guest.h"
#include "jump.h"

static host_jmp_buf top, other;
static volatile int count;
static int plain;

static void values(void)
{
    static const int brought[] = { 1, 7, 0, -1, 2147483647, -2147483647 - 1 };
    for (volatile unsigned i = 0; i < sizeof brought / sizeof *brought; i++) {
        int value = host_setjmp(top);
        if (value == 0 && count++ == (int)i)
            host_longjmp(top, brought[i]);
        printf("brought %d: %d\n", brought[i], value);
    }
}

static void locals(void)
{
    int kept = host_getpid() > 0 ? 11 : 12;
    volatile int changed = 1;
    volatile double real = 0.5;
    volatile char text[20] = "before";
    char *heap = malloc(10);
    strcpy(heap, "old");
    plain = 1;
    if (host_setjmp(top) == 0) {
        changed = 2;
        real *= 3;
        text[0] = 'B';
        strcpy(heap, "new");
        plain = 2;
        host_longjmp(top, 1);
    }
    printf("kept %d, changed %d, real %.2f, text %s, heap %s, global %d\n", kept, changed, real, (char *)text,
           heap, plain);
    free(heap);
}

__attribute__((noinline)) static void third(int value)
{
    char room[3000];
    memset(room, value, sizeof room);
    if (room[value] == value)
        host_longjmp(top, value);
    printf("not reached\n");
}

__attribute__((noinline)) static void second(int value)
{
    third(value + 1);
    printf("not reached\n");
}

__attribute__((noinline)) static void first(int value)
{
    second(value + 1);
    printf("not reached\n");
}

static void nested(void)
{
    int value = host_setjmp(top);
    if (value == 0)
        first(40);
    printf("nested: %d\n", value);
}

__attribute__((noinline)) static int deep(int depth)
{
    volatile int here = depth;
    if (depth == 0)
        host_longjmp(top, 5);
    return deep(depth - 1) + here;
}

static void recursion(void)
{
    for (volatile int round = 0; round < 3; round++) {
        if (host_setjmp(top) == 0)
            printf("%d\n", deep(10000));
        printf("out of the deep\n");
    }
}

static void again(void)
{
    volatile int sum = 0;
    int value = host_setjmp(top);
    sum += value;
    if (value < 100)
        host_longjmp(top, value + 1);
    printf("jumped 100 times: %d\n", sum);
}

static void loops(void)
{
    for (volatile int i = 0; i < 3; i++) {
        for (volatile int j = 0;; j++) {
            if (host_setjmp(top))
                break;
            if (j == i)
                host_longjmp(top, 1);
            printf("loop %d %d\n", i, j);
        }
    }
}

/* As exceptions are made of it. */
static host_jmp_buf *handler;

_Noreturn static void throw(int what)
{
    host_longjmp(*handler, what);
}

static void guarded(int level)
{
    host_jmp_buf here;
    host_jmp_buf *volatile outer = handler;
    handler = &here;
    int what = host_setjmp(here);
    if (what == 0) {
        if (level == 0)
            throw(100);
        guarded(level - 1);
        printf("not reached\n");
    }
    handler = outer;
    if (level % 8 == 0)
        printf("level %d caught %d\n", level, what);
    if (handler)
        throw(what + 1);
}

static int compare(const void *a, const void *b)
{
    if (++count == 20)
        host_longjmp(top, 3);
    return *(const int *)a - *(const int *)b;
}

static void sorting(void)
{
    int numbers[64];
    for (int i = 0; i < 64; i++)
        numbers[i] = i * 37 % 64;
    count = 0;
    if (host_setjmp(top) == 0)
        qsort(numbers, 64, sizeof *numbers, compare);
    printf("left a sort at comparison %d\n", count);
}

static void output(void)
{
    if (host_setjmp(top) == 0) {
        printf("begun, ");
        host_longjmp(top, 1);
    }
    printf("ended\n");
}

/* Programs save a jmp_buf and use it again by copying it. */
static void copied(void)
{
    host_jmp_buf saved;
    volatile int round = 0;
    if (host_setjmp(top) == 0) {
        memcpy(&saved, &top, sizeof saved);
        if (host_setjmp(top) == 0)
            host_longjmp(top, 1);
        printf("the later\n");
        memcpy(&top, &saved, sizeof saved);
        round = round + 1;
        host_longjmp(top, 1);
    }
    printf("the earlier, round %d\n", round);
}

static void two(void)
{
    volatile int tops = 0, others = 0;
    if (host_setjmp(top))
        tops++;
    else if (host_setjmp(other))
        others++;
    if (tops + others < 7)
        host_longjmp((tops + others) % 2 ? top : other, 1);
    printf("between two: %d and %d\n", tops, others);
}

static void on_signal(int number)
{
    count++;
    if (number == USR1)
        host_longjmp(top, number);
    if (number == ALRM)
        host_longjmp(top, number);
    if (number == USR2) {
        host_jmp_buf here;
        volatile int rounds = 0;
        int value = host_setjmp(here);
        rounds++;
        if (value < 3)
            host_longjmp(here, value + 1);
        printf("in a handler: %d rounds\n", rounds);
    }
    if (number == TERM && host_setjmp(other) == 0)
        host_raise(USR1);
}

static void handlers(void)
{
    host_handle(on_signal);
    count = 0;
    for (volatile int i = 0; i < 3; i++) {
        int value = host_setjmp(top);
        if (value == 0)
            host_raise(USR1);
        printf("out of a handler: %d\n", value);
    }
    TRY(host_raise(USR2));
    int value = host_setjmp(top);
    if (value == 0)
        host_raise(TERM);
    printf("out of a handler in a handler: %d\n", value);
    for (volatile int i = 0; i < 3; i++) {
        if (host_setjmp(top) == 0) {
            host_alarm(5, 0);
            for (;;)
                ;
        }
        printf("out of a loop without calls\n");
    }
    if (host_setjmp(top) == 0) {
        host_alarm(5, 0);
        host_sleep(60000);
        printf("not reached\n");
    }
    printf("out of a sleep\n");
    TRY(host_raise(USR2));
    printf("handled: %d\n", count);
}

static void on_alarm(int number)
{
    host_jmp_buf here;
    volatile int jumped = 0;
    if (host_setjmp(here) == 0)
        host_longjmp(here, number);
    else
        jumped = 1;
    count += jumped;
}

/* Signals come while the stack is unwound and rewound, too. */
static void storm(void)
{
    volatile long rounds = 0, wrong = 0;
    host_handle(on_alarm);
    count = 0;
    host_alarm(1, 1);
    while (count < 50) {
        int value = host_setjmp(top);
        if (value == 0)
            first(40);
        if (value != 42)
            wrong++;
        rounds++;
    }
    host_alarm(0, 0);
    printf("all came: %d, jumped meanwhile: %d, wrong: %ld\n", count >= 50, rounds > 50, wrong);
}

/* Makes no call, so that the compiler may leave its numbers below the stack's pointer. */
__attribute__((noinline)) static int leaf(int until)
{
    volatile int numbers[16];
    int sum = 0;
    for (int i = 0; i < 16; i++)
        numbers[i] = i;
    while (count < until)
        ;
    for (int i = 0; i < 16; i++)
        sum += numbers[i];
    return sum;
}

static void interrupted(void)
{
    count = 0;
    host_alarm(1, 1);
    printf("below the stack: %d\n", leaf(5));
    host_alarm(0, 0);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    TITLE("values");
    values();
    TITLE("locals");
    locals();
    TITLE("out of calls");
    nested();
    recursion();
    sorting();
    TITLE("again");
    again();
    loops();
    two();
    copied();
    TITLE("levels");
    guarded(48);
    TITLE("output");
    output();
    TITLE("signals");
    handlers();
    storm();
    interrupted();
    return 0;
}
