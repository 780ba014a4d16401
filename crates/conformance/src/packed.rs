//! A tree as a tar archive, in the format of pax: nothing of it is lost but access and change times.

use std::collections::HashMap;
use std::fmt::Write as _;

use tar::{Builder, EntryType, Header};
use vnode_archive::Archive;
use vnode_core::{Attr, Errno, FileType, FilesystemRef, Result};

use crate::call::list;
use crate::layers;
use crate::subject::{At, Follow, Handle, OpenFlags, Subject, Target, Whence};
use crate::value::{rdev_major, rdev_minor};
use crate::vnode::Vnode;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// All that a filesystem holds, as one that is read from an archive.
///
/// # Errors
/// As [`pack`].
///
/// # Panics
/// What was packed isn't read.
pub fn archived(fs: &FilesystemRef) -> Result<FilesystemRef> {
    match Archive::builder().bytes(pack(fs)?) {
        Ok(archive) => Ok(FilesystemRef::new::<Archive>(archive)),
        Err(error) => unreachable!("an archive of what there is: {error}"),
    }
}

/// Packs all that a filesystem holds.
///
/// # Errors
/// `EOPNOTSUPP`: there is a socket, which no archive holds, or an extended attribute other than `user.*`. Those of looking
/// at it.
pub fn pack(fs: &FilesystemRef) -> Result<Vec<u8>> {
    let mut packer = Packer {
        process: layers::process(fs.clone())?,
        archive: Builder::new(Vec::new()),
        linked: HashMap::new(),
    };
    let top = packer.process.open_top()?;
    packer.inode(top, b".", Vec::new(), true)?;
    packer.process.close(top)?;
    packer.archive.into_inner().map_err(|_| Errno::IO)
}

struct Packer {
    process: Vnode,
    archive: Builder<Vec<u8>>,
    /// The first path of what has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

/// What is said of a member before its header.
struct Records(Vec<(String, Vec<u8>)>);

impl Records {
    fn add(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.0.push((key.to_owned(), value.into()));
    }
}

impl Packer {
    /// Packs what a name in an open directory stands for, and what is below it.
    fn inode(&mut self, dir: Handle, name: &[u8], path: Vec<u8>, is_top: bool) -> Result<()> {
        let at = At::dir(dir, name);
        let attr = self.process.fstatat(at, Follow::No)?;
        let shown = if is_top { b".".to_vec() } else { path.clone() };
        let mut records = Records(Vec::new());
        records.add("path", shown.clone());
        records.add("mtime", format!("{}.{:09}", attr.mtime.sec, attr.mtime.nsec));
        if attr.nlink > 1 && !attr.kind.is_dir() {
            if let Some(first) = self.linked.get(&(attr.dev, attr.ino)) {
                records.add("linkpath", first.clone());
                return self.member(&attr, EntryType::Link, &records, &[]);
            }
            self.linked.insert((attr.dev, attr.ino), path.clone());
        }
        self.attributes(at, attr.kind, &mut records)?;
        match attr.kind {
            FileType::Directory => {
                self.member(&attr, EntryType::Directory, &records, &[])?;
                self.directory(at, &path)
            }
            FileType::Symlink => {
                records.add("linkpath", self.process.readlinkat(at, 4096)?);
                self.member(&attr, EntryType::Symlink, &records, &[])
            }
            FileType::Regular => self.file(at, &attr, records, &shown),
            FileType::Fifo => self.member(&attr, EntryType::Fifo, &records, &[]),
            FileType::CharDevice => self.member(&attr, EntryType::Char, &records, &[]),
            FileType::BlockDevice => self.member(&attr, EntryType::Block, &records, &[]),
            FileType::Socket => Err(Errno::OPNOTSUPP),
        }
    }

