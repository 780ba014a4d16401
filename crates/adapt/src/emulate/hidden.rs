//! The hidden files: one in each directory that has links, a log of their changes.
//!
//! A change is a record that is appended: one write, which doesn't change the directory. A whole new file - a directory's
//! first link, a log that has become long - is written in a directory of the emulation's own, below the root, and renamed
//! into place. So a directory never has a hidden file that is half, and what fails leaves the directory's times.

use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Access, At, File, Filesystem, NewKind, Remove};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Name, Result};

use super::record::{self, Content, HEAD};
use super::store::{Done, Edit};
use super::table::Directory;
use super::work::{WORK, Work, new_inode};
use super::{Node, NodeAt};

/// The name of hidden files.
const FILE: &[u8] = b".vnode-symlinks";

/// The largest hidden file that is read or written.
const LARGEST: u64 = 32 << 20;

/// A log is written anew once it is twice as long as what it says, and this.
const SLACK: u64 = 16 << 10;

/// Directories that have to come to the medium before another one, at most.
const FIRST_MAX: usize = 64;

/// Whether a name is one of the emulation's own, in whatever case.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(FILE) || name.eq_ignore_ascii_case(WORK)
}

/// The name of hidden files in a directory.
fn file_in(dir: &Node) -> Result<NodeAt<'_>> {
    Ok(At { dir, name: Name::new(FILE)? })
}

/// What all hidden files share.
pub(super) struct Hidden {
    /// Where they are written.
    work: Work,
    /// Held while a directory's file is read.
    pub(super) loading: Mutex<()>,
}

impl Hidden {
    /// Finds what was left where hidden files are written. Nothing is made.
    ///
    /// # Errors
    /// Those of [`Work::open`].
    pub(super) fn open(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<Self> {
        Ok(Hidden { work: Work::open(cx, fs)?, loading: Mutex::new(()) })
    }

    /// The root's attributes, without the directory in which they are written.
    pub(super) fn hide(&self, cx: &Cx<'_>, root: &mut Attr) {
        self.work.hide(cx, root);
    }

    /// Has a directory's hidden file be these bytes, by one rename.
    fn write(&self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node, log: &mut Log, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > LARGEST {
            return Err(Errno::NOSPC);
        }
        // Whoever may search the directory may read its links.
        let new = new_inode(cx, fs, dir, NewKind::Regular, 0o644)?;
        let node = self.work.make(cx, (file_in(dir)?, new), |file| {
            append_all(cx, file, bytes)?;
            // What it replaces may be on the medium: its name must not come there before its content.
            if log.file.is_some() { file.sync(cx, true) } else { Ok(()) }
        })?;
        log.file = Some(node);
        (log.len, log.whole) = (bytes.len() as u64, bytes.len() as u64);
        (log.torn, log.unsettled, log.shared) = (false, false, false);
        Ok(())
    }
}

/// Appends bytes; answers the end.
fn append_all(cx: &Cx<'_>, file: &dyn File, bytes: &[u8]) -> Result<u64> {
    let (mut rest, mut end) = (bytes, 0);
    while !rest.is_empty() {
        let (written, reached) = file.append(cx, &mut Source::from_slice(rest))?;
        rest = rest.get(written..).filter(|_| written > 0).ok_or(Errno::IO)?;
        end = reached;
    }
    Ok(end)
}

/// A directory's hidden file.
#[derive(Default)]
pub(super) struct Log {
    file: Option<Node>,
    /// How long it is, as far as it counts.
    len: u64,
    /// How long it was when it was written whole.
    whole: u64,
    /// There is something behind that, which is to be cut off before anything is appended.
    torn: bool,
    /// Somebody else appended something to it.
    shared: bool,
    /// Its last record was proposed, and is done: that is to be said before a name changes by which it is known.
    pub(super) unsettled: bool,
    /// Names of the filesystem within changed along with it, and must come to the medium before it does: what is settled
    /// there must be so.
    pub(super) ahead: bool,
    /// Directories that have links which this one had: their files must come to the medium first.
    pub(super) first: Vec<Node>,
}

impl Log {
    pub(super) fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// Whether it is there and records can be appended: nothing may have come to the medium but its name.
    pub(super) fn has_head(&self) -> bool {
        self.exists() && self.len >= HEAD.len() as u64
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether it should be written whole.
    pub(super) fn is_long(&self) -> bool {
        self.len > 2 * self.whole + SLACK
    }

    fn open(&self, cx: &Cx<'_>, fs: &FilesystemRef) -> Result<Arc<dyn File>> {
        let file = self.file.as_ref().ok_or(Errno::IO)?;
        fs.open(cx, file, Access::READ | Access::WRITE)
    }

    /// Reads a directory's hidden file, if it has one.
    ///
    /// # Errors
    /// `EIO`: it is damaged, or too large. Those of reading it.
    pub(super) fn read(cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node) -> Result<(Log, Content)> {
        let file = match fs.lookup(cx, file_in(dir)?) {
            Ok(file) if file.kind() == FileType::Regular => file,
            Ok(_) => return Err(Errno::IO),
            Err(Errno::NOENT) => return Ok((Log::default(), Content::default())),
            Err(errno) => return Err(errno),
        };
        let size = fs.getattr(cx, &file)?.size;
        if size > LARGEST {
            return Err(Errno::IO);
        }
        let mut bytes = vec![0; size as usize];
        let mut done = 0;
        let open = fs.open(cx, &file, Access::READ)?;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match open.read_at(cx, done as u64, &mut Sink::from_slice(rest))? {
                0 => break,
                read => done += read,
            }
        }
        bytes.truncate(done);
        let is_there = |name: Name<'_>| match fs.lookup(cx, At { dir, name }) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        };
        let mut content = Content::read(&bytes, is_there)?;
        for name in content.names.keys().cloned().collect::<Vec<_>>() {
            // Somebody made it without the emulation: what is real is there.
            if is_there(Name::new(&name)?)? {
                content.names.remove(&name);
            }
        }
        let log = Log {
            file: Some(file),
            len: content.len,
            whole: content.len / 2,
            torn: content.len < size,
            shared: false,
            unsettled: content.unsettled,
            ahead: true,
            first: Vec::new(),
        };
        Ok((log, content))
    }

