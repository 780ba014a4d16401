//! Arguments as the trace shows them, in the manner of `strace -y`: `3</work>, "a/b", O_RDONLY|O_CREAT`.

use core::fmt::{Display, Write};

use vnode_kernel::Process;

use crate::memory::{GuestMemory, PathBytes};

/// Collects the arguments of a call.
pub(crate) struct Show<'a> {
    process: &'a Process,
    memory: &'a GuestMemory<'a>,
    text: String,
}

impl<'a> Show<'a> {
    pub(crate) fn new(process: &'a Process, memory: &'a GuestMemory<'a>) -> Self {
        Show { process, memory, text: String::new() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Any argument by its own text.
    pub(crate) fn any(&mut self, argument: impl Display) -> &mut Self {
        let separator = if self.text.is_empty() { "" } else { ", " };
        // Writing to a string can't fail.
        let _ = write!(self.text, "{separator}{argument}");
        self
    }

    /// A descriptor with the path that it was opened by.
    pub(crate) fn fd(&mut self, fd: u32) -> &mut Self {
        match self.process.fd_state(fd) {
            Ok((file, _)) => match file.shown() {
                Some(path) => self.any(format_args!("{fd}<{}>", path.escape_ascii())),
                None => self.any(fd),
            },
            Err(_) => self.any(fd),
        }
    }

    /// A path or a link's target in the guest's memory.
    pub(crate) fn path(&mut self, at: u32, len: u32) -> &mut Self {
        match self.memory.path(at, len, &mut PathBytes::new()) {
            Ok(path) => self.any(format_args!("\"{}\"", path.escape_ascii())),
            Err(_) => self.any(format_args!("{at:#x}[{len}]")),
        }
    }

    /// Bits by name, `0` or `none` for none of them; bits without a name as a number.
    pub(crate) fn bits(&mut self, bits: u64, names: &[&str], none: &str) -> &mut Self {
        let mut parts: Vec<String> = Vec::new();
        if !none.is_empty() {
            parts.push(none.into());
        }
        let known = names.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        parts.extend(known.map(|(_, name)| (*name).into()));
        let unknown = bits.checked_shr(names.len() as u32).unwrap_or(0);
        if unknown != 0 {
            parts.push(format!("{:#x}", unknown << names.len()));
        }
        if parts.is_empty() {
            parts.push("0".into());
        }
        self.any(parts.join("|"))
    }

    /// One of several by its name; a number without one as it is.
    pub(crate) fn named(&mut self, number: u32, names: &[&str]) -> &mut Self {
        match names.get(number as usize) {
            Some(name) => self.any(name),
            None => self.any(number),
        }
    }

    /// `lookupflags` as Linux's flag for the opposite.
    pub(crate) fn lookup(&mut self, flags: u32) -> &mut Self {
        self.any(if flags & 1 == 0 { "AT_SYMLINK_NOFOLLOW" } else { "0" })
    }

    /// A time of `fstflags`.
    pub(crate) fn time(&mut self, nanos: u64, flags: u32) -> &mut Self {
        match flags & 3 {
            0 => self.any("UTIME_OMIT"),
            1 => self.any(format_args!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)),
            _ => self.any("UTIME_NOW"),
        }
    }
}

/// `fdflags`.
pub(crate) const FD_FLAGS: &[&str] = &["O_APPEND", "O_DSYNC", "O_NONBLOCK", "O_RSYNC", "O_SYNC"];
/// `oflags`.
const OPEN_FLAGS: &[&str] = &["O_CREAT", "O_DIRECTORY", "O_EXCL", "O_TRUNC"];

/// The flags of an open in one, as `open(2)` has them.
pub(crate) fn open_flags(
    show: &mut Show<'_>,
    dirflags: u32,
    oflags: u32,
    fdflags: u32,
    close_on_exec: bool,
    rights: u64,
) {
    let read = rights & (1 << 1 | 1 << 14) != 0;
    let access = match (read, rights & (1 << 6) != 0) {
        (_, false) => "O_RDONLY",
        (true, true) => "O_RDWR",
        (false, true) => "O_WRONLY",
    };
    let names = [OPEN_FLAGS, &["O_NOFOLLOW", "O_CLOEXEC"], FD_FLAGS].concat();
    let own = u64::from(!dirflags & 1) << 4 | u64::from(close_on_exec) << 5;
    let bits = u64::from(oflags & 0xf) | own | u64::from(fdflags) << 6;
    show.bits(bits, &names, access);
}
