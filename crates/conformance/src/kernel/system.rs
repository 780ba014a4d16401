//! System calls of the oracle's thread: its namespace, its root and its credentials.

#![allow(unsafe_code, reason = "raw system calls")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vnode_core::{Errno, Result};

use crate::subject::{At, Handle, User};

/// The `errno` that the last system call of this thread left.
pub(super) fn last_errno() -> Errno {
    let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    u16::try_from(raw).ok().and_then(Errno::from_raw).unwrap_or(Errno::IO)
}

/// The result of a system call that answers -1 when it fails.
pub(super) fn check(result: impl Into<i64>) -> Result<i64> {
    match result.into() {
        -1 => Err(last_errno()),
        value => Ok(value),
    }
}

/// A path for the kernel. No C caller can pass a NUL byte.
pub(super) fn c_text(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

pub(super) fn fd(handle: Handle) -> i32 {
    i32::try_from(handle.0).unwrap_or(-1)
}

pub(super) fn dir_fd(at: &At<'_>) -> i32 {
    at.dir.map_or(libc::AT_FDCWD, fd)
}

pub(super) fn handle(fd: i64) -> Handle {
    u32::try_from(fd).map_or(Handle::NONE, Handle)
}

/// Gives this thread a descriptor table of its own with nothing above 2 in it, a cwd, a root and a umask.
pub(super) fn own_descriptors_and_directories() -> Result<()> {
    // SAFETY: no pointers; the flags only unshare what this thread has. Descriptors are closed in this thread's
    // table alone, where nothing owns them.
    check(unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_FILES) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) })?;
    Ok(())
}

/// Gives this thread mounts of its own, none of which spread.
pub(super) fn own_mounts() -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the strings end with NUL; type and data may be null for a change of propagation.
    check(unsafe {
        libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null())
    })?;
    Ok(())
}

pub(super) fn open_root() -> Result<Handle> {
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_DIRECTORY) }).map(handle)
}

fn c_path(path: &Path) -> Result<CString> {
    c_text(path.as_os_str().as_bytes())
}

/// Leaves the present root for the directory `dir`.
pub(super) fn chroot_to(dir: Handle) -> Result<()> {
    // SAFETY: the descriptor is this thread's; the path ends with NUL.
    check(unsafe { libc::fchdir(fd(dir)) })?;
    // SAFETY: as above.
    check(unsafe { libc::chroot(c".".as_ptr()) })?;
    Ok(())
}

/// Makes `point` root and cwd.
pub(super) fn enter_root(point: &Path) -> Result<()> {
    enter_directory(point)?;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::chroot(c".".as_ptr()) })?;
    Ok(())
}

pub(super) fn enter_directory(path: &Path) -> Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::chdir(path.as_ptr()) })?;
    Ok(())
}

pub(super) fn mount_tmpfs(point: &Path, options: &str) -> Result<()> {
    mount(c"tmpfs", &c_path(point)?, Some(c"tmpfs"), 0, Some(&c_text(options.as_bytes())?))
}

pub(super) fn mount_overlay(point: &Path, options: &str) -> Result<()> {
    mount(c"overlay", &c_path(point)?, Some(c"overlay"), 0, Some(&c_text(options.as_bytes())?))
}

/// Mounts a directory, made anew, at `point`.
pub(super) fn mount_emptied(path: &Path, point: &Path) -> Result<()> {
    let made = std::fs::remove_dir_all(path).and_then(|()| std::fs::create_dir(path));
    made.map_err(|_| Errno::IO)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(|_| Errno::IO)?;
    mount(&c_path(path)?, &c_path(point)?, None, libc::MS_BIND, None)
}

/// Makes the filesystem that is mounted at `point` read-only, and with it all its mounts.
pub(super) fn remount_read_only(point: &Path) -> Result<()> {
    mount(c"none", &c_path(point)?, None, libc::MS_REMOUNT | libc::MS_RDONLY, None)
}

/// `mount(2)`.
pub(super) fn mount(
    source: &CStr,
    point: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    let options = options.map_or(std::ptr::null(), |text| text.as_ptr().cast());
    // SAFETY: all strings end with NUL or are null, which mount(2) takes for type and data.
    check(unsafe { libc::mount(source.as_ptr(), point.as_ptr(), kind, flags, options) })?;
    Ok(())
}

