//! Calls that are made for nobody's guest.

use vnode_core::{Clock, Credentials, Cx, Timespec};

/// The time of day.
pub(crate) struct Now;

impl Clock for Now {
    fn now(&self) -> Timespec {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(Timespec::EPOCH, Timespec::from)
    }
}

/// Makes calls of filesystems for nobody's guest: as root, at the time of day, and not to be canceled.
///
/// ```
/// # let host = tempfile::tempdir()?;
/// use vnode_sandbox::{View, as_root};
///
/// let view = View::of(host.path()).open()?;
/// let changes = as_root(|cx| view.changes(cx))?;
/// assert!(changes.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn as_root<T>(call: impl FnOnce(&Cx<'_>) -> T) -> T {
    let who = Credentials::root();
    call(&Cx::new(&who, &Now))
}
