//! What is written down of a sandbox: `sandbox.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, FallocateFlags, Mode, OFlags, fallocate, fstat, fsync, ftruncate, openat, renameat, unlinkat,
};
use serde::{Deserialize, Serialize};
use vnode_core::fs::Filesystem as _;
use vnode_host::Host;

use super::error::StoreError;
use crate::apply::Witness;
use crate::clock::as_root;
use crate::encoded;

pub(super) const NAME: &str = "sandbox.json";
/// What is written before it gets that name.
const NEW: &str = "sandbox.json.new";
/// What takes no more room to be written to.
const ROOM: &str = "sandbox.json.room";
const PAGE: u64 = 4096;
const VERSION: u32 = 1;
/// The most bytes of one: far more than 255 directories for each of a thousand mounts take.
const LARGEST: u64 = 1 << 28;

/// A sandbox as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Unlike any other sandbox's, also when that gets this one's name.
    pub(super) id: String,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// When a guest had it last.
    pub(super) used: u64,
    /// Counts the times that its changes became others than guests made: by an apply, say.
    pub(super) generation: u64,
    pub(super) mounts: Vec<MountRecord>,
    /// What whoever made it keeps with it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub(super) note: serde_json::Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MountRecord {
    #[serde(flatten)]
    pub(super) mount: Mount,
    /// Where changes go, a directory's name among the uppers.
    pub(super) upper: String,
    /// Changes that were made before a fork, the latest first. Others may have them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) frozen: Vec<String>,
    /// Whether some of its changes were applied, and what is left is still to come into an upper of its own.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) settled: bool,
    /// Which directory it is that it shows, if that is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<Witness>,
}

/// What a sandbox shows, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where the guest sees it, starting with `/`.
    #[serde(with = "encoded::bytes")]
    pub guest: Vec<u8>,
    /// What it shows, each under those before it.
    pub lowers: Vec<Lower>,
    /// Leaves out what is mounted on the host below the directories: see [`Builder::one_mount`](crate::Builder::one_mount).
    #[serde(default)]
    pub one_mount: bool,
    /// Shows emulated links: see [`Builder::emulate_symlinks`](crate::Builder::emulate_symlinks).
    #[serde(default)]
    pub emulate_symlinks: bool,
    /// Keeps what the overlay must know in `user.*` attributes, also as root.
    #[serde(default)]
    pub user_xattr: bool,
    /// At most so many bytes of changes; 0 for no limit.
    #[serde(default)]
    pub max_bytes: u64,
    /// At most so many files and directories changed or new; 0 for no limit.
    #[serde(default)]
    pub max_inodes: u64,
}

/// Something that a sandbox shows and leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lower {
    /// A directory of the host, as an absolute path.
    #[serde(with = "encoded")]
    Directory(PathBuf),
    /// An archive of the host's.
    Archive {
        /// An absolute path.
        #[serde(with = "encoded")]
        path: PathBuf,
        /// Whether it is a layer of a container image, with whiteouts.
        layer: bool,
    },
}

