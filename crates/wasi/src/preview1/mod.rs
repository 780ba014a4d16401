//! `wasi_snapshot_preview1`: one function for each import, named as it.
//!
//! Each takes the process, the memory of the instance that calls, and the arguments as WebAssembly has them. It
//! decodes, checks every address, makes one call of the kernel, and encodes. The errors are those of the
//! kernel's call, and `EFAULT` for an address, `EINVAL` for a number or a flag without meaning.

mod descriptors;
mod environment;
mod io;
mod paths;
mod poll;
mod process;
mod sockets;

pub(crate) use descriptors::fd_filestat_get_as;
pub use descriptors::{
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights,
    fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_prestat_dir_name, fd_prestat_get,
    fd_renumber, fd_sync,
};
pub use environment::{
    args_get, args_sizes_get, clock_res_get, clock_time_get, environ_get, environ_sizes_get, random_get,
};
pub(crate) use io::{GoesOn, Transfer, fd_seek_as};
pub use io::{fd_pread, fd_pwrite, fd_read, fd_readdir, fd_seek, fd_tell, fd_write};
pub use paths::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_open, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};
pub(crate) use paths::{path_filestat_get_as, path_open_as};
pub use poll::poll_oneoff;
pub(crate) use poll::{Layout, poll_oneoff_as};
pub use process::{proc_exit, proc_raise, sched_yield};
pub(crate) use process::{sendable, sent, signal_of};
pub(crate) use sockets::accept;
pub use sockets::{sock_accept, sock_recv, sock_send, sock_shutdown};
