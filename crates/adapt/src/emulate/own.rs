//! What the emulation does for itself: in whose name, and without a trace in a directory's times.

use vnode_core::fs::Filesystem;
use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Result, SetAttr, SetTime, Timespec};

use super::Node;

/// The caller of what the emulation does for itself: it may do everything, and is not canceled half-way.
pub(super) struct Own {
    who: Credentials,
    now: Fixed,
}

struct Fixed(Timespec);

impl Clock for Fixed {
    fn now(&self) -> Timespec {
        self.0
    }
}

impl Own {
    /// At the time of a call.
    pub(super) fn during(cx: &Cx<'_>) -> Self {
        Own::at(cx.now())
    }

    /// At a time.
    pub(super) fn at(time: Timespec) -> Self {
        Own { who: Credentials::root(), now: Fixed(time) }
    }

    /// What its calls carry. They leave access times.
    pub(super) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.who, &self.now).keeping_atime()
    }
}

/// Does something to a directory that nobody is to see, and puts its times back as they were, as far as that can be: the
/// `mtime`, and the `ctime` where the filesystem goes by the time of the call and not by a clock of its own.
///
/// # Errors
/// Those of looking at the directory, and of `change`.
pub(super) fn leaving_times<T>(
    cx: &Cx<'_>,
    fs: &FilesystemRef,
    dir: &Node,
    change: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let before = fs.getattr(cx, dir)?;
    let done = change()?;
    let then = Own::at(before.ctime);
    let times = SetAttr { mtime: Some(SetTime::To(before.mtime)), ..SetAttr::default() };
    let _ = fs.setattr(&then.cx(), dir, &times);
    Ok(done)
}
