//! vnode under the same operations: a namespace over the memory filesystem, and a process on it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_conformance::stepwise::Stepwise;
use vnode_core::fs::{Access, File, NewKind, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Name, Namespace,
    OpenFlags, OpenHow, OpenNode, Place, Policy, Result, Timespec, VPath,
};
use vnode_memory::Memory;

use crate::op::{Answer, At, Found, Op, SLOTS};

/// Time that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000_000, nsec: 0 }
    }
}

/// A namespace, and a process on it.
pub struct World {
    stepwise: bool,
    ns: Namespace,
    root: Place,
    held: [Place; SLOTS],
    open: [Option<Arc<dyn File>>; SLOTS],
    /// How far its paths may lead.
    pub policy: Policy,
}

/// An empty filesystem with limits that nothing here reaches, so that it tells what is used.
fn filesystem(stepwise: bool) -> FilesystemRef {
    let memory = Memory::builder().time(Still.now()).max_bytes(MANY).max_inodes(MANY).build();
    if stepwise {
        FilesystemRef::new::<Stepwise<Memory>>(Stepwise(memory))
    } else {
        FilesystemRef::new::<Memory>(memory)
    }
}

const MANY: u64 = 1 << 50;

impl World {
    /// A process on an empty filesystem, which takes names one at a time or in runs.
    pub fn new(stepwise: bool) -> Self {
        let ns = Namespace::new(filesystem(stepwise));
        let root = ns.root().clone();
        let held = std::array::from_fn(|_| root.clone());
        World { stepwise, ns, root, held, open: Default::default(), policy: Policy::Posix }
    }

