//! The kernel's overlayfs over directories of the host, mounted where only one thread sees it.

use std::path::Path;

use vnode_core::Result;

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

    /// Unmounts what is mounted there.
    ///
    /// # Errors
    /// Those of `umount2(2)`.
    pub fn unmount(&self, point: &Path) -> Result<()> {
        system::detach(point)
    }
}
