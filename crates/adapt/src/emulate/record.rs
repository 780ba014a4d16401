//! What stands in a hidden file: a head, then records, each of which changes the directory's links at once.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the rest but for the sum |
//! | 4 | CRC-32 of the rest |
//! | | how it is known to be done: `0` it is, `1` by a record behind it, `2` by a name that is there, `3` by one that isn't; then that name |
//! | | changes: `P` a name and the link that it is, `R` a name that is none any more, `S` a link that is so |
//!
//! Numbers are little endian; a name has its length before it in one byte. A link is its number, its count of names, its
//! owner and group, four times, its target and its extended attributes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vnode_core::{Attr, Errno, FileType, Mode, Name, Result, Timespec};

use super::link::{FIRST_NUMBER, LAST_NUMBER, State, XATTR_NAME_MAX, XATTR_VALUE_MAX};
use super::store::{Done, Edit};

/// The head of a hidden file.
pub(super) const HEAD: &[u8] = b"vnode-symlinks 1\n";

/// The longest target.
const TARGET_MAX: usize = 4095;

/// Bytes before a record's content.
const PREFIX: usize = 8;

/// A record of these changes.
pub(super) fn encode(done: Option<Done<'_>>, edits: &[Edit<'_>], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    match done {
        None => out.push(0),
        Some(Done::Unknown) => out.push(1),
        Some(Done::Present(name)) => named(b'\x02', name.as_bytes(), out),
        Some(Done::Absent(name)) => named(b'\x03', name.as_bytes(), out),
    }
    for edit in edits {
        match *edit {
            Edit::Put(name, link, state) => {
                named(b'P', name.as_bytes(), out);
                encode_link(&link.target, state, out);
            }
            Edit::Remove(name) => named(b'R', name.as_bytes(), out),
            Edit::Set(link, state) => {
                out.push(b'S');
                encode_link(&link.target, state, out);
            }
        }
    }
    let (before, content) = out.split_at_mut(start + PREFIX);
    let sum = crc32fast::hash(content);
    if let Some(prefix) = before.get_mut(start..) {
        let (len, sum) = ((content.len() as u32).to_le_bytes(), sum.to_le_bytes());
        prefix.iter_mut().zip(len.iter().chain(&sum)).for_each(|(byte, value)| *byte = *value);
    }
}

fn named(kind: u8, name: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

fn encode_link(target: &[u8], state: &State, out: &mut Vec<u8>) {
    let Attr { ino, nlink, uid, gid, atime, mtime, ctime, btime, .. } = state.attr;
    out.extend_from_slice(&ino.to_le_bytes());
    for number in [nlink, uid, gid] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for time in [atime, mtime, ctime, btime.unwrap_or(ctime)] {
        out.extend_from_slice(&time.sec.to_le_bytes());
        out.extend_from_slice(&time.nsec.to_le_bytes());
    }
    out.extend_from_slice(&(target.len() as u16).to_le_bytes());
    out.extend_from_slice(target);
    out.extend_from_slice(&(state.xattrs.len() as u32).to_le_bytes());
    for (name, value) in &state.xattrs {
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
}

/// A link as it stands in a hidden file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) target: Arc<[u8]>,
    pub(super) state: State,
}

/// What a hidden file says of its directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Names, and the numbers of their links. Later ones have higher places.
    pub(super) names: BTreeMap<Box<[u8]>, (usize, u64)>,
    pub(super) links: HashMap<u64, Stored>,
    /// How many bytes count; what follows was never written whole, or not done.
    pub(super) len: u64,
    /// Whether the last record was proposed, and is done.
    pub(super) unsettled: bool,
    places: usize,
}

/// What is read of a record.
struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Errno::IO)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| Errno::IO)
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<Name<'a>> {
        let len = self.byte()?;
        Name::new(self.bytes(usize::from(len))?).map_err(|_| Errno::IO)
    }

    fn time(&mut self) -> Result<Timespec> {
        let time = Timespec { sec: i64::from_le_bytes(self.array()?), nsec: self.u32()? };
        if time.nsec < 1_000_000_000 { Ok(time) } else { Err(Errno::IO) }
    }

    fn link(&mut self) -> Result<Stored> {
        let number = u64::from_le_bytes(self.array()?);
        let (nlink, uid, gid) = (self.u32()?, self.u32()?, self.u32()?);
        let (atime, mtime, ctime, btime) = (self.time()?, self.time()?, self.time()?, self.time()?);
        let len = u16::from_le_bytes(self.array()?);
        let target = self.bytes(usize::from(len))?;
        let right = (FIRST_NUMBER..=LAST_NUMBER).contains(&number)
            && (1..=TARGET_MAX).contains(&target.len())
            && !target.contains(&0);
        if !right {
            return Err(Errno::IO);
        }
        let bare = Attr::bare(number, FileType::Symlink, Mode::from_raw(0o777));
        let attr = Attr { nlink, uid, gid, atime, mtime, ctime, btime: Some(btime), ..bare };
        let mut state = State::of(attr, target);
        for _ in 0..self.u32()? {
            let name_len = usize::from(self.byte()?);
            let name = self.bytes(name_len)?;
            let len = self.u32()? as usize;
            let value = self.bytes(len)?;
            if name_len > XATTR_NAME_MAX || len > XATTR_VALUE_MAX {
                return Err(Errno::IO);
            }
            state.xattrs.insert(name.into(), value.into());
        }
        Ok(Stored { target: target.into(), state })
    }
}

