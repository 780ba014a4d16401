//! The clock of what is done for nobody's guest.

use vnode_core::{Clock, Timespec};

/// The time of day.
pub(crate) struct Now;

impl Clock for Now {
    fn now(&self) -> Timespec {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(Timespec::EPOCH, Timespec::from)
    }
}
