//! The imports, each with its WebAssembly signature and the function that serves it: what an engine registers.

/// The imports of both modules: `$own` is the module of those with layouts of their own, `$accept` what only one has.
#[doc(hidden)]
#[macro_export]
macro_rules! wasi_imports {
    ($own:ident [$($accept:tt)*] $then:ident [$($extra:tt)*]) => {
        $then! { [$($extra)*]
            fn args_get(argv: u32, argv_buf: u32) -> i32 = $crate::preview1::args_get;
            fn args_sizes_get(argc: u32, argv_buf_size: u32) -> i32 = $crate::preview1::args_sizes_get;
            fn clock_res_get(clock: u32, resolution: u32) -> i32 = $crate::preview1::clock_res_get;
            fn clock_time_get(clock: u32, precision: u64, time: u32) -> i32 = $crate::preview1::clock_time_get;
            fn environ_get(environ: u32, environ_buf: u32) -> i32 = $crate::preview1::environ_get;
            fn environ_sizes_get(count: u32, buf_size: u32) -> i32 = $crate::preview1::environ_sizes_get;
            fn fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32 = $crate::preview1::fd_advise;
            fn fd_allocate(fd: u32, offset: u64, len: u64) -> i32 = $crate::preview1::fd_allocate;
            fn fd_close(fd: u32) -> i32 = $crate::preview1::fd_close;
            fn fd_datasync(fd: u32) -> i32 = $crate::preview1::fd_datasync;
            fn fd_fdstat_get(fd: u32, stat: u32) -> i32 = $crate::preview1::fd_fdstat_get;
            fn fd_fdstat_set_flags(fd: u32, flags: u32) -> i32 = $crate::preview1::fd_fdstat_set_flags;
            fn fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> i32
                = $crate::preview1::fd_fdstat_set_rights;
            fn fd_filestat_get(fd: u32, stat: u32) -> i32 = $crate::$own::fd_filestat_get;
            fn fd_filestat_set_size(fd: u32, size: u64) -> i32 = $crate::preview1::fd_filestat_set_size;
            fn fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32) -> i32
                = $crate::preview1::fd_filestat_set_times;
            fn fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32) -> i32
                = $crate::preview1::fd_pread;
            fn fd_prestat_get(fd: u32, prestat: u32) -> i32 = $crate::preview1::fd_prestat_get;
            fn fd_prestat_dir_name(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::fd_prestat_dir_name;
            fn fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32) -> i32
                = $crate::preview1::fd_pwrite;
            fn fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32) -> i32 = $crate::preview1::fd_read;
            fn fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, bufused: u32) -> i32
                = $crate::preview1::fd_readdir;
            fn fd_renumber(from: u32, to: u32) -> i32 = $crate::preview1::fd_renumber;
            fn fd_seek(fd: u32, offset: i64, whence: u32, newoffset: u32) -> i32 = $crate::$own::fd_seek;
            fn fd_sync(fd: u32) -> i32 = $crate::preview1::fd_sync;
            fn fd_tell(fd: u32, offset: u32) -> i32 = $crate::preview1::fd_tell;
            fn fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32) -> i32 = $crate::preview1::fd_write;
            fn path_create_directory(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_create_directory;
            fn path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, stat: u32) -> i32
                = $crate::$own::path_filestat_get;
            fn path_filestat_set_times(
                fd: u32, flags: u32, path: u32, path_len: u32, atim: u64, mtim: u64, fst_flags: u32
            ) -> i32 = $crate::preview1::path_filestat_set_times;
            fn path_link(
                old_fd: u32, old_flags: u32, old_path: u32, old_len: u32, new_fd: u32, new_path: u32, new_len: u32
            ) -> i32 = $crate::preview1::path_link;
            fn path_open(
                dirfd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, base: u64, inheriting: u64,
                fdflags: u32, fd: u32
            ) -> i32 = $crate::preview1::path_open;
            fn path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, bufused: u32) -> i32
                = $crate::preview1::path_readlink;
            fn path_remove_directory(fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_remove_directory;
            fn path_rename(
                old_fd: u32, old_path: u32, old_len: u32, new_fd: u32, new_path: u32, new_len: u32
            ) -> i32 = $crate::preview1::path_rename;
            fn path_symlink(target: u32, target_len: u32, fd: u32, path: u32, path_len: u32) -> i32
                = $crate::preview1::path_symlink;
            fn path_unlink_file(fd: u32, path: u32, path_len: u32) -> i32 = $crate::preview1::path_unlink_file;
            fn poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32) -> i32
                = $crate::$own::poll_oneoff;
            fn proc_exit(code: u32) -> () = $crate::preview1::proc_exit;
            fn proc_raise(signal: u32) -> i32 = $crate::preview1::proc_raise;
            fn random_get(buf: u32, buf_len: u32) -> i32 = $crate::preview1::random_get;
            fn sched_yield() -> i32 = $crate::preview1::sched_yield;
            $($accept)*
            fn sock_recv(fd: u32, iovs: u32, iovs_len: u32, flags: u32, nread: u32, oflags: u32) -> i32
                = $crate::preview1::sock_recv;
            fn sock_send(fd: u32, iovs: u32, iovs_len: u32, flags: u32, nwritten: u32) -> i32
                = $crate::preview1::sock_send;
            fn sock_shutdown(fd: u32, how: u32) -> i32 = $crate::preview1::sock_shutdown;
        }
    };
}