    /// Whether nobody else changed the file since this was known of it.
    ///
    /// # Errors
    /// Those of looking at it.
    pub(super) fn is_current(&self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node) -> Result<bool> {
        match (fs.lookup(cx, file_in(dir)?), &self.file) {
            (Ok(there), Some(file)) if there.id() == file.id() && !self.shared => {
                Ok(self.torn || fs.getattr(cx, file)?.size == self.len)
            }
            (Ok(_), _) => Ok(false),
            (Err(Errno::NOENT), file) => Ok(file.is_none()),
            (Err(errno), _) => Err(errno),
        }
    }

    /// Appends a record. What fails leaves the file as it was.
    pub(super) fn append(
        &mut self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        dir: &Node,
        done: Option<Done<'_>>,
        edits: &[Edit<'_>],
    ) -> Result<()> {
        let mut bytes = Vec::new();
        record::encode(done, edits, &mut bytes);
        let end = self.len + bytes.len() as u64;
        if end > LARGEST {
            return Err(Errno::NOSPC);
        }
        let file = self.open(cx, fs)?;
        if self.torn {
            file.set_len(cx, self.len)?;
            self.torn = false;
        }
        let on_medium = matches!(done, Some(Done::Absent(_)));
        if on_medium && self.ahead {
            fs.sync(cx, dir, false)?;
            self.ahead = false;
        }
        let written = append_all(cx, &*file, &bytes)
            .and_then(|end| if on_medium { file.sync(cx, true).map(|()| end) } else { Ok(end) });
        match written {
            Ok(reached) => {
                self.shared |= reached != end;
                self.len = reached;
            }
            Err(errno) => {
                self.torn = file.set_len(cx, self.len).is_err();
                return Err(errno);
            }
        }
        self.unsettled = false;
        Ok(())
    }

    /// Takes back what was appended since the file was so long. What can't be cut off counts as not done, and is cut
    /// off before anything else is appended.
    pub(super) fn cut(&mut self, cx: &Cx<'_>, fs: &FilesystemRef, len: u64) {
        self.len = len;
        self.torn = !self.open(cx, fs).is_ok_and(|file| file.set_len(cx, len).is_ok());
    }

    /// Writes it to the medium.
    pub(super) fn sync(&mut self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.ahead {
            fs.sync(cx, dir, false)?;
            self.ahead = false;
        }
        fs.open(cx, file, Access::READ)?.sync(cx, true)
    }

    /// Removes the file, with which its last link goes.
    pub(super) fn remove(&mut self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node) -> Result<()> {
        fs.remove(cx, file_in(dir)?, Remove::File)?;
        *self = Log { first: core::mem::take(&mut self.first), ..Log::default() };
        Ok(())
    }

    /// Writes it whole: all links that the directory has, then `edits`; as proposed if `done` says how that is known.
    pub(super) fn rewrite(
        &mut self,
        cx: &Cx<'_>,
        (hidden, fs): (&Hidden, &FilesystemRef),
        dir: &Directory,
        done: Option<Done<'_>>,
        edits: &[Edit<'_>],
    ) -> Result<()> {
        let mut bytes = HEAD.to_vec();
        let known: Vec<_> = dir.with(|names| {
            let mut known: Vec<_> = names.iter().collect();
            known.sort_by_key(|(_, entry)| entry.born);
            known.into_iter().map(|(name, entry)| (Box::from(name), Arc::clone(&entry.link))).collect()
        });
        let known: Vec<(Box<[u8]>, Arc<super::Link>)> = known;
        for (name, link) in &known {
            record::encode(None, &[Edit::Put(Name::new(name)?, link, &link.state())], &mut bytes);
        }
        record::encode(done, edits, &mut bytes);
        hidden.write(cx, fs, &dir.inode, self, &bytes)
    }

    /// Has another directory's file come to the medium before this one. Answers whether that is too much to be kept in
    /// mind.
    pub(super) fn put_first(&mut self, other: &Node) -> bool {
        if self.first.iter().all(|known| known.id() != other.id()) {
            self.first.push(Arc::clone(other));
        }
        self.first.len() > FIRST_MAX
    }
}
