//! What is asked of a descriptor, and set: attributes, flags, rights, size, times.

use vnode_core::{Attr, Errno};
use vnode_kernel::Process;

use crate::decode;
use crate::layout;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};
use crate::show::FD_FLAGS;

/// Takes advice on a range (`posix_fadvise(3)`).
pub fn fd_advise(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Outcome {
    let run = || {
        decode::advice(advice)?;
        process.advise(fd, len)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_advise", run, |show| {
        show.fd(fd).any(offset).any(len).any(advice);
    })
}

/// Makes sure that a range has storage (`posix_fallocate(3)`).
pub fn fd_allocate(process: &Process, memory: &GuestMemory<'_>, fd: u32, offset: u64, len: u64) -> Outcome {
    let run = || process.allocate(fd, offset, len).map(|()| Gave::Nothing);
    observed(process, memory, "fd_allocate", run, |show| {
        show.fd(fd).any(offset).any(len);
    })
}

/// Closes; a preopen too (`close(2)`).
pub fn fd_close(process: &Process, memory: &GuestMemory<'_>, fd: u32) -> Outcome {
    let run = || process.close(fd).map(|()| Gave::Nothing);
    observed(process, memory, "fd_close", run, |show| {
        show.fd(fd);
    })
}

/// Writes content to the medium (`fdatasync(2)`).
pub fn fd_datasync(process: &Process, memory: &GuestMemory<'_>, fd: u32) -> Outcome {
    let run = || process.datasync(fd).map(|()| Gave::Nothing);
    observed(process, memory, "fd_datasync", run, |show| {
        show.fd(fd);
    })
}

/// Writes to the medium (`fsync(2)`).
pub fn fd_sync(process: &Process, memory: &GuestMemory<'_>, fd: u32) -> Outcome {
    let run = || process.sync(fd).map(|()| Gave::Nothing);
    observed(process, memory, "fd_sync", run, |show| {
        show.fd(fd);
    })
}

/// Type, flags and rights.
pub fn fd_fdstat_get(process: &Process, memory: &GuestMemory<'_>, fd: u32, stat: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(stat)?;
        let (file, entry) = process.fd_state(fd)?;
        slot.put(layout::fdstat(file.kind(), file.flags(), entry.base(), entry.inheriting()));
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_fdstat_get", run, |show| {
        show.fd(fd);
    })
}

/// Sets the flags (`F_SETFL`).
pub fn fd_fdstat_set_flags(process: &Process, memory: &GuestMemory<'_>, fd: u32, flags: u32) -> Outcome {
    let run = || {
        process.set_flags(fd, decode::fd_flags(flags)?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_fdstat_set_flags", run, |show| {
        show.fd(fd).bits(u64::from(flags), FD_FLAGS, "");
    })
}

/// Gives rights up.
///
/// # Errors
/// `ENOTCAPABLE`: one that the descriptor doesn't have is to be kept.
pub fn fd_fdstat_set_rights(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Outcome {
    let run = || {
        process.fd_state(fd)?;
        process.fds().shrink(fd, decode::rights_kept(base)?, decode::rights_kept(inheriting)?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_fdstat_set_rights", run, |show| {
        show.fd(fd).any(format_args!("{base:#x}")).any(format_args!("{inheriting:#x}"));
    })
}

/// The attributes (`fstat(2)`).
pub fn fd_filestat_get(process: &Process, memory: &GuestMemory<'_>, fd: u32, stat: u32) -> Outcome {
    fd_filestat_get_as(process, memory, fd, stat, layout::filestat)
}

/// [`fd_filestat_get`] with whichever layout.
pub(crate) fn fd_filestat_get_as<const N: usize>(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    stat: u32,
    encode: fn(&Attr) -> [u8; N],
) -> Outcome {
    let run = || {
        let slot = memory.slot(stat)?;
        slot.put(encode(&process.stat(fd)?));
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_filestat_get", run, |show| {
        show.fd(fd);
    })
}

/// Sets the size (`ftruncate(2)`).
pub fn fd_filestat_set_size(process: &Process, memory: &GuestMemory<'_>, fd: u32, size: u64) -> Outcome {
    let run = || process.set_size(fd, size).map(|()| Gave::Nothing);
    observed(process, memory, "fd_filestat_set_size", run, |show| {
        show.fd(fd).any(size);
    })
}

/// Sets access and modification time (`futimens(3)`).
pub fn fd_filestat_set_times(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    atim: u64,
    mtim: u64,
    flags: u32,
) -> Outcome {
    let run = || {
        let (atime, mtime) = decode::times(atim, mtim, flags)?;
        process.set_times(fd, atime, mtime)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_filestat_set_times", run, |show| {
        show.fd(fd).time(atim, flags).time(mtim, flags >> 2);
    })
}

/// That a descriptor is a preopen, and how long its name is.
///
/// # Errors
/// `EBADF`: it is none; a C library stops looking there.
pub fn fd_prestat_get(process: &Process, memory: &GuestMemory<'_>, fd: u32, prestat: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(prestat)?;
        let name = process.preopen_name(fd)?;
        slot.put(layout::prestat(u32::try_from(name.len()).map_err(|_| Errno::OVERFLOW)?));
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_prestat_get", run, |show| {
        show.fd(fd);
    })
}

/// The name of a preopen.
///
/// # Errors
/// `EBADF`: it is none. `ENAMETOOLONG`: the buffer is too small.
pub fn fd_prestat_dir_name(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let run = || {
        let area = memory.area(path, path_len)?;
        let name = process.preopen_name(fd)?;
        if name.len() > area.len() {
            return Err(Errno::NAMETOOLONG);
        }
        area.put(0, &name);
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_prestat_dir_name", run, |show| {
        show.fd(fd).any(path_len);
    })
}

/// Moves a descriptor to another number, closing what that was.
pub fn fd_renumber(process: &Process, memory: &GuestMemory<'_>, from: u32, to: u32) -> Outcome {
    let run = || process.renumber(from, to).map(|()| Gave::Nothing);
    observed(process, memory, "fd_renumber", run, |show| {
        show.fd(from).fd(to);
    })
}
