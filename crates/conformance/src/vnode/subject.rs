//! [`Subject`] over the core's operations.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_adapt::ReadOnly;
use vnode_core::fs::{self, Access as Use, NewKind, Rename, SeekFor, SetXattr};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Credentials, Cx, Errno, FilesystemRef, Follow as WalkFollow, Namespace,
    OpenFlags as WalkFlags, OpenHow, OpenNode, Result, SetTime, StatFs, Timespec,
};

use super::process::{area, may, moved, walk_to_parent};
use super::{Layout, Node as OpenKind, Open, Vnode, below, mounted, rooted, tree};
use crate::kernel;
use crate::subject::{
    Access, Allocate, At, Entry, Follow, Handle, Mount, Needs, Node, OpenFlags, RenameHow, Subject, Target,
    User, Whence, XattrHow,
};

fn walk_follow(follow: Follow) -> WalkFollow {
    match follow {
        Follow::Yes => WalkFollow::Yes,
        Follow::No => WalkFollow::No,
    }
}

impl Subject for Vnode {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn provides(&self) -> Needs {
        // Mounts are the embedder's: taking one off detaches it, and nobody is told that it is busy.
        Needs::all() - Needs::BUSY_MOUNTS - self.lacks
    }

    fn reset(&mut self) -> Result<()> {
        self.open.clear();
        let (ns, root) = tree(&self.make, self.layout, &self.clock)?;
        self.ns = ns;
        self.cwd = root.clone();
        self.root = root;
        self.credentials = Credentials::root();
        self.umask = 0o022;
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        self.open.clear();
        self.credentials = Credentials::root();
        self.umask = 0o022;
        let fs = self.root.mount().filesystem().clone();
        let frozen = match &self.freezer {
            Some(freeze) => freeze(fs),
            None => FilesystemRef::new::<ReadOnly<FilesystemRef>>(ReadOnly::new(fs)),
        };
        self.ns = Arc::new(Namespace::new(frozen));
        self.root = self.ns.root().clone();
        self.cwd = self.root.clone();
        Ok(())
    }

    fn sink(&mut self) -> Result<()> {
        if let Some(cover) = &self.cover {
            self.open.clear();
            let fs = self.served()?;
            (self.ns, self.root) = match self.layout {
                Layout::Root | Layout::Bind => rooted(cover(fs)),
                Layout::SubMount => mounted(self.ns.root().mount().filesystem().clone(), &cover(fs))?,
                Layout::Below => below(&cover(fs), &self.clock)?,
            };
            self.cwd = self.root.clone();
        }
        Ok(())
    }

    fn step(&mut self) {
        for path in self.warming.clone() {
            let at = At::cwd(&path);
            // Whether there is such a path is no matter.
            let _ = self.fstatat(at, Follow::No);
            let _ = self.fstatat(at, Follow::Yes);
            let _ = self.readlinkat(at, 4096);
            if let Ok(dir) = self.openat(at, OpenFlags::READ | OpenFlags::DIRECTORY, 0) {
                let _ = self.readdir(dir, 0, usize::MAX);
                let _ = self.close(dir);
            }
        }
    }

    fn tick(&mut self) {
        if self.by_kernel {
            kernel::tick();
        }
    }

