//! The directory that keeps changes: whether it can be one, and its lock.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fchmod, fremovexattr, fstat, mkdirat, openat, statat,
};
use vnode_core::Errno;

use crate::error::ViewError;
use crate::lock::{Asked, Lock};
use crate::mounts::Mounts;

/// What an overlay has in its upper's root.
const PARTS: [&str; 5] = ["upper", "work", "index", "meta", "lock"];
/// What the kernel's overlayfs has in a work directory.
const OF_LINUX: [&str; 3] = ["work", "index", "incompat"];
const LOCK: &str = "lock";

/// A directory that one view keeps changes in.
#[derive(Debug)]
pub(crate) struct Upper {
    pub(crate) path: PathBuf,
    /// Whether nobody but its owner and root can enter it.
    pub(crate) is_private: bool,
    pub(crate) lock: Lock,
}

impl Upper {
    /// Takes the directory, and makes it if it is not there.
    ///
    /// # Errors
    /// That it can't be one, or that another has it.
    pub(crate) fn take(path: &Path, lowers: &[PathBuf]) -> Result<Self, ViewError> {
        let fails = |error: rustix::io::Errno| ViewError::upper(path, host(error));
        let mounts = Mounts::now();
        let dir = match open(path) {
            // The directory that it is to be made in must not be in a lower either.
            Err(rustix::io::Errno::NOENT) => {
                check_apart(path, above(path), lowers, &mounts)?;
                make(path).map_err(fails)?
            }
            opened => opened.map_err(fails)?,
        };
        check_apart(path, path, lowers, &mounts)?;
        check_kernel(path, &mounts)?;
        check_content(path, &dir)?;
        let lock = match Lock::ask(&dir, LOCK).map_err(fails)? {
            Asked::Taken(lock) => lock,
            Asked::Busy(process) => return Err(ViewError::InUse { path: path.to_owned(), process }),
        };
        let is_private = is_private(&dir).map_err(fails)?;
        Ok(Upper { path: path.to_owned(), is_private, lock })
    }
}

/// Whether two paths lead to one directory.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::canonicalize(one), std::fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Checks a directory that kept changes and is only read from now on; tells whether nobody but its owner and root can
/// enter it.
///
/// # Errors
/// That it is none.
pub(crate) fn check_frozen(path: &Path, lowers: &[PathBuf]) -> Result<bool, ViewError> {
    let fails = |error| ViewError::Frozen { path: path.to_owned(), errno: host(error) };
    let mounts = Mounts::now();
    let dir = open(path).map_err(fails)?;
    statat(&dir, "upper", AtFlags::SYMLINK_NOFOLLOW).map_err(fails)?;
    check_apart(path, path, lowers, &mounts)?;
    check_kernel(path, &mounts)?;
    check_content(path, &dir)?;
    is_private(&dir).map_err(fails)
}

fn is_private(dir: &OwnedFd) -> rustix::io::Result<bool> {
    let mode = Mode::from_raw_mode(fstat(dir)?.st_mode);
    Ok(!mode.intersects(Mode::RWXG | Mode::RWXO))
}

pub(crate) fn host(error: rustix::io::Errno) -> Errno {
    Errno::from_host(error.raw_os_error())
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(rustix::fs::CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Makes the directory, for its owner alone.
fn make(path: &Path) -> rustix::io::Result<OwnedFd> {
    match mkdirat(rustix::fs::CWD, path, Mode::RWXU) {
        Err(rustix::io::Errno::EXIST) => open(path),
        made => {
            made?;
            let dir = open(path)?;
            // What it inherited is nothing that it is to hand on. Where there are no such lists that is no failure.
            for list in [c"system.posix_acl_default", c"system.posix_acl_access"] {
                let _ = fremovexattr(&dir, list);
            }
            // Whatever the umask took.
            fchmod(&dir, Mode::RWXU)?;
            Ok(dir)
        }
    }
}

/// The directory that a path's last name is in.
fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses an upper inside a lower, and a lower inside the upper. `here` is the upper, or where it will be made.
fn check_apart(upper: &Path, here: &Path, lowers: &[PathBuf], mounts: &Mounts) -> Result<(), ViewError> {
    let is_in = |inner: &Path, outer: &Path| {
        // What can't be looked at isn't, and is told by whoever opens it.
        let (Ok(inner), Ok(outer)) = (std::fs::canonicalize(inner), std::fs::canonicalize(outer)) else {
            return false;
        };
        inner.starts_with(&outer) || mounts.is_in(&inner, &outer)
    };
    for lower in lowers {
        let around = here == upper && is_in(lower, here);
        if around || is_in(here, lower) {
            return Err(ViewError::Nested { upper: upper.to_owned(), lower: lower.clone() });
        }
    }
    Ok(())
}

/// Refuses what Linux's overlayfs has mounted, and what it says isn't whole.
fn check_kernel(path: &Path, mounts: &Mounts) -> Result<(), ViewError> {
    let directory = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for part in ["upper", "work"] {
        if let Some(at) = mounts.overlay_with(&directory.join(part)) {
            return Err(ViewError::Mounted { path: path.to_owned(), at: at.to_owned() });
        }
    }
    let mark = path.join("work/work/incompat/volatile");
    if std::fs::symlink_metadata(&mark).is_ok() {
        return Err(ViewError::Volatile { path: path.to_owned(), mark });
    }
    Ok(())
}

/// Refuses a directory with files that no overlay put there: what is in `work` is removed.
fn check_content(path: &Path, dir: &OwnedFd) -> Result<(), ViewError> {
    let fails = |error: rustix::io::Errno| ViewError::upper(path, host(error));
    let not_an_upper = |found: String| Err(ViewError::NotAnUpper { path: path.to_owned(), found });
    let names = names(dir).map_err(fails)?;
    if let Some(other) =
        names.iter().find(|name| !PARTS.iter().any(|part| part.as_bytes() == name.as_slice()))
    {
        return not_an_upper(shown(other));
    }
    for name in &names {
        let is_dir = !matches!(name.as_slice(), b"meta" | b"lock");
        let stat = statat(dir, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).map_err(fails)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != if is_dir { FileType::Directory } else { FileType::RegularFile } {
            let what = if is_dir { "no directory" } else { "no regular file" };
            return not_an_upper(format!("{}, {what}", shown(name)));
        }
    }
    if !names.iter().any(|name| name == b"work") {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let work = openat(dir, "work", flags, Mode::empty());
    let work = self::names(&work.map_err(fails)?).map_err(fails)?;
    // What an overlay was making when it was interrupted starts with #.
    let known = |name: &[u8]| name.starts_with(b"#") || OF_LINUX.iter().any(|part| part.as_bytes() == name);
    match work.iter().find(|name| !known(name)) {
        Some(other) => not_an_upper(format!("work/{}", shown(other))),
        None => Ok(()),
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

fn names(dir: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}
