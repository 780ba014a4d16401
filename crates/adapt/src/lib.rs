//! Filesystems made from a filesystem.
mod call;
mod crash;
mod events;
mod faults;
mod forward;
mod hook;
mod quota;
mod read_only;

pub use call::{Op, OpSet};
pub use crash::{Crash, CrashControl, Recovered};
pub use events::Events;
pub use faults::{Fault, FaultControl, Faults};
pub use quota::{Exceeded, Quota, QuotaBuilder, QuotaNode, QuotaUsage};
pub use read_only::ReadOnly;
