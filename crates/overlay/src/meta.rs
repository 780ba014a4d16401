//! What the lowers had under a name when it was first touched: kept in the upper's `meta`, for those who bring changes to
//! where the lowers came from and must know whether they are the same still.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Access, File, Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Mode, Name, Result, Timespec};

use crate::layers::{LayerNumber, Real, at};
use crate::marks::Marks;

const NAME: &[u8] = b"meta";
/// The first line's beginning: what the file is, and its version.
const HEAD: &str = "vnode-overlay-meta 1 ";
/// The most bytes that are read; a lower would have more names than it can have.
const LARGEST: u64 = 1 << 32;
/// Bytes read at once.
const PIECE: usize = 1 << 16;

/// What was under a name of the lowers when the upper first had something in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Which lower, counted from 1, the topmost.
    pub layer: u8,
    /// From the lowers' roots, starting with `/`; that of the root is empty.
    pub path: Vec<u8>,
    /// Its type.
    pub kind: FileType,
    /// Its device (`st_dev`), 0 if that is its filesystem's own.
    pub dev: u64,
    /// Its number there (`st_ino`).
    pub ino: u64,
    /// Bytes of content.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Last change of the attributes or the content.
    pub ctime: Timespec,
}

/// The file, to which a line is added for each name that is touched; it is made for the first.
pub(crate) struct Meta {
    marks: Marks,
    lines: Mutex<Option<Lines>>,
    /// Whether there is something that may not be on the medium, of this run or of the one before.
    unsynced: AtomicBool,
}

/// The file opened.
struct Lines {
    file: Arc<dyn File>,
    /// Where the next line goes.
    end: u64,
    /// Whether its name is known to be on the medium.
    named: bool,
}

impl Touched {
    pub(crate) fn new(layer: LayerNumber, path: Vec<u8>, attr: &Attr) -> Self {
        let Attr { kind, dev, ino, size, mtime, ctime, .. } = *attr;
        Touched { layer, path, kind, dev, ino, size, mtime, ctime }
    }

    /// A line: numbers, times as `SECONDS.NANOSECONDS`, and the path, in which what is no plain character is `%XX`.
    fn line(&self) -> String {
        use core::fmt::Write as _;
        let Touched { layer, kind, dev, ino, size, mtime, ctime, .. } = self;
        let time = |time: &Timespec| format!("{}.{:09}", time.sec, time.nsec);
        let mut line =
            format!("{layer} {} {dev} {ino} {size} {} {} /", letter(*kind), time(mtime), time(ctime));
        for &byte in self.path.strip_prefix(b"/").unwrap_or(&self.path) {
            // Writing to a string can't fail.
            let _ = match byte {
                b'%' | ..=b' ' | 0x7f.. => write!(line, "%{byte:02X}"),
                _ => write!(line, "{}", char::from(byte)),
            };
        }
        line.push('\n');
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next();
        let touched = Touched {
            layer: word()?.parse().ok()?,
            kind: kind(word()?)?,
            dev: word()?.parse().ok()?,
            ino: word()?.parse().ok()?,
            size: word()?.parse().ok()?,
            mtime: parse_time(word()?)?,
            ctime: parse_time(word()?)?,
            path: parse_path(word()?)?,
        };
        word().is_none().then_some(touched)
    }
}

/// Types as `ls -l` and `find -type` write them.
const LETTERS: [(FileType, &str); 7] = [
    (FileType::Regular, "f"),
    (FileType::Directory, "d"),
    (FileType::Symlink, "l"),
    (FileType::Fifo, "p"),
    (FileType::Socket, "s"),
    (FileType::CharDevice, "c"),
    (FileType::BlockDevice, "b"),
];

fn letter(kind: FileType) -> &'static str {
    LETTERS.iter().find(|row| row.0 == kind).map_or("?", |row| row.1)
}

fn kind(letter: &str) -> Option<FileType> {
    LETTERS.iter().find(|row| row.1 == letter).map(|row| row.0)
}

