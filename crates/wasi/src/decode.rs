//! Numbers and flags from the wire. A bit or a number that has no meaning is `EINVAL`.

use vnode_core::{Errno, Follow, OpenFlags, Result, SetTime, Timespec};
use vnode_kernel::{ClockId, FdFlags, Rights, Whence};

/// `lookupflags`.
pub(crate) fn follow(flags: u32) -> Result<Follow> {
    match flags {
        0 => Ok(Follow::No),
        1 => Ok(Follow::Yes),
        _ => Err(Errno::INVAL),
    }
}

/// `oflags` with `lookupflags`.
pub(crate) fn open_flags(dirflags: u32, oflags: u32) -> Result<OpenFlags> {
    if oflags & !0xf != 0 {
        return Err(Errno::INVAL);
    }
    let mut flags = OpenFlags::empty();
    flags.set(OpenFlags::NOFOLLOW, follow(dirflags)? == Follow::No);
    flags.set(OpenFlags::CREATE, oflags & 1 != 0);
    flags.set(OpenFlags::DIRECTORY, oflags & 2 != 0);
    flags.set(OpenFlags::EXCLUSIVE, oflags & 4 != 0);
    flags.set(OpenFlags::TRUNCATE, oflags & 8 != 0);
    Ok(flags)
}

/// `fdflags`.
pub(crate) fn fd_flags(flags: u32) -> Result<FdFlags> {
    u16::try_from(flags).ok().and_then(FdFlags::from_bits).ok_or(Errno::INVAL)
}

/// `fdflagsext`: whether another program's execution closes a descriptor.
pub(crate) fn close_on_exec(flags: u32) -> Result<bool> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::INVAL),
    }
}

/// `rights` that are asked for: those that nothing here has count for nothing, for programs ask for all bits.
pub(crate) fn rights_wanted(bits: u64) -> Rights {
    Rights::from_bits_truncate(bits)
}

/// `rights` that are to be kept.
///
/// # Errors
/// `ENOTCAPABLE`: one that no descriptor has.
pub(crate) fn rights_kept(bits: u64) -> Result<Rights> {
    Rights::from_bits(bits).ok_or(Errno::NOTCAPABLE)
}

/// `fstflags` with their times: access and modification.
pub(crate) fn times(atim: u64, mtim: u64, flags: u32) -> Result<(Option<SetTime>, Option<SetTime>)> {
    if flags & !0xf != 0 {
        return Err(Errno::INVAL);
    }
    Ok((time(atim, flags & 3)?, time(mtim, flags >> 2)?))
}

fn time(nanos: u64, flags: u32) -> Result<Option<SetTime>> {
    match flags {
        0 => Ok(None),
        1 => Ok(Some(SetTime::To(Timespec::from_nanos(nanos)))),
        2 => Ok(Some(SetTime::Now)),
        _ => Err(Errno::INVAL),
    }
}

/// `clockid`.
pub(crate) fn clock(id: u32) -> Result<ClockId> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCpu),
        3 => Ok(ClockId::ThreadCpu),
        _ => Err(Errno::INVAL),
    }
}

/// `whence` of preview1.
pub(crate) fn whence(number: u32) -> Result<Whence> {
    match number {
        0 => Ok(Whence::Set),
        1 => Ok(Whence::Current),
        2 => Ok(Whence::End),
        _ => Err(Errno::INVAL),
    }
}

/// `whence` of snapshot 0.
pub(crate) fn whence_unstable(number: u32) -> Result<Whence> {
    match number {
        0 => Ok(Whence::Current),
        1 => Ok(Whence::End),
        2 => Ok(Whence::Set),
        _ => Err(Errno::INVAL),
    }
}

/// `advice`: normal, sequential, random, willneed, dontneed, noreuse.
pub(crate) fn advice(number: u32) -> Result<()> {
    if number <= 5 { Ok(()) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_or_now_or_left() {
        let at = |nanos| Some(SetTime::To(Timespec::from_nanos(nanos)));
        assert_eq!(times(7, 8, 0), Ok((None, None)));
        assert_eq!(times(7, 8, 1), Ok((at(7), None)));
        assert_eq!(times(7, 8, 4), Ok((None, at(8))));
        assert_eq!(times(u64::MAX, 8, 1 | 8), Ok((at(u64::MAX), Some(SetTime::Now))));
        assert_eq!(times(7, 8, 2 | 4), Ok((Some(SetTime::Now), at(8))));
        for flags in [3, 12, 15, 7, 16, 1 << 31] {
            assert_eq!(times(7, 8, flags), Err(Errno::INVAL), "{flags}");
        }
    }

    #[test]
    fn unknown_bits_are_refused() {
        assert_eq!(follow(2), Err(Errno::INVAL));
        assert_eq!(open_flags(1, 16), Err(Errno::INVAL));
        assert_eq!(open_flags(2, 0), Err(Errno::INVAL));
        assert_eq!(open_flags(1, 5), Ok(OpenFlags::CREATE | OpenFlags::EXCLUSIVE));
        assert_eq!(open_flags(0, 10), Ok(OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY | OpenFlags::TRUNCATE));
        assert_eq!(fd_flags(32), Err(Errno::INVAL));
        assert_eq!(fd_flags(1 << 16), Err(Errno::INVAL));
        assert_eq!(fd_flags(31), Ok(FdFlags::all()));
        assert_eq!(clock(4), Err(Errno::INVAL));
        assert_eq!(whence(3), Err(Errno::INVAL));
        assert_eq!(advice(6), Err(Errno::INVAL));
        assert_eq!(rights_wanted(u64::MAX), Rights::all());
        assert_eq!(rights_kept(1 << 40), Err(Errno::NOTCAPABLE));
    }

    #[test]
    fn whence_has_two_orders() {
        assert_eq!([0, 1, 2].map(whence), [Ok(Whence::Set), Ok(Whence::Current), Ok(Whence::End)]);
        assert_eq!([0, 1, 2].map(whence_unstable), [Ok(Whence::Current), Ok(Whence::End), Ok(Whence::Set)]);
    }
}
