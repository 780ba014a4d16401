//! Directories of the host: what is in them, and the same steps by the kernel and by a guest.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, XattrFlags, mknodat, renameat_with};
use vnode_core::fs::{Filesystem as _, NewKind, Remove, Rename};

use super::guest::Guest;
use super::random::Random;

/// What is there: by path, with the first path of the same inode.
pub(crate) type Listed = BTreeMap<Vec<u8>, String>;

/// All that is in a directory: type, mode, owner, content, target, names of the same inode, `user.*` attributes.
pub(crate) fn list(root: &Path) -> Listed {
    let mut found = Listed::new();
    let mut first: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut left = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                left.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let told = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let meta = fs::symlink_metadata(&path).unwrap();
        let of = if meta.nlink() > 1 && !meta.is_dir() {
            first.entry(meta.ino()).or_insert_with(|| told.clone()).escape_ascii().to_string()
        } else {
            String::new()
        };
        let content = if meta.is_file() {
            let bytes = fs::read(&path).unwrap();
            let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
            format!("{}+{}", start, bytes[start..].escape_ascii())
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_vec().escape_ascii().to_string()
        } else {
            String::new()
        };
        let mode = if meta.is_symlink() { 0 } else { meta.mode() };
        let kind = meta.mode() & 0o170_000;
        let xattrs = if meta.is_file() || meta.is_dir() { xattrs(&path) } else { Vec::new() };
        let (uid, gid) = (meta.uid(), meta.gid());
        found.insert(told, format!("{kind:o} {mode:o} {uid}:{gid} {content:?} {of:?} {xattrs:?}"));
    }
    found
}

fn xattrs(path: &Path) -> Vec<(String, String)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..len].split(|&byte| byte == 0).filter(|name| name.starts_with(b"user."));
    let value = |name: &[u8]| {
        let mut value = vec![0; 256];
        let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        (name.escape_ascii().to_string(), value[..len].escape_ascii().to_string())
    };
    let mut all: Vec<_> = names.map(value).collect();
    all.sort();
    all
}

/// A step of a history.
#[derive(Clone)]
pub(crate) enum Step {
    Write(Vec<u8>, u64, Vec<u8>),
    Mkdir(Vec<u8>),
    Symlink(Vec<u8>, Vec<u8>),
    Fifo(Vec<u8>, u32),
    Remove(Vec<u8>),
    RemoveAll(Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Exchange(Vec<u8>, Vec<u8>),
    Chmod(Vec<u8>, u32),
    Xattr(Vec<u8>, Vec<u8>),
    Chown(Vec<u8>, u32),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown =
            |path: &[u8]| path.escape_ascii().to_string().replace(&"f".repeat(255), "F").replace("././", "");
        match self {
            Step::Write(path, at, text) => write!(f, "write {} {at} {}", shown(path), shown(text)),
            Step::Mkdir(path) => write!(f, "mkdir {}", shown(path)),
            Step::Symlink(path, target) => write!(f, "ln -s {} {}", shown(target), shown(path)),
            Step::Fifo(path, mode) => write!(f, "mkfifo -m {mode:o} {}", shown(path)),
            Step::Remove(path) => write!(f, "rm -d {}", shown(path)),
            Step::RemoveAll(path) => write!(f, "rm -r {}", shown(path)),
            Step::Link(from, to) => write!(f, "ln {} {}", shown(from), shown(to)),
            Step::Rename(from, to) => write!(f, "mv {} {}", shown(from), shown(to)),
            Step::Exchange(from, to) => write!(f, "exchange {} {}", shown(from), shown(to)),
            Step::Chmod(path, mode) => write!(f, "chmod {mode:o} {}", shown(path)),
            Step::Xattr(path, value) => write!(f, "setfattr {} {}", shown(path), shown(value)),
            Step::Chown(path, uid) => write!(f, "chown {uid} {}", shown(path)),
        }
    }
}

