//! [`Subject`] by the calls of a guest.

use vnode_core::{Attr, Errno, Result, SetTime, StatFs};

use super::account::Reason;
use super::route::{Side, Way, Ways, names_root, outer};
use super::wire::{self, Abi, Filestat};
use super::{Preview1, ROOT};
use crate::subject::{
    Access, Allocate, At, Entry, Follow, Handle, Mount, Needs, Node, OpenFlags, RenameHow, Subject, Target,
    User, Whence, XattrHow,
};

impl Subject for Preview1 {
    fn name(&self) -> String {
        match self.abi {
            Abi::Preview1 => "preview1".into(),
            Abi::Unstable => "wasi_unstable".into(),
            Abi::Wasix => "wasix".into(),
        }
    }

    fn provides(&self) -> Needs {
        self.beside.provides()
    }

    fn reset(&mut self) -> Result<()> {
        self.forget();
        self.beside.reset()
    }

    fn step(&mut self) {
        self.account.step();
    }

    fn tick(&mut self) {
        self.beside.tick();
    }

    fn open_top(&mut self) -> Result<Handle> {
        self.beside.open_top().map(outer)
    }

    fn openat(&mut self, at: At<'_>, flags: OpenFlags, mode: u32) -> Result<Handle> {
        let cannot = if flags.contains(OpenFlags::PATH) {
            Some(Reason::PathHandles)
        } else {
            (flags.contains(OpenFlags::CREATE) && mode != 0o666).then_some(Reason::Mode)
        };
        match self.way(at, cannot)? {
            Way::Guest(fd, path) => {
                let how = wire::open(flags);
                let opened = self.ask(&[(fd, path)], |guest| guest.open(fd, path, &how))?;
                self.next += 1;
                self.open.insert(self.next, opened);
                Ok(Handle(self.next))
            }
            Way::Beside(at, why) => {
                let handle = outer(self.beside.openat(at, flags, mode)?);
                if let Some(why) = why {
                    self.detours.insert(handle.0, why);
                }
                Ok(handle)
            }
        }
    }

