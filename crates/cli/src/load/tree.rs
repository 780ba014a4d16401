//! A host directory as entries to load. No symbolic link is followed below the directory itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode as HostMode, OFlags};
use vnode_core::{Mode, Timespec};
use vnode_memory::{Data, Entry, EntryKind};

use super::holes::Holes;
use super::progress::Progress;
use crate::text::shown;

/// The entries of the tree at `root`: each directory before what is in it, names in their order.
pub(crate) fn entries<'a>(
    root: &Path,
    progress: &'a Progress,
) -> impl Iterator<Item = io::Result<Entry<'a>>> + use<'a> {
    // The tree's own root may be a link; `/.` goes through it.
    let first = Waiting { host: root.join("."), path: b".".to_vec() };
    Walk { waiting: vec![first], linked: HashMap::new(), progress }
}

struct Waiting {
    host: PathBuf,
    /// From the root of the tree.
    path: Vec<u8>,
}

struct Walk<'a> {
    waiting: Vec<Waiting>,
    /// Where a file with several names was seen first, by device and number.
    linked: HashMap<(u64, u64), Vec<u8>>,
    progress: &'a Progress,
}

impl<'a> Iterator for Walk<'a> {
    type Item = io::Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Waiting { host, path } = self.waiting.pop()?;
        self.progress.entry();
        Some(self.entry(&host, path).map_err(|error| named(&host, &error)))
    }
}

impl<'a> Walk<'a> {
    fn entry(&mut self, host: &Path, path: Vec<u8>) -> io::Result<Entry<'a>> {
        let metadata = fs::symlink_metadata(host)?;
        let kind = self.kind(host, &path, &metadata)?;
        let xattrs = if matches!(kind, EntryKind::Directory | EntryKind::File(_)) {
            user_attributes(host)?
        } else {
            Vec::new()
        };
        Ok(Entry {
            path: Cow::Owned(path),
            kind,
            mode: Mode::from_raw(metadata.mode()),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: Timespec {
                sec: metadata.mtime(),
                nsec: u32::try_from(metadata.mtime_nsec()).unwrap_or_default(),
            },
            xattrs,
        })
    }

    fn kind(&mut self, host: &Path, path: &[u8], metadata: &Metadata) -> io::Result<EntryKind<'a>> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.enter(host, path)?;
            return Ok(EntryKind::Directory);
        }
        if metadata.nlink() > 1 {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&identity) {
                return Ok(EntryKind::HardLink(Cow::Owned(first.clone())));
            }
            self.linked.insert(identity, path.to_vec());
        }
        Ok(if kind.is_file() {
            EntryKind::File(Data::Reader(Box::new(self.progress.count(Holes::new(open(host)?)?))))
        } else if kind.is_symlink() {
            EntryKind::Symlink(Cow::Owned(fs::read_link(host)?.into_os_string().into_vec()))
        } else if kind.is_fifo() {
            EntryKind::Fifo
        } else if kind.is_socket() {
            EntryKind::Socket
        // The kernel's own device numbers have 32 bits.
        } else if kind.is_char_device() {
            EntryKind::CharDevice(metadata.rdev() as u32)
        } else {
            EntryKind::BlockDevice(metadata.rdev() as u32)
        })
    }

    /// Lists a directory, so that its first name comes next.
    fn enter(&mut self, host: &Path, path: &[u8]) -> io::Result<()> {
        let mut names: Vec<OsString> = fs::read_dir(host)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        self.waiting.extend(
            names
                .into_iter()
                .rev()
                .map(|name| Waiting { path: [path, b"/", name.as_bytes()].concat(), host: host.join(name) }),
        );
        Ok(())
    }
}

/// Opens a file that was regular a moment ago: if something else took its place, this fails and doesn't wait.
fn open(host: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(host, flags, HostMode::empty())?.into())
}

/// The `user.*` attributes; the others belong to the host.
fn user_attributes(host: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let len = match rustix::fs::llistxattr(host, &mut names[..]) {
        Ok(len) => len,
        Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(len);
    let mut attributes = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::lgetxattr(host, name, &mut value[..])?;
        value.truncate(len);
        attributes.push((name.to_vec(), value));
    }
    Ok(attributes)
}

fn named(host: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", shown(host.as_os_str())))
}