fn parse_time(text: &str) -> Option<Timespec> {
    let (sec, nsec) = text.split_once('.')?;
    let nsec = nsec.parse().ok().filter(|&nsec| nsec < 1_000_000_000)?;
    Some(Timespec { sec: sec.parse().ok()?, nsec })
}

fn parse_path(text: &str) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    if path == b"/" {
        path.clear();
    }
    Some(path)
}

impl Meta {
    /// Opens what `upper` has, of these [`marks`]. What the run before wrote of a line when it ended is taken away.
    ///
    /// # Errors
    /// `EISDIR` and others of the upper.
    pub(crate) fn open(own: &Cx<'_>, upper: &FilesystemRef, marks: Marks) -> Result<Self> {
        let lines = match upper.lookup(own, at(&upper.root(), Name::new(NAME)?)) {
            Ok(inode) => Some(Lines::of(own, upper, &inode)?),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        let unsynced = AtomicBool::new(lines.is_some());
        Ok(Meta { marks, lines: Mutex::new(lines), unsynced })
    }

    /// Adds a line for what is touched now.
    ///
    /// # Errors
    /// Those of writing to the upper; nothing was added then.
    pub(crate) fn touch(&self, own: &Cx<'_>, upper: &FilesystemRef, touched: &Touched) -> Result<()> {
        self.add(own, upper, &touched.line())
    }

    /// Tells of the marks, before the first is set: for who reads the upper when it is a lower.
    ///
    /// # Errors
    /// Those of writing to the upper; nothing was added then.
    pub(crate) fn begin(&self, own: &Cx<'_>, upper: &FilesystemRef) -> Result<()> {
        if self.lines.lock().as_ref().is_some_and(|lines| lines.end > 0) {
            return Ok(());
        }
        self.add(own, upper, "")
    }

    fn add(&self, own: &Cx<'_>, upper: &FilesystemRef, line: &str) -> Result<()> {
        let mut guard = self.lines.lock();
        let lines = match &mut *guard {
            Some(lines) => lines,
            none => none.insert(Lines::make(own, upper)?),
        };
        self.unsynced.store(true, Ordering::Release);
        let head = if lines.end == 0 { head(self.marks) } else { String::new() };
        lines.add(own, &(head + line))
    }

    /// Brings what isn't on the medium there: before what it tells of is.
    ///
    /// # Errors
    /// Those of the upper; it is still to be brought then.
    pub(crate) fn to_medium(&self, own: &Cx<'_>, upper: &FilesystemRef) -> Result<()> {
        if !self.unsynced.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut guard = self.lines.lock();
        // Somebody else may have done it, and lines are added with the lock held.
        if let Some(lines) = &mut *guard
            && self.unsynced.load(Ordering::Relaxed)
        {
            lines.file.sync(own, true)?;
            if !lines.named {
                upper.sync(own, &upper.root(), false)?;
                lines.named = true;
            }
            self.unsynced.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl Lines {
    fn make(own: &Cx<'_>, upper: &FilesystemRef) -> Result<Self> {
        let new = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o600), uid: 0, gid: 0 };
        let root = upper.root();
        let place = at(&root, Name::new(NAME)?);
        let inode = match upper.create(own, place, new) {
            // Made by a call that failed after it.
            Err(Errno::EXIST) => upper.lookup(own, place)?,
            made => made?,
        };
        Lines::of(own, upper, &inode)
    }

    fn of(own: &Cx<'_>, upper: &FilesystemRef, inode: &Real) -> Result<Self> {
        let size = size(own, upper, inode)?;
        let file = upper.open(own, inode, Access::READ | Access::WRITE)?;
        let end = end_of_lines(own, &*file, size)?;
        if end < size {
            file.set_len(own, end)?;
        }
        Ok(Lines { file, end, named: false })
    }

    fn add(&mut self, own: &Cx<'_>, text: &str) -> Result<()> {
        let mut rest = text.as_bytes();
        let mut offset = self.end;
        while !rest.is_empty() {
            let written = match self.file.write_at(own, offset, &mut Source::from_slice(rest)) {
                Ok(0) => Err(Errno::IO),
                written => written,
            };
            let written = written.inspect_err(|_| {
                // What can't be taken away is overwritten by the next line.
                let _ = self.file.set_len(own, self.end);
            })?;
            rest = rest.get(written..).unwrap_or_default();
            offset = offset.saturating_add(written as u64);
        }
        self.end = offset;
        Ok(())
    }
}

/// The marks that an upper was made with, if it was made by this crate.
///
/// # Errors
/// `EINVAL`: it is of another version. `EISDIR` and others of the upper.
pub(crate) fn marks(own: &Cx<'_>, upper: &FilesystemRef) -> Result<Option<Marks>> {
    let Some((file, _)) = find(own, upper)? else { return Ok(None) };
    first_line(own, &*file)
}

/// What of the lowers was touched by the overlays that were made with an upper, in the order of time; of a path that is
/// there more than once, the last counts.
///
/// # Errors
/// `EINVAL`: it is not as overlays write it. `EFBIG`: too long to be. Others of the upper.
pub fn touched(cx: &Cx<'_>, upper: &FilesystemRef) -> Result<Vec<Touched>> {
    let Some((file, size)) = find(cx, upper)? else { return Ok(Vec::new()) };
    if size > LARGEST {
        return Err(Errno::FBIG);
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| Errno::FBIG)?];
    let read = read(cx, &*file, 0, &mut bytes)?;
    let bytes = before_nul(bytes.get(..read).unwrap_or_default());
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::INVAL)?;
    // A line without an end is of one who was interrupted before anything was changed.
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    whole.split('\n').skip(1).map(|line| Touched::parse(line).ok_or(Errno::INVAL)).collect()
}

