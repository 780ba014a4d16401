//! The overlay of vnode: one filesystem made of an upper, which takes all changes, over any number of lowers, which are
//! only read. What is in the upper is in the format of Linux's overlayfs (`Documentation/filesystems/overlayfs.rst`).
//!
//! ```
//! use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Timespec};
//! use vnode_memory::Memory;
//! use vnode_overlay::Overlay;
//!
//! # struct Epoch;
//! # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
//! let who = Credentials::root();
//! let cx = Cx::new(&who, &Epoch);
//! let (lower, upper) = (FilesystemRef::new::<Memory>(Memory::new()), FilesystemRef::new::<Memory>(Memory::new()));
//! let overlay = Overlay::builder().lower(lower).build(&cx, upper)?;
//! let mounted = FilesystemRef::new::<Overlay>(overlay);
//! # drop(mounted);
//! # Ok::<(), vnode_core::Errno>(())
//! ```
//!
//! # Map
//!
//! * `overlay` - [`Overlay`], the [`Filesystem`](vnode_core::fs::Filesystem); `builder` - how one is made.
//! * `layers` - the filesystems; `marks` - the extended attributes by which the upper tells what it means; `work` - where
//!   things are made before anybody sees them; `meta` - what the lowers had under a name that was touched.
//! * `linux` - the index of Linux's overlayfs.
//! * `leave` - what the upper's owner may only do after he let himself.
//! * `node` - [`Node`], the inode; `table` - one for each inode of a layer; `numbers` - `st_ino`;
//!   `unmarked` - where copies are from that can't be marked.
//! * `lookup` - what a name stands for: one name at a time, never a path but a redirection's; `known` - what names were
//!   found to stand for; `runs` - many names, one after the other.
//! * `frozen` - uppers of before as lowers: where their copies are from and are found.
//! * `names` - making and removing names; `rename` - moving them; `links` - hard links of lowers.
//! * `copy_up` - bringing to the upper what is to be changed; `duplicate` - making what is like another; `content` - a file's bytes;
//!   `guards` - extended attributes, and among them what says on the host who may do what.
//! * `settle` - what the upper needn't have any more, when the lower has it.
//! * `changes` - what the upper has, and uppers of before, to be compared with what was there before.
//! * `attributes`, `xattr` - of the layer's inode; `listing` - the merged names in order; `file` - an open file.
//!
//! # The format
//!
//! The upper's root has `upper/`, what the guest sees; `work/`, emptied when an overlay is made; `work/index/`, Linux's own
//! index, and `index/`: in one of them is a name for each inode with several names in a lower that was copied up; `meta`, what the lowers had under each name when the upper
//! first had something there ([`touched`]). In `upper/` a character device 0:0 is a whiteout: what
//! lowers have under its name is hidden. Extended attributes, of `trusted.overlay` or `user.overlay` ([`Marks`]):
//! `opaque` (`y`: nothing below shows through a directory), `redirect` (what is below stands at this path),
//! `origin` (what an inode was copied from; if that is said in Linux's way, `vnode` says it in ours), `nlink` (its names in
//! lowers). In lowers all that is understood too, and
//! whiteouts that are extended attributes, so that the upper of one overlay may be a lower of another.
//!
//! With its `index/` and its `meta` it may be more: an upper of before ([`Builder::frozen`]), over which another upper goes on.
//! What each of them says counts the layers from the one below it. The `origin` of a copy of a copy is that of the first.
//!
//! # Invariants
//!
//! * A lower is never changed; its access times neither, where its filesystem can keep them (of a directory of the host:
//!   not those of symbolic links, nor of what is another user's).
//! * A copy is made in `work/` and put in its place at once, its ancestors before it. A failure before that leaves
//!   nothing that anybody sees.
//! * A file's copy is on the medium before its name is ([`Builder::volatile`] leaves that out). What a loss of power leaves
//!   of an operation is the state before it, the state after it, or, of a rename that leaves a whiteout, both names.
//! * An operation that fails for what the names are copies nothing up.
//! * An inode keeps `st_ino`, its `ctime` and its place in listings when it is copied up, and its directory all times.
//!   The number is the origin's, with the layer in the top 8 bits, or where a lower spans devices a number given to the
//!   layer's device for as long as the overlay lasts; it is kept in the upper, or where an inode can't
//!   carry that, for as long as the overlay lasts.
//! * What a node has in the upper never becomes another inode; what it has below never changes at all.
//! * Whatever of the changes is in uppers of before, what is shown is the same, numbers of what is from other lowers
//!   included. Of an inode that has several names in lowers the topmost copy is shown under all of them.
//! * An open file is read where it is changed: the upper's as soon as there is one, whoever had it copied up.
//!   Opening copies nothing; the first change does, and truncation no byte that it drops.
//! * The extended attributes of overlays are never shown to callers nor taken from them, and neither are whiteouts.
//! * The layers are called as root; the upper, for what a caller does to what is his, as the caller.
//! * What an upper that isn't root's can't keep of a copy it does without: owners, and set-user-id bits with them.
//! * A copy has the access control lists and the capabilities of its original, on an upper that keeps them and shows them
//!   only to whom the lower does. Without its list a copy's mode allows nobody more than the list did: its group what
//!   the list's own entry and the mask do, group and others no more than each user and group that the list names. What is
//!   made in `work/` inherits no list.
//!
//! # Where it is not Linux's overlayfs
//!
//! * Renaming what is in a lower works whatever it is (there `EXDEV` without `redirect_dir=on`); the redirections are
//!   Linux's. It is `EXDEV` where the upper has no room for one: on ext4 past some 4000 bytes of path.
//! * Hard links of a lower stay linked (there with `index=on`).
//! * Opening for writing copies nothing up yet.
//! * A merged directory's links are counted; there they are 1.
//! * `overlay.*` attributes are refused with `EOPNOTSUPP`; there they are kept under other names.
//! * A file that Linux's copied up without its content (`metacopy=on`) is refused with `EIO`.
//!
//! The README has the whole list, each with its test.
//!
//! # Changes underneath
//!
//! Lowers, and the upper but by the overlay, must not change while it is mounted. If they do, nothing panics and nothing
//! outside is reached; what names show may be old or gone, and copies mixtures.
//!
//! # Lock order
//!
//! Outermost first:
//!
//! 1. copying an inode up: one at a time, that above before it;
//! 2. the lock of renames between directories;
//! 3. directories' names: an ancestor before those below it; two that are not above one another only under the lock of
//!    renames, in any order, and a directory to be replaced after both;
//! 4. a directory's redirection, ancestors later;
//! 5. an inode's state: one at a time;
//! 6. the end of `meta`, then the locks of the layers;
//! 7. leaves: places, the table of nodes, under which none is dropped, an index of names, an open file.
//!
//! Nothing is copied up with a directory's names locked: an operation looks first, lets go, has copied up what it needs,
//! and looks again.

mod attributes;
mod builder;
mod changes;
mod content;
mod copy_up;
mod duplicate;
mod file;
mod frozen;
mod guards;
mod known;
mod layers;
mod leave;
mod links;
mod linux;
mod listing;
mod lookup;
mod marks;
mod meta;
mod names;
mod node;
mod numbers;
mod overlay;
mod rename;
mod runs;
mod settle;
mod table;
mod unmarked;
mod work;
mod xattr;

pub use builder::Builder;
pub use changes::{Identity, Original, UpperName, UpperNames};
pub use duplicate::{fill, make_like, set_or_keep_own};
pub use leave::with_leave;
pub use marks::Marks;
pub use meta::{Touched, touched};
pub use node::Node;
pub use overlay::Overlay;
pub use settle::Brought;
