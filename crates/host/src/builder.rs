//! How a directory of the host is served.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use vnode_core::Errno;
use vnode_core::fs::Caps;

use crate::host::Host;
use crate::node::HostNode;
use crate::pool::Pool;
use crate::sys::{self, AsFd, OwnedFd};

/// As many descriptors as there is room made for. Each takes nine bytes.
const DESCRIPTORS: usize = 4096;

/// A directory of the host that can't be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the host directory {}: {errno}", path.display())]
pub struct HostError {
    /// The path on the host.
    pub path: PathBuf,
    /// `ENOENT`: it is missing. `ENOTDIR`: it is no directory. `EACCES`: it may not be searched.
    pub errno: Errno,
}

/// How a directory of the host is served; see [`Host::builder`].
#[derive(Clone, Debug, Default)]
pub struct HostBuilder {
    one_mount: bool,
    set_id: bool,
    hide_guards: bool,
    devices: bool,
    owners: bool,
    stepwise: bool,
    no_links: bool,
    descriptors: Option<usize>,
}

impl HostBuilder {
    /// Refuses what is on another mount of the host below the directory: `EXDEV`. Without this, mounts of the host are
    /// part of the tree.
    #[must_use]
    pub fn one_mount(mut self, only: bool) -> Self {
        self.one_mount = only;
        self
    }

    /// Lets set-user-id be set, and set-group-id of what is no directory, and shows extended attributes other than
    /// `user.*` and `trusted.*`. Without this it is `EPERM`, and a write takes those bits from a file whoever writes: what
    /// a guest writes belongs to the user that the host's process runs as, and would run as that user for anybody.
    #[must_use]
    pub fn set_id(mut self, allowed: bool) -> Self {
        self.set_id = allowed;
        self
    }

    /// Shows access control lists and capabilities of programs, and whatever else is not `user.*` or `trusted.*`, to no
    /// caller, also with [`HostBuilder::set_id`], and lets none set them: for an upper, where an overlay puts those of what
    /// it copies ([`Cx::seeing_guards`](vnode_core::Cx::seeing_guards)).
    #[must_use]
    pub fn hide_guards(mut self, hidden: bool) -> Self {
        self.hide_guards = hidden;
        self
    }

    /// Lets device nodes be made on the host. They are never opened here, but anybody else may. Without this it is
    /// `EPERM`.
    #[must_use]
    pub fn devices(mut self, allowed: bool) -> Self {
        self.devices = allowed;
        self
    }

    /// Gives what a guest makes to the guest's user and group, for which the process must be privileged (`CAP_CHOWN`).
    /// Without this it belongs to the process's own.
    #[must_use]
    pub fn owners(mut self, kept: bool) -> Self {
        self.owners = kept;
        self
    }

    /// Finds each name by a call of its own, as where the kernel has no `openat2(2)` (before Linux 5.6).
    #[must_use]
    pub fn stepwise(mut self, stepwise: bool) -> Self {
        self.stepwise = stepwise;
        self
    }

    /// Refuses a path of the directory's own that has symbolic links in it, or isn't absolute: `ELOOP`. For who was told a path
    /// once, and is to find the same directory there, not where somebody lets it lead since.
    #[must_use]
    pub fn no_links(mut self, refused: bool) -> Self {
        self.no_links = refused;
        self
    }

    /// The most descriptors that are held at once. Without this, all directories that the process serves hold at most
    /// three quarters of what it may have (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn max_descriptors(mut self, most: usize) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Opens the directory; links in its own path are followed, unless [`no_links`](Self::no_links) refuses them.
    ///
    /// # Errors
    /// `ENOENT`: it is missing. `ENOTDIR`: it is no directory. `EACCES`: it may not be searched. `ELOOP`: there are links in its
    /// path, more than 40 or any. `EMFILE`.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Host, HostError> {
        let path = path.as_ref();
        self.try_open(path).map_err(|errno| HostError { path: path.to_owned(), errno })
    }

    fn try_open(self, path: &Path) -> vnode_core::Result<Host> {
        let pool = self.descriptors.map_or_else(Pool::shared, Pool::of);
        let descriptor = pool.open(|| sys::open_root(path.as_os_str().as_bytes()))?;
        let stat = sys::stat(descriptor.as_fd())?;
        if self.no_links && sys::stat(without_links(path)?.as_fd())?.id != stat.id {
            return Err(Errno::LOOP);
        }
        // May it be searched?
        sys::find(descriptor.as_fd(), b".")?;
        let has_openat2 = !self.stepwise && sys::find_run(descriptor.as_fd(), b".", false).is_ok();
        let mut caps = Caps::SYMLINKS
            | Caps::HARDLINKS
            | Caps::EXCHANGE
            | Caps::XATTR
            | Caps::BLOCKING
            | Caps::RUNS
            | Caps::SPECIAL;
        caps.set(Caps::CASELESS, sys::folds_case(descriptor.as_fd()));
        let root = HostNode::fixed(&pool, 0, stat.id, descriptor);
        Ok(Host {
            root,
            pool,
            caps,
            dev: stat.attr.dev,
            has_openat2,
            one_mount: self.one_mount,
            set_id: self.set_id,
            hide_guards: self.hide_guards,
            devices: self.devices,
            owners: self.owners,
            // Unknown, any bit may be taken.
            umask: sys::process_umask().unwrap_or(0o777),
            largest: sys::size_limit(),
        })
    }
}

/// What an absolute path leads to by names alone; nothing else is there if another one is found by following links.
fn without_links(path: &Path) -> vnode_core::Result<OwnedFd> {
    let mut here = sys::open_root(b"/")?;
    for component in path.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Normal(name) if path.is_absolute() => name.as_bytes(),
            _ => return Err(Errno::LOOP),
        };
        here = match sys::find(here.as_fd(), name) {
            // Of a link.
            Err(Errno::NOTDIR) => return Err(Errno::LOOP),
            found => found?,
        };
    }
    Ok(here)
}

impl Host {
    /// Serves a directory of the host.
    ///
    /// # Errors
    /// As [`HostBuilder::open`].
    pub fn new(path: impl AsRef<Path>) -> Result<Arc<Self>, HostError> {
        Host::builder().open(path).map(Arc::new)
    }

    /// Has the kernel make room for the descriptors of a process at once, as many as directories of the host are likely to
    /// hold: for a program to call before it starts threads. Where there are threads, the kernel waits some milliseconds each
    /// time that its table of descriptors grows (`expand_fdtable` in Linux), which guests would wait for.
    pub fn make_room() {
        sys::make_room(DESCRIPTORS);
    }

    /// Options for serving a directory of the host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_in_its_own_path_are_followed_or_refused() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("real/dir")).unwrap();
        symlink("real", top.join("link")).unwrap();
        symlink("../real/dir", top.join("real/link")).unwrap();
        let open = |path: &str| Host::builder().no_links(true).open(top.join(path)).map(drop);
        for plain in ["real", "real/dir", "./real//dir/"] {
            open(plain).unwrap();
        }
        for path in ["link", "link/dir", "real/link", "real/../real"] {
            assert_eq!(open(path).unwrap_err().errno, Errno::LOOP, "{path}");
            Host::builder().open(top.join(path)).unwrap();
        }
        assert_eq!(open("real/missing").unwrap_err().errno, Errno::NOENT);
        let relative = Host::builder().no_links(true).open(".").map(drop);
        assert_eq!(relative.unwrap_err().errno, Errno::LOOP);
        Host::builder().no_links(true).open("/").unwrap();
    }
}
