//! POSIX error numbers: the only error below the syscall line.

use core::fmt;
use core::num::NonZeroU16;

/// A POSIX error number, as Linux numbers them on x86-64 and arm64 (`errno(3)`).
///
/// Two bytes and `Copy`. One number has no Linux counterpart: [`Errno::NOTCAPABLE`], which WASI answers
/// where a path would leave what a descriptor grants, or a descriptor lacks a right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(NonZeroU16);

/// The result of everything below the syscall line.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = concat!("`E", stringify!($name), "`: ", $text, ".")]
                pub const $name: Errno = match NonZeroU16::new($number) {
                    Some(number) => Errno(number),
                    None => Errno(NonZeroU16::MIN),
                };
            )*

            /// Every number that has a name here, in ascending order.
            pub const ALL: &'static [Errno] = &[$(Errno::$name),*];

            /// The symbolic name, `ENOENT` say; `E?` for a number without one.
            pub const fn name(self) -> &'static str {
                match self.0.get() {
                    // The one name that is no identifier.
                    _ if self.0.get() == Errno::TOOBIG.raw() => "E2BIG",
                    $($number => concat!("E", stringify!($name)),)*
                    _ => "E?",
                }
            }

            /// A short description in English, as `strerror(3)` gives.
            pub const fn text(self) -> &'static str {
                match self.0.get() {
                    $($number => $text,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    PERM = 1, "operation not permitted";
    NOENT = 2, "no such file or directory";
    SRCH = 3, "no such process";
    INTR = 4, "interrupted system call";
    IO = 5, "input/output error";
    NXIO = 6, "no such device or address";
    TOOBIG = 7, "argument list too long";
    NOEXEC = 8, "exec format error";
    BADF = 9, "bad file descriptor";
    CHILD = 10, "no child processes";
    AGAIN = 11, "resource temporarily unavailable";
    NOMEM = 12, "cannot allocate memory";
    ACCES = 13, "permission denied";
    FAULT = 14, "bad address";
    BUSY = 16, "device or resource busy";
    EXIST = 17, "file exists";
    XDEV = 18, "invalid cross-device link";
    NODEV = 19, "no such device";
    NOTDIR = 20, "not a directory";
    ISDIR = 21, "is a directory";
    INVAL = 22, "invalid argument";
    NFILE = 23, "too many open files in system";
    MFILE = 24, "too many open files";
    NOTTY = 25, "inappropriate ioctl for device";
    TXTBSY = 26, "text file busy";
    FBIG = 27, "file too large";
    NOSPC = 28, "no space left on device";
    SPIPE = 29, "illegal seek";
    ROFS = 30, "read-only file system";
    MLINK = 31, "too many links";
    PIPE = 32, "broken pipe";
    DOM = 33, "numerical argument out of domain";
    RANGE = 34, "numerical result out of range";
    DEADLK = 35, "resource deadlock avoided";
    NAMETOOLONG = 36, "file name too long";
    NOLCK = 37, "no locks available";
    NOSYS = 38, "function not implemented";
    NOTEMPTY = 39, "directory not empty";
    LOOP = 40, "too many levels of symbolic links";
    NODATA = 61, "no data available";
    OVERFLOW = 75, "value too large for defined data type";
    ILSEQ = 84, "invalid or incomplete multibyte or wide character";
    NOTSOCK = 88, "socket operation on non-socket";
    PROTOTYPE = 91, "protocol wrong type for socket";
    PROTONOSUPPORT = 93, "protocol not supported";
    OPNOTSUPP = 95, "operation not supported";
    AFNOSUPPORT = 97, "address family not supported";
    CONNRESET = 104, "connection reset by peer";
    NOTCONN = 107, "transport endpoint is not connected";
    TIMEDOUT = 110, "connection timed out";
    STALE = 116, "stale file handle";
    DQUOT = 122, "disk quota exceeded";
    CANCELED = 125, "operation canceled";
    NOTCAPABLE = 4096, "capabilities insufficient";
}

impl Errno {
    /// `ENOTSUP` has the number of `EOPNOTSUPP` on Linux.
    pub const NOTSUP: Errno = Errno::OPNOTSUPP;
    /// Inside the walker: a directory moved while the walk went up. No caller ever sees it.
    pub(crate) const RACED: Errno = Errno(NonZeroU16::MAX);
    /// `EWOULDBLOCK` has the number of `EAGAIN` on Linux.
    pub const WOULDBLOCK: Errno = Errno::AGAIN;

    /// The error of a raw number; `None` for 0.
    pub const fn from_raw(number: u16) -> Option<Errno> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Errno(number)),
            None => None,
        }
    }

    /// The error that the host's own number (`errno(3)`) stands for; `EIO` if it stands for none.
    #[must_use]
    pub const fn from_host(number: i32) -> Errno {
        #[cfg(target_vendor = "apple")]
        return Errno::from_darwin(number);
        #[cfg(not(target_vendor = "apple"))]
        match number {
            1..=0xffff => match Errno::from_raw(number as u16) {
                Some(errno) => errno,
                None => Errno::IO,
            },
            _ => Errno::IO,
        }
    }

    /// The error of a number of Darwin's (`sys/errno.h`): up to 34 the same but for two.
    #[cfg(any(test, target_vendor = "apple"))]
    const fn from_darwin(number: i32) -> Errno {
        match number {
            11 => Errno::DEADLK,
            // ENOTBLK: an error of mounting.
            15 => Errno::IO,
            1..=34 => match Errno::from_raw(number as u16) {
                Some(errno) => errno,
                None => Errno::IO,
            },
            35 => Errno::AGAIN,
            38 => Errno::NOTSOCK,
            41 => Errno::PROTOTYPE,
            43 => Errno::PROTONOSUPPORT,
            // ENOTSUP and EOPNOTSUPP.
            45 | 102 => Errno::OPNOTSUPP,
            47 => Errno::AFNOSUPPORT,
            54 => Errno::CONNRESET,
            57 => Errno::NOTCONN,
            60 => Errno::TIMEDOUT,
            62 => Errno::LOOP,
            63 => Errno::NAMETOOLONG,
            66 => Errno::NOTEMPTY,
            69 => Errno::DQUOT,
            70 => Errno::STALE,
            77 => Errno::NOLCK,
            78 => Errno::NOSYS,
            84 => Errno::OVERFLOW,
            89 => Errno::CANCELED,
            92 => Errno::ILSEQ,
            // ENOATTR and ENODATA.
            93 | 96 => Errno::NODATA,
            _ => Errno::IO,
        }
    }

    /// The number.
    pub const fn raw(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "E?" => write!(f, "Errno({})", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(Errno::NOENT.raw(), 2);
        assert_eq!(Errno::NOENT.name(), "ENOENT");
        assert_eq!(format!("{:?}", Errno::LOOP), "ELOOP");
        assert_eq!(Errno::LOOP.to_string(), "too many levels of symbolic links (ELOOP)");
        assert_eq!(Errno::from_raw(0), None);
        assert_eq!(format!("{:?}", Errno::from_raw(200).unwrap()), "Errno(200)");
        assert_eq!(size_of::<Option<Errno>>(), 2);
        assert!(Errno::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn numbers_of_the_host() {
        for number in [-1, 0, 0x1_0000, i32::MIN, i32::MAX] {
            assert_eq!(Errno::from_host(number), Errno::IO, "{number}");
        }
        assert_eq!(Errno::from_host(2), Errno::NOENT);
        let numbers = [
            (2, Errno::NOENT),
            (11, Errno::DEADLK),
            (35, Errno::AGAIN),
            (45, Errno::NOTSUP),
            (62, Errno::LOOP),
            (63, Errno::NAMETOOLONG),
            (66, Errno::NOTEMPTY),
            (93, Errno::NODATA),
            (102, Errno::NOTSUP),
        ];
        for (number, errno) in numbers {
            assert_eq!(Errno::from_darwin(number), errno, "{number}");
        }
        // Each that has a name here is one there, too, but for WASI's own.
        let found: Vec<_> = (1..128).map(Errno::from_darwin).collect();
        let missing: Vec<_> = Errno::ALL.iter().filter(|errno| !found.contains(errno)).collect();
        assert_eq!(missing, [&Errno::NOTCAPABLE]);
    }
}
