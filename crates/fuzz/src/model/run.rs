//! The operations on the model.

use vnode_core::fs::{Access, Rename};
use vnode_core::{Errno, OpenFlags, PATH_MAX, Policy, Result};

use super::content::{Content, MAX_LEN};
use super::resolve::{self, Ask, End, Last, Parent};
use super::{Id, Model, What};
use crate::op::{Answer, At, Op};

impl Model {
    /// Carries out an operation. An offset that is sought is not told: [`Model::check_sought`] judges it.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn run(&mut self, op: &Op) -> Result<Answer> {
        // A caller who can't even spell a path gets no further.
        for path in op.paths() {
            resolve::check(path)?;
        }
        match op {
            Op::Stat { at, follow } => Ok(Answer::Found(self.found(self.there(at, *follow)?))),
            Op::Hold { at, follow, slot } => {
                let id = self.there(at, *follow)?;
                self.held[*slot] = id;
                Ok(Answer::Found(self.found(id)))
            }
            Op::Chroot { slot } => self.chroot(*slot),
            Op::Readlink { at } => self.readlink(at),
            Op::Getcwd { slot } => self.getcwd(self.held[*slot]).map(Answer::Bytes),
            Op::List { slot } => self.list(self.held[*slot]),
            Op::Mkdir { at } => self.create(at, What::Directory(0, Default::default())),
            Op::Mknod { at } => self.create(at, What::File(Content::default())),
            Op::Symlink { text, at } => self.symlink(text, at),
            Op::Link { old, new, follow } => self.link(old, new, *follow),
            Op::Unlink { at } => self.unlink(at),
            Op::Rmdir { at } => self.rmdir(at),
            Op::Rename { old, new, how } => self.rename(old, new, *how),
            Op::Truncate { at, len } => self.truncate(at, *len),
            Op::Open { at, flags, access, slot } => self.open(at, *flags, *access, *slot),
            _ => self.io(op),
        }
    }

    fn chroot(&mut self, slot: usize) -> Result<Answer> {
        if !self.is_dir(self.held[slot]) {
            return Err(Errno::NOTDIR);
        }
        self.root = self.held[slot];
        Ok(Answer::Done)
    }

    fn readlink(&self, at: &At) -> Result<Answer> {
        let id = self.there(at, false)?;
        let text = self.target(id).ok_or(Errno::INVAL)?;
        if self.policy == Policy::Strict && text.starts_with(b"/") {
            return Err(Errno::PERM);
        }
        Ok(Answer::Bytes(text.to_vec()))
    }

    /// The path of a directory from the root.
    fn getcwd(&self, dir: Id) -> Result<Vec<u8>> {
        if !self.is_dir(dir) {
            return Err(Errno::NOTDIR);
        }
        let mut path = Vec::new();
        let mut here = dir;
        while here != self.root {
            let above = self.above(here);
            let name = self.names_in(above).into_iter().find(|(_, id)| *id == here);
            // A directory that was removed, or the root of all.
            let Some((name, _)) = name else { return Err(Errno::NOENT) };
            path = [&b"/"[..], &name, &path].concat();
            if path.len() > PATH_MAX {
                return Err(Errno::NAMETOOLONG);
            }
            here = above;
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }

    fn list(&self, dir: Id) -> Result<Answer> {
        match self.entries(dir) {
            None => Err(Errno::NOTDIR),
            Some(_) if self.is_removed(dir) => Err(Errno::NOENT),
            Some(entries) => Ok(Answer::Names(entries.keys().cloned().collect())),
        }
    }

    fn create(&mut self, at: &At, what: What) -> Result<Answer> {
        let Parent { dir, last, slash } = self.parent(at)?;
        let Last::Name(name) = last else { return Err(Errno::EXIST) };
        self.check_name(dir, &name)?;
        if self.lookup(dir, &name).is_some() {
            return Err(Errno::EXIST);
        }
        if self.is_removed(dir) || (slash && !matches!(what, What::Directory(..))) {
            return Err(Errno::NOENT);
        }
        self.make(dir, &name, what);
        Ok(Answer::Done)
    }

    fn symlink(&mut self, text: &[u8], at: &At) -> Result<Answer> {
        match text {
            b"" => Err(Errno::NOENT),
            _ if text.len() > PATH_MAX => Err(Errno::NAMETOOLONG),
            _ if text.contains(&0) => Err(Errno::INVAL),
            [b'/', ..] if self.policy == Policy::Strict => Err(Errno::PERM),
            _ => self.create(at, What::Link(text.to_vec())),
        }
    }

    fn link(&mut self, old: &At, new: &At, follow: bool) -> Result<Answer> {
        let target = self.there(old, follow)?;
        let Parent { dir, last, slash } = self.parent(new)?;
        let Last::Name(name) = last else { return Err(Errno::EXIST) };
        self.check_name(dir, &name)?;
        if self.lookup(dir, &name).is_some() {
            return Err(Errno::EXIST);
        }
        if slash || self.is_removed(dir) {
            return Err(Errno::NOENT);
        }
        if self.is_dir(target) {
            return Err(Errno::PERM);
        }
        self.enter(dir, &name, target);
        Ok(Answer::Done)
    }

    /// What a name of a directory stands for.
    fn victim(&self, dir: Id, name: &[u8]) -> Result<Id> {
        self.lookup(dir, name).ok_or(Errno::NOENT)
    }

    fn unlink(&mut self, at: &At) -> Result<Answer> {
        let Parent { dir, last, slash } = self.parent(at)?;
        let Last::Name(name) = last else { return Err(Errno::ISDIR) };
        self.check_name(dir, &name)?;
        let victim = self.victim(dir, &name)?;
        if self.is_dir(victim) {
            return Err(Errno::ISDIR);
        }
        if slash {
            return Err(Errno::NOTDIR);
        }
        self.leave(dir, &name);
        Ok(Answer::Done)
    }

    fn rmdir(&mut self, at: &At) -> Result<Answer> {
        let Parent { dir, last, .. } = self.parent(at)?;
        let name = match last {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
            Last::Root => return Err(Errno::BUSY),
        };
        self.check_name(dir, &name)?;
        let victim = self.victim(dir, &name)?;
        self.check_replaceable(victim)?;
        self.leave(dir, &name);
        Ok(Answer::Done)
    }

    /// Whether it is a directory with nothing in it.
    fn check_replaceable(&self, id: Id) -> Result<()> {
        match self.entries(id) {
            None => Err(Errno::NOTDIR),
            Some(entries) if entries.is_empty() => Ok(()),
            Some(_) => Err(Errno::NOTEMPTY),
        }
    }

    fn is_at_or_above(&self, dir: Id, below: Id) -> bool {
        let above = self.above(below);
        below == dir || (above != below && self.is_at_or_above(dir, above))
    }

    fn rename(&mut self, old: &At, new: &At, how: Rename) -> Result<Answer> {
        let (from, to) = (self.parent(old)?, self.parent(new)?);
        let Last::Name(old) = from.last else { return Err(Errno::BUSY) };
        let Last::Name(new) = to.last else {
            return Err(if how == Rename::NoReplace { Errno::EXIST } else { Errno::BUSY });
        };
        self.check_name(from.dir, &old)?;
        let source = self.victim(from.dir, &old);
        if let Err(errno) = self.check_name(to.dir, &new) {
            return source.and(Err(errno));
        }
        let source = source?;
        if self.is_removed(to.dir) {
            return Err(Errno::NOENT);
        }
        let target = self.lookup(to.dir, &new);
        match (how, target) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        let arriving = if how == Rename::Exchange { target } else { Some(source) };
        if to.slash && !arriving.is_some_and(|id| self.is_dir(id)) || from.slash && !self.is_dir(source) {
            return Err(Errno::NOTDIR);
        }
        if self.is_dir(source) && self.is_at_or_above(source, to.dir) {
            return Err(Errno::INVAL);
        }
        if target.is_some_and(|target| self.is_dir(target) && self.is_at_or_above(target, from.dir)) {
            return Err(if how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        match target {
            Some(target) if target == source => return Ok(Answer::Done),
            Some(target) if how == Rename::Exchange => {
                self.leave(to.dir, &new);
                self.leave(from.dir, &old);
                self.enter(from.dir, &old, target);
            }
            Some(target) => {
                match (self.is_dir(source), self.is_dir(target)) {
                    (true, _) => self.check_replaceable(target)?,
                    (false, true) => return Err(Errno::ISDIR),
                    (false, false) => {}
                }
                self.leave(to.dir, &new);
                self.leave(from.dir, &old);
            }
            None => {
                self.leave(from.dir, &old);
            }
        }
        self.enter(to.dir, &new, source);
        Ok(Answer::Done)
    }

    fn truncate(&mut self, at: &At, len: u64) -> Result<Answer> {
        if len > MAX_LEN {
            return Err(Errno::INVAL);
        }
        let id = self.there(at, true)?;
        match &mut self.nodes[id].what {
            What::File(content) => content.set_len(len),
            What::Directory(..) => return Err(Errno::ISDIR),
            What::Link(_) => return Err(Errno::INVAL),
        }
        Ok(Answer::Done)
    }

    fn open(&mut self, at: &At, flags: OpenFlags, access: Access, slot: usize) -> Result<Answer> {
        let creates = flags.contains(OpenFlags::CREATE);
        if creates && flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::INVAL);
        }
        let exclusive = creates && flags.contains(OpenFlags::EXCLUSIVE);
        let follow = !exclusive && !flags.contains(OpenFlags::NOFOLLOW);
        let id = if creates {
            match self.end(at, Ask::Slot(follow))? {
                End::Missing(dir, _) if self.is_removed(dir) => return Err(Errno::NOENT),
                End::Missing(dir, name) => {
                    let id = self.make(dir, &name, What::File(Content::default()));
                    self.open[slot] = Some(id);
                    return Ok(Answer::Found(self.found(id)));
                }
                End::There(_) if exclusive => return Err(Errno::EXIST),
                End::There(id) if self.is_dir(id) => return Err(Errno::ISDIR),
                End::There(id) => id,
            }
        } else {
            self.there(at, follow)?
        };
        self.open_found(id, flags, access, slot)
    }

    fn open_found(&mut self, id: Id, flags: OpenFlags, access: Access, slot: usize) -> Result<Answer> {
        let truncates = flags.contains(OpenFlags::TRUNCATE);
        if flags.contains(OpenFlags::DIRECTORY) && !self.is_dir(id) {
            return Err(Errno::NOTDIR);
        }
        match &mut self.nodes[id].what {
            What::Link(_) => return Err(Errno::LOOP),
            What::Directory(..) if truncates || access.contains(Access::WRITE) => return Err(Errno::ISDIR),
            What::Directory(..) => {}
            What::File(content) => {
                if truncates {
                    content.set_len(0);
                }
                self.open[slot] = Some(id);
            }
        }
        Ok(Answer::Found(self.found(id)))
    }

    fn content(&mut self, slot: usize) -> Result<&mut Content> {
        let id = self.open[slot].ok_or(Errno::BADF)?;
        match &mut self.nodes[id].what {
            What::File(content) => Ok(content),
            _ => Err(Errno::BADF),
        }
    }

    fn io(&mut self, op: &Op) -> Result<Answer> {
        match op {
            Op::Close { slot } => {
                self.open[*slot].take().ok_or(Errno::BADF)?;
                Ok(Answer::Done)
            }
            Op::Write { slot, offset, bytes } => {
                self.content(*slot)?.write(*offset, bytes).map(Answer::Number)
            }
            Op::Append { slot, bytes } => {
                let content = self.content(*slot)?;
                content.write(content.len(), bytes).map(Answer::Number)
            }
            Op::Read { slot, offset, len } => Ok(Answer::Bytes(self.content(*slot)?.read(*offset, *len))),
            Op::SetLen { slot, len } => {
                self.content(*slot)?.set_len(*len);
                Ok(Answer::Done)
            }
            Op::Allocate { slot, how, offset, len } => {
                self.content(*slot)?.allocate(*how, *offset, *len);
                Ok(Answer::Done)
            }
            Op::SeekData { slot, offset } | Op::SeekHole { slot, offset } => {
                if *offset >= self.content(*slot)?.len() { Err(Errno::NXIO) } else { Ok(Answer::Done) }
            }
            _ => Err(Errno::NOSYS),
        }
    }

    /// Whether an offset may be told as the next data or hole: where holes are is the filesystem's affair, but no
    /// byte that is not zero is in one.
    pub fn check_sought(&mut self, op: &Op, told: Result<u64>) -> bool {
        match *op {
            Op::SeekData { slot, offset } => self.content(slot).is_ok_and(|content| match told {
                Ok(data) => data >= offset && data < content.len() && content.is_zero(offset..data),
                Err(errno) => errno == Errno::NXIO && content.is_zero(offset..u64::MAX),
            }),
            Op::SeekHole { slot, offset } => self.content(slot).is_ok_and(|content| {
                told.is_ok_and(|hole| (offset..=content.len()).contains(&hole) && content.at(hole) == 0)
            }),
            _ => false,
        }
    }
}