/// The time of day in seconds since the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Record {
    pub(super) fn new(mounts: Vec<Mount>) -> Result<Self, StoreError> {
        check(&mounts)?;
        let mounts = mounts.into_iter().map(MountRecord::new).collect::<Result<_, _>>()?;
        let now = now();
        let (id, note) = (fresh_id()?, serde_json::Value::Null);
        Ok(Record { version: VERSION, id, created: now, used: now, generation: 0, mounts, note })
    }

    /// Reads it from a sandbox's directory; the path is for messages.
    pub(super) fn read(dir: &OwnedFd, path: &Path) -> Result<Self, StoreError> {
        let path = path.join(NAME);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut text = Vec::new();
        let opened = openat(dir, NAME, flags, Mode::empty()).map_err(std::io::Error::from);
        let read = opened.and_then(|file| File::from(file).take(LARGEST).read_to_end(&mut text));
        read.map_err(|error| StoreError::Damaged { path: path.clone(), why: error.to_string() })?;
        let damaged =
            |error: serde_json::Error| StoreError::Damaged { path: path.clone(), why: error.to_string() };
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if version != VERSION {
            return Err(StoreError::Version { path, version });
        }
        let record: Record = serde_json::from_slice(&text).map_err(damaged)?;
        // They become paths.
        if let Some(id) = record.uppers().into_iter().find(|id| !is_id(id)) {
            let why = format!("{id:?} is no upper's name");
            return Err(StoreError::Damaged { path: path.clone(), why });
        }
        Ok(record)
    }

    /// Writes it in place of what is there: that or this is found, whenever the power goes.
    ///
    /// # Errors
    /// Those of the host. [`StoreError::is_no_room`].
    pub(super) fn write(&self, dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
        let text = self.text(path)?;
        let flags = OFlags::CREATE | OFlags::TRUNC;
        if let Err(errno) = put(dir, NEW, flags, &text) {
            let _ = unlinkat(dir, NEW, AtFlags::empty());
            return Err(StoreError::host("write", &path.join(NAME))(errno));
        }
        // Without it there may be no room for the next.
        let _ = keep_room(dir, text.len());
        Ok(())
    }

    /// The same for a record that has less than the one before, so that what it had no more can be removed: also where there is no
    /// room left but what was kept for this.
    pub(super) fn write_to_make_room(&self, dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
        match self.write(dir, path) {
            Err(error) if error.is_no_room() => {
                put(dir, ROOM, OFlags::empty(), &self.text(path)?).map_err(|_| error)
            }
            written => written,
        }
    }

    fn text(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.join(NAME), why };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| damaged(error.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }

    /// All directories among the uppers that it needs.
    pub(super) fn uppers(&self) -> BTreeSet<&str> {
        self.mounts
            .iter()
            .flat_map(|mount| mount.frozen.iter().chain([&mount.upper]))
            .map(String::as_str)
            .collect()
    }
}

/// Writes the record's text to a file of this name, then gives it the record's.
fn put(dir: &OwnedFd, name: &str, flags: OFlags, text: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
    let mut file = File::from(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text).map_err(|error| os_error(&error))?;
    ftruncate(&file, text.len() as u64)?;
    fsync(&file)?;
    renameat(dir, name, dir, NAME)?;
    fsync(dir)
}

/// Keeps a file that the next record can be written to.
fn keep_room(dir: &OwnedFd, len: usize) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, ROOM, flags, Mode::RUSR | Mode::WUSR)?;
    // In whole pages, with some for longer names.
    let wanted = (len as u64).next_multiple_of(PAGE) + PAGE;
    if u64::try_from(fstat(&file)?.st_size).unwrap_or_default() < wanted {
        fallocate(&file, FallocateFlags::empty(), 0, wanted)?;
    }
    Ok(())
}

impl MountRecord {
    pub(super) fn new(mut mount: Mount) -> Result<Self, StoreError> {
        for lower in &mut mount.lowers {
            // No link is followed in it later. What isn't there is told by who opens it.
            if let Lower::Directory(path) = lower
                && let Ok(whole) = path.canonicalize()
            {
                *path = whole;
            }
        }
        let root = root_of(&mount);
        Ok(MountRecord { mount, upper: fresh_id()?, frozen: Vec::new(), settled: false, root })
    }
}

/// Which directory a mount shows now, if it shows one.
pub(super) fn root_of(mount: &Mount) -> Option<Witness> {
    let [Lower::Directory(path)] = mount.lowers.as_slice() else { return None };
    let host = Host::builder().no_links(true).open(path).ok()?;
    as_root(|cx| host.getattr(cx, &host.root())).ok().map(|attr| Witness::of(&attr))
}

/// Whether a sandbox can have these mounts together.
pub(super) fn check(mounts: &[Mount]) -> Result<(), StoreError> {
    if mounts.is_empty() {
        return Err(StoreError::Empty { what: "there is no mount" });
    }
    let mut points = BTreeSet::new();
    for mount in mounts {
        if mount.lowers.is_empty() {
            return Err(StoreError::Empty { what: "a mount has no directory and no archive" });
        }
        super::chosen::check(core::slice::from_ref(&mount.guest))?;
        for lower in &mount.lowers {
            let (Lower::Directory(path) | Lower::Archive { path, .. }) = lower;
            if !path.is_absolute() {
                return Err(StoreError::Relative { path: path.clone() });
            }
        }
        if !points.insert(&mount.guest) {
            return Err(StoreError::Twice { guest: mount.guest.clone() });
        }
    }
    Ok(())
}

/// A name that nothing else has.
pub(super) fn fresh_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    filled.map_err(StoreError::host("read", Path::new("/dev/urandom")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a text is what [`fresh_id`] gives.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn os_error(error: &std::io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO)
}