impl Content {
    /// Reads a hidden file. What was proposed last is done if `is_there` says so of a name.
    ///
    /// # Errors
    /// `EIO`: this is no such file, or it is damaged other than by a write that didn't come to its end.
    pub(super) fn read(file: &[u8], mut is_there: impl FnMut(Name<'_>) -> Result<bool>) -> Result<Content> {
        if file.iter().all(|byte| *byte == 0) || (file.len() < HEAD.len() && HEAD.starts_with(file)) {
            // Its name came to the medium, and its bytes didn't.
            return Ok(Content::default());
        }
        let mut rest = file.strip_prefix(HEAD).ok_or(Errno::IO)?;
        let mut content = Content { len: HEAD.len() as u64, ..Content::default() };
        while let Some((record, behind)) = next_record(rest)? {
            let mut read = Read(record);
            let last = next_record(behind)?.is_none();
            let done = match read.byte()? {
                0 => true,
                1 => !last,
                kind @ (2 | 3) => {
                    let name = read.name()?;
                    content.unsettled = last;
                    !last || is_there(name)? == (kind == 2)
                }
                _ => return Err(Errno::IO),
            };
            if !done {
                content.unsettled = false;
                break;
            }
            content.apply(read)?;
            content.len += (PREFIX + record.len()) as u64;
            rest = behind;
        }
        let named: HashSet<_> = content.names.values().map(|(_, number)| *number).collect();
        content.links.retain(|number, _| named.contains(number));
        Ok(content)
    }

    fn apply(&mut self, mut read: Read<'_>) -> Result<()> {
        while !read.0.is_empty() {
            match read.byte()? {
                b'P' => {
                    let name = read.name()?;
                    let link = read.link()?;
                    self.places += 1;
                    let number = link.state.attr.ino;
                    self.names.insert(name.as_bytes().into(), (self.places, number));
                    self.links.insert(number, link);
                }
                b'R' => drop(self.names.remove(read.name()?.as_bytes())),
                b'S' => {
                    let link = read.link()?;
                    self.links.insert(link.state.attr.ino, link);
                }
                _ => return Err(Errno::IO),
            }
        }
        Ok(())
    }
}

/// The next record and what is behind it; nothing where the last write ended.
///
/// # Errors
/// `EIO`: there is something behind a record that isn't right.
fn next_record(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some((prefix, rest)) = bytes.split_at_checked(PREFIX) else { return Ok(None) };
    let mut read = Read(prefix);
    let (len, sum) = (read.u32()? as usize, read.u32()?);
    let Some((record, behind)) = rest.split_at_checked(len) else { return Ok(None) };
    if len > 0 && crc32fast::hash(record) == sum {
        return Ok(Some((record, behind)));
    }
    // Bytes that never came to the medium are zeros.
    let torn = behind.is_empty() || bytes.iter().all(|byte| *byte == 0);
    if torn { Ok(None) } else { Err(Errno::IO) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::link::{Link, Room};
    use super::*;

    /// A change, by the place of a name among few and the number of a link among few.
    type Change = (u8, usize, u64, u32);

    const NAMES: [&[u8]; 4] = [b"a", b"b", b"\xff\n", b"long name with spaces"];

    fn link(number: u64, uid: u32, room: &Arc<Room>) -> (Arc<Link>, State) {
        let target = format!("target {number}");
        let bare = Attr::bare(FIRST_NUMBER + number, FileType::Symlink, Mode::from_raw(0o777));
        let time = Timespec { sec: -(number as i64), nsec: uid % 1000 };
        let attr = Attr { uid, atime: time, mtime: time, ctime: time, btime: Some(time), ..bare };
        let mut state = State::of(attr, target.as_bytes());
        if uid.is_multiple_of(3) {
            state.xattrs.insert(b"trusted.x"[..].into(), uid.to_le_bytes()[..].into());
        }
        (Link::new(target.as_bytes().into(), state.clone(), room).unwrap(), state)
    }

    /// How long a file is, and what it says: names, and how their links are.
    type Said = (usize, BTreeMap<Vec<u8>, State>);

    /// A file of these records, and what it says after each of them.
    fn written(records: &[Vec<Change>]) -> (Vec<u8>, Vec<Said>) {
        let room = Arc::new(Room::new(u64::MAX));
        let mut bytes = HEAD.to_vec();
        let mut names: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut states: HashMap<u64, State> = HashMap::new();
        let mut after = vec![(bytes.len(), BTreeMap::new())];
        for changes in records {
            let made: Vec<_> = changes.iter().map(|(.., number, uid)| link(*number, *uid, &room)).collect();
            let mut edits = Vec::new();
            for ((kind, at, number, _), (link, state)) in changes.iter().zip(&made) {
                let name = Name::new(NAMES[*at]).unwrap();
                match kind {
                    0 => edits.push(Edit::Remove(name)),
                    1 => edits.push(Edit::Set(link, state)),
                    _ => edits.push(Edit::Put(name, link, state)),
                }
                match kind {
                    0 => drop(names.remove(NAMES[*at])),
                    1 => drop(states.insert(*number, state.clone())),
                    _ => {
                        names.insert(NAMES[*at].to_vec(), *number);
                        states.insert(*number, state.clone());
                    }
                }
            }
            encode(None, &edits, &mut bytes);
            let shown = names.iter().map(|(name, number)| (name.clone(), states[number].clone()));
            after.push((bytes.len(), shown.collect()));
        }
        (bytes, after)
    }

    fn read(bytes: &[u8]) -> Result<(u64, BTreeMap<Vec<u8>, State>)> {
        let content = Content::read(bytes, |_| Ok(false))?;
        let shown = content.names.iter();
        let shown = shown.map(|(name, (_, number))| (name.to_vec(), content.links[number].state.clone()));
        Ok((content.len, shown.collect()))
    }

    fn records() -> impl Strategy<Value = Vec<Vec<Change>>> {
        vec(vec((0_u8..4, 0_usize..4, 0_u64..3, 0_u32..9), 0..4), 0..6)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_is_cut_off_is_what_was_before(records in records()) {
            let (bytes, after) = written(&records);
            for len in HEAD.len()..=bytes.len() {
                let (end, shown) = after.iter().rev().find(|(end, _)| *end <= len).unwrap();
                prop_assert_eq!(read(&bytes[..len]), Ok((*end as u64, shown.clone())));
                // Of a file that was made longer before its bytes came to the medium, the rest is zeros.
                let mut zeros = bytes[..*end].to_vec();
                zeros.resize(bytes.len() + 20, 0);
                prop_assert_eq!(read(&zeros), Ok((*end as u64, shown.clone())));
            }
        }

        #[test]
        fn bytes_that_are_others_are_an_error_or_the_end(records in records(), at: usize, flip in 1_u8..) {
            let (mut bytes, after) = written(&records);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok((end, shown)) = read(&bytes) {
                let known = after.iter().find(|(known, _)| *known as u64 == end);
                prop_assert_eq!(known.map(|(_, shown)| shown), Some(&shown), "nothing is made up");
                prop_assert!(end <= at as u64);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..300)) {
            let mut file = HEAD.to_vec();
            file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            file.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            file.extend_from_slice(&bytes);
            let _ = read(&file);
            let _ = read(&bytes);
        }
    }

    #[test]
    fn what_was_proposed_last_is_done_if_names_say_so() {
        let (a, b) = (Name::new(b"a").unwrap(), Name::new(b"b").unwrap());
        let room = Arc::new(Room::new(u64::MAX));
        let (link, state) = link(1, 2, &room);
        let mut bytes = HEAD.to_vec();
        encode(None, &[Edit::Put(a, &link, &state)], &mut bytes);
        for (done, there, expected) in [
            (Done::Unknown, false, false),
            (Done::Unknown, true, false),
            (Done::Present(b), true, true),
            (Done::Present(b), false, false),
            (Done::Absent(b), false, true),
            (Done::Absent(b), true, false),
        ] {
            let mut proposed = bytes.clone();
            encode(Some(done), &[Edit::Remove(a)], &mut proposed);
            let content = Content::read(&proposed, |_| Ok(there)).unwrap();
            assert_eq!((content.names.is_empty(), content.unsettled), (expected, expected), "{done:?}");
            let len = if expected { proposed.len() } else { bytes.len() };
            assert_eq!(content.len, len as u64, "{done:?}");
            // What follows says that it is done.
            encode(None, &[], &mut proposed);
            let content = Content::read(&proposed, |_| Ok(there)).unwrap();
            assert_eq!((content.names.is_empty(), content.unsettled), (true, false), "{done:?}");
        }
    }
}
