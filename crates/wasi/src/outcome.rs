//! What a call of the guest ends in.

use vnode_kernel::Exit;

/// What a call ends in: the guest goes on with WASI's error number (0: none), or it is over.
pub type Outcome = Result<u16, Exit>;

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
