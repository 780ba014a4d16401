//! WASI on the wire: numbers, structs, one function for each call of a guest. No engine.
//!
//! * [`preview1`], [`unstable`] and [`wasix`]: the functions. Each decodes, makes one call of the kernel, and encodes.
//! * [`for_each_preview1!`], [`for_each_unstable!`] and [`for_each_wasix!`]: what an engine registers.
//! * [`memory`]: the guest's memory, and every check of a guest's address.
//! * [`apart`]: a call made on another thread, with copies of what it needs of the guest's memory.
//! * [`Outcome`]: what a call ends in.
//! * `decode` and `layout`: numbers and flags in, structs out. [`errno`]: error numbers both ways.
//! * `serve` and `show`: what goes around every call, and its arguments as the trace shows them.
//!
//! An engine finds the process and the memory of the guest that calls, and calls the function:
//!
//! ```
//! use std::sync::Arc;
//! use vnode_core::{Errno, FilesystemRef, Namespace};
//! use vnode_kernel::Process;
//! use vnode_memory::Memory;
//! use vnode_wasi::{GuestMemory, errno::to_wasi, preview1};
//!
//! let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
//! let process = Process::builder(namespace).args(["tool", "x"]).build()?;
//! let mut bytes = [0; 64];
//! let memory = GuestMemory::from_slice(&mut bytes);
//!
//! assert_eq!(preview1::args_sizes_get(&process, &memory, 0, 4), Ok(0));
//! assert_eq!(memory.read::<8>(0), Ok([2, 0, 0, 0, 7, 0, 0, 0]), "two, of 7 bytes with their NULs");
//! assert_eq!(preview1::args_sizes_get(&process, &memory, 0, 61), Ok(to_wasi(Errno::FAULT)));
//! assert!(preview1::proc_exit(&process, &memory, 3).is_err(), "the guest is over");
//! # Ok::<(), Errno>(())
//! ```
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
pub mod wasix;

pub use memory::GuestMemory;
pub use outcome::{Answer, Leave, Outcome};
pub use table::{PREVIEW1_NAMES, UNSTABLE_NAMES, may_wait};
pub use wasix::WASIX_NAMES;
