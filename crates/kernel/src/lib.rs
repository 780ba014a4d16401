//! What a process has: descriptors and the open files behind them, rights, its place in the tree, clocks,
//! waiting. Knows no backend and no WebAssembly.
//!
//! * [`Process`] and [`ProcessBuilder`]: all of it together.
//! * [`FdTable`], [`FdEntry`], [`OpenFile`], [`Rights`]: descriptors.
//! * [`stream`]: standard input and output, terminals, pipes, pairs of sockets, counters of events.
//! * [`devices`], [`procfs`], [`commands`]: what is mounted at `/dev`, `/proc` and `/bin`.
//! * [`Wait`], [`Interruption`]: every wait of a guest, and how it is ended. [`Attempt`]: calls on a thread that may
//!   not sleep; `reactor`: the one thread that sleeps for them.
//! * [`Observer`]: the trace and the counts.
//! * [`Files`]: what the embedder reads and writes itself.
//! * [`Signals`], [`Signal`]: what tells a process that something happened, and ends it.
//! * [`ProcessTable`]: parents and children; [`Execute`], [`Loader`], [`Program`]: what they run.
//! * `futex`: threads of a guest that wait for one another.
//!
//! The calls themselves are methods of [`Process`], by descriptor (`calls/by_fd.rs`), by path (`calls/by_path.rs`),
//! from where the process stands (`calls/here.rs`), with other processes (`calls/spawn.rs`), and `poll(2)`
//! (`calls/poll.rs`); what they do with an open file is in `file_io.rs`.
//!
//! Invariants: no call gets at an open file without naming the rights that it needs ([`FdTable::get`]). A
//! failed call changes nothing: a descriptor's number is set aside before anything is opened. Every wait ends
//! when the process is killed.
//!
//! Lock order, outermost first: descriptors (an `Arc` is taken out), the position of an open file, what the
//! filesystem has. The descriptors' lock is never held across a call of a filesystem, nor while something is
//! dropped; the place in the tree ([`FsContext`]) is copied out. A pipe's own lock and the queues of [`WaitQueue`] are
//! leaves.
mod attempt;
mod calls;
mod clock;
pub mod commands;
pub mod devices;
mod event;
mod exit;
mod fd_table;
mod file_io;
mod files;
mod futex;
mod observe;
mod open_file;
mod process;
mod processes;
pub mod procfs;
mod program;
mod random;
mod reactor;
mod rights;
mod signal;
pub mod stream;
mod strings;
mod wait;

pub use attempt::{Alarm, Attempt, Pending, Tried, Unfinished, on_behalf};
pub use calls::{OpenRequest, Poll, PollEvent, Spawn, SpawnAction, Whence};
pub use clock::{ClockId, Clocks, HostClocks};
pub use exit::Exit;
pub use fd_table::{FD_LIMIT_MAX, Fd, FdEntry, FdTable, ReservedFd};
pub use files::Files;
pub use observe::{CallCount, Event, Observer, Stats};
pub use open_file::OpenFile;
pub use process::{FsContext, Limits, Process, ProcessBuilder};
pub use processes::{Children, ProcessTable, Target};
pub use program::{Execute, Loader, Program, ProgramFile, Search, USUAL_PATH};
pub use random::{HostRandom, Random};
pub use rights::{FdFlags, Rights};
pub use signal::{Action, Alert, Signal, Signals};
pub use strings::Strings;
pub use vnode_core::Policy;
pub use wait::{Interruption, Look, Wait, WaitQueue, Watch};
