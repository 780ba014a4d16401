//! Headers of members: ustar's (POSIX, `pax`), with extended records before it for what doesn't fit in.

use tar::EntryType;
use vnode_core::{Attr, Timespec};

use crate::compare::Attributes;

/// What stands before the name of an extended attribute.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// The largest numbers of ustar's fields of eight and of twelve bytes.
const MAX_8: u64 = 0o7_777_777;
const MAX_12: u64 = 0o77_777_777_777;
const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// Of so many bytes.
    Regular(u64),
    Directory,
    /// Where it leads.
    Symlink(&'a [u8]),
    /// The name of a member before.
    Link(&'a [u8]),
    /// Major and minor number.
    CharDevice((u32, u32)),
    BlockDevice((u32, u32)),
    Fifo,
}

/// All that is said of a member before its content.
#[derive(Debug)]
pub(super) struct Header<'a> {
    name: Vec<u8>,
    kind: Kind<'a>,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Timespec,
    xattrs: Attributes,
}

impl<'a> Header<'a> {
    /// A member that is root's and nobody may use.
    pub(super) fn new(name: &[u8], kind: Kind<'a>, mtime: Timespec) -> Self {
        let end: &[u8] = if matches!(kind, Kind::Directory) { b"/" } else { b"" };
        let name = [name, end].concat();
        Header { name, kind, mode: 0, uid: 0, gid: 0, mtime, xattrs: Attributes::new() }
    }

    pub(super) fn with_owner(self, attr: &Attr) -> Self {
        Header { mode: attr.mode.raw(), uid: attr.uid, gid: attr.gid, ..self }
    }

    pub(super) fn with_xattrs(self, xattrs: Attributes) -> Self {
        Header { xattrs, ..self }
    }

