//! Copy-on-write views of the host's directories: what a guest changes stays in memory, or in a directory of its own, and the
//! host's directories stay as they are.
//!
//! ```
//! # let host = tempfile::tempdir()?;
//! # std::fs::write(host.path().join("file"), "the host's")?;
//! use vnode_sandbox::View;
//!
//! let view = View::of(host.path()).max_bytes(64 << 20).open()?;
//! let filesystem = view.filesystem; // Mount it, as any other.
//! # drop(filesystem);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map
//!
//! * `changes` - what was changed: [`Change`]; `compare` - what tells two inodes apart;
//!   `moves` - where paths were before directories were renamed.
//! * `apply` - bringing changes to the directory: what is to be done (`plan`), what is in the way of it (`check`), making
//!   what is new (`stage`), and doing it so that it can be gone on with (`journal`, `execute`).
//! * `view` - [`View`], the choices and what comes of them; `upper` - the directory that keeps changes: whether it can be
//!   one, and its lock; `mounts` - where directories really are; `error` - why there is no view.
//! * `export` - changes as a tar archive: a layer of a container image.
//!
//! # Invariants
//!
//! * The directories that are looked at are never written to, but by applying changes to one of them.
//! * A directory that keeps changes is an overlay's, or empty, before anything is written to it, and not inside what is
//!   looked at, nor around it. One view has it at a time, until nothing of that view is left.
//! * A directory that kept changes of before is only read: any number of views may have it, and none locks it.
//! * What it keeps can be used by nobody with a mode that the guest chose: where others may enter it, no set-user-id can
//!   be set in it.

mod apply;
mod changes;
mod clock;
mod compare;
pub mod encoded;
mod error;
mod export;
mod lock;
mod mounts;
mod moves;
mod paths;
mod store;
mod upper;
mod user;
mod view;

pub use apply::{
    Applied, ApplyError, ApplyOptions, Conflict, ConflictKind, Operation, Owner, Pending, Plan, Progress,
    Selection, Settled, Warning, abort, pending, recover, recover_on,
};
pub use changes::{Change, ChangeKind};
pub use clock::as_root;
pub use compare::{Attributes, Found};
pub use error::ViewError;
pub use export::{Exclude, ExportError, ExportFormat, ExportOptions, ExportTimes, Exported, PatternError};
pub use store::{Applying, At, Kept, Lower, Mount, Mounted, Sandbox, Store, StoreError, Swept};
pub use view::{Builder, View};
pub use vnode_overlay::{Marks, Touched};
