//! The kernel's overlayfs over directories of the host, mounted where only one thread sees it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vnode_core::{Errno, Result};

use super::system;

/// A thread's own mounts. They go with it.
pub struct Mounts(());

impl Mounts {
    /// Runs `work` on a thread that has mounts of its own. Nothing, if the kernel gives none.
    pub fn on_thread<T: Send>(work: impl FnOnce(&Mounts) -> T + Send) -> Option<T> {
        let run = || {
            system::own_mounts().ok()?;
            Some(work(&Mounts(())))
        };
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Mounts an overlay of the kernel's (`mount -t overlay -o options`).
    ///
    /// # Errors
    /// Those of `mount(2)`.
    pub fn overlay(&self, point: &Path, options: &str) -> Result<()> {
        system::mount_overlay(point, options)
    }

    /// Mounts an empty tmpfs.
    ///
    /// # Errors
    /// Those of `mount(2)`.
    pub fn tmpfs(&self, point: &Path) -> Result<()> {
        system::mount_tmpfs(point, "mode=755")
    }

    /// Unmounts what is mounted there.
    ///
    /// # Errors
    /// Those of `umount2(2)`.
    pub fn unmount(&self, point: &Path) -> Result<()> {
        system::detach(point)
    }
}

/// How many overlays stack (`FILESYSTEM_MAX_STACK_DEPTH`).
pub(super) const DEEPEST: usize = 2;

/// The directory of a tmpfs that is the lowest lower.
pub(super) fn bottom(point: &Path) -> Result<PathBuf> {
    directory(point, "0")
}

/// An overlay over what is there.
pub(super) struct Cover {
    pub(super) lower: PathBuf,
    pub(super) upper: PathBuf,
    work: PathBuf,
    pub(super) over: PathBuf,
    exported: bool,
}

impl Cover {
    /// Its directories, so many overlays being mounted already.
    pub(super) fn new(point: &Path, mounted: usize) -> Result<Self> {
        let number = mounted + 1;
        let named = |name: &str| directory(point, &format!("{name}{number}"));
        Ok(Cover {
            lower: point.join(mounted.to_string()),
            upper: named("upper")?,
            work: named("work")?,
            over: named("")?,
            // File handles of an overlay are what lets one over it keep hard links together.
            exported: number < DEEPEST,
        })
    }

    pub(super) fn mount(&self) -> Result<()> {
        let [lower, upper, work] = [&self.lower, &self.upper, &self.work].map(|path| path.display());
        let exported = if self.exported { ",nfs_export=on" } else { "" };
        let options = format!(
            "lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=on,index=on,uuid=on{exported}"
        );
        system::mount_overlay(&self.over, &options)
    }
}

fn directory(point: &Path, name: &str) -> Result<PathBuf> {
    let path = point.join(name);
    std::fs::create_dir(&path).map_err(|_| Errno::IO)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(|_| Errno::IO)?;
    Ok(path)
}
