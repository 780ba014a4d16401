//! What is to be done once all is staged, as it is written down: so that whoever finds it can do it.
//!
//! A JSON object; paths and values are text as `encoded` has them.

use serde::{Deserialize, Serialize};
use vnode_core::{Attr, FileType, Mode, SetAttr, SetTime, Timespec};

use super::Owner;
use crate::encoded;

/// The version that is written, and the only one that is understood.
pub(crate) const VERSION: u32 = 2;

/// Bytes that may be no text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Bytes(#[serde(with = "encoded::bytes")] pub(crate) Vec<u8>);

/// Where something is in the staging directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Slot {
    /// In `in`: it was made.
    In(u64),
    /// In `out`: it was taken away from where it was.
    Out(u64),
}

impl Slot {
    /// The directory that it is in.
    pub(crate) fn directory(self) -> &'static [u8] {
        match self {
            Slot::In(_) => b"in",
            Slot::Out(_) => b"out",
        }
    }

    /// Its name there.
    pub(crate) fn name(self) -> Vec<u8> {
        let (Slot::In(number) | Slot::Out(number)) = self;
        format!("{number}").into_bytes()
    }
}

/// Another name for an inode that stays, made in `in` before anything is moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewLink {
    /// Where the inode is, before.
    pub(crate) of: Bytes,
    /// Its number.
    pub(crate) ino: u64,
    pub(crate) slot: u64,
}

/// What leaves its place: to go, or to come back somewhere else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Out {
    /// Where it is, before.
    pub(crate) path: Bytes,
    pub(crate) slot: u64,
    /// When its directory was changed last.
    mtime: (i64, u32),
}

impl Out {
    /// From a directory as it is.
    pub(crate) fn new(path: &[u8], slot: u64, dir: Option<Attr>) -> Self {
        let mtime = dir.map_or((0, 0), |dir| (dir.mtime.sec, dir.mtime.nsec));
        Out { path: Bytes(path.to_vec()), slot, mtime }
    }

    /// What is to be set of the directory if it is not to have been taken out.
    pub(crate) fn times(&self) -> SetAttr {
        set_mtime(self.mtime)
    }
}

/// What comes to its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct In {
    pub(crate) slot: Slot,
    /// Where it is, after.
    pub(crate) path: Bytes,
    /// Whether it takes the place of something, which is no directory, and neither is it.
    pub(crate) replaces: bool,
    /// What that was.
    #[serde(default)]
    pub(crate) was: Option<Was>,
}

impl In {
    /// `was`: what it takes the place of, if it does.
    pub(crate) fn new(slot: Slot, path: Vec<u8>, was: Option<Was>) -> Self {
        In { slot, path: Bytes(path), replaces: was.is_some(), was }
    }
}

/// What goes with what was taken out: below a slot of `out`, or itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) slot: u64,
    /// From there; of itself empty.
    pub(crate) path: Bytes,
    pub(crate) is_dir: bool,
    /// What it was.
    #[serde(default)]
    pub(crate) was: Option<Was>,
}

/// Attributes of what stays, or comes from where it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// Where it is, after.
    pub(crate) path: Bytes,
    /// The number of the inode.
    pub(crate) ino: u64,
    /// Nothing: a symbolic link has none of its own.
    pub(crate) mode: Option<u32>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// All of `user.*` that it is to have; nothing: it is of a type that has none.
    pub(crate) xattrs: Option<Vec<(Bytes, Bytes)>>,
}

/// What a directory in which names change is to show afterwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Touched {
    /// Where it is, after.
    pub(crate) path: Bytes,
    pub(crate) mode: u32,
    mtime: (i64, u32),
}

impl Touched {
    /// With the time of `shown`.
    pub(crate) fn new(path: &[u8], mode: Mode, shown: &Attr) -> Self {
        Touched { path: Bytes(path.to_vec()), mode: mode.raw(), mtime: (shown.mtime.sec, shown.mtime.nsec) }
    }

    /// What is to be set last.
    pub(crate) fn times(&self) -> SetAttr {
        set_mtime(self.mtime)
    }
}

fn set_mtime((sec, nsec): (i64, u32)) -> SetAttr {
    let mtime = Some(SetTime::To(Timespec { sec, nsec: nsec.min(999_999_999) }));
    SetAttr { mtime, ..SetAttr::default() }
}

