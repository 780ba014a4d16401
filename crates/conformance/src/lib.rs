//! The POSIX conformance suite of vnode, the differential tester, and the real kernel as their oracle.
//!
//! # Map
//!
//! * [`subject`]: the system under test in Linux's terms. [`kernel`]: Linux itself. [`vnode`]: the core over a
//!   filesystem; [`memory`], [`host`], [`overlay`], [`stepwise`], [`linkless`], [`adapted`]: over which.
//! * [`layers`]: directories of the host that vnode's overlay and the kernel's take turns with.
//! * `preview1`: the same calls as a guest makes them, through engine, ABI and kernel crate (feature `engine`).
//! * [`text`], [`value`], [`call`]: a line of a script is one call on a subject, and what it must come to.
//! * [`script`], [`suite`]: case files and running them. The cases stand in `cases/*.txt`.
//! * [`founding`]: the founding case, on every kind of filesystem.
//! * [`frozen`]: the cases on a read-only filesystem. [`faulty`]: operations in which one call after the other fails.
//! * [`tree`]: a picture of a whole tree.
//! * [`differ`]: random paths and sequences on vnode and on the kernel, from a seed ([`random`]).
//!
//! # Invariants
//!
//! * The kernel is right. A case that fails on it is wrong; a difference from it is a bug of vnode.
//! * A subject is told words, never parsed paths: what a path means is the subject's affair.
//! * The oracle's thread changes nothing outside itself: mounts, root, cwd, umask, descriptors and credentials
//!   are its own, and its files are on a tmpfs that goes with it.

pub mod adapted;
pub mod call;
pub mod differ;
pub mod faulty;
mod forwarded;
pub mod founding;
pub mod frozen;
pub mod host;
pub mod kernel;
pub mod layers;
pub mod linkless;
pub mod memory;
pub mod overlay;
pub mod packed;
#[cfg(feature = "engine")]
pub mod preview1;
pub mod random;
pub mod script;
pub mod stepwise;
pub mod subject;
pub mod suite;
pub mod text;
pub mod tree;
pub mod value;
pub mod vnode;
