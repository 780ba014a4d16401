//! What the `vnode` command is made of and can be tried without it. Not an API: it changes with the command.
//!
//! * [`load`]: filling a memory filesystem from a directory or a tar archive.
//! * [`text`]: names from outside on a terminal.

#[doc(hidden)]
pub mod load;
#[doc(hidden)]
pub mod text;
