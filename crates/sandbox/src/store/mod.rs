//! Named sandboxes that are kept: a directory with their records, and one with what they changed.
//!
//! ```text
//! sandboxes/NAME/sandbox.json    what it shows, and which uppers have its changes
//! sandboxes/NAME/lock            who has it
//! sandboxes/.new-ID/             one that is being made; of .dead-ID nothing is left soon
//! uppers/ID/                     changes, as an overlay keeps them
//! lock                           held while a sandbox is made and while uppers are removed that nobody has
//! ```
//!
//! An upper is never moved: what has it is what the records say, and a record is replaced at once. What a fork shares
//! is written to by nobody any more.

mod applying;
mod chosen;
mod error;
mod overlap;
mod record;
mod removal;
mod rewriting;
mod sandbox;
mod sweep;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags, RenameFlags, fsync, mkdirat, openat, renameat_with, stat};

pub use applying::{Applying, At};
pub use error::StoreError;
use record::Record;
pub use record::{Lower, Mount};
pub use sandbox::{Mounted, Sandbox};
pub use sweep::Swept;

use crate::lock::{Asked, Lock};
use record::fresh_id;

const LOCK: &str = "lock";
/// What a sandbox's directory is called while nobody knows it.
const NEW: &str = ".new-";
/// What it is called when nobody is to find it any more.
const DEAD: &str = ".dead-";
/// The longest name.
const LONGEST: usize = 64;

/// Where sandboxes are kept.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What is known of a sandbox that nobody opened.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub mounts: Vec<Mount>,
    /// What whoever made it keeps with it.
    pub note: serde_json::Value,
    /// When it was made, since the epoch.
    pub created: Duration,
    /// When a guest had it last, since the epoch.
    pub used: Duration,
    /// The process that has it now; 0 if that didn't tell.
    pub process: Option<u32>,
    /// Bytes of storage that its changes take: those that are its own, and those that it shares with forks.
    pub storage: (u64, u64),
}

