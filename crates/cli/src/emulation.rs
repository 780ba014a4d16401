//! Links for directories of the host that are on filesystems without any.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno as HostErrno;
use vnode_adapt::{Keep, ReadOnly, SymlinkEmulation};
use vnode_cli::text::shown;
use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Timespec};

use crate::mounts::{Emulate, Mount};
use crate::options::Run;

/// How links are kept on a filesystem of the host's that has none.
pub(crate) fn keep(options: &Run, mount: &Mount) -> Option<Keep> {
    let for_all = if options.emulate_symlinks { Emulate::Yes } else { Emulate::No };
    match mount.emulate.unwrap_or(for_all) {
        Emulate::No => None,
        Emulate::Yes => Some(Keep::HiddenFiles),
        Emulate::Memory => Some(Keep::InMemory),
    }
}

/// A filesystem with links, and what keeps other runs from keeping some there.
pub(crate) struct Emulated {
    pub(crate) filesystem: FilesystemRef,
    pub(crate) lock: Option<File>,
}

/// Gives links to the directory of the host at `path`, served as `filesystem`, if it has none.
///
/// # Errors
/// A sentence that says why that can't be.
pub(crate) fn emulate(
    filesystem: FilesystemRef,
    path: &Path,
    keep: Keep,
    mount: &Mount,
) -> Result<Emulated, String> {
    let as_it_is = |filesystem| Emulated { filesystem, lock: None };
    // To find out whether there are links is to make one.
    let filesystem = if mount.is_read_only() {
        FilesystemRef::new::<ReadOnly<FilesystemRef>>(ReadOnly::new(filesystem))
    } else {
        filesystem
    };
    let who = Credentials::root();
    let cx = Cx::new(&who, &Now);
    match SymlinkEmulation::needed(&cx, &filesystem) {
        Ok(true) => {}
        Ok(false) => return Ok(as_it_is(filesystem)),
        // Asked for all directories, it is for those that can have it.
        Err(_) if mount.emulate.is_none() => return Ok(as_it_is(filesystem)),
        Err(errno) => return Err(format!("can't find out whether it has symbolic links: {errno}")),
    }
    let lock = match keep {
        Keep::HiddenFiles if !mount.is_read_only() => locked(path)?,
        _ => None,
    };
    let emulated = SymlinkEmulation::new(&cx, filesystem, keep)
        .map_err(|errno| format!("can't emulate symbolic links: {errno}"))?;
    Ok(Emulated { filesystem: FilesystemRef::new::<SymlinkEmulation>(emulated), lock })
}

/// Locks a directory (`flock(2)`) for as long as the answer is held; nothing where its filesystem has no locks.
///
/// # Errors
/// Another run has it, or another mount of this one.
fn locked(path: &Path) -> Result<Option<File>, String> {
    let Ok(dir) = File::open(path) else { return Ok(None) };
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(dir)),
        Err(HostErrno::WOULDBLOCK) => Err(format!(
            "another run keeps links in {}, or another mount of this one; wait until it ends, or add emulate=memory",
            shown(path.as_os_str())
        )),
        Err(_) => Ok(None),
    }
}

/// The time of day.
struct Now;

impl Clock for Now {
    fn now(&self) -> Timespec {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(Timespec::EPOCH, Timespec::from)
    }
}