/// Has the file tell this and nothing else: made in `work` and put in place at once.
pub(crate) fn replace(
    own: &Cx<'_>,
    upper: &FilesystemRef,
    work: &Real,
    marks: Marks,
    touched: &[Touched],
) -> Result<()> {
    let root = upper.root();
    let (new, place) = (at(work, Name::new(b"#meta")?), at(&root, Name::new(NAME)?));
    if let Err(errno) = upper.remove(own, new, Remove::File)
        && errno != Errno::NOENT
    {
        return Err(errno);
    }
    let made = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o600), uid: 0, gid: 0 };
    let mut lines = Lines::of(own, upper, &upper.create(own, new, made)?)?;
    let text: String = touched.iter().map(Touched::line).collect();
    lines.add(own, &(head(marks) + &text))?;
    lines.file.sync(own, false)?;
    upper.rename(own, new, place, Rename::Replace)?;
    upper.sync(own, &root, false)
}

/// Of these, in the order of time, those that count: of a path the last, as what was told before came to nothing; but of an
/// inode with several names what was told first, for all of them show its copy since then.
pub(crate) fn that_count(all: Vec<Touched>) -> Vec<Touched> {
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for (index, touched) in all.iter().enumerate() {
        last.insert(touched.path.clone(), index);
    }
    let mut first: HashMap<(u8, u64, u64), Touched> = HashMap::new();
    let counts =
        |(index, touched): (usize, Touched)| (last.get(&touched.path) == Some(&index)).then_some(touched);
    let as_it_was = |touched: Touched| {
        if touched.kind.is_dir() {
            return touched;
        }
        let Touched { layer, dev, ino, .. } = touched;
        let first = first.entry((layer, dev, ino)).or_insert_with(|| touched.clone());
        Touched { path: touched.path, ..first.clone() }
    };
    all.into_iter().enumerate().filter_map(counts).map(as_it_was).collect()
}