impl Store {
    /// Sandboxes in this directory, which is made when the first is.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Store { directory: directory.into() }
    }

    /// The user's: `$XDG_STATE_HOME/vnode`, or `~/.local/state/vnode`.
    ///
    /// # Errors
    /// [`StoreError::NoHome`].
    pub fn of_user() -> Result<Self, StoreError> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Ok(Store::at(state.ok_or(StoreError::NoHome)?.join("vnode")))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn sandboxes(&self) -> PathBuf {
        self.directory.join("sandboxes")
    }

    /// Which sandbox is kept in a directory.
    fn name_of(&self, directory: &Path) -> Option<String> {
        let name = directory.strip_prefix(self.sandboxes()).ok()?.to_str()?;
        check_name(name).is_ok().then(|| name.to_owned())
    }

    fn upper(&self, id: &str) -> PathBuf {
        self.directory.join("uppers").join(id)
    }

    /// Makes a sandbox.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Exists`], [`StoreError::Empty`], [`StoreError::Twice`], and those of the host.
    pub fn create(&self, name: &str, mounts: Vec<Mount>) -> Result<Sandbox, StoreError> {
        check_name(name)?;
        // That is told before anything else is done; it may still come meanwhile.
        if self.has(name) {
            return Err(StoreError::Exists { name: name.to_owned() });
        }
        let mut sandbox = self.prepare(mounts)?;
        sandbox.publish(name)?;
        Ok(sandbox)
    }

    /// Makes one that nobody finds, and of which nothing is left when it is dropped, until it gets its name by
    /// [`Sandbox::publish`].
    ///
    /// # Errors
    /// [`StoreError::Empty`], [`StoreError::Twice`], and those of the host.
    pub fn prepare(&self, mounts: Vec<Mount>) -> Result<Sandbox, StoreError> {
        self.prepare_record(Record::new(mounts)?)
    }

    fn prepare_record(&self, record: Record) -> Result<Sandbox, StoreError> {
        let own = self.make()?;
        let _all = self.lock(&own)?;
        let sandboxes = directory(&self.sandboxes())?;
        let name = format!("{NEW}{}", fresh_id()?);
        let path = self.sandboxes().join(&name);
        mkdirat(&sandboxes, &name, Mode::RWXU).map_err(StoreError::host("make", &path))?;
        let dir = directory(&path)?;
        let lock = take(&dir, &path, &name)?;
        let sandbox = Sandbox::new(self.clone(), String::new(), dir, lock, record);
        sandbox.record.write(&sandbox.dir, &path)?;
        Ok(sandbox.at_first(name))
    }

    /// Opens a sandbox; nobody else can until it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Missing`], [`StoreError::InUse`], [`StoreError::Damaged`],
    /// [`StoreError::Version`], and those of the host.
    pub fn open(&self, name: &str) -> Result<Sandbox, StoreError> {
        let mut sandbox = self.open_as_it_is(name)?;
        sandbox.finish()?;
        Ok(sandbox)
    }

    fn open_as_it_is(&self, name: &str) -> Result<Sandbox, StoreError> {
        check_name(name)?;
        let path = self.sandboxes().join(name);
        let missing =
            || StoreError::Missing { name: name.to_owned(), others_there: self.names().unwrap_or_default() };
        loop {
            let dir = match open(&path) {
                Err(rustix::io::Errno::NOENT) => return Err(missing()),
                opened => opened.map_err(StoreError::host("open", &path))?,
            };
            let lock = take(&dir, &path, name)?;
            // It may have become another's while it was waited for, or nobody's.
            if is_at(&dir, &path) {
                let record = Record::read(&dir, &path)?;
                return Ok(Sandbox::new(self.clone(), name.to_owned(), dir, lock, record));
            }
        }
    }

    /// Whether a sandbox can have this name.
    ///
    /// # Errors
    /// [`StoreError::Name`].
    pub fn check_name(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        check_name(name).is_ok() && self.sandboxes().join(name).join(record::NAME).exists()
    }

    /// The names of all, in their order.
    ///
    /// # Errors
    /// Those of the host.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let names = names_in(&self.sandboxes())?.into_iter().filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What is known of a sandbox, without opening it.
    ///
    /// # Errors
    /// As for [`open`](Self::open), but for [`StoreError::InUse`].
    pub fn look(&self, name: &str) -> Result<Kept, StoreError> {
        check_name(name)?;
        let path = self.sandboxes().join(name);
        let dir = match open(&path) {
            Err(rustix::io::Errno::NOENT) => {
                let others_there = self.names().unwrap_or_default();
                return Err(StoreError::Missing { name: name.to_owned(), others_there });
            }
            opened => opened.map_err(StoreError::host("open", &path))?,
        };
        let record = Record::read(&dir, &path)?;
        let process = match Lock::seen(&dir, LOCK) {
            Ok(Some(process)) => Some(process.unwrap_or(0)),
            Ok(None) | Err(_) => None,
        };
        Ok(Kept {
            name: name.to_owned(),
            created: Duration::from_secs(record.created),
            used: Duration::from_secs(record.used),
            process,
            storage: self.storage(&record),
            mounts: record.mounts.into_iter().map(|mount| mount.mount).collect(),
            note: record.note,
        })
    }

    fn storage(&self, record: &Record) -> (u64, u64) {
        let used = |id: &String| removal::storage(&self.upper(id));
        let own = record.mounts.iter().map(|mount| used(&mount.upper)).sum();
        (own, record.mounts.iter().flat_map(|mount| &mount.frozen).map(used).sum())
    }

    /// Gives a sandbox another name.
    ///
    /// # Errors
    /// As for [`open`](Self::open), [`StoreError::Exists`], and [`StoreError::Interrupted`].
    pub fn rename(&self, name: &str, to: &str) -> Result<(), StoreError> {
        let mut sandbox = self.open_as_it_is(name)?;
        // What was begun knows it by its name.
        sandbox.check_applied()?;
        sandbox.publish(to)
    }

    /// Removes a sandbox with its changes, but for those that it shares with others.
    ///
    /// # Errors
    /// As for [`open`](Self::open), but for damaged ones, and [`StoreError::Interrupted`].
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.delete_if(name, |sandbox| {
            let placed = sandbox.check_placed()?;
            sandbox.forget(placed)
        })
    }

    /// The same, whether an apply of it was interrupted or not. That is undone as long as it can be; what it left in the
    /// directory then, or where it can't be, is completed by the next apply to it, whatever of.
    ///
    /// # Errors
    /// As for [`open`](Self::open), but for damaged ones.
    pub fn delete_interrupted(&self, name: &str) -> Result<(), StoreError> {
        self.delete_if(name, |sandbox| {
            // What can't be undone is no reason to stay.
            let _ = sandbox.abort();
            Ok(())
        })
    }

    fn delete_if(
        &self,
        name: &str,
        check: impl FnOnce(&mut Sandbox) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.open_as_it_is(name) {
            Ok(mut sandbox) => {
                check(&mut sandbox)?;
                sandbox.bury()?;
            }
            // Whatever it was, it is to go.
            Err(StoreError::Damaged { .. }) => {
                let path = self.sandboxes().join(name);
                let dir = directory(&path)?;
                let _lock = take(&dir, &path, name)?;
                self.move_away(name)?;
            }
            Err(error) => return Err(error),
        }
        self.sweep().map(drop)
    }

    /// Lets nobody find a sandbox any more; it goes with the next sweep.
    fn move_away(&self, name: &str) -> Result<(), StoreError> {
        let sandboxes = directory(&self.sandboxes())?;
        let to = format!("{DEAD}{}", fresh_id()?);
        let path = self.sandboxes().join(name);
        let fails = StoreError::host("remove", &path);
        renameat_with(&sandboxes, name, &sandboxes, to, RenameFlags::NOREPLACE).map_err(fails)?;
        fsync(&sandboxes).map_err(fails)
    }

    /// Makes the store's directories; answers its own.
    fn make(&self) -> Result<OwnedFd, StoreError> {
        for directory in [self.directory.clone(), self.sandboxes(), self.directory.join("uppers")] {
            use std::os::unix::fs::DirBuilderExt as _;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|error| {
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                StoreError::host("make", &directory)(errno)
            })?;
        }
        directory(&self.directory)
    }

    /// Keeps others from making sandboxes and from removing what nobody has.
    fn lock(&self, own: &OwnedFd) -> Result<Lock, StoreError> {
        Lock::wait(own, LOCK).map_err(StoreError::host("lock", &self.directory.join(LOCK)))
    }
}

