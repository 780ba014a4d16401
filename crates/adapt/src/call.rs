//! What is called, on what: the calls of a filesystem as values.

use core::fmt;

use vnode_core::Name;
use vnode_core::fs::{At, Inode, InodeId};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $changes:literal;)*) => {
        /// An operation of a filesystem, of an open file or of a directory's listing: a method of
        /// [`Filesystem`](vnode_core::fs::Filesystem), [`File`](vnode_core::fs::File) or
        /// [`DirStream`](vnode_core::fs::DirStream) that can fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Op {
            $($(#[$doc])* $name,)*
        }

        impl Op {
            /// Every operation.
            pub const ALL: &'static [Op] = &[$(Op::$name),*];

            /// The method's name; a file's `sync` is `fsync`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Op::$name => $word,)*
                }
            }

            /// Whether it changes the filesystem. Opening doesn't, and neither does writing to the medium what was
            /// changed before.
            pub const fn changes(self) -> bool {
                match self {
                    $(Op::$name => $changes,)*
                }
            }
        }
    };
}

ops! {
    /// `Filesystem::statfs`.
    Statfs = "statfs", false;
    /// `Filesystem::lookup`.
    Lookup = "lookup", false;
    /// `Filesystem::parent`.
    Parent = "parent", false;
    /// `Filesystem::name_of`.
    NameOf = "name_of", false;
    /// `Filesystem::create`.
    Create = "create", true;
    /// `Filesystem::create_open`.
    CreateOpen = "create_open", true;
    /// `Filesystem::link`.
    Link = "link", true;
    /// `Filesystem::remove`.
    Remove = "remove", true;
    /// `Filesystem::rename`.
    Rename = "rename", true;
    /// `Filesystem::readlink`.
    Readlink = "readlink", false;
    /// `Filesystem::getattr`.
    Getattr = "getattr", false;
    /// `Filesystem::setattr`.
    Setattr = "setattr", true;
    /// `Filesystem::open`.
    Open = "open", false;
    /// `Filesystem::open_dir`.
    OpenDir = "open_dir", false;
    /// `Filesystem::sync`.
    Sync = "sync", false;
    /// `Filesystem::resolve_run`.
    ResolveRun = "resolve_run", false;
    /// `Filesystem::get_xattr`.
    GetXattr = "get_xattr", false;
    /// `Filesystem::set_xattr`.
    SetXattr = "set_xattr", true;
    /// `Filesystem::list_xattr`.
    ListXattr = "list_xattr", false;
    /// `Filesystem::remove_xattr`.
    RemoveXattr = "remove_xattr", true;
    /// `File::read_at`.
    Read = "read_at", false;
    /// `File::write_at`.
    Write = "write_at", true;
    /// `File::append`.
    Append = "append", true;
    /// `File::set_len`.
    SetLen = "set_len", true;
    /// `File::allocate`.
    Allocate = "allocate", true;
    /// `File::seek_data_or_hole`.
    Seek = "seek_data_or_hole", false;
    /// `File::copy_range`.
    CopyRange = "copy_range", true;
    /// `File::lend`.
    Lend = "lend", false;
    /// `File::sync`.
    Fsync = "fsync", false;
    /// `DirStream::list`.
    List = "list", false;
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of operations.
///
/// ```
/// use vnode_adapt::{Op, OpSet};
///
/// let set = OpSet::from(Op::Read) | Op::Write;
/// assert!(set.contains(Op::Write) && !set.contains(Op::Append));
/// assert_eq!(set.iter().map(Op::name).collect::<Vec<_>>(), ["read_at", "write_at"]);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct OpSet(u32);

impl OpSet {
    /// None.
    pub const NONE: OpSet = OpSet(0);
    /// Every operation.
    pub const ALL: OpSet = OpSet(u32::MAX >> (u32::BITS as usize - Op::ALL.len()));

    /// Those that change the filesystem.
    pub fn changes() -> OpSet {
        Op::ALL.iter().copied().filter(|op| op.changes()).fold(OpSet::NONE, |set, op| set | op)
    }

    /// Whether `op` is one of them.
    pub const fn contains(self, op: Op) -> bool {
        self.0 & (1 << op as u32) != 0
    }

    /// The operations of the set.
    pub fn iter(self) -> impl Iterator<Item = Op> {
        Op::ALL.iter().copied().filter(move |op| self.contains(*op))
    }
}

impl From<Op> for OpSet {
    fn from(op: Op) -> Self {
        OpSet(1 << op as u32)
    }
}

impl<T: Into<OpSet>> core::ops::BitOr<T> for OpSet {
    type Output = OpSet;

    fn bitor(self, other: T) -> OpSet {
        OpSet(self.0 | other.into().0)
    }
}

impl fmt::Debug for OpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A name in a directory.
pub(crate) type Entry<'a> = (InodeId, Name<'a>);

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) op: Op,
    /// The inode, or the directory that `name` is in; nothing for what concerns the whole filesystem.
    pub(crate) inode: Option<InodeId>,
    pub(crate) name: Option<Name<'a>>,
    /// The new name of a rename.
    pub(crate) to: Option<Entry<'a>>,
}

impl<'a> Call<'a> {
    pub(crate) fn of_all(op: Op) -> Self {
        Call { op, inode: None, name: None, to: None }
    }

    pub(crate) fn of(op: Op, inode: InodeId) -> Self {
        Call { op, inode: Some(inode), name: None, to: None }
    }

    pub(crate) fn at<I: Inode + ?Sized>(op: Op, at: At<'a, I>) -> Self {
        Call { op, inode: Some(at.dir.id()), name: Some(at.name), to: None }
    }

    pub(crate) fn to<I: Inode + ?Sized>(self, at: At<'a, I>) -> Self {
        Call { to: Some((at.dir.id(), at.name)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_every_operation() {
        assert_eq!(OpSet::ALL.iter().count(), Op::ALL.len());
        assert!(Op::ALL.iter().enumerate().all(|(at, op)| *op as usize == at));
        let all = Op::ALL.iter().fold(OpSet::NONE, |set, op| set | *op);
        assert_eq!(all, OpSet::ALL);
        assert!(OpSet::changes().contains(Op::Rename) && !OpSet::changes().contains(Op::Open));
    }
}