    fn directory(&mut self, at: At<'_>, path: &[u8]) -> Result<()> {
        let dir = self.process.openat(at, OpenFlags::READ | OpenFlags::DIRECTORY, 0)?;
        let mut entries = list(&mut self.process, dir)?;
        entries.retain(|entry| entry.name != b"." && entry.name != b"..");
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in entries {
            let below = if path.is_empty() { entry.name.clone() } else { [path, &entry.name].join(&b'/') };
            self.inode(dir, &entry.name, below, false)?;
        }
        self.process.close(dir)
    }

    fn attributes(&mut self, at: At<'_>, kind: FileType, records: &mut Records) -> Result<()> {
        if !matches!(kind, FileType::Regular | FileType::Directory) {
            return Ok(());
        }
        let on = Target::Path(at, Follow::No);
        for name in self.process.listxattr(on)? {
            let text = String::from_utf8(name.clone()).ok().filter(|name| name.starts_with("user."));
            let text = text.ok_or(Errno::OPNOTSUPP)?;
            let value = self.process.getxattr(on, &name, 1 << 16)?;
            records.add(&format!("SCHILY.xattr.{text}"), value);
        }
        Ok(())
    }

    /// Packs a file: its data with a map of it before, if it has holes.
    fn file(&mut self, at: At<'_>, attr: &Attr, mut records: Records, path: &[u8]) -> Result<()> {
        let file = self.process.openat(at, OpenFlags::READ, 0)?;
        let runs = self.runs(file, attr.size)?;
        let mut content = Vec::new();
        if runs != [(0, attr.size)] && attr.size > 0 {
            records.add("GNU.sparse.major", "1");
            records.add("GNU.sparse.minor", "0");
            records.add("GNU.sparse.name", path);
            records.add("GNU.sparse.realsize", attr.size.to_string());
            let mut map = format!("{}\n", runs.len() + 1);
            for (start, len) in runs.iter().chain([&(attr.size, 0)]) {
                let _ = write!(map, "{start}\n{len}\n");
            }
            content = map.into_bytes();
            content.resize(content.len().next_multiple_of(512), 0);
        }
        for (start, len) in runs {
            let mut done = 0;
            while done < len {
                let count = usize::try_from(len - done).map_or(PIECE, |left| left.min(PIECE));
                let offset = i64::try_from(start + done).map_err(|_| Errno::FBIG)?;
                let bytes = self.process.pread(file, count, offset)?;
                if bytes.is_empty() {
                    return Err(Errno::IO);
                }
                done += bytes.len() as u64;
                content.extend(bytes);
            }
        }
        self.process.close(file)?;
        self.member(attr, EntryType::Regular, &records, &content)
    }

    /// Where the data of a file is, and how much.
    fn runs(&mut self, file: Handle, size: u64) -> Result<Vec<(u64, u64)>> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < size {
            let offset = i64::try_from(at).map_err(|_| Errno::FBIG)?;
            let start = match self.process.lseek(file, offset, Whence::Data) {
                Err(Errno::NXIO) => break,
                start => start?,
            };
            let end = self.process.lseek(file, start, Whence::Hole)?;
            runs.push((start.unsigned_abs(), end.abs_diff(start)));
            at = end.unsigned_abs();
        }
        Ok(runs)
    }

    fn member(&mut self, attr: &Attr, kind: EntryType, records: &Records, content: &[u8]) -> Result<()> {
        let fails = |_| Errno::IO;
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(attr.mode.raw());
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(rdev_major(attr.rdev)).map_err(fails)?;
            header.set_device_minor(rdev_minor(attr.rdev)).map_err(fails)?;
        }
        // What stands in the header itself is of no use to whoever reads what stands before it.
        header.set_path("member").map_err(fails)?;
        header.set_cksum();
        let owner = [("uid", attr.uid.to_string()), ("gid", attr.gid.to_string())];
        let owner = owner.iter().map(|(key, value)| (*key, value.as_bytes()));
        let records = records.0.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.archive.append_pax_extensions(owner.chain(records)).map_err(fails)?;
        self.archive.append(&header, content).map_err(fails)
    }
}