    fn openat(&mut self, at: At<'_>, flags: OpenFlags, mode: u32) -> Result<Handle> {
        if flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY) && !flags.contains(OpenFlags::PATH) {
            // Flags are looked at before the path and its descriptor.
            return Err(Errno::INVAL);
        }
        let mut access = Use::empty();
        access.set(Use::READ, !flags.contains(OpenFlags::WRITE) || flags.contains(OpenFlags::READ));
        access.set(Use::WRITE, flags.contains(OpenFlags::WRITE));
        let mut how = WalkFlags::empty();
        for (flag, walk) in [
            (OpenFlags::CREATE, WalkFlags::CREATE),
            (OpenFlags::EXCLUSIVE, WalkFlags::EXCLUSIVE),
            (OpenFlags::TRUNCATE, WalkFlags::TRUNCATE),
            (OpenFlags::DIRECTORY, WalkFlags::DIRECTORY),
            (OpenFlags::NOFOLLOW, WalkFlags::NOFOLLOW),
            (OpenFlags::PATH, WalkFlags::PATH),
        ] {
            how.set(walk, flags.contains(flag));
        }
        let how = OpenHow { access, flags: how, mode: self.new_mode(mode) };
        let open = self.on_path(at, |caller, base, path| {
            let opened = caller.open(base, path, &how)?;
            let node = match opened.node {
                OpenNode::File(file) => OpenKind::File(file),
                OpenNode::Directory => OpenKind::Directory(Box::new(caller.list(&opened.place)?)),
                OpenNode::Special(_) => return Err(Errno::NXIO),
                OpenNode::Path => OpenKind::Path,
            };
            let append = flags.contains(OpenFlags::APPEND);
            Ok(Open { place: opened.place, node, access, append, offset: 0 })
        })?;
        Ok(self.keep(open))
    }

    fn close(&mut self, handle: Handle) -> Result<()> {
        self.open.remove(&handle.0).map(|_| ()).ok_or(Errno::BADF)
    }

    fn read(&mut self, handle: Handle, count: usize) -> Result<Vec<u8>> {
        let offset = self.for_access(handle, Use::READ)?.offset;
        let bytes = self.read_at(handle, count, offset)?;
        self.set_offset(handle, offset + bytes.len() as u64);
        Ok(bytes)
    }

    fn pread(&mut self, handle: Handle, count: usize, offset: i64) -> Result<Vec<u8>> {
        // A negative offset is refused before the descriptor is looked at.
        u64::try_from(offset).map_err(|_| Errno::INVAL)?;
        self.for_access(handle, Use::READ)?;
        self.read_at(handle, count, area(offset, count)?)
    }

    fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<usize> {
        let open = self.for_access(handle, Use::WRITE)?;
        let (offset, append) = (open.offset, open.append);
        let (written, end) = self.write_at(handle, bytes, offset, append)?;
        self.set_offset(handle, end);
        Ok(written)
    }

    fn pwrite(&mut self, handle: Handle, bytes: &[u8], offset: i64) -> Result<usize> {
        u64::try_from(offset).map_err(|_| Errno::INVAL)?;
        let append = self.for_access(handle, Use::WRITE)?.append;
        let offset = area(offset, bytes.len())?;
        // Linux appends whatever the offset says.
        self.write_at(handle, bytes, offset, append).map(|(written, _)| written)
    }

    fn lseek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<i64> {
        let open = self.opened(handle)?;
        let to = match (&open.node, whence) {
            (_, Whence::Set) => moved(0, offset)?,
            (_, Whence::Current) => moved(open.offset, offset)?,
            // tmpfs has no end of a directory.
            (OpenKind::Directory(_), Whence::End) => return Err(Errno::INVAL),
            (_, Whence::End) => {
                let size = self.call(|caller| open.place.attr(caller.cx))?.size;
                moved(size, offset)?
            }
            (OpenKind::File(file), Whence::Data | Whence::Hole) => {
                let what = if whence == Whence::Data { SeekFor::Data } else { SeekFor::Hole };
                let from = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
                self.call(|caller| file.seek_data_or_hole(caller.cx, what, from))?
            }
            _ => return Err(Errno::INVAL),
        };
        self.set_offset(handle, to);
        i64::try_from(to).map_err(|_| Errno::OVERFLOW)
    }

    fn fsync(&mut self, handle: Handle) -> Result<()> {
        let open = self.opened(handle)?;
        self.call(|caller| match &open.node {
            OpenKind::File(file) => file.sync(caller.cx, false),
            _ => caller.sync_place(&open.place, false),
        })
    }

    fn ftruncate(&mut self, handle: Handle, len: i64) -> Result<()> {
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        let open = self.opened(handle)?;
        match &open.node {
            OpenKind::File(file) if open.access.contains(Use::WRITE) => {
                self.call(|caller| file.set_len(caller.cx, len))
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn truncate(&mut self, path: &[u8], len: i64) -> Result<()> {
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        self.on_path(At::cwd(path), |caller, base, path| caller.truncate(base, path, len))
    }

    fn fallocate(&mut self, handle: Handle, how: Allocate, offset: i64, len: i64) -> Result<()> {
        self.opened(handle)?;
        let start = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
        let count = u64::try_from(len).ok().filter(|len| *len != 0).ok_or(Errno::INVAL)?;
        let OpenKind::File(file) = &self.for_access(handle, Use::WRITE)?.node else {
            return Err(Errno::BADF);
        };
        offset.checked_add(len).ok_or(Errno::FBIG)?;
        let how = match how {
            Allocate::Extend => fs::Allocate::Extend,
            Allocate::KeepSize => fs::Allocate::KeepSize,
            Allocate::PunchHole => fs::Allocate::PunchHole,
        };
        self.call(|caller| file.allocate(caller.cx, how, start, count))
    }

    fn mkdirat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        let mode = self.new_mode(mode);
        self.on_path(at, |caller, base, path| caller.mkdir(base, path, mode))
    }

    fn mknodat(&mut self, at: At<'_>, node: Node, mode: u32) -> Result<()> {
        let mode = self.new_mode(mode);
        let kind = match node {
            Node::Regular => NewKind::Regular,
            Node::Fifo => NewKind::Fifo,
            Node::Socket => NewKind::Socket,
            Node::Char(major, minor) => NewKind::CharDevice(device(major, minor)),
            Node::Block(major, minor) => NewKind::BlockDevice(device(major, minor)),
            // Refused before the path and its descriptor are looked at.
            Node::Directory => return Err(Errno::PERM),
        };
        self.on_path(at, |caller, base, path| caller.mknod(base, path, kind, mode))
    }

    fn symlinkat(&mut self, target: &[u8], at: At<'_>) -> Result<()> {
        if target.is_empty() {
            // The target's text is read before the descriptor is looked at.
            return Err(Errno::NOENT);
        }
        self.on_path(at, |caller, base, path| caller.symlink(target, base, path))
    }

    fn linkat(&mut self, old: At<'_>, new: At<'_>, follow: Follow) -> Result<()> {
        let follow = walk_follow(follow);
        self.on_paths(
            old,
            new,
            |caller, base, path| caller.resolve(base, path, follow).map(|_| ()),
            |caller, old, new| caller.link(old.0, old.1, follow, new.0, new.1),
        )
    }

    fn unlinkat(&mut self, at: At<'_>) -> Result<()> {
        self.on_path(at, |caller, base, path| caller.unlink(base, path))
    }

    fn rmdirat(&mut self, at: At<'_>) -> Result<()> {
        self.on_path(at, |caller, base, path| caller.rmdir(base, path))
    }

    fn renameat2(&mut self, from: At<'_>, to: At<'_>, how: RenameHow) -> Result<()> {
        let how = match how {
            RenameHow::Replace => Rename::Replace,
            RenameHow::NoReplace => Rename::NoReplace,
            RenameHow::Exchange => Rename::Exchange,
        };
        self.on_paths(from, to, walk_to_parent, |caller, from, to| {
            caller.rename(from.0, from.1, to.0, to.1, how)
        })
    }

    fn readlinkat(&mut self, at: At<'_>, size: usize) -> Result<Vec<u8>> {
        if size == 0 {
            return Err(Errno::INVAL);
        }
        let text = self.on_path(at, |caller, base, path| caller.readlink(base, path))?;
        Ok(text.get(..size).unwrap_or(&text).to_vec())
    }

    fn fstatat(&mut self, at: At<'_>, follow: Follow) -> Result<Attr> {
        self.on_path(at, |caller, base, path| caller.stat(base, path, walk_follow(follow)))
    }

    fn fstat(&mut self, handle: Handle) -> Result<Attr> {
        let open = self.file(handle)?;
        self.call(|caller| open.place.attr(caller.cx))
    }

    fn utimensat(&mut self, on: Target<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        if atime.is_none() && mtime.is_none() {
            // Linux looks neither at the path nor at the descriptor.
            return Ok(());
        }
        let bad = |time| matches!(time, Some(SetTime::To(Timespec { nsec: 1_000_000_000.., .. })));
        let bad = bad(atime) || bad(mtime);
        match on {
            Target::Path(at, follow) => self.on_path(at, |caller, base, path| {
                if bad {
                    // The path is looked up before the times are looked at.
                    caller.resolve(base, path, walk_follow(follow))?;
                    return Err(Errno::INVAL);
                }
                caller.set_times(base, path, walk_follow(follow), atime, mtime)
            }),
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                if bad {
                    return Err(Errno::INVAL);
                }
                self.call(|caller| caller.set_times_place(&open.place, atime, mtime))
            }
        }
    }

    fn fchmodat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        let mode = vnode_core::Mode::from_raw(mode);
        self.on_path(at, |caller, base, path| caller.chmod(base, path, WalkFollow::Yes, mode))
    }

    fn fchmod(&mut self, handle: Handle, mode: u32) -> Result<()> {
        let open = self.opened(handle)?;
        self.call(|caller| caller.chmod_place(&open.place, vnode_core::Mode::from_raw(mode)))
    }

    fn fchownat(&mut self, on: Target<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match on {
            Target::Path(at, follow) => {
                self.on_path(at, |caller, base, path| caller.chown(base, path, walk_follow(follow), uid, gid))
            }
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                self.call(|caller| caller.chown_place(&open.place, uid, gid))
            }
        }
    }

    fn faccessat(&mut self, at: At<'_>, access: Access, follow: Follow) -> Result<()> {
        self.on_path(at, |caller, base, path| caller.access(base, path, walk_follow(follow), may(access)))
    }

    fn statfs(&mut self, path: &[u8]) -> Result<StatFs> {
        self.on_path(At::cwd(path), |caller, base, path| caller.statfs(base, path))
    }

    fn chdir(&mut self, path: &[u8]) -> Result<()> {
        self.cwd = self.on_path(At::cwd(path), |caller, base, path| caller.chdir(base, path))?;
        Ok(())
    }

    fn fchdir(&mut self, handle: Handle) -> Result<()> {
        let place = self.file(handle)?.place.clone();
        self.call(|caller| caller.chdir_place(&place))?;
        self.cwd = place;
        Ok(())
    }

    fn getcwd(&mut self) -> Result<Vec<u8>> {
        self.call(|caller| caller.getcwd(&self.cwd))
    }

    fn readdir(&mut self, handle: Handle, cookie: u64, max: usize) -> Result<Vec<Entry>> {
        self.opened(handle)?;
        let cx = Cx::new(&self.credentials, &self.clock);
        let caller = Caller { ns: &self.ns, cx: &cx, root: &self.root, policy: self.policy };
        let open = self.open.get_mut(&handle.0).ok_or(Errno::BADF)?;
        let OpenKind::Directory(listing) = &mut open.node else { return Err(Errno::NOTDIR) };
        let mut entries = Vec::new();
        listing.list(&caller, cookie, &mut |entry| {
            let kind = (entry.kind.mode_bits() >> 12) as u8;
            entries.push(Entry { name: entry.name.to_vec(), ino: entry.ino, kind, next: entry.next });
            if entries.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(entries)
    }

    fn setxattr(&mut self, on: Target<'_>, name: &[u8], value: &[u8], how: XattrHow) -> Result<()> {
        let how = match how {
            XattrHow::Either => SetXattr::Any,
            XattrHow::Create => SetXattr::Create,
            XattrHow::Replace => SetXattr::Replace,
        };
        match on {
            Target::Path(at, follow) => self.on_path(at, |caller, base, path| {
                caller.set_xattr(base, path, walk_follow(follow), name, value, how)
            }),
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                self.call(|caller| caller.set_xattr_place(&open.place, name, value, how))
            }
        }
    }

    fn getxattr(&mut self, on: Target<'_>, name: &[u8], size: usize) -> Result<Vec<u8>> {
        let value = match on {
            Target::Path(at, follow) => self
                .on_path(at, |caller, base, path| caller.get_xattr(base, path, walk_follow(follow), name))?,
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                self.call(|caller| caller.get_xattr_place(&open.place, name))?
            }
        };
        match size {
            0 => Ok(vec![0; value.len()]),
            size if size < value.len() => Err(Errno::RANGE),
            _ => Ok(value.to_vec()),
        }
    }

    fn listxattr(&mut self, on: Target<'_>) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        let mut emit = |name: &[u8]| names.push(name.to_vec());
        match on {
            Target::Path(at, follow) => self.on_path(at, |caller, base, path| {
                caller.list_xattr(base, path, walk_follow(follow), &mut emit)
            })?,
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                self.call(|caller| caller.list_xattr_place(&open.place, &mut emit))?;
            }
        }
        Ok(names)
    }

    fn removexattr(&mut self, on: Target<'_>, name: &[u8]) -> Result<()> {
        match on {
            Target::Path(at, follow) => self
                .on_path(at, |caller, base, path| caller.remove_xattr(base, path, walk_follow(follow), name)),
            Target::Open(handle) => {
                let open = self.opened(handle)?;
                self.call(|caller| caller.remove_xattr_place(&open.place, name))
            }
        }
    }

    fn umask(&mut self, mask: u32) -> u32 {
        std::mem::replace(&mut self.umask, mask & 0o777)
    }

    fn become_user(&mut self, user: &User) -> Result<()> {
        self.credentials = Credentials::user(user.uid, user.gid, &user.groups);
        Ok(())
    }

    fn mount(&mut self, what: Mount<'_>, path: &[u8], read_only: bool) -> Result<()> {
        self.mount_filesystem(what, path, read_only)
    }

    fn umount(&mut self, path: &[u8]) -> Result<()> {
        let place =
            self.on_path(At::cwd(path), |caller, base, path| caller.resolve(base, path, WalkFollow::Yes))?;
        if self.credentials.uid != 0 {
            return Err(Errno::PERM);
        }
        self.ns.unmount(&place)
    }
}

