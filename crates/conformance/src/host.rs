//! A directory of the host as a subject.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use vnode_core::{Errno, FilesystemRef, Result};
use vnode_host::Host;
use vnode_memory::Memory;

use crate::adapted::{self, Below, Books, Layer};
use crate::subject::Needs;
use crate::vnode::{Layout, Make, Vnode};

/// How the host is asked for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Several at once (`openat2(2)`).
    Runs,
    /// Each by a call of its own.
    Single,
}

/// Directories that are made in one directory and removed with it.
struct Scratch {
    top: PathBuf,
    next: AtomicU64,
    made: Mutex<VecDeque<PathBuf>>,
}

impl Scratch {
    fn new(within: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let top = within.join(format!("vnode-host-{}-{number}", std::process::id()));
        std::fs::create_dir(&top).map_err(|_| Errno::IO)?;
        Ok(Scratch { top, next: AtomicU64::new(0), made: Mutex::default() })
    }

    fn make(&self) -> Result<PathBuf> {
        let path = self.top.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&path).map_err(|_| Errno::IO)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push_back(path.clone());
        // No case makes as many.
        if made.len() > 16
            && let Some(old) = made.pop_front()
        {
            let _ = std::fs::remove_dir_all(old);
        }
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.top);
    }
}

/// A process on directories of the host, each made empty in `within`.
///
/// Devices and other users' files are allowed: the tests' own, and gone with them.
///
/// # Errors
/// Those of [`Vnode::new`]; `EIO`: no directory could be made in `within`.
pub fn subject(within: &Path, layout: Layout, calls: Calls) -> Result<Vnode> {
    let subject = Vnode::new(&name(within, calls), layout, maker(within, calls)?)?;
    Ok(subject.lacking(Needs::NEWEST_FIRST).timed_by_the_kernel())
}

/// The same under `layers`, the innermost first.
///
/// # Errors
/// As [`subject`].
pub fn subject_under(
    layers: &[Layer],
    within: &Path,
    layout: Layout,
    calls: Calls,
) -> Result<(Vnode, Books)> {
    let below = Below::Other(maker(within, calls)?);
    let (subject, books) = adapted::subject_over(&name(within, calls), below, layout, layers)?;
    Ok((subject.lacking(Needs::NEWEST_FIRST).timed_by_the_kernel(), books))
}

fn name(within: &Path, calls: Calls) -> String {
    let calls = if calls == Calls::Runs { "" } else { " by single names" };
    format!("host directory in {}{calls}", within.display())
}

pub(crate) fn maker(within: &Path, calls: Calls) -> Result<Make> {
    let scratch = Scratch::new(within)?;
    let single = calls == Calls::Single;
    let builder = Host::builder().stepwise(single).set_id(true).devices(true).owners(true);
    Ok(Box::new(move |size, inodes| {
        if (size, inodes) != (0, 0) {
            // A directory has no limit of its own.
            return FilesystemRef::new::<Memory>(
                Memory::builder().max_bytes(size).max_inodes(inodes).build(),
            );
        }
        let made = scratch.make().and_then(|path| builder.clone().open(path).map_err(|error| error.errno));
        match made {
            Ok(host) => FilesystemRef::new::<Host>(host),
            Err(errno) => unreachable!("no directory to serve: {errno}"),
        }
    }))
}
