//! What a call of the guest ends in.

use vnode_kernel::Exit;

/// What a call ends in: the guest goes on with WASI's error number (0: none), or its program is over.
pub type Outcome = Result<u16, Leave>;

/// Why a program is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The process ends.
    Ends(Exit),
    /// It executes another program ([`Process::take_program`](vnode_kernel::Process::take_program)).
    Executes,
}

impl From<Exit> for Leave {
    fn from(exit: Exit) -> Self {
        Leave::Ends(exit)
    }
}

/// What the import gives the guest: the type of its WebAssembly result.
pub trait Answer {
    /// The result that stands for an error number.
    fn of(errno: u16) -> Self;
}

impl Answer for i32 {
    fn of(errno: u16) -> Self {
        i32::from(errno)
    }
}

/// For the functions that don't return.
impl Answer for () {
    fn of(_: u16) -> Self {}
}
