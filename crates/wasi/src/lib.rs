//! WASI on the wire: numbers, structs, one function for each call of a guest. No engine.
//!
//! * [`preview1`] and [`unstable`]: the functions. Each decodes, makes one call of the kernel, and encodes.
//! * [`for_each_preview1!`] and [`for_each_unstable!`]: what an engine registers.
//! * [`memory`]: the guest's memory, and every check of a guest's address.
//! * [`apart`]: a call made on another thread, with copies of what it needs of the guest's memory.
//! * [`Outcome`]: what a call ends in.
//! * `decode` and `layout`: numbers and flags in, structs out. [`errno`]: error numbers both ways.
//! * `serve` and `show`: what goes around every call, and its arguments as the trace shows them.
//!
//! Invariants: nothing is done before every address of the call is checked (`EFAULT`); a guest's number is
//! bounded before anything is allocated for it; a guest's bytes are read once; every padding byte of a struct is
//! zero. There are no locks here.
#[macro_use]
mod table;
pub mod apart;
mod decode;
pub mod errno;
mod layout;
pub mod memory;
mod outcome;
pub mod preview1;
mod serve;
mod show;
pub mod unstable;

pub use memory::GuestMemory;
pub use outcome::{Answer, Outcome};
pub use table::{PREVIEW1_NAMES, UNSTABLE_NAMES, may_wait};
