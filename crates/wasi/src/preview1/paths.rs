//! Calls with a directory and a path.

use vnode_core::{Attr, Result};
use vnode_kernel::{OpenRequest, Process};

use crate::decode;
use crate::layout;
use crate::memory::{GuestMemory, PathBytes};
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};
use crate::show;

/// Makes a directory (`mkdirat(2)`).
pub fn path_create_directory(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let run = || {
        process.mkdir_at(fd, memory.path(path, path_len, &mut PathBytes::new())?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_create_directory", run, |show| {
        show.fd(fd).path(path, path_len);
    })
}

/// The attributes of what a path leads to (`fstatat(2)`).
pub fn path_filestat_get(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Outcome {
    path_filestat_get_as(process, memory, fd, flags, path, path_len, stat, layout::filestat)
}

/// [`path_filestat_get`] with whichever layout.
pub(crate) fn path_filestat_get_as<const N: usize>(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
    encode: fn(&Attr) -> [u8; N],
) -> Outcome {
    let run = || {
        let follow = decode::follow(flags)?;
        let mut text = PathBytes::new();
        let (text, slot) = (memory.path(path, path_len, &mut text)?, memory.slot(stat)?);
        slot.put(encode(&process.stat_at(fd, text, follow)?));
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_filestat_get", run, |show| {
        show.fd(fd).path(path, path_len).lookup(flags);
    })
}

/// Sets the times of what a path leads to (`utimensat(2)`).
pub fn path_filestat_set_times(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    atim: u64,
    mtim: u64,
    fst_flags: u32,
) -> Outcome {
    let run = || {
        let follow = decode::follow(flags)?;
        let (atime, mtime) = decode::times(atim, mtim, fst_flags)?;
        process.set_times_at(
            fd,
            memory.path(path, path_len, &mut PathBytes::new())?,
            follow,
            atime,
            mtime,
        )?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_filestat_set_times", run, |show| {
        show.fd(fd).path(path, path_len).time(atim, fst_flags).time(mtim, fst_flags >> 2).lookup(flags);
    })
}

/// Makes another name for a file (`linkat(2)`).
pub fn path_link(
    process: &Process,
    memory: &GuestMemory<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Outcome {
    let run = || {
        let follow = decode::follow(old_flags)?;
        let mut texts = (PathBytes::new(), PathBytes::new());
        let old = memory.path(old_path, old_len, &mut texts.0)?;
        let new = memory.path(new_path, new_len, &mut texts.1)?;
        process.link_at(old_fd, old, follow, new_fd, new)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_link", run, |show| {
        let flags = if old_flags & 1 != 0 { "AT_SYMLINK_FOLLOW" } else { "0" };
        show.fd(old_fd).path(old_path, old_len).fd(new_fd).path(new_path, new_len).any(flags);
    })
}

/// Opens a path (`openat(2)`).
///
/// `FD_READ` or `FD_READDIR`, and `FD_WRITE`, choose the access mode. Of the other rights the descriptor gets all
/// that its type has and the directory hands on, and a directory hands on what it was handed: what a program
/// doesn't want it gives up with [`fd_fdstat_set_rights`](super::fd_fdstat_set_rights).
pub fn path_open(
    process: &Process,
    memory: &GuestMemory<'_>,
    dirfd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    _inheriting: u64,
    fdflags: u32,
    fd: u32,
) -> Outcome {
    path_open_as(
        process,
        memory,
        "path_open",
        dirfd,
        dirflags,
        path,
        path_len,
        oflags,
        base,
        fdflags,
        Ok(false),
        fd,
    )
}

/// [`path_open`] with whether another program's execution closes the descriptor.
pub(crate) fn path_open_as(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: &'static str,
    dirfd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    fdflags: u32,
    close_on_exec: Result<bool>,
    fd: u32,
) -> Outcome {
    let run = || {
        let request = OpenRequest {
            flags: decode::open_flags(dirflags, oflags)?,
            rights: decode::rights_wanted(base),
            status: decode::fd_flags(fdflags)?,
            close_on_exec: close_on_exec?,
        };
        let mut text = PathBytes::new();
        let (text, slot) = (memory.path(path, path_len, &mut text)?, memory.slot(fd)?);
        let opened = process.open(dirfd, text, &request)?;
        slot.put(opened.to_le_bytes());
        Ok(Gave::Number(u64::from(opened)))
    };
    observed(process, memory, name, run, |show| {
        show.fd(dirfd).path(path, path_len);
        show::open_flags(show, dirflags, oflags, fdflags, close_on_exec == Ok(true), base);
    })
}

/// The target of a symbolic link, cut off where the buffer ends (`readlinkat(2)`).
pub fn path_readlink(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    bufused: u32,
) -> Outcome {
    let run = || {
        let mut text = PathBytes::new();
        let text = memory.path(path, path_len, &mut text)?;
        let (area, slot) = (memory.area(buf, buf_len)?, memory.slot(bufused)?);
        let used = area.put(0, &process.readlink_at(fd, text)?);
        slot.put((used as u32).to_le_bytes());
        Ok(Gave::Number(used as u64))
    };
    observed(process, memory, "path_readlink", run, |show| {
        show.fd(fd).path(path, path_len).any(buf_len);
    })
}

/// Removes an empty directory (`rmdir(2)`).
pub fn path_remove_directory(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let run = || {
        process.rmdir_at(fd, memory.path(path, path_len, &mut PathBytes::new())?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_remove_directory", run, |show| {
        show.fd(fd).path(path, path_len);
    })
}

/// Renames, replacing what is there (`renameat(2)`).
pub fn path_rename(
    process: &Process,
    memory: &GuestMemory<'_>,
    old_fd: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Outcome {
    let run = || {
        let mut texts = (PathBytes::new(), PathBytes::new());
        let old = memory.path(old_path, old_len, &mut texts.0)?;
        let new = memory.path(new_path, new_len, &mut texts.1)?;
        process.rename_at(old_fd, old, new_fd, new)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_rename", run, |show| {
        show.fd(old_fd).path(old_path, old_len).fd(new_fd).path(new_path, new_len);
    })
}

/// Makes a symbolic link (`symlinkat(2)`).
pub fn path_symlink(
    process: &Process,
    memory: &GuestMemory<'_>,
    target: u32,
    target_len: u32,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let run = || {
        let mut texts = (PathBytes::new(), PathBytes::new());
        let target = memory.path(target, target_len, &mut texts.0)?;
        let text = memory.path(path, path_len, &mut texts.1)?;
        process.symlink_at(target, fd, text)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_symlink", run, |show| {
        show.path(target, target_len).fd(fd).path(path, path_len);
    })
}

/// Removes a name of anything but a directory (`unlink(2)`).
pub fn path_unlink_file(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let run = || {
        process.unlink_at(fd, memory.path(path, path_len, &mut PathBytes::new())?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "path_unlink_file", run, |show| {
        show.fd(fd).path(path, path_len);
    })
}
