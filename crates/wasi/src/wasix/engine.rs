//! The imports that only an engine can serve, since they need more of a guest than its memory: its stack. An engine puts
//! its own functions in the place of these ([`BY_ENGINE`]); for a guest whose engine can't, they are what is absent.

use vnode_kernel::{Exit, Process};

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::wasix::absent::not_yet;

/// Linux's number of `SIGSYS`.
const SIGSYS: u8 = 31;

/// Their names.
pub const BY_ENGINE: &[&str] = &["stack_checkpoint", "stack_restore"];

/// Notes where the guest is (`setjmp(3)`).
///
/// # Errors
/// `ENOTSUP`: the engine can't unwind the guest's stack.
pub fn stack_checkpoint(
    process: &Process,
    memory: &GuestMemory<'_>,
    _snapshot: u32,
    _ret_val: u32,
) -> Outcome {
    not_yet(process, memory, "stack_checkpoint")
}

/// Goes back to where the guest was (`longjmp(3)`). It doesn't return: a guest that can't go back ends as a system call may
/// that isn't there, by `SIGSYS`.
pub fn stack_restore(process: &Process, memory: &GuestMemory<'_>, _snapshot: u32, _value: u64) -> Outcome {
    not_yet(process, memory, "stack_restore")?;
    Err(Exit::Signal(SIGSYS).into())
}