    /// The header, and those before it.
    pub(super) fn blocks(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut header = tar::Header::new_ustar();
        self.fill(&mut header, &mut records);
        for (name, value) in &self.xattrs {
            record(&mut records, &[XATTR, &encoded(name)].concat(), value);
        }
        header.set_cksum();
        let mut blocks = Vec::new();
        if !records.is_empty() {
            let mut before = tar::Header::new_ustar();
            before.set_entry_type(EntryType::XHeader);
            // Those that don't know such headers make a file of it.
            put(before.as_ustar_mut().map(|header| &mut header.name[..]), b"PaxHeaders/member");
            before.set_mode(0o644);
            before.set_uid(0);
            before.set_gid(0);
            before.set_mtime(0);
            before.set_size(records.len() as u64);
            before.set_cksum();
            blocks.extend_from_slice(before.as_bytes());
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend_from_slice(header.as_bytes());
        blocks
    }

    fn fill(&self, header: &mut tar::Header, records: &mut Vec<u8>) {
        header.set_mode(self.mode);
        self.fill_name(header, records);
        let (size, target, device) = match self.kind {
            Kind::Regular(size) => (size, None, None),
            Kind::Symlink(target) | Kind::Link(target) => (0, Some(target), None),
            Kind::CharDevice(number) | Kind::BlockDevice(number) => (0, None, Some(number)),
            Kind::Directory | Kind::Fifo => (0, None, None),
        };
        header.set_entry_type(match self.kind {
            Kind::Regular(_) => EntryType::Regular,
            Kind::Directory => EntryType::Directory,
            Kind::Symlink(_) => EntryType::Symlink,
            Kind::Link(_) => EntryType::Link,
            Kind::CharDevice(_) => EntryType::Char,
            Kind::BlockDevice(_) => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
        });
        if let Some(target) = target
            && !put(header.as_ustar_mut().map(|header| &mut header.linkname[..]), target)
        {
            record(records, b"linkpath", target);
        }
        // Major numbers have twelve bits, minor ones twenty: both fit.
        if let Some((major, minor)) = device {
            let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        }
        let mut number = |key: &[u8], number: u64, most: u64| {
            if number <= most {
                return number;
            }
            record(records, key, number.to_string().as_bytes());
            0
        };
        header.set_uid(number(b"uid", self.uid.into(), MAX_8));
        header.set_gid(number(b"gid", self.gid.into(), MAX_8));
        header.set_size(number(b"size", size, MAX_12));
        match u64::try_from(self.mtime.sec) {
            Ok(sec) if sec <= MAX_12 && self.mtime.nsec == 0 => header.set_mtime(sec),
            _ => {
                header.set_mtime(0);
                record(records, b"mtime", seconds(self.mtime).as_bytes());
            }
        }
    }

    /// The name, in two parts if it doesn't fit in one.
    fn fill_name(&self, header: &mut tar::Header, records: &mut Vec<u8>) {
        let name = &self.name[..];
        let Some(header) = header.as_ustar_mut() else { return };
        if put(Some(&mut header.name), name) {
            return;
        }
        // The first slash with a rest that fits is the one with the shortest prefix.
        let first = name.len().saturating_sub(header.name.len() + 1);
        let slash = (first..name.len().saturating_sub(1)).find(|&at| at > 0 && name.get(at) == Some(&b'/'));
        let parts = slash.and_then(|at| Some((name.get(..at)?, name.get(at + 1..)?)));
        if let Some((prefix, rest)) = parts
            && put(Some(&mut header.prefix), prefix)
            && put(Some(&mut header.name), rest)
        {
            return;
        }
        header.prefix.fill(0);
        record(records, b"path", name);
        // For those that don't know records, the beginning.
        put(Some(&mut header.name), name.get(..header_len(name)).unwrap_or_default());
    }
}

/// How much of a name that is too long stands in the header.
fn header_len(name: &[u8]) -> usize {
    name.len().min(100)
}

/// Puts bytes into a field; nothing, if they don't fit.
fn put(field: Option<&mut [u8]>, bytes: &[u8]) -> bool {
    let Some(field) = field.and_then(|field| field.get_mut(..bytes.len())) else { return false };
    field.copy_from_slice(bytes);
    true
}

/// Adds a record: its own length, a blank, the key, `=`, the value and a newline.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    for part in [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

/// An attribute's name, in which a `=` would end the key (`xattr_encode_keyword` in GNU tar's `xheader.c`).
fn encoded(name: &[u8]) -> Vec<u8> {
    name.iter().fold(Vec::with_capacity(name.len()), |mut encoded, &byte| {
        match byte {
            b'=' => encoded.extend_from_slice(b"%3D"),
            b'%' => encoded.extend_from_slice(b"%25"),
            _ => encoded.push(byte),
        }
        encoded
    })
}

/// A time in decimal. Nanoseconds count forward from the second before.
fn seconds(time: Timespec) -> String {
    let digits = |nanos: u32| {
        let digits = format!("{nanos:09}");
        digits.trim_end_matches('0').to_owned()
    };
    match (time.sec, time.nsec) {
        (sec, 0) => format!("{sec}"),
        (sec, nsec) if sec >= 0 => format!("{sec}.{}", digits(nsec)),
        (sec, nsec) => {
            format!("-{}.{}", (sec + 1).unsigned_abs(), digits(1_000_000_000 - nsec.min(999_999_999)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        for (len, expected) in [(1, "6 a=v\n"), (4, "9 a=vvvv\n"), (5, "11 a=vvvvv\n")] {
            let mut records = Vec::new();
            record(&mut records, b"a", "v".repeat(len).as_bytes());
            assert_eq!(String::from_utf8(records).unwrap(), expected);
        }
        for len in 90..100 {
            let mut records = Vec::new();
            record(&mut records, b"a", &vec![b'v'; len]);
            let told: usize =
                std::str::from_utf8(&records).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, records.len());
        }
    }

    #[test]
    fn times_of_either_side_of_the_epoch() {
        for (sec, nsec, expected) in [
            (12, 0, "12"),
            (12, 500_000_000, "12.5"),
            (0, 1, "0.000000001"),
            (-1, 0, "-1"),
            (-2, 750_000_000, "-1.25"),
            (-1, 999_999_999, "-0.000000001"),
        ] {
            assert_eq!(seconds(Timespec { sec, nsec }), expected);
        }
    }

    #[test]
    fn names_and_attributes_stand_where_they_fit() {
        let parts = |name: &str| {
            let blocks = Header::new(name.as_bytes(), Kind::Fifo, Timespec::EPOCH).blocks();
            let text = |range: std::ops::Range<usize>| {
                let bytes = blocks[blocks.len() - BLOCK..][range].to_vec();
                String::from_utf8(bytes).unwrap().trim_end_matches('\0').to_owned()
            };
            (blocks.len() / BLOCK, text(345..500), text(0..100))
        };
        let long = |len: usize| "n".repeat(len);
        assert_eq!(parts("a/b"), (1, String::new(), "a/b".to_owned()));
        assert_eq!(parts(&long(100)), (1, String::new(), long(100)));
        assert_eq!(parts(&long(101)).0, 3);
        let (dir, two) = (long(90), format!("{}/{}", long(90), long(90)));
        assert_eq!(parts(&two), (1, dir.clone(), dir));
        assert_eq!(parts(&format!("{}/{}", long(156), long(90))).0, 3);
        assert_eq!(parts(&format!("{}/{}", long(90), long(101))).0, 3);
        assert_eq!(parts(&format!("/{}", long(100))).0, 3);
        assert_eq!(encoded(b"user.a=%b"), b"user.a%3D%25b");
    }
}
