//! The directory in which an apply prepares what it does, and from which it is completed when it was interrupted.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode as HostMode, OFlags, flock, fstat, open, statat};
use vnode_core::fs::{Access, Filesystem as _, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Mode, Result};

use super::error::{ApplyError, Doing as _, Failure};
use super::journal::{Journal, Slot, VERSION, Version, Witness};
use super::tree::{Real, Tree, at};
use crate::paths;
use crate::upper::host;

/// Its name in the root of the directory that changes are applied to.
pub(crate) const NAME: &[u8] = b".vnode-apply";
/// Its path.
pub(crate) const PATH: &[u8] = b"/.vnode-apply";

const JOURNAL: &[u8] = b"journal";
const NEW_JOURNAL: &[u8] = b"journal.new";
/// There when everything was taken out, and on the medium.
pub(crate) const MOVED: &[u8] = b"moved";
/// There when everything is in its place, and on the medium.
pub(crate) const PLACED: &[u8] = b"placed";
const NEW_MOVED: &[u8] = b"moved.new";
const NEW_PLACED: &[u8] = b"placed.new";
const IN: &[u8] = b"in";
const OUT: &[u8] = b"out";
const NAMES: [&[u8]; 8] = [JOURNAL, NEW_JOURNAL, MOVED, NEW_MOVED, PLACED, NEW_PLACED, IN, OUT];
/// Bytes of a journal that are read or written at once.
const PIECE: usize = 1 << 18;
/// The largest journal that is read.
const LARGEST: u64 = 1 << 32;

/// What keeps others out, until it is dropped or the process ends.
#[derive(Debug)]
struct Lock {
    _dir: OwnedFd,
    ino: u64,
}

impl Lock {
    /// Takes it; nothing if another has it, or the directory is another one by now.
    fn take(directory: &Path) -> rustix::io::Result<Option<Self>> {
        let name = std::str::from_utf8(NAME).unwrap_or_default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let above = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, HostMode::empty())?;
        let dir = rustix::fs::openat(&above, name, flags, HostMode::empty())?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        let (held, found) = (fstat(&dir)?, statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?);
        let same = (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino);
        Ok(same.then_some(Lock { _dir: dir, ino: held.st_ino }))
    }
}

/// The staging directory of an apply that is the only one.
pub(crate) struct Staging<'a> {
    pub(crate) tree: Tree<'a>,
    dir: Real,
    /// The directory of the host, if it is in one.
    path: Option<PathBuf>,
    _lock: Option<Lock>,
}

impl<'a> Staging<'a> {
    /// What an apply before left, if it left something; `directory` is the host's, if it is one.
    ///
    /// # Errors
    /// `Reserved`, `Busy`, and those of the filesystem.
    pub(crate) fn find(
        tree: Tree<'a>,
        directory: Option<&Path>,
    ) -> std::result::Result<Option<Self>, ApplyError> {
        let Some(dir) = tree.lookup(&tree.fs.root(), NAME).doing("look at", PATH)? else { return Ok(None) };
        let reserved = || ApplyError::Reserved { path: PATH.to_vec() };
        if !dir.kind().is_dir() {
            return Err(reserved());
        }
        let lock = lock((tree, &dir), directory)?;
        if let Some(why) = directory.and_then(untrusted) {
            let directory = directory.unwrap_or(Path::new("/")).to_owned();
            return Err(ApplyError::Untrusted { directory, why });
        }
        for (name, kind) in tree.list(&dir).doing("list", PATH)? {
            let is_dir = [IN, OUT].contains(&&*name);
            let expected = if is_dir { FileType::Directory } else { FileType::Regular };
            if !NAMES.contains(&&*name) || kind != expected {
                return Err(reserved());
            }
        }
        Ok(Some(Staging { tree, dir, path: directory.map(Path::to_owned), _lock: lock }))
    }

    /// Makes one. Nothing is there.
    pub(crate) fn make(tree: Tree<'a>, directory: Option<&Path>) -> std::result::Result<Self, ApplyError> {
        let root = tree.fs.root();
        let made = make_directory(tree, &root, NAME);
        let dir = match made {
            Err(Errno::EXIST) => return Err(busy(directory)),
            made => made.doing("make", PATH)?,
        };
        let (lock, path) = (lock((tree, &dir), directory)?, directory.map(Path::to_owned));
        let staging = Staging { tree, dir, path, _lock: lock };
        let parts = [IN, OUT].into_iter().try_for_each(|part| {
            make_directory(tree, &staging.dir, part)?;
            tree.sync(&staging.dir)
        });
        parts.and_then(|()| tree.sync(&root)).doing("make", PATH).inspect_err(|_| {
            let _ = staging.discard();
        })?;
        Ok(staging)
    }

