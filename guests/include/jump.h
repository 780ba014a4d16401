/*
 * Jumps of C: setjmp(3) and longjmp(3) over WASIX's snapshots of the stack; natively the same names are the kernel's and
 * the C library's own, with the signal mask, which WASIX has none of. A guest that includes this is gone over by
 * Binaryen's asyncify.
 */
#ifndef JUMP_H
#define JUMP_H

#include "wasix.h"

#ifdef __wasm__
struct snapshot {
    uint64_t user, hash_lower, hash_upper;
};
typedef struct snapshot host_jmp_buf[1];

WASIX(stack_checkpoint) uint16_t wasix_stack_checkpoint(struct snapshot *snapshot, uint64_t *value);
WASIX(stack_restore) _Noreturn void wasix_stack_restore(const struct snapshot *snapshot, uint64_t value);

/* -1 if no snapshot can be made; a jump brings another value. */
__attribute__((noinline, returns_twice)) static int host_setjmp(host_jmp_buf to)
{
    uint64_t value = 0;
    errno = wasix_stack_checkpoint(to, &value);
    return errno ? -1 : (int)value;
}

_Noreturn static inline void host_longjmp(host_jmp_buf to, int value)
{
    wasix_stack_restore(to, value ? (unsigned)value : 1);
}
#else
#include <setjmp.h>

#define host_jmp_buf sigjmp_buf
#define host_setjmp(to) sigsetjmp(to, 1)
#define host_longjmp siglongjmp
#endif

#endif