impl Vnode {
    fn read_at(&self, handle: Handle, count: usize, offset: u64) -> Result<Vec<u8>> {
        let open = self.for_access(handle, Use::READ)?;
        let OpenKind::File(file) = &open.node else { return Err(Errno::ISDIR) };
        let mut bytes = vec![0; count];
        let n = self.call(|caller| {
            let quiet = caller.cx.keeping_atime();
            let cx = if open.place.keeps_atime() { &quiet } else { caller.cx };
            file.read_at(cx, offset, &mut Sink::from_slice(&mut bytes))
        })?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Answers the bytes written and the offset behind them.
    fn write_at(&self, handle: Handle, bytes: &[u8], offset: u64, append: bool) -> Result<(usize, u64)> {
        let open = self.for_access(handle, Use::WRITE)?;
        let OpenKind::File(file) = &open.node else { return Err(Errno::BADF) };
        let mut source = Source::from_slice(bytes);
        self.call(|caller| {
            // Writing nothing doesn't even move to the end.
            if append && !bytes.is_empty() {
                return file.append(caller.cx, &mut source);
            }
            let written = file.write_at(caller.cx, offset, &mut source)?;
            Ok((written, offset + written as u64))
        })
    }
}

/// A device number as `makedev(3)` packs it.
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}
