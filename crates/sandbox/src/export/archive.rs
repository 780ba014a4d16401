//! The members of an archive, one after the other.

use std::collections::HashMap;
use std::io::{BufWriter, Write};

use vnode_core::fs::{File, SeekFor};
use vnode_core::io::Sink;
use vnode_core::{Cx, Errno, FileType, Timespec};

use super::exclude::Exclude;
use super::member::{Header, Kind};
use super::plan::{Item, Plan, fails};
use super::{ExportError, ExportFormat, ExportOptions, ExportTimes, Exported};
use crate::compare::{Found, data_from};

/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;
/// What every whiteout's name begins with.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout of all that is below its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Something to be put in an archive.
pub(super) enum Visit<'a> {
    Found(&'a [u8], &'a Found),
    /// Nothing of before shows through the directory at this path, which was found before.
    Opaque(&'a [u8]),
    Whiteout(&'a [u8]),
}

/// What is done with each path and what is there.
type See<'a> = dyn FnMut(&[u8], &Found) -> Result<(), ExportError> + 'a;

/// Goes through all that an archive has, in its order.
pub(super) fn visit(
    cx: &Cx<'_>,
    plan: &Plan,
    exclude: &Exclude,
    visit: &mut dyn FnMut(Visit<'_>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    for (path, item) in plan.items() {
        match item {
            Item::Alone(found) => visit(Visit::Found(path, found))?,
            Item::Whiteout => visit(Visit::Whiteout(path))?,
            Item::Whole { found, is_opaque } => {
                // The root is nobody's member.
                if !path.is_empty() {
                    visit(Visit::Found(path, found))?;
                }
                if *is_opaque {
                    visit(Visit::Opaque(path))?;
                }
                below(cx, path, found, exclude, &mut |path, found| visit(Visit::Found(path, found)))?;
            }
        }
    }
    Ok(())
}

/// Goes through all that is below a directory and not excluded: a directory before what is in it, names in their order.
pub(super) fn below(
    cx: &Cx<'_>,
    path: &[u8],
    dir: &Found,
    exclude: &Exclude,
    see: &mut See<'_>,
) -> Result<(), ExportError> {
    // Each directory on the way with the length of its path and the names left, the first of them last.
    let names = |path: &[u8], dir: &Found| {
        let mut names = dir.names(cx).map_err(|errno| fails(path, errno))?;
        names.reverse();
        Ok::<_, ExportError>(names)
    };
    let mut at = path.to_vec();
    let mut levels = vec![(at.len(), dir.clone(), names(path, dir)?)];
    while let Some((len, dir, left)) = levels.last_mut() {
        at.truncate(*len);
        let Some(name) = left.pop() else {
            levels.pop();
            continue;
        };
        at.push(b'/');
        at.extend_from_slice(&name);
        let found = cx.check_canceled().and_then(|()| dir.child(cx, &name)?.ok_or(Errno::NOENT));
        let found = found.map_err(|errno| fails(&at, errno))?;
        let is_dir = found.kind().is_dir();
        if exclude.has(&at, is_dir) {
            continue;
        }
        see(&at, &found)?;
        if is_dir {
            let names = names(&at, &found)?;
            levels.push((at.len(), found, names));
        }
    }
    Ok(())
}

/// Writes the archive.
pub(super) fn write(
    cx: &Cx<'_>,
    plan: &Plan,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let mut archive = Archive {
        cx,
        options,
        out: BufWriter::with_capacity(PIECE, out),
        first: HashMap::new(),
        exported: Exported::default(),
    };
    visit(cx, plan, &options.exclude, &mut |visited| archive.member(&visited))?;
    archive.put(&[0; 1024])?;
    archive.out.flush()?;
    Ok(archive.exported)
}

struct Archive<'a> {
    cx: &'a Cx<'a>,
    options: &'a ExportOptions,
    out: BufWriter<&'a mut dyn Write>,
    /// The first path of what has several, by device and number.
    first: HashMap<(u64, u64), Vec<u8>>,
    exported: Exported,
}

