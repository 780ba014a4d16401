//! The real Linux kernel as a subject: the oracle that says what is right.
//!
//! [`Kernel::on_thread`] runs a closure on a thread that has its own mounts, root, working directory, umask, file
//! descriptors and credentials, so nothing else in the process sees what it does:
//!
//! * As root: `unshare(CLONE_FS | CLONE_NEWNS)`, all mounts private, a fresh tmpfs, `chroot` into it.
//! * Otherwise: a new directory below `/dev/shm` as working directory; what needs a root of its own, mounts or
//!   other users is not provided.
//!
//! Credentials are switched by raw system calls: glibc's wrappers would switch every thread of the process.
//! A user other than 0 keeps a saved uid of 0, to come back, and has no effective capability, so it is treated as
//! any user is.

pub mod overlayfs;
mod remote;
mod resolve;
mod syscalls;
mod system;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use vnode_core::{Errno, Result};

use crate::overlay::Stack;
use crate::subject::{At, Follow, Handle, Needs, Subject, Target, XattrHow};

pub use remote::Remote;
pub(crate) use syscalls::tick;
pub use system::Resolve;
pub use system::on_thread_of;
pub use system::openat2;

/// The kernel, as seen from a thread of its own.
pub struct Kernel {
    place: Place,
    open: Vec<Handle>,
}

/// Where the tests' files are.
enum Place {
    /// A tmpfs mounted at `point` and made the root; `outside` is an open descriptor of the real root.
    Chroot { outside: Handle, point: PathBuf, mounted: bool, fresh: Fresh },
    /// A plain directory.
    Directory(PathBuf),
}

/// What is mounted as an empty root.
enum Fresh {
    /// A tmpfs.
    Tmpfs,
    /// A directory of a tmpfs, on which overlays are mounted: so many by now.
    Overlays(Stack, usize),
    /// A directory of some other filesystem, emptied each time.
    Directory(PathBuf),
}

/// Where the empty root is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Within<'a> {
    /// A tmpfs.
    Tmpfs,
    /// A tmpfs that overlayfs is mounted over when it is sunk ([`Subject::sink`](crate::subject::Subject::sink)).
    Overlays(Stack),
    /// The filesystem that a directory is in.
    Directory(&'a Path),
}

impl Kernel {
    /// Runs `work` with the kernel as subject, on a new thread.
    ///
    /// # Errors
    /// The text of what went wrong: neither a private root nor a directory of `/dev/shm` could be had.
    ///
    /// # Panics
    /// When `work` does.
    pub fn on_thread<T: Send>(work: impl FnOnce(&mut Kernel) -> T + Send) -> std::result::Result<T, String> {
        Kernel::on_thread_within(Within::Tmpfs, work)
    }

    /// The same, with what overlays of the kernel's show once the tree is sunk ([`Subject::sink`]).
    ///
    /// # Errors
    /// As [`Kernel::on_thread`].
    ///
    /// # Panics
    /// When `work` does.
    ///
    /// [`Subject::sink`]: crate::subject::Subject::sink
    pub fn of_overlays<T: Send>(
        stack: Stack,
        work: impl FnOnce(&mut Kernel) -> T + Send,
    ) -> std::result::Result<T, String> {
        Kernel::on_thread_within(Within::Overlays(stack), work)
    }