pub(super) fn detach(point: &Path) -> Result<()> {
    let point = c_path(point)?;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH) })?;
    Ok(())
}

pub(super) fn close(handle: Handle) -> Result<()> {
    // SAFETY: this thread's table holds only descriptors that the subject opened.
    check(unsafe { libc::close(fd(handle)) })?;
    Ok(())
}

pub(super) fn set_umask(mask: u32) -> u32 {
    // SAFETY: no pointers; the umask is this thread's own since CLONE_FS was unshared.
    unsafe { libc::umask(mask) }
}

/// uid 0, gid 0 and no other group for this thread. Works from any user that [`set_user`] made.
pub(super) fn set_root_user() -> Result<()> {
    set_ids(libc::SYS_setresuid, 0, 0, 0)?;
    set_ids(libc::SYS_setresgid, 0, 0, 0)?;
    set_groups(&[])
}

/// The credentials of `user` for this thread, with a saved uid of 0 to come back from.
pub(super) fn set_user(user: &User) -> Result<()> {
    set_root_user()?;
    set_groups(&user.groups)?;
    set_ids(libc::SYS_setresgid, user.gid, user.gid, user.gid)?;
    set_ids(libc::SYS_setresuid, user.uid, user.uid, 0)
}

/// Runs `work` on a thread of a user without privileges. Nothing, if this thread can't become another user.
pub fn on_thread_of<T: Send>(user: &User, work: impl FnOnce() -> T + Send) -> Option<T> {
    let run = || {
        set_groups(&user.groups).ok()?;
        set_ids(libc::SYS_setresgid, user.gid, user.gid, user.gid).ok()?;
        set_ids(libc::SYS_setresuid, user.uid, user.uid, user.uid).ok()?;
        // Whoever changes users isn't let look at `/proc/self`.
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).ok()?;
        Some(work())
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn set_ids(call: libc::c_long, real: u32, effective: u32, saved: u32) -> Result<()> {
    // SAFETY: no pointers. The raw call changes this thread only.
    check(unsafe { libc::syscall(call, real, effective, saved) })?;
    Ok(())
}

fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer is to as many gid_t as the length says.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

/// Removes everything below `path`, whatever the modes of its directories.
pub(super) fn empty_directory(path: &Path) -> Result<()> {
    let to_errno = |error: std::io::Error| {
        error
            .raw_os_error()
            .and_then(|raw| u16::try_from(raw).ok())
            .and_then(Errno::from_raw)
            .unwrap_or(Errno::IO)
    };
    for entry in std::fs::read_dir(path).map_err(to_errno)? {
        let entry = entry.map_err(to_errno)?;
        if entry.file_type().map_err(to_errno)?.is_dir() {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700))
                .map_err(to_errno)?;
            empty_directory(&entry.path())?;
            std::fs::remove_dir(entry.path()).map_err(to_errno)?;
        } else {
            std::fs::remove_file(entry.path()).map_err(to_errno)?;
        }
    }
    Ok(())
}

/// How `openat2(2)` may resolve a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// `RESOLVE_IN_ROOT`: the directory is the root.
    InRoot,
    /// `RESOLVE_BENEATH`: nothing may lead out of the directory.
    Beneath,
}

/// `openat2(2)` with `O_PATH`.
///
/// # Errors
/// Those of `openat2(2)`; `EXDEV` is what leaves a `BENEATH` directory.
pub fn openat2(at: At<'_>, resolve: Resolve, nofollow: bool) -> Result<Handle> {
    let path = c_text(at.path)?;
    // SAFETY: all zeros is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | if nofollow { libc::O_NOFOLLOW } else { 0 }) as u64;
    how.resolve = match resolve {
        Resolve::InRoot => libc::RESOLVE_IN_ROOT,
        Resolve::Beneath => libc::RESOLVE_BENEATH,
    };
    let size = size_of::<libc::open_how>();
    loop {
        let how = &raw const how;
        // SAFETY: the path ends with NUL; the structure is as large as said.
        match check(unsafe { libc::syscall(libc::SYS_openat2, dir_fd(&at), path.as_ptr(), how, size) }) {
            // Some rename or mount, of whatever process, ran beside a `..`: the kernel leaves it to us to retry.
            Err(Errno::AGAIN) => {}
            opened => return opened.map(handle),
        }
    }
}