    fn close(&mut self, handle: Handle) -> Result<()> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.close(fd)?,
            Side::Beside(own) => self.beside.close(own)?,
        }
        self.open.remove(&handle.0);
        Ok(())
    }

    fn read(&mut self, handle: Handle, count: usize) -> Result<Vec<u8>> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.read(fd, count),
            Side::Beside(own) => self.beside.read(own, count),
        }
    }

    fn pread(&mut self, handle: Handle, count: usize, offset: i64) -> Result<Vec<u8>> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.pread(fd, count, offset),
            Side::Beside(own) => self.beside.pread(own, count, offset),
        }
    }

    fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<usize> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.write(fd, bytes),
            Side::Beside(own) => self.beside.write(own, bytes),
        }
    }

    fn pwrite(&mut self, handle: Handle, bytes: &[u8], offset: i64) -> Result<usize> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.pwrite(fd, bytes, offset),
            Side::Beside(own) => self.beside.pwrite(own, bytes, offset),
        }
    }

    fn lseek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<i64> {
        let Some(number) = self.abi.whence(whence) else {
            let own = self.beside_handle(handle, Reason::Holes)?;
            return self.beside.lseek(own, offset, whence);
        };
        match self.side(handle)? {
            // As C libraries do.
            Side::Guest(fd) if (offset, whence) == (0, Whence::Current) => self.guest()?.tell(fd),
            Side::Guest(fd) => self.guest()?.seek(fd, offset, number),
            Side::Beside(own) => self.beside.lseek(own, offset, whence),
        }
    }

    fn fsync(&mut self, handle: Handle) -> Result<()> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.sync(fd),
            Side::Beside(own) => self.beside.fsync(own),
        }
    }

    fn ftruncate(&mut self, handle: Handle, len: i64) -> Result<()> {
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.set_size(fd, len),
            Side::Beside(own) => self.beside.ftruncate(own, len),
        }
    }

    fn truncate(&mut self, path: &[u8], len: i64) -> Result<()> {
        let at = self.beside(At::cwd(path), Reason::Truncate)?;
        self.beside.truncate(at.path, len)
    }

    fn fallocate(&mut self, handle: Handle, how: Allocate, offset: i64, len: i64) -> Result<()> {
        if how != Allocate::Extend {
            let own = self.beside_handle(handle, Reason::Holes)?;
            return self.beside.fallocate(own, how, offset, len);
        }
        match self.side(handle)? {
            Side::Guest(fd) => self.guest()?.allocate(fd, offset, len),
            Side::Beside(own) => self.beside.fallocate(own, how, offset, len),
        }
    }

    fn mkdirat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        match self.way(at, (mode != 0o777).then_some(Reason::Mode))? {
            Way::Guest(fd, path) => self.ask(&[(fd, path)], |guest| guest.make_directory(fd, path)),
            Way::Beside(at, _) => self.beside.mkdirat(at, mode),
        }
    }

    fn mknodat(&mut self, at: At<'_>, node: Node, mode: u32) -> Result<()> {
        let at = self.beside(at, Reason::Nodes)?;
        self.beside.mknodat(at, node, mode)
    }

    fn symlinkat(&mut self, target: &[u8], at: At<'_>) -> Result<()> {
        match self.way(at, None)? {
            Way::Guest(fd, path) => self.ask(&[(fd, path)], |guest| guest.symlink(target, fd, path)),
            Way::Beside(at, _) => self.beside.symlinkat(target, at),
        }
    }

    fn linkat(&mut self, old: At<'_>, new: At<'_>, follow: Follow) -> Result<()> {
        match self.ways(old, new, None)? {
            Ways::Guest(old, new) => {
                self.ask(&[old, new], |guest| guest.link(old, wire::lookup(follow), new))
            }
            Ways::Beside(old, new) => self.beside.linkat(old, new, follow),
        }
    }

    fn unlinkat(&mut self, at: At<'_>) -> Result<()> {
        match self.way(at, None)? {
            Way::Guest(fd, path) => self.ask(&[(fd, path)], |guest| guest.unlink(fd, path)),
            Way::Beside(at, _) => self.beside.unlinkat(at),
        }
    }

    fn rmdirat(&mut self, at: At<'_>) -> Result<()> {
        match self.way(at, names_root(at.path))? {
            Way::Guest(fd, path) => self.ask(&[(fd, path)], |guest| guest.remove_directory(fd, path)),
            Way::Beside(at, _) => self.beside.rmdirat(at),
        }
    }

    fn renameat2(&mut self, from: At<'_>, to: At<'_>, how: RenameHow) -> Result<()> {
        let cannot = (how != RenameHow::Replace).then_some(Reason::RenameFlags);
        match self.ways(from, to, cannot)? {
            Ways::Guest(from, to) => self.ask(&[from, to], |guest| guest.rename(from, to)),
            Ways::Beside(from, to) => self.beside.renameat2(from, to, how),
        }
    }

    fn readlinkat(&mut self, at: At<'_>, size: usize) -> Result<Vec<u8>> {
        match self.way(at, (size == 0).then_some(Reason::NoBytes))? {
            Way::Guest(fd, path) => self.ask(&[(fd, path)], |guest| guest.readlink(fd, path, size)),
            Way::Beside(at, _) => self.beside.readlinkat(at, size),
        }
    }

    fn fstatat(&mut self, at: At<'_>, follow: Follow) -> Result<Attr> {
        match self.way(at, None)? {
            Way::Guest(fd, path) => {
                let told = self.ask(&[(fd, path)], |guest| guest.stat_at(fd, path, wire::lookup(follow)))?;
                let base = self.place(fd).ok_or(Errno::BADF)?;
                let follow = match follow {
                    Follow::Yes => vnode_core::Follow::Yes,
                    Follow::No => vnode_core::Follow::No,
                };
                let whole = self.beside.stat_from(&base, path, follow)?;
                self.completed(told, whole)
            }
            Way::Beside(at, _) => self.beside.fstatat(at, follow),
        }
    }

    fn fstat(&mut self, handle: Handle) -> Result<Attr> {
        match self.side(handle)? {
            Side::Guest(fd) => {
                let told = self.guest()?.stat(fd)?;
                let place = self.place(fd).ok_or(Errno::BADF)?;
                let whole = self.beside.attr_of(&place)?;
                self.completed(told, whole)
            }
            Side::Beside(own) => self.beside.fstat(own),
        }
    }

    fn utimensat(&mut self, on: Target<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        let times = wire::times(atime, mtime);
        match (on, times) {
            (Target::Path(at, follow), _) => {
                match (self.way(at, times.is_none().then_some(Reason::Times))?, times) {
                    (Way::Guest(fd, path), Some(times)) => self.ask(&[(fd, path)], |guest| {
                        guest.set_times_at(fd, path, wire::lookup(follow), times)
                    }),
                    (Way::Guest(..), None) => Err(Errno::INVAL),
                    (Way::Beside(at, _), _) => self.beside.utimensat(Target::Path(at, follow), atime, mtime),
                }
            }
            (Target::Open(handle), None) => {
                let own = self.beside_handle(handle, Reason::Times)?;
                self.beside.utimensat(Target::Open(own), atime, mtime)
            }
            (Target::Open(handle), Some((accessed, modified, flags))) => match self.side(handle)? {
                Side::Guest(fd) => self.guest()?.set_times(fd, accessed, modified, flags),
                Side::Beside(own) => self.beside.utimensat(Target::Open(own), atime, mtime),
            },
        }
    }

    fn fchmodat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        let at = self.beside(at, Reason::Owners)?;
        self.beside.fchmodat(at, mode)
    }

    fn fchmod(&mut self, handle: Handle, mode: u32) -> Result<()> {
        let own = self.beside_handle(handle, Reason::Owners)?;
        self.beside.fchmod(own, mode)
    }

    fn fchownat(&mut self, on: Target<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let on = self.target(on, Reason::Owners)?;
        self.beside.fchownat(on, uid, gid)
    }

    fn faccessat(&mut self, at: At<'_>, access: Access, follow: Follow) -> Result<()> {
        let at = self.beside(at, Reason::Access)?;
        self.beside.faccessat(at, access, follow)
    }

    fn statfs(&mut self, path: &[u8]) -> Result<StatFs> {
        let at = self.beside(At::cwd(path), Reason::Statfs)?;
        self.beside.statfs(at.path)
    }

    fn chdir(&mut self, path: &[u8]) -> Result<()> {
        if self.abi != Abi::Wasix {
            self.beside(At::cwd(path), Reason::Cwd)?;
        }
        let Way::Guest(fd, text) = self.way(At::cwd(path), None)? else { return Err(Errno::IO) };
        if self.abi == Abi::Wasix {
            self.ask(&[(fd, text)], |guest| guest.chdir(path))?;
        }
        self.beside.chdir(path)?;
        let opened = self.ask(&[(fd, text)], |guest| guest.open(fd, text, &wire::ENTER))?;
        self.enter(opened)
    }

    fn fchdir(&mut self, handle: Handle) -> Result<()> {
        self.account.goes_beside(Reason::Cwd);
        match self.side(handle)? {
            Side::Guest(fd) => {
                let opened = self.guest()?.open(fd, b".", &wire::ENTER)?;
                let place = self.place(opened).ok_or(Errno::BADF)?;
                self.beside.enter(place);
                // No ABI has fchdir(2).
                self.guest()?.guest().process().fchdir(opened)?;
                self.enter(opened)
            }
            Side::Beside(_) => {
                self.account.is_lost(Reason::PathHandles);
                Err(Errno::NOSYS)
            }
        }
    }

    fn getcwd(&mut self) -> Result<Vec<u8>> {
        if self.abi == Abi::Wasix {
            self.account.goes_through();
            return self.guest()?.getcwd();
        }
        self.account.goes_beside(Reason::Cwd);
        self.beside.getcwd()
    }

    fn readdir(&mut self, handle: Handle, cookie: u64, max: usize) -> Result<Vec<Entry>> {
        let fd = match self.side(handle)? {
            Side::Guest(fd) => fd,
            Side::Beside(own) => return self.beside.readdir(own, cookie, max),
        };
        let (mut entries, mut next) = (Vec::new(), cookie);
        loop {
            let (records, is_end) = self.guest()?.list(fd, next)?;
            let more = wire::entries(&records);
            let Some(last) = more.last() else { break };
            next = last.next;
            entries.extend(more);
            if is_end || entries.len() >= max {
                break;
            }
        }
        entries.truncate(max);
        Ok(entries)
    }

    fn setxattr(&mut self, on: Target<'_>, name: &[u8], value: &[u8], how: XattrHow) -> Result<()> {
        let on = self.target(on, Reason::Xattr)?;
        self.beside.setxattr(on, name, value, how)
    }

    fn getxattr(&mut self, on: Target<'_>, name: &[u8], size: usize) -> Result<Vec<u8>> {
        let on = self.target(on, Reason::Xattr)?;
        self.beside.getxattr(on, name, size)
    }

    fn listxattr(&mut self, on: Target<'_>) -> Result<Vec<Vec<u8>>> {
        let on = self.target(on, Reason::Xattr)?;
        self.beside.listxattr(on)
    }

    fn removexattr(&mut self, on: Target<'_>, name: &[u8]) -> Result<()> {
        let on = self.target(on, Reason::Xattr)?;
        self.beside.removexattr(on, name)
    }

    fn umask(&mut self, mask: u32) -> u32 {
        self.account.goes_beside(Reason::Umask);
        self.beside.umask(mask)
    }

    fn become_user(&mut self, user: &User) -> Result<()> {
        self.beside.become_user(user)
    }

    fn mount(&mut self, what: Mount<'_>, path: &[u8], read_only: bool) -> Result<()> {
        self.account.goes_beside(Reason::Mounts);
        self.beside.mount(what, path, read_only)
    }

    fn umount(&mut self, path: &[u8]) -> Result<()> {
        self.account.goes_beside(Reason::Mounts);
        self.beside.umount(path)
    }
}

impl Preview1 {
    /// What a call that the ABI hasn't is made on.
    fn target<'a>(&mut self, on: Target<'a>, why: Reason) -> Result<Target<'a>> {
        Ok(match on {
            Target::Path(at, follow) => Target::Path(self.beside(at, why)?, follow),
            Target::Open(handle) => Target::Open(self.beside_handle(handle, why)?),
        })
    }

    /// Makes a descriptor the working directory.
    fn enter(&mut self, opened: u32) -> Result<()> {
        let left = std::mem::replace(&mut self.cwd, opened);
        if left == ROOT { Ok(()) } else { self.guest()?.close(left) }
    }

    /// The attributes with what a filestat leaves out. What it tells must be so.
    fn completed(&mut self, told: Filestat, whole: Attr) -> Result<Attr> {
        let expected = Filestat::expected(&whole);
        if told != expected {
            return Err(self.breaks(format!("told {told:?}, but it is {expected:?}")));
        }
        Ok(whole)
    }
}