/// What goes on with the changes that weren't chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// Files that are as they are in the view now, by where they are in that.
    pub(crate) files: Vec<Bytes>,
    /// Whether directories that were renamed are.
    pub(crate) renamed: bool,
    /// Names of which it is known what was there, by where they are then.
    pub(crate) known: Vec<Known>,
}

/// What was there when a name was first touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) path: Bytes,
    /// Nothing: what is there after all this.
    pub(crate) was: Option<Was>,
}

/// What was there, if it changed since: it is no other by all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Was {
    /// The bits of the type (`S_IFMT`).
    pub(crate) kind: u32,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, u32),
    pub(crate) ctime: (i64, u32),
}

impl Was {
    pub(crate) fn of(attr: &Attr) -> Self {
        let &Attr { kind, dev, ino, size, mtime, ctime, .. } = attr;
        Was::new((kind, dev, ino, size), mtime, ctime)
    }

    /// What was written down when a name was first touched.
    pub(crate) fn touched(touched: &vnode_overlay::Touched) -> Self {
        let &vnode_overlay::Touched { kind, dev, ino, size, mtime, ctime, .. } = touched;
        Was::new((kind, dev, ino, size), mtime, ctime)
    }

    /// Whether this is as it was but for where it is; it may have been copied to another filesystem. Numbers may mean nothing.
    pub(crate) fn is_still(&self, attr: &Attr, has_numbers: bool) -> bool {
        let now = Was::of(attr);
        let is_it = !has_numbers || self.dev != now.dev || self.ino == now.ino;
        is_it && (self.kind, self.size, self.mtime) == (now.kind, now.size, now.mtime)
    }

    fn new((kind, dev, ino, size): (FileType, u64, u64, u64), mtime: Timespec, ctime: Timespec) -> Self {
        let time = |time: Timespec| (time.sec, time.nsec);
        Was { kind: kind.mode_bits(), dev, ino, size, mtime: time(mtime), ctime: time(ctime) }
    }
}

/// By what a directory is told from copies of it: its number, and when it was made if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Witness(u64, Option<(i64, u32)>);

impl Witness {
    pub(crate) fn of(attr: &Attr) -> Self {
        Witness(attr.ino, attr.btime.map(|made| (made.sec, made.nsec)))
    }
}

/// What every version says first.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u32,
}

/// All of it, in the order in which it is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) version: u32,
    pub(crate) owner: Option<Owner>,
    /// The numbers of the inodes of the directory and of staging, in a directory of the host.
    pub(crate) made_in: Option<(u64, u64)>,
    /// Whether symbolic links are kept in hidden files.
    pub(crate) emulated: bool,
    pub(crate) links: Vec<NewLink>,
    /// What is in a directory before that.
    pub(crate) outs: Vec<Out>,
    /// What is taken out, or gets another name, as it was before that, for whoever undoes it.
    #[serde(default)]
    pub(crate) moved: Vec<Known>,
    /// A directory before what is in it.
    pub(crate) ins: Vec<In>,
    pub(crate) attributes: Vec<Attributes>,
    pub(crate) touched: Vec<Touched>,
    /// What is in a directory before that.
    pub(crate) gone: Vec<Gone>,
    /// Of the staging directory. Where it has them no more, this is a copy, and numbers of inodes mean nothing.
    pub(crate) witness: Option<Witness>,
    /// What it all comes to, for whoever completes it.
    pub(crate) changes: Vec<(char, Bytes, Option<Bytes>)>,
    /// Where only some were chosen: what is left to whoever goes on with the rest.
    pub(crate) rest: Option<Rest>,
    #[serde(skip)]
    pub(crate) next_slot: u64,
}

impl Journal {
    /// Whether there is nothing to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.outs.is_empty() && self.ins.is_empty() && self.attributes.is_empty()
    }

    /// Whether the changes are this owner's, of whatever generation.
    pub(crate) fn is_of(&self, owner: Option<&Owner>) -> bool {
        let both = self.owner.as_ref().zip(owner);
        both.is_some_and(|(ours, other)| ours.id == other.id)
    }

    /// The number of a slot that nothing has.
    pub(crate) fn slot(&mut self) -> u64 {
        self.next_slot += 1;
        self.next_slot
    }
}