/// Calls `$then!` with the functions of `wasi_snapshot_preview1`:
///
/// ```text
/// $then! { [$($extra)*]
///     fn fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32) -> i32 = vnode_wasi::preview1::fd_read;
///     ...
///     fn proc_exit(code: u32) -> () = vnode_wasi::preview1::proc_exit;
/// }
/// ```
///
/// Each function takes the process, the guest's memory, and the arguments, and gives an [`Outcome`](crate::Outcome).
#[macro_export]
macro_rules! for_each_preview1 {
    ($then:ident $($extra:tt)*) => {
        $crate::wasi_imports! {
            preview1
            [fn sock_accept(fd: u32, flags: u32, result: u32) -> i32 = $crate::preview1::sock_accept;]
            $then [$($extra)*]
        }
    };
}

/// The same for `wasi_unstable` (snapshot 0): four functions have other layouts, `sock_accept` is not there.
#[macro_export]
macro_rules! for_each_unstable {
    ($then:ident $($extra:tt)*) => {
        $crate::wasi_imports! { unstable [] $then [$($extra)*] }
    };
}

macro_rules! names {
    ([$($extra:tt)*] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
        &[$(stringify!($name)),*]
    };
}

/// The names of `wasi_snapshot_preview1`.
pub const PREVIEW1_NAMES: &[&str] = for_each_preview1!(names);
/// The names of `wasi_unstable`.
pub const UNSTABLE_NAMES: &[&str] = for_each_unstable!(names);

/// The functions that neither wait nor ask a filesystem for anything.
const IMMEDIATE: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_renumber",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sock_accept",
    "sock_shutdown",
];

/// Whether the function of this name may have to wait, or asks a filesystem, which may block.
pub fn may_wait(name: &str) -> bool {
    !IMMEDIATE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_is_there_once() {
        assert_eq!(PREVIEW1_NAMES.len(), 46);
        assert!(PREVIEW1_NAMES.is_sorted_by(|a, b| a.split('_').next() <= b.split('_').next() && a != b));
        let unstable: Vec<_> = PREVIEW1_NAMES.iter().filter(|name| **name != "sock_accept").collect();
        assert!(UNSTABLE_NAMES.iter().eq(unstable));
    }

    #[test]
    fn what_need_not_wait_is_there() {
        assert!(IMMEDIATE.iter().all(|name| PREVIEW1_NAMES.contains(name)));
        assert!(may_wait("fd_read") && may_wait("poll_oneoff") && !may_wait("args_get"));
    }
}