    /// What is written down to be done; nothing if it was not all prepared.
    pub(crate) fn journal(&self) -> std::result::Result<Option<Journal>, ApplyError> {
        let Some(file) = self.tree.lookup(&self.dir, JOURNAL).doing("look at", PATH)? else {
            return Ok(None);
        };
        let bytes = self.read(&file).doing("read", PATH)?;
        let unreadable = |error: serde_json::Error| ApplyError::Journal { why: error.to_string() };
        // What is in it depends on that.
        let Version { version } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if version != VERSION {
            let why =
                format!("another version of vnode wrote it, in format {version}; that one can complete it");
            return Err(ApplyError::Journal { why });
        }
        let journal: Journal = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if let (Some(path), Some(made_in)) = (&self.path, journal.made_in)
            && made_in != self.numbers().doing("look at", PATH)?
        {
            return Err(ApplyError::Untrusted {
                directory: path.clone(),
                why: "it was copied from elsewhere",
            });
        }
        if self.path.is_some() && journal.made_in.is_none() {
            return Err(ApplyError::Journal { why: "it doesn't say where it was made".to_owned() });
        }
        Ok(Some(journal))
    }

    /// The inodes' numbers of the directory and of staging, which no archive or copy has.
    pub(crate) fn numbers(&self) -> Result<(u64, u64)> {
        let root = self.tree.attr(&self.tree.fs.root())?.ino;
        Ok((root, self.tree.attr(&self.dir)?.ino))
    }

