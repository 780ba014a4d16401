//! The calls that a process makes, as methods of [`Process`](crate::Process): look up the descriptor with the
//! rights that the call needs, then do one thing.

mod by_fd;
mod by_path;
mod here;
mod poll;
mod spawn;
mod terminal;

pub use crate::file_io::Whence;
pub use by_path::OpenRequest;
pub use poll::{Poll, PollEvent};
pub use spawn::{Spawn, SpawnAction};