impl Step {
    /// A step on a tree that has these paths; `number` is no other step's.
    pub(crate) fn random(random: &mut Random, paths: &[Vec<u8>], number: usize) -> Step {
        let old = |random: &mut Random| match paths {
            [] => new_path(random, paths),
            paths => random.of(paths).clone(),
        };
        let any = |random: &mut Random| {
            if random.percent(50) { old(random) } else { new_path(random, paths) }
        };
        let text = format!("{number}").into_bytes();
        match random.below(100) {
            0..16 => Step::Write(any(random), 0, text),
            16..20 => Step::Write(any(random), 200_000, text),
            20..29 => Step::Mkdir(new_path(random, paths)),
            29..35 => Step::Symlink(new_path(random, paths), target(random, number)),
            35..37 => Step::Fifo(new_path(random, paths), number as u32 & 0o777),
            37..45 => Step::Remove(old(random)),
            45..51 => Step::RemoveAll(old(random)),
            51..59 => Step::Link(old(random), new_path(random, paths)),
            59..81 => Step::Rename(old(random), any(random)),
            81..88 => Step::Exchange(old(random), old(random)),
            88..93 => Step::Chmod(old(random), *random.of(&[0o600, 0o755, 0o777, 0o4711, 0o400, 0o1755])),
            93..97 => Step::Xattr(old(random), text),
            _ => Step::Chown(old(random), random.below(3) as u32),
        }
    }

    /// By a guest; tells whether it could be done.
    pub(crate) fn by_guest(&self, guest: &Guest<'_>) -> bool {
        let done = match self {
            Step::Write(path, at, text) => guest.write_at(path, *at, text),
            Step::Mkdir(path) => guest.make(path, NewKind::Directory),
            Step::Symlink(path, target) => guest.make(path, NewKind::Symlink(target)),
            Step::Fifo(path, mode) => guest.make(path, NewKind::Fifo).and_then(|()| guest.chmod(path, *mode)),
            Step::Remove(path) => {
                guest.remove(path, Remove::File).or_else(|_| guest.remove(path, Remove::Directory))
            }
            Step::RemoveAll(path) => guest.remove_all(path),
            Step::Link(from, to) => guest.link(from, to),
            Step::Rename(from, to) => guest.rename(from, to, Rename::Replace),
            Step::Exchange(from, to) => guest.rename(from, to, Rename::Exchange),
            Step::Chmod(path, mode) if !is_link(guest, path) => guest.chmod(path, *mode),
            Step::Xattr(path, value) if is_file_or_directory(guest, path) => {
                guest.set_xattr(path, b"user.told", value)
            }
            // Who makes the call takes set-user-id bits, not the filesystem.
            Step::Chown(path, uid) if !runs_as_its_owner(guest, path) => {
                let set = vnode_core::SetAttr { uid: Some(*uid), ..vnode_core::SetAttr::default() };
                guest.set(path, &set)
            }
            _ => return false,
        };
        done.is_ok()
    }

    /// By the kernel.
    pub(crate) fn by_kernel(&self, root: &Path) {
        let at = |path: &[u8]| root.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
        match self {
            Step::Write(path, offset, text) => {
                let is_new = fs::symlink_metadata(at(path)).is_err();
                let file = File::options().write(true).create(true).truncate(true).open(at(path)).unwrap();
                file.write_all_at(text, *offset).unwrap();
                if is_new {
                    file.set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
                }
            }
            Step::Mkdir(path) => {
                fs::create_dir(at(path)).unwrap();
                fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
            }
            Step::Symlink(path, target) => symlink(OsStr::from_bytes(target), at(path)).unwrap(),
            Step::Fifo(path, mode) => {
                mknodat(CWD, at(path), FileType::Fifo, Mode::from_raw_mode(*mode), 0).unwrap();
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).unwrap();
            }
            Step::Remove(path) => {
                fs::remove_file(at(path)).or_else(|_| fs::remove_dir(at(path))).unwrap();
            }
            Step::RemoveAll(path) => {
                if fs::symlink_metadata(at(path)).unwrap().is_dir() {
                    fs::remove_dir_all(at(path)).unwrap();
                } else {
                    fs::remove_file(at(path)).unwrap();
                }
            }
            Step::Link(from, to) => fs::hard_link(at(from), at(to)).unwrap(),
            Step::Rename(from, to) => fs::rename(at(from), at(to)).unwrap(),
            Step::Exchange(from, to) => {
                renameat_with(CWD, at(from), CWD, at(to), RenameFlags::EXCHANGE).unwrap();
            }
            Step::Chmod(path, mode) => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).unwrap();
            }
            Step::Xattr(path, value) => {
                rustix::fs::lsetxattr(at(path), "user.told", value, XattrFlags::empty()).unwrap();
            }
            Step::Chown(path, uid) => std::os::unix::fs::lchown(at(path), Some(*uid), None).unwrap(),
        }
    }
}

