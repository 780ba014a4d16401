//! Error numbers on the wire: Linux's to WASI's and back.

use vnode_core::Errno;

/// WASI's number of an error that it has no number for.
const IO: u16 = 29;

/// Linux's number for each of WASI's, from 1 on.
const LINUX: [u16; 76] = [
    7, 13, 98, 99, 97, 11, 114, 9, 74,
    16, // toobig acces addrinuse addrnotavail afnosupport again already badf badmsg busy
    125, 10, 103, 111, 104, 35, 89, 33, 122,
    17, // canceled child connaborted connrefused connreset deadlk destaddrreq dom dquot exist
    14, 27, 113, 43, 84, 115, 4, 22, 5,
    106, // fault fbig hostunreach idrm ilseq inprogress intr inval io isconn
    21, 40, 24, 31, 90, 72, 36, 100, 102,
    101, // isdir loop mfile mlink msgsize multihop nametoolong netdown netreset netunreach
    23, 105, 19, 2, 8, 37, 67, 12, 42,
    92, // nfile nobufs nodev noent noexec nolck nolink nomem nomsg noprotoopt
    28, 38, 107, 20, 39, 131, 88, 95, 25,
    6, // nospc nosys notconn notdir notempty notrecoverable notsock notsup notty nxio
    75, 130, 1, 32, 71, 93, 91, 34, 30,
    29, // overflow ownerdead perm pipe proto protonosupport prototype range rofs spipe
    3, 116, 110, 26, 18, 4096, // srch stale timedout txtbsy xdev notcapable
];

/// The largest number of Linux in the table, but for `ENOTCAPABLE`.
const LARGEST: usize = 131;

/// WASI's number for each of Linux's.
const WASI: [u8; LARGEST + 1] = {
    let mut table = [IO as u8; LARGEST + 1];
    let mut at = 0;
    while at < LINUX.len() {
        if (LINUX[at] as usize) <= LARGEST {
            table[LINUX[at] as usize] = at as u8 + 1;
        }
        at += 1;
    }
    table
};

/// WASI's number of an error; `EIO`'s for one that WASI doesn't know.
pub fn to_wasi(errno: Errno) -> u16 {
    if errno == Errno::NOTCAPABLE {
        return 76;
    }
    WASI.get(usize::from(errno.raw())).map_or(IO, |&number| u16::from(number))
}

/// The error of WASI's number; nothing for 0 and for numbers past 76.
pub fn from_wasi(number: u16) -> Option<Errno> {
    let at = usize::from(number).checked_sub(1)?;
    LINUX.get(at).copied().and_then(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_wasi_goes_both_ways() {
        for number in 1..=76 {
            let errno = from_wasi(number).unwrap();
            assert_eq!(to_wasi(errno), number, "{errno:?}");
        }
        assert_eq!(from_wasi(0), None);
        assert_eq!(from_wasi(77), None);
        assert_eq!(from_wasi(u16::MAX), None);
    }

    #[test]
    fn only_no_data_has_no_number() {
        let unknown: Vec<_> =
            Errno::ALL.iter().filter(|&&errno| to_wasi(errno) == IO && errno != Errno::IO).collect();
        assert_eq!(unknown, [&Errno::NODATA]);
        assert_eq!(to_wasi(Errno::from_raw(u16::MAX).unwrap()), IO);
    }

    #[test]
    fn numbers_are_those_of_the_document() {
        let known = [
            (Errno::TOOBIG, 1),
            (Errno::ACCES, 2),
            (Errno::AGAIN, 6),
            (Errno::BADF, 8),
            (Errno::BUSY, 10),
            (Errno::DQUOT, 19),
            (Errno::EXIST, 20),
            (Errno::FAULT, 21),
            (Errno::FBIG, 22),
            (Errno::ILSEQ, 25),
            (Errno::INTR, 27),
            (Errno::INVAL, 28),
            (Errno::IO, 29),
            (Errno::ISDIR, 31),
            (Errno::LOOP, 32),
            (Errno::MFILE, 33),
            (Errno::MLINK, 34),
            (Errno::NAMETOOLONG, 37),
            (Errno::NOENT, 44),
            (Errno::NOSPC, 51),
            (Errno::NOSYS, 52),
            (Errno::NOTDIR, 54),
            (Errno::NOTEMPTY, 55),
            (Errno::NOTSOCK, 57),
            (Errno::NOTSUP, 58),
            (Errno::NXIO, 60),
            (Errno::OVERFLOW, 61),
            (Errno::PERM, 63),
            (Errno::PIPE, 64),
            (Errno::ROFS, 69),
            (Errno::SPIPE, 70),
            (Errno::TXTBSY, 74),
            (Errno::XDEV, 75),
            (Errno::NOTCAPABLE, 76),
        ];
        for (errno, number) in known {
            assert_eq!(to_wasi(errno), number, "{errno:?}");
        }
    }
}