/// Whether a sandbox can be called that: it is a directory's name, and a word of a command line that is no option.
fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && name.len() <= LONGEST && name.bytes().all(fits) {
        return Ok(());
    }
    Err(StoreError::Name { name: name.to_owned() })
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(
        rustix::fs::CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn directory(path: &Path) -> Result<OwnedFd, StoreError> {
    open(path).map_err(StoreError::host("open", path))
}

fn take(dir: &OwnedFd, path: &Path, name: &str) -> Result<Lock, StoreError> {
    match Lock::ask(dir, LOCK).map_err(StoreError::host("lock", &path.join(LOCK)))? {
        Asked::Taken(lock) => Ok(lock),
        Asked::Busy(process) => Err(StoreError::InUse { name: name.to_owned(), process }),
    }
}

/// Whether a directory is still what is found under a path.
fn is_at(dir: &OwnedFd, path: &Path) -> bool {
    let there = stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let own = rustix::fs::fstat(dir).map(|stat| (stat.st_dev, stat.st_ino));
    matches!((there, own), (Ok(there), Ok(own)) if there == own)
}

/// The names in a directory; none if it isn't there.
fn names_in(path: &Path) -> Result<Vec<OsString>, StoreError> {
    let fails = StoreError::host("list", path);
    let dir = match open(path) {
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        opened => opened.map_err(fails)?,
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir).map_err(fails)? {
        let name = entry.map_err(fails)?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}