fn find(cx: &Cx<'_>, upper: &FilesystemRef) -> Result<Option<(Arc<dyn File>, u64)>> {
    match upper.lookup(cx, at(&upper.root(), Name::new(NAME)?)) {
        Ok(inode) => Ok(Some((upper.open(cx, &inode, Access::READ)?, size(cx, upper, &inode)?))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn size(cx: &Cx<'_>, fs: &FilesystemRef, inode: &Real) -> Result<u64> {
    match inode.kind() {
        FileType::Regular => Ok(fs.getattr(cx, inode)?.size),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

/// The first line.
fn head(marks: Marks) -> String {
    format!("{HEAD}{}\n", marks.word())
}

/// What the first line says, if it is whole.
fn first_line(cx: &Cx<'_>, file: &dyn File) -> Result<Option<Marks>> {
    let mut bytes = [0; 64];
    let read = read(cx, file, 0, &mut bytes)?;
    let written = before_nul(bytes.get(..read).unwrap_or_default());
    let Some(end) = written.iter().position(|&byte| byte == b'\n') else {
        // What was left of it, or a file of somebody else's.
        let begun = Marks::ALL.iter().any(|marks| head(*marks).as_bytes().starts_with(written));
        return if begun { Ok(None) } else { Err(Errno::INVAL) };
    };
    let line = written.get(..end).and_then(|line| core::str::from_utf8(line).ok());
    let word = line.and_then(|line| line.strip_prefix(HEAD)).ok_or(Errno::INVAL)?;
    Marks::of_word(word).map(Some).ok_or(Errno::INVAL)
}

/// Where the last whole line ends of those that were written.
fn end_of_lines(own: &Cx<'_>, file: &dyn File, size: u64) -> Result<u64> {
    let (mut end, mut start) = (0, 0);
    let mut buffer = vec![0; PIECE];
    while start < size {
        let read = read(own, file, start, &mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        let written = before_nul(piece);
        if let Some(at) = written.iter().rposition(|&byte| byte == b'\n') {
            end = start + at as u64 + 1;
        }
        if written.len() < buffer.len() {
            break;
        }
        start = start.saturating_add(read as u64);
    }
    Ok(end)
}

/// What is before the first NUL byte. No line has one: some filesystems have them after a loss of power where what was
/// written isn't on the medium.
fn before_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

/// Reads until the buffer is full or the file ends.
fn read(cx: &Cx<'_>, file: &dyn File, from: u64, into: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(cx, from.saturating_add(done as u64), &mut Sink::from_slice(rest))? {
            0 => break,
            more => done += more,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(path: &[u8]) -> Touched {
        let time = |sec, nsec| Timespec { sec, nsec };
        Touched {
            layer: 2,
            path: path.to_vec(),
            kind: FileType::Symlink,
            dev: 7,
            ino: u64::MAX,
            size: 3,
            mtime: time(-5, 1),
            ctime: time(1 << 40, 999_999_999),
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let every: Vec<u8> = b"/".iter().copied().chain(1..=255).collect();
        for path in [&b""[..], b"/a", b"/a/b c\n%", &every] {
            let line = some(path).line();
            let text = line.strip_suffix('\n').unwrap();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{text}");
            assert_eq!(Touched::parse(text), Some(some(path)));
        }
        assert_eq!(
            some(b"/a b%").line(),
            "2 l 7 18446744073709551615 3 -5.000000001 1099511627776.999999999 /a%20b%25\n"
        );
    }

    #[test]
    fn what_is_no_line_is_none() {
        for bad in ["", "1", "1 f 0 1 2 3.000000000 4.000000000", "1 x 0 1 2 3.0 4.0 /", "1 f 0 1 2 3.0 4 /"]
        {
            assert_eq!(Touched::parse(bad), None, "{bad}");
        }
        for path in ["/%", "/%4", "/%zz", "/ x"] {
            assert_eq!(Touched::parse(&format!("1 f 0 1 2 3.0 4.0 {path}")), None, "{path}");
        }
    }
}