fn is_link(guest: &Guest<'_>, path: &[u8]) -> bool {
    super::as_root(|cx| guest.node(cx, path)).is_ok_and(|node| node.kind().is_symlink())
}

fn runs_as_its_owner(guest: &Guest<'_>, path: &[u8]) -> bool {
    super::as_root(|cx| guest.0.getattr(cx, &guest.node(cx, path)?))
        .is_ok_and(|attr| attr.mode.intersects(vnode_core::Mode::SETUID | vnode_core::Mode::SETGID))
}

fn is_file_or_directory(guest: &Guest<'_>, path: &[u8]) -> bool {
    use vnode_core::FileType::{Directory, Regular};
    super::as_root(|cx| guest.node(cx, path)).is_ok_and(|node| matches!(node.kind(), Regular | Directory))
}

fn names() -> [Vec<u8>; 6] {
    [b"a".to_vec(), b"b".to_vec(), b"-c".to_vec(), b"d\nd".to_vec(), b"e\xff".to_vec(), vec![b'f'; 255]]
}

/// A name in the root or in a directory, or in what is none.
fn new_path(random: &mut Random, paths: &[Vec<u8>]) -> Vec<u8> {
    let above = match paths {
        [] => b"".to_vec(),
        _ if random.percent(40) => b"".to_vec(),
        paths => random.of(paths).clone(),
    };
    let name = random.of(&names()).clone();
    // Not past what a system call takes.
    if above.len() > 1500 { [b"/", &name[..]].concat() } else { [&above[..], b"/", &name].concat() }
}

/// Where a link leads: nowhere, to itself maybe, outside, beside; as no other link does, for what is just like another is
/// not told apart.
fn target(random: &mut Random, number: usize) -> Vec<u8> {
    let here = "./".repeat(number);
    let text = ["/?etc/passwd", "?../../outside", "?a", "?b/../a", "?none"];
    random.of(&text).replace('?', &here).into_bytes()
}

/// All paths in a directory.
pub(crate) fn paths(root: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
            let path = entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            found.push([b"/", &path[..]].concat());
        }
    }
    found.sort();
    found
}

/// Makes a tree by random steps of the kernel, the same each time.
pub(crate) fn plant(root: &Path, seed: u64, steps: usize) {
    let mut random = Random::new(seed);
    let memory = vnode_core::FilesystemRef::new::<vnode_memory::Memory>(vnode_memory::Memory::new());
    let model = Guest(&memory);
    let all = |model: &Guest<'_>| {
        let mut found = Vec::new();
        let mut left = vec![Vec::new()];
        while let Some(dir) = left.pop() {
            for name in model.names(&dir).unwrap() {
                let path = [&dir[..], b"/", &name].concat();
                if super::as_root(|cx| model.node(cx, &path)).unwrap().kind().is_dir() {
                    left.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    };
    for number in 0..steps {
        let step = Step::random(&mut random, &all(&model), number);
        let builds = matches!(
            step,
            Step::Write(..)
                | Step::Mkdir(_)
                | Step::Symlink(..)
                | Step::Link(..)
                | Step::Xattr(..)
                | Step::Fifo(..)
        );
        if builds && step.by_guest(&model) {
            step.by_kernel(root);
        }
    }
}

/// A file of the host, made anew.
pub(crate) fn put(path: impl AsRef<Path>, text: &str) {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