    /// Mounts an empty filesystem on a name, which need not be there.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn mount(&self, slot: usize, name: &[u8]) -> Result<()> {
        let fs = filesystem(self.stepwise);
        self.ns.mount(&self.held[slot], Name::new(name)?, &fs, MountFlags::empty()).map(|_| ())
    }

    /// Closes all and stands in the root.
    pub fn let_go(&mut self) {
        self.root = self.ns.root().clone();
        self.held = std::array::from_fn(|_| self.root.clone());
        self.open = Default::default();
    }

    /// Inodes and bytes that the root's filesystem counts as used.
    ///
    /// # Errors
    /// None is known.
    pub fn usage(&self) -> Result<(u64, u64)> {
        let figures = self.call(|caller| caller.statfs_place(self.ns.root()))?;
        let bytes = (figures.blocks - figures.blocks_free) * u64::from(figures.block_size);
        Ok((figures.files - figures.files_free, bytes))
    }

    fn call<T>(&self, work: impl FnOnce(&Caller<'_>) -> Result<T>) -> Result<T> {
        let who = Credentials::root();
        let cx = Cx::new(&who, &Still);
        work(&Caller { ns: &self.ns, cx: &cx, root: &self.root, policy: self.policy })
    }

    fn on<T>(&self, at: &At, work: impl FnOnce(&Caller<'_>, &Place, VPath<'_>) -> Result<T>) -> Result<T> {
        let path = VPath::new(&at.path)?;
        self.call(|caller| work(caller, &self.held[at.slot], path))
    }

    fn done(
        &self,
        at: &At,
        work: impl FnOnce(&Caller<'_>, &Place, VPath<'_>) -> Result<()>,
    ) -> Result<Answer> {
        self.on(at, work).map(|()| Answer::Done)
    }

    /// Carries out an operation.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn run(&mut self, op: &Op) -> Result<Answer> {
        match op {
            Op::Stat { at, follow } => {
                let attr = self.on(at, |caller, base, path| caller.stat(base, path, walk(*follow)))?;
                Ok(Answer::Found(found(&attr)))
            }
            Op::Hold { at, follow, slot } => {
                let place = self.on(at, |caller, base, path| caller.resolve(base, path, walk(*follow)))?;
                let attr = self.call(|caller| place.attr(caller.cx))?;
                self.held[*slot] = place;
                Ok(Answer::Found(found(&attr)))
            }
            Op::Chroot { slot } => {
                let place = &self.held[*slot];
                self.call(|caller| caller.chdir_place(place))?;
                self.root = place.clone();
                Ok(Answer::Done)
            }
            Op::Readlink { at } => {
                let text = self.on(at, |caller, base, path| caller.readlink(base, path))?;
                Ok(Answer::Bytes(text.to_vec()))
            }
            Op::Getcwd { slot } => {
                let place = &self.held[*slot];
                if !place.kind().is_dir() {
                    return Err(Errno::NOTDIR);
                }
                self.call(|caller| caller.getcwd(place)).map(Answer::Bytes)
            }
            Op::List { slot } => self.list(&self.held[*slot]),
            Op::Mkdir { at } => self.done(at, |caller, base, path| caller.mkdir(base, path, Mode::RWXU)),
            Op::Mknod { at } => {
                self.done(at, |caller, base, path| caller.mknod(base, path, NewKind::Regular, Mode::RWXU))
            }
            Op::Symlink { text, at } => self.done(at, |caller, base, path| caller.symlink(text, base, path)),
            Op::Link { old, new, follow } => self
                .on_two(old, new, |caller, old, new| caller.link(old.0, old.1, walk(*follow), new.0, new.1)),
            Op::Unlink { at } => self.done(at, |caller, base, path| caller.unlink(base, path)),
            Op::Rmdir { at } => self.done(at, |caller, base, path| caller.rmdir(base, path)),
            Op::Rename { old, new, how } => {
                self.on_two(old, new, |caller, old, new| caller.rename(old.0, old.1, new.0, new.1, *how))
            }
            Op::Truncate { at, len } => self.done(at, |caller, base, path| caller.truncate(base, path, *len)),
            Op::Open { at, flags, access, slot } => self.open(at, *flags, *access, *slot),
            _ => self.io(op),
        }
    }

    fn on_two(
        &self,
        old: &At,
        new: &At,
        work: impl FnOnce(&Caller<'_>, (&Place, VPath<'_>), (&Place, VPath<'_>)) -> Result<()>,
    ) -> Result<Answer> {
        let (from, to) = (VPath::new(&old.path)?, VPath::new(&new.path)?);
        self.call(|caller| work(caller, (&self.held[old.slot], from), (&self.held[new.slot], to)))?;
        Ok(Answer::Done)
    }

    fn list(&self, place: &Place) -> Result<Answer> {
        self.call(|caller| {
            let mut listing = caller.list(place)?;
            let (mut names, mut cookie) = (Vec::new(), 0);
            // In pieces of three.
            loop {
                let before = names.len();
                listing.list(caller, cookie, &mut |entry| {
                    names.push(entry.name.to_vec());
                    cookie = entry.next;
                    if names.len() == before + 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
                if names.len() == before {
                    break;
                }
            }
            assert!(names.starts_with(&[b".".to_vec(), b"..".to_vec()]), "the dots come first: {names:?}");
            let mut names = names.split_off(2);
            names.sort();
            Ok(Answer::Names(names))
        })
    }

    fn open(&mut self, at: &At, flags: OpenFlags, access: Access, slot: usize) -> Result<Answer> {
        let how = OpenHow { access, flags, mode: Mode::RWXU };
        let opened = self.on(at, |caller, base, path| caller.open(base, path, &how))?;
        let attr = self.call(|caller| opened.place.attr(caller.cx))?;
        if let OpenNode::File(file) = opened.node {
            self.open[slot] = Some(file);
        }
        Ok(Answer::Found(found(&attr)))
    }

    fn io(&mut self, op: &Op) -> Result<Answer> {
        let (Op::Close { slot }
        | Op::Write { slot, .. }
        | Op::Append { slot, .. }
        | Op::Read { slot, .. }
        | Op::SetLen { slot, .. }
        | Op::Allocate { slot, .. }
        | Op::SeekData { slot, .. }
        | Op::SeekHole { slot, .. }) = op
        else {
            return Err(Errno::NOSYS);
        };
        let file = self.open[*slot].clone().ok_or(Errno::BADF)?;
        let who = Credentials::root();
        let cx = &Cx::new(&who, &Still);
        match op {
            Op::Write { offset, bytes, .. } => {
                let count = file.write_at(cx, *offset, &mut Source::from_slice(bytes))?;
                Ok(Answer::Number(count as u64))
            }
            Op::Append { bytes, .. } => {
                let (count, _) = file.append(cx, &mut Source::from_slice(bytes))?;
                Ok(Answer::Number(count as u64))
            }
            Op::Read { offset, len, .. } => {
                let mut into = vec![0xaa; *len];
                let count = file.read_at(cx, *offset, &mut Sink::from_slice(&mut into))?;
                into.truncate(count);
                Ok(Answer::Bytes(into))
            }
            Op::SetLen { len, .. } => file.set_len(cx, *len).map(|()| Answer::Done),
            Op::Allocate { how, offset, len, .. } => {
                file.allocate(cx, *how, *offset, *len).map(|()| Answer::Done)
            }
            Op::SeekData { offset, .. } => {
                file.seek_data_or_hole(cx, SeekFor::Data, *offset).map(Answer::Number)
            }
            Op::SeekHole { offset, .. } => {
                file.seek_data_or_hole(cx, SeekFor::Hole, *offset).map(Answer::Number)
            }
            _ => {
                self.open[*slot] = None;
                Ok(Answer::Done)
            }
        }
    }
}

fn walk(follow: bool) -> Follow {
    if follow { Follow::Yes } else { Follow::No }
}

fn found(attr: &Attr) -> Found {
    let size = if attr.kind.is_dir() { 0 } else { attr.size };
    Found { id: (attr.dev, attr.ino), kind: attr.kind, nlink: attr.nlink, size }
}

/// Which inode of one system is which of the other.
#[derive(Debug, Default)]
pub struct Pairs {
    there: BTreeMap<(u64, u64), (u64, u64)>,
    back: BTreeMap<(u64, u64), (u64, u64)>,
}

impl Pairs {
    /// Whether both are the same inode for all that is known; they are from here on.
    pub fn agree(&mut self, one: (u64, u64), other: (u64, u64)) -> bool {
        *self.there.entry(one).or_insert(other) == other && *self.back.entry(other).or_insert(one) == one
    }
}