/// A path without the slash before it.
fn name(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

impl Archive<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.out.write_all(bytes)?;
        self.exported.bytes += bytes.len() as u64;
        Ok(())
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), ExportError> {
        self.exported.entries += 1;
        self.put(&header.blocks())
    }

    fn member(&mut self, visited: &Visit<'_>) -> Result<(), ExportError> {
        match visited {
            Visit::Found(path, found) => self.found(path, found),
            Visit::Opaque(path) => self.marker([path, &b"/"[..], OPAQUE].concat()),
            Visit::Whiteout(path) => {
                let (dir, name) =
                    path.split_at(path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
                self.check(name, path)?;
                self.marker([dir, WHITEOUT, name].concat())
            }
        }
    }

    /// An empty file that tells something of what was before.
    fn marker(&mut self, path: Vec<u8>) -> Result<(), ExportError> {
        let time = match self.options.times {
            ExportTimes::All(time) => time,
            ExportTimes::Keep => Timespec::EPOCH,
        };
        self.header(&Header::new(name(&path), Kind::Regular(0), time))
    }

    /// Refuses a name that would be a whiteout.
    fn check(&self, name: &[u8], path: &[u8]) -> Result<(), ExportError> {
        if self.options.format == ExportFormat::Layer && name.starts_with(WHITEOUT) {
            return Err(ExportError::Whiteout { path: path.to_vec() });
        }
        Ok(())
    }

    fn found(&mut self, path: &[u8], found: &Found) -> Result<(), ExportError> {
        // What is above was a member itself.
        self.check(path.rsplit(|&byte| byte == b'/').next().unwrap_or_default(), path)?;
        let attr = &found.attr;
        let failed = |errno| fails(path, errno);
        if attr.kind == FileType::Socket {
            self.exported.left_out.push(path.to_vec());
            return Ok(());
        }
        let time = match self.options.times {
            ExportTimes::All(time) => time,
            ExportTimes::Keep => attr.mtime,
        };
        if attr.nlink > 1 && !attr.kind.is_dir() {
            let identity = (attr.dev, attr.ino);
            if let Some(first) = self.first.get(&identity).cloned() {
                let link = Header::new(name(path), Kind::Link(&first), time).with_owner(attr);
                return self.header(&link);
            }
            self.first.insert(identity, name(path).to_vec());
        }
        let target =
            if attr.kind.is_symlink() { found.target(self.cx).map_err(failed)? } else { (*b"").into() };
        let kind = match attr.kind {
            FileType::Regular => Kind::Regular(attr.size),
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink(&target),
            FileType::CharDevice => Kind::CharDevice(found.device().unwrap_or_default()),
            FileType::BlockDevice => Kind::BlockDevice(found.device().unwrap_or_default()),
            FileType::Fifo | FileType::Socket => Kind::Fifo,
        };
        let mut header = Header::new(name(path), kind, time).with_owner(attr);
        if matches!(attr.kind, FileType::Regular | FileType::Directory) {
            header = header.with_xattrs(found.xattrs(self.cx).map_err(failed)?);
        }
        self.header(&header)?;
        if attr.kind == FileType::Regular { self.content(path, found) } else { Ok(()) }
    }

    /// A file's content as it is, holes as zeros, and zeros up to a whole block.
    fn content(&mut self, path: &[u8], found: &Found) -> Result<(), ExportError> {
        let failed = |errno| fails(path, errno);
        let (cx, size) = (self.cx, found.attr.size);
        let file = found.open(cx).map_err(failed)?;
        let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
        let mut at = 0;
        while at < size {
            let start = data_from(cx, &*file, at, size).min(size);
            self.zeros(path, start.saturating_sub(at))?;
            let end = hole_from(cx, &*file, start, size);
            at = start;
            while at < end {
                cx.check_canceled().map_err(failed)?;
                let len = usize::try_from(end - at).map_or(piece.len(), |left| left.min(piece.len()));
                let into = piece.get_mut(..len).unwrap_or_default();
                let read = file.read_at(cx, at, &mut Sink::from_slice(into)).map_err(failed)?;
                if read == 0 {
                    // Somebody cut it off.
                    return Err(fails(path, Errno::IO));
                }
                let bytes = piece.get(..read).unwrap_or_default();
                self.out.write_all(bytes)?;
                self.exported.bytes += bytes.len() as u64;
                at += read as u64;
            }
        }
        let past = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
        self.put([0; 512].get(..past).unwrap_or_default())
    }

    /// Writes so many zeros of a file.
    fn zeros(&mut self, path: &[u8], count: u64) -> Result<(), ExportError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut left = count;
        while left > 0 {
            self.cx.check_canceled().map_err(|errno| fails(path, errno))?;
            let len = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.put(ZEROS.get(..len).unwrap_or_default())?;
            left -= len as u64;
        }
        Ok(())
    }
}

/// Where the next hole is behind data, or the end of the file.
fn hole_from(cx: &Cx<'_>, file: &dyn File, data: u64, end: u64) -> u64 {
    match file.seek_data_or_hole(cx, SeekFor::Hole, data) {
        // Whatever the filesystem says, the next look is further on.
        Ok(hole) => hole.clamp(data.saturating_add(1), end.max(data.saturating_add(1))).min(end),
        Err(_) => end,
    }
}