    fn on_thread_within<T: Send>(
        within: Within<'_>,
        work: impl FnOnce(&mut Kernel) -> T + Send,
    ) -> std::result::Result<T, String> {
        let run = || {
            let mut kernel = Kernel::enter(within)?;
            Ok(work(&mut kernel))
        };
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn enter(within: Within<'_>) -> std::result::Result<Kernel, String> {
        let describe = |what: &'static str| move |errno| format!("{what}: {errno:?}");
        system::own_descriptors_and_directories().map_err(describe("unshare(CLONE_FS | CLONE_FILES)"))?;
        let fresh = match within {
            Within::Directory(within) => Fresh::Directory(Kernel::new_directory(within)?),
            Within::Overlays(stack) => Fresh::Overlays(stack, 0),
            Within::Tmpfs => Fresh::Tmpfs,
        };
        let place = match Kernel::private_root(fresh) {
            Ok(place) => place,
            Err(_) => Place::Directory(Kernel::new_directory(Path::new("/dev/shm"))?),
        };
        let mut kernel = Kernel { place, open: Vec::new() };
        kernel.fresh_root().map_err(describe("a fresh root"))?;
        Ok(kernel)
    }

    fn private_root(fresh: Fresh) -> Result<Place> {
        system::own_mounts()?;
        let outside = system::open_root()?;
        Ok(Place::Chroot { outside, point: std::env::temp_dir(), mounted: false, fresh })
    }

    fn new_directory(within: &Path) -> std::result::Result<PathBuf, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("vnode-conformance-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Whether the kernel gave a root, mounts and users of its own; if so, no case may be skipped.
    pub fn is_privileged(&self) -> bool {
        matches!(self.place, Place::Chroot { .. })
    }

    fn close_all(&mut self) {
        for handle in std::mem::take(&mut self.open) {
            // The script may have closed it already.
            let _ = system::close(handle);
        }
        system::set_umask(0o022);
    }

    /// Remounts the tmpfs read-only: the filesystem, not only the mount.
    fn read_only_root(&mut self) -> Result<()> {
        self.close_all();
        match &self.place {
            Place::Chroot { .. } => {
                system::set_root_user()?;
                system::enter_directory(Path::new("/"))?;
                system::remount_read_only(Path::new("/"))
            }
            Place::Directory(_) => Err(Errno::OPNOTSUPP),
        }
    }

    /// Has all that there is be in a lower, if overlays are asked for.
    fn cover_root(&mut self) -> Result<()> {
        let Place::Chroot { outside, point, fresh: Fresh::Overlays(stack, mounted), .. } = &mut self.place
        else {
            return Ok(());
        };
        if *mounted == stack.deepest() {
            return Ok(());
        }
        system::chroot_to(*outside)?;
        let layers = overlayfs::Cover::new(point, *stack, *mounted)?;
        *mounted += 1;
        self.make_like(&layers.lower, &layers.upper)?;
        layers.mount()?;
        system::enter_root(&layers.over)
    }

    /// Gives a directory mode, owner and extended attributes of another: those of an overlay's root are its upper's.
    fn make_like(&mut self, one: &Path, other: &Path) -> Result<()> {
        let [one, other] = [one, other].map(|path| At::cwd(path.as_os_str().as_bytes()));
        let [from, to] = [one, other].map(|at| Target::Path(at, Follow::Yes));
        let attr = self.fstatat(one, Follow::Yes)?;
        for name in self.listxattr(from)? {
            // Those of an overlay are no caller's.
            if !name.starts_with(b"trusted.overlay.") {
                let value = self.getxattr(from, &name, 65536)?;
                self.setxattr(to, &name, &value, XattrHow::Either)?;
            }
        }
        self.fchownat(to, Some(attr.uid), Some(attr.gid))?;
        self.fchmodat(other, attr.mode.raw())
    }

    fn fresh_root(&mut self) -> Result<()> {
        self.close_all();
        match &mut self.place {
            Place::Chroot { outside, point, mounted, fresh } => {
                system::set_root_user()?;
                system::chroot_to(*outside)?;
                if *mounted {
                    system::detach(point)?;
                }
                match fresh {
                    Fresh::Tmpfs => system::mount_tmpfs(point, "mode=755")?,
                    Fresh::Overlays(_, mounted) => {
                        *mounted = 0;
                        system::mount_tmpfs(point, "mode=755")?;
                    }
                    Fresh::Directory(path) => system::mount_emptied(path, point)?,
                }
                *mounted = true;
                if let Fresh::Overlays(..) = fresh {
                    let bottom = overlayfs::bottom(point)?;
                    return system::enter_root(&bottom);
                }
                system::enter_root(point)
            }
            Place::Directory(path) => {
                system::empty_directory(path)?;
                system::enter_directory(path)
            }
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        match &self.place {
            // The mounts go with the thread's namespace.
            Place::Chroot { fresh: Fresh::Tmpfs | Fresh::Overlays(..), .. } => {}
            Place::Chroot { outside, fresh: Fresh::Directory(path), .. } => {
                let _ = system::set_root_user();
                if system::chroot_to(*outside).is_ok() {
                    let _ = std::fs::remove_dir_all(path);
                }
            }
            Place::Directory(path) => {
                let _ = system::empty_directory(path);
                let _ = std::fs::remove_dir(path);
            }
        }
    }
}

fn everything() -> Needs {
    Needs::all()
}

fn without_privilege() -> Needs {
    Needs::all() - (Needs::USERS | Needs::MOUNTS | Needs::ROOT | Needs::NODES | Needs::SUPERUSER)
}