    fn read(&self, file: &Real) -> Result<Vec<u8>> {
        let Tree { cx, fs } = self.tree;
        let size = self.tree.attr(file)?.size;
        if size > LARGEST {
            return Err(Errno::FBIG);
        }
        let file = fs.open(cx, file, Access::READ)?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
        while (bytes.len() as u64) < size {
            let read = file.read_at(cx, bytes.len() as u64, &mut Sink::from_slice(&mut piece))?;
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        Ok(bytes)
    }

    /// Writes down what is to be done: from here on it will be.
    pub(crate) fn commit(&self, journal: &Journal) -> std::result::Result<(), ApplyError> {
        let text =
            serde_json::to_vec(journal).map_err(|error| ApplyError::Journal { why: error.to_string() })?;
        self.write(&text).doing("write the journal to", PATH)?;
        Ok(())
    }

    fn write(&self, text: &[u8]) -> Result<()> {
        for mark in [NEW_MOVED, NEW_PLACED] {
            self.make_mark(mark)?;
        }
        let Tree { cx, fs } = self.tree;
        let new = NewInode { kind: NewKind::Regular, mode: Mode::RUSR | Mode::WUSR, uid: 0, gid: 0 };
        let (_, file) =
            fs.create_open(cx, at(&self.dir, NEW_JOURNAL)?, own(self.tree, new), Access::WRITE)?;
        let mut done = 0;
        while let Some(rest) = text.get(done..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            match file.write_at(cx, done as u64, &mut Source::from_slice(piece))? {
                0 => return Err(Errno::IO),
                more => done += more,
            }
        }
        file.sync(cx, false)?;
        drop(file);
        self.tree.rename((&self.dir, NEW_JOURNAL), (&self.dir, JOURNAL), Rename::Replace)?;
        self.tree.sync(&self.dir)
    }

    /// By what it is told from copies of it.
    pub(crate) fn witness(&self) -> Result<Witness> {
        self.tree.attr(&self.dir).map(|attr| Witness::of(&attr))
    }

    /// Whether a mark was set.
    pub(crate) fn has(&self, mark: &[u8]) -> Result<bool> {
        Ok(self.tree.lookup(&self.dir, mark)?.is_some())
    }

    /// Sets a mark, and brings it to the medium. What was made for it takes no more room then.
    pub(crate) fn mark(&self, mark: &[u8]) -> Result<()> {
        let made = [mark, b".new"].concat();
        match self.tree.rename((&self.dir, &made), (&self.dir, mark), Rename::Replace) {
            Err(Errno::NOENT) => self.make_mark(mark),
            renamed => renamed,
        }?;
        self.tree.sync(&self.dir)
    }

    fn make_mark(&self, mark: &[u8]) -> Result<()> {
        let Tree { cx, fs } = self.tree;
        let new = NewInode { kind: NewKind::Regular, mode: Mode::RUSR | Mode::WUSR, uid: 0, gid: 0 };
        match fs.create(cx, at(&self.dir, mark)?, own(self.tree, new)) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes a mark back, before what it says is undone.
    pub(crate) fn unmark(&self, mark: &[u8]) -> Result<()> {
        self.tree.remove(&self.dir, mark, Remove::File)?;
        self.tree.sync(&self.dir)
    }

    /// The directory that slots are in.
    pub(crate) fn directory(&self, name: &[u8]) -> Result<Real> {
        self.tree.lookup(&self.dir, name)?.ok_or(Errno::NOENT)
    }

    /// What is in a slot.
    pub(crate) fn slot(&self, slot: Slot) -> Result<Option<Real>> {
        match self.tree.lookup(&self.dir, slot.directory())? {
            Some(slots) => self.tree.lookup(&slots, &slot.name()),
            None => Ok(None),
        }
    }

    /// Removes what was prepared and not written down. What was taken out never goes with it.
    pub(crate) fn discard(&self) -> std::result::Result<(), Failure> {
        self.tree.remove_all(&self.dir, IN).doing("remove", PATH)?;
        self.finish().map(drop)
    }

    /// Removes it though it was written down what is to be done: none of that is to be any more.
    pub(crate) fn withdraw(&self) -> std::result::Result<(), Failure> {
        let withdrawn = self.tree.remove(&self.dir, JOURNAL, Remove::File);
        withdrawn.and_then(|()| self.tree.sync(&self.dir)).doing("remove", PATH)?;
        self.discard()
    }

    fn remove_directory(&self, name: &[u8]) -> Result<()> {
        self.tree.remove(&self.dir, name, Remove::Directory)
    }

    /// Removes it after all was done. What is left in it is nobody's to remove: it stays, under another name. Answers
    /// where.
    pub(crate) fn finish(&self) -> std::result::Result<Option<Vec<u8>>, Failure> {
        let mut is_empty = true;
        for name in [IN, OUT] {
            match self.remove_directory(name) {
                Ok(()) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => is_empty = false,
                Err(errno) => return Err(errno).doing("remove", PATH),
            }
        }
        self.tree.remove(&self.dir, JOURNAL, Remove::File).doing("remove", PATH)?;
        // Without the journal nothing is anybody's to complete, and to apply again would be to apply twice. What can't be
        // removed now is when the next apply finds it.
        Ok(self.remove_rest(is_empty).unwrap_or_default())
    }

    fn remove_rest(&self, is_empty: bool) -> Result<Option<Vec<u8>>> {
        let tree = self.tree;
        for name in [NEW_JOURNAL, PLACED, NEW_PLACED, MOVED, NEW_MOVED] {
            tree.remove(&self.dir, name, Remove::File)?;
        }
        let root = tree.fs.root();
        if is_empty {
            tree.remove(&root, NAME, Remove::Directory)?;
            tree.sync(&root)?;
            return Ok(None);
        }
        for number in 1u32.. {
            let name = [NAME, format!(".left-{number}").as_bytes()].concat();
            match tree.rename((&root, NAME), (&root, &name), Rename::NoReplace) {
                Err(Errno::EXIST) => continue,
                renamed => renamed?,
            }
            tree.sync(&root)?;
            return Ok(Some([b"/", &name[..]].concat()));
        }
        Ok(None)
    }
}

fn lock(
    (tree, dir): (Tree<'_>, &Real),
    directory: Option<&Path>,
) -> std::result::Result<Option<Lock>, ApplyError> {
    let Some(path) = directory else { return Ok(None) };
    match Lock::take(path) {
        // The path leads elsewhere by now.
        Ok(Some(lock)) if tree.attr(dir).doing("look at", PATH)?.ino != lock.ino => {
            Err(ApplyError::OtherDirectory { directory: path.to_owned() })
        }
        Ok(Some(lock)) => Ok(Some(lock)),
        // Gone since: whoever removed it had it.
        Ok(None) | Err(rustix::io::Errno::NOENT) => Err(busy(directory)),
        Err(error) => Err::<_, Errno>(host(error)).doing("lock", PATH).map_err(Failure::before),
    }
}

fn busy(directory: Option<&Path>) -> ApplyError {
    ApplyError::Busy { directory: directory.unwrap_or(Path::new("/")).to_owned() }
}

fn make_directory(tree: Tree<'_>, dir: &Real, name: &[u8]) -> Result<Real> {
    let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
    tree.fs.create(tree.cx, at(dir, name)?, own(tree, new))
}

/// Of the caller's own.
fn own<'n>(tree: Tree<'_>, new: NewInode<'n>) -> NewInode<'n> {
    let who = tree.cx.credentials();
    NewInode { uid: who.uid, gid: who.gid, ..new }
}

/// Why what is in the staging directory of a directory of the host may be somebody else's.
fn untrusted(directory: &Path) -> Option<&'static str> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::geteuid().as_raw();
    let staging = directory.join(std::ffi::OsStr::from_bytes(NAME));
    for name in [&b""[..], JOURNAL, IN, OUT] {
        let Ok(found) = std::fs::symlink_metadata(staging.join(std::ffi::OsStr::from_bytes(name))) else {
            continue;
        };
        if found.uid() != user {
            return Some("it is another user's");
        }
        // Filesystems that keep no modes show some of their own.
        if name.is_empty() && found.mode() & 0o022 != 0 {
            return Some("others may write to it");
        }
    }
    None
}

/// Whether a path is where an apply prepares what it does.
pub(crate) fn is_reserved(path: &[u8]) -> bool {
    paths::is_in(path, PATH)
}
