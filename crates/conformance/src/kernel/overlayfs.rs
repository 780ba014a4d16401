//! The kernel's overlayfs over directories of the host, mounted where only one thread sees it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vnode_core::{Errno, Result};

use super::system;
use crate::overlay::Stack;

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

impl Stack {
    /// How many overlays there can be.
    pub(super) fn deepest(self) -> usize {
        match self {
            // `FILESYSTEM_MAX_STACK_DEPTH`
            Stack::Nested | Stack::Between => 2,
            Stack::Flat => 5,
        }
    }
}

/// The directory of a tmpfs that is the lowest lower.
pub(super) fn bottom(point: &Path) -> Result<PathBuf> {
    directory(point, "0")
}

/// An overlay over what is there.
pub(super) struct Cover {
    pub(super) lower: PathBuf,
    pub(super) upper: PathBuf,
    pub(super) over: PathBuf,
    options: String,
}

impl Cover {
    /// Its directories, so many overlays being mounted already.
    pub(super) fn new(point: &Path, stack: Stack, mounted: usize) -> Result<Self> {
        let number = mounted + 1;
        let named = |name: &str| directory(point, &format!("{name}{number}"));
        let (upper, work, over) = (named("upper")?, named("work")?, named("")?);
        let whole = |number: usize| point.join(number.to_string());
        let lowers = match stack {
            Stack::Flat => {
                if mounted > 0 {
                    system::detach(&whole(mounted))?;
                }
                let uppers = (1..=mounted).rev().map(|number| point.join(format!("upper{number}")));
                uppers.chain([whole(0)]).collect()
            }
            Stack::Nested | Stack::Between => vec![whole(mounted)],
        };
        let lower = lowers.first().cloned().unwrap_or_default();
        let lowers: Vec<_> = lowers.iter().map(|path| path.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=on,index=on,uuid=on{}",
            lowers.join(":"),
            upper.display(),
            work.display(),
            // File handles of an overlay are what lets one over it keep hard links together.
            if stack != Stack::Flat && number < stack.deepest() { ",nfs_export=on" } else { "" },
        );
        Ok(Cover { lower, upper, over, options })
    }

    pub(super) fn mount(&self) -> Result<()> {
        system::mount_overlay(&self.over, &self.options)
    }
}

fn directory(point: &Path, name: &str) -> Result<PathBuf> {
    let path = point.join(name);
    std::fs::create_dir(&path).map_err(|_| Errno::IO)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(|_| Errno::IO)?;
    Ok(path)
}
