//! A directory of the host as a filesystem.

use core::sync::atomic::AtomicBool;
use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, InodeId, LinkTarget, NewInode, NewKind, OpenedNew,
    Remove, Rename, Run, RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, FileType, Mode, NameBuf, Result, SetAttr, SetTime, StatFs, Timespec};

use crate::file::{HostFile, SetId, check_growth, up_to};
use crate::listing::HostListing;
use crate::node::{HostNode, Way};
use crate::pool::{Descriptor, Pool};
use crate::sys::{self, AsFd, BorrowedFd, Stat};
use crate::{climb, runs};

/// A directory of the host, and all below it.
pub struct Host {
    pub(crate) root: Arc<HostNode>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) caps: Caps,
    /// The root's device.
    pub(crate) dev: u64,
    pub(crate) has_openat2: bool,
    pub(crate) one_mount: bool,
    pub(crate) set_id: bool,
    pub(crate) hide_guards: bool,
    pub(crate) devices: bool,
    pub(crate) owners: bool,
    /// What the process's umask takes off what is made.
    pub(crate) umask: u32,
    /// The largest file that the process may write.
    pub(crate) largest: u64,
}

/// So many seconds may a filesystem's clock be behind, or round down.
const CLOCKS_DIFFER: i64 = 2;

/// Removes what was just made, if it is still called so.
fn undo(dir: BorrowedFd<'_>, name: &[u8], made: BorrowedFd<'_>) {
    if let (Ok(made), Ok(found)) = (sys::stat(made), sys::stat_at(dir, name))
        && made.id == found.id
    {
        let what = if made.attr.kind.is_dir() { Remove::Directory } else { Remove::File };
        // What fails is told of already.
        let _ = sys::remove(dir, name, what);
    }
}

/// What was just made.
#[derive(Clone, Copy)]
struct Made {
    kind: FileType,
    /// The seconds of the time before.
    since: i64,
}

impl Made {
    /// Whether what a name stands for may be that. Somebody may have put something else there since.
    fn may_be(self, kind: FileType, born: Option<Timespec>) -> bool {
        kind == self.kind && born.is_none_or(|born| born.sec.saturating_add(CLOCKS_DIFFER) >= self.since)
    }

    /// Removes it where it can't be had: what fails is not made.
    fn undo(self, dir: BorrowedFd<'_>, name: &[u8]) {
        if let Ok(Stat { attr, .. }) = sys::stat_at(dir, name)
            && self.may_be(attr.kind, attr.btime)
            && (attr.kind != FileType::Regular || attr.size == 0)
        {
            let what = if self.kind.is_dir() { Remove::Directory } else { Remove::File };
            // What fails is told of already.
            let _ = sys::remove(dir, name, what);
        }
    }
}

/// What is done with an extended attribute.
#[derive(Clone, Copy)]
enum XattrUse {
    Read,
    Set,
    Remove,
}

/// Access control lists (`acl(5)`).
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
/// Capabilities of a program (`capabilities(7)`).
const CAPABILITY: &[u8] = b"security.capability";

/// Set in the device numbers of other filesystems of the host, so that none is one of ours.
const FOREIGN: u64 = 1 << 63;

impl Host {
    /// Descriptors of the host that are open, of all directories that share the limit.
    pub fn descriptors(&self) -> usize {
        self.pool.open_count()
    }

    /// What a name of a directory stands for.
    pub(crate) fn find(&self, dir: &Arc<HostNode>, name: &[u8]) -> Result<Arc<HostNode>> {
        let held = dir.fd()?;
        let descriptor = self.pool.open(|| sys::find(held.as_fd(), name))?;
        let stat = sys::stat(descriptor.as_fd())?;
        self.check_mount(dir.id(), stat)?;
        let way = Way { from: Arc::clone(dir), names: name.into() };
        Ok(HostNode::found(&self.pool, stat, descriptor, way))
    }

    /// Refuses another mount than a directory's, if mounts are to be refused.
    pub(crate) fn check_mount(&self, dir: InodeId, found: Stat) -> Result<()> {
        if self.one_mount && dir.0 != found.mount { Err(Errno::XDEV) } else { Ok(()) }
    }

    /// What a name stands for, and on which mount only if that is asked.
    #[inline]
    pub(crate) fn look_at(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
        if self.one_mount { sys::stat_at(dir, name) } else { sys::look_at(dir, name) }
    }

    /// What a descriptor stands for, and on which mount only if that is asked.
    #[inline]
    pub(crate) fn look(&self, inode: BorrowedFd<'_>) -> Result<Stat> {
        if self.one_mount { sys::stat(inode) } else { sys::look(inode) }
    }

    #[inline]
    pub(crate) fn attr(&self, stat: Stat) -> Attr {
        let dev = if stat.attr.dev == self.dev { 0 } else { stat.attr.dev | FOREIGN };
        Attr { dev, ..stat.attr }
    }

    /// Opens the content of a regular file: by its name if that is still its, which takes a third of the time, else by
    /// its descriptor.
    fn content(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, access: Access) -> Result<(Descriptor, Stat)> {
        if let Some(way) = inode.way().filter(|way| way.is_one())
            && let Ok(dir) = way.from.fd()
            && let Ok((descriptor, stat)) = self.open_named(cx, dir.as_fd(), &way.names, access)
            && stat.id == inode.id()
        {
            return Ok((descriptor, stat));
        }
        let held = inode.fd()?;
        let descriptor = match self.pool.open(|| sys::reopen(held.as_fd(), access, cx.keeps_atime())) {
            Err(Errno::STALE) => return self.content_by_way(cx, inode, access),
            reopened => reopened?,
        };
        let stat = sys::look(descriptor.as_fd())?;
        Ok((descriptor, stat))
    }

    /// The same where a descriptor can't be opened again: by all the names that it was found by.
    ///
    /// # Errors
    /// `ESTALE`: they lead to something else now, or there are none.
    fn content_by_way(
        &self,
        cx: &Cx<'_>,
        inode: &Arc<HostNode>,
        access: Access,
    ) -> Result<(Descriptor, Stat)> {
        let way = inode.way().ok_or(Errno::STALE)?;
        let dir = way.find_last_directory()?;
        match self.open_named(cx, dir.as_fd(), way.last_name(), access) {
            Ok((_, stat)) if stat.id != inode.id() => Err(Errno::STALE),
            Err(Errno::NOENT | Errno::NXIO | Errno::LOOP) => Err(Errno::STALE),
            opened => opened,
        }
    }

    /// Opens the content of what a name stands for, if it is a regular file; looked at before, so that nothing else is
    /// opened, and after, for the name may have been given to something else in between.
    ///
    /// # Errors
    /// `ENXIO`: it is something else.
    pub(crate) fn open_named(
        &self,
        cx: &Cx<'_>,
        dir: BorrowedFd<'_>,
        name: &[u8],
        access: Access,
    ) -> Result<(Descriptor, Stat)> {
        if sys::look_at(dir, name)?.attr.kind != FileType::Regular {
            return Err(Errno::NXIO);
        }
        let descriptor = self.pool.open(|| sys::open_content(dir, name, access, cx.keeps_atime()))?;
        let stat = self.look(descriptor.as_fd())?;
        if stat.attr.kind == FileType::Regular { Ok((descriptor, stat)) } else { Err(Errno::NXIO) }
    }

    /// An open file; `mode` is its mode.
    pub(crate) fn file(&self, descriptor: Arc<Descriptor>, mode: Mode) -> Arc<dyn File> {
        let set_id = match self.set_id {
            true => SetId::AsLinux,
            false if mode.intersects(Mode::SETUID | Mode::SETGID) => SetId::Taken(AtomicBool::new(false)),
            false => SetId::None,
        };
        Arc::new(HostFile::new(descriptor, self.largest, set_id))
    }

    /// Refuses bits by which what a guest wrote would run as the host's user.
    fn check_mode(&self, kind: FileType, mode: Mode) -> Result<()> {
        let forbidden = if kind.is_dir() { Mode::SETUID } else { Mode::SETUID | Mode::SETGID };
        if !self.set_id && mode.intersects(forbidden) { Err(Errno::PERM) } else { Ok(()) }
    }

    /// Refuses what means something to the host: capabilities of programs, access control lists.
    fn check_xattr(&self, cx: &Cx<'_>, name: &[u8], to: XattrUse) -> Result<()> {
        let harmless: [&[u8]; 2] = [b"user.", b"trusted."];
        let shown = self.set_id && !self.hide_guards;
        let shown =
            shown || harmless.iter().any(|prefix| name.starts_with(prefix)) || self.keeps(cx, name, to);
        if shown && !name.is_empty() { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }

    /// Whether somebody who copies files may do that with what guards them: without them nobody gets more by it.
    fn keeps(&self, cx: &Cx<'_>, name: &[u8], to: XattrUse) -> bool {
        let is_list = ACLS.contains(&name);
        cx.sees_guards()
            && match to {
                XattrUse::Read => is_list || name == CAPABILITY,
                XattrUse::Set => self.set_id && (is_list || name == CAPABILITY),
                XattrUse::Remove => is_list,
            }
    }

    /// Gives a new inode what the process's own identity and umask took away from it.
    fn settle(&self, inode: BorrowedFd<'_>, new: &NewInode<'_>) -> Result<()> {
        if self.owners {
            sys::set_owner(inode, Some(new.uid), Some(new.gid))?;
        }
        let taken = new.mode.raw() & self.umask != 0;
        // Lost to a change of the owner, or never given to a new directory.
        let set_id = self.owners && new.mode.intersects(Mode::SETUID | Mode::SETGID);
        if (taken || set_id) && !matches!(new.kind, NewKind::Symlink(_)) {
            sys::set_mode(inode, new.mode)?;
        }
        Ok(())
    }

    /// Sets the size. Tells whether that set the time of the last change, which is to be set `always`, though the size may
    /// be as before.
    fn truncate(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, len: u64, always: bool) -> Result<bool> {
        let held = inode.fd()?;
        check_growth(held.as_fd(), len, self.largest)?;
        let writable = held.handle().access.is_some_and(|access| access.contains(Access::WRITE));
        let sets_time = always && writable;
        let mut changes = true;
        if !(self.set_id && sets_time) {
            let Attr { mode, size, .. } = sys::look(held.as_fd())?.attr;
            changes = size != len;
            if !self.set_id && mode.intersects(Mode::SETUID | Mode::SETGID) {
                sys::set_mode(held.as_fd(), mode - (Mode::SETUID | Mode::SETGID))?;
            }
        }
        if sets_time {
            up_to(len, self.largest, || sys::set_len(held.as_fd(), len))?;
            return Ok(true);
        }
        match up_to(len, self.largest, || sys::truncate(held.as_fd(), len)) {
            Err(Errno::STALE) => {
                let content = self.content_by_way(cx, inode, Access::WRITE)?.0;
                up_to(len, self.largest, || sys::set_len(content.as_fd(), len))
            }
            truncated => truncated,
        }?;
        Ok(changes)
    }
}

impl Filesystem for Host {
    type Inode = HostNode;

    fn caps(&self) -> Caps {
        self.caps
    }

    fn root(&self) -> Arc<HostNode> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _: &Cx<'_>) -> Result<StatFs> {
        sys::filesystem(self.root.fd()?.as_fd())
    }

    fn lookup(&self, _: &Cx<'_>, at: At<'_, HostNode>) -> Result<Arc<HostNode>> {
        self.find(at.dir, at.name.as_bytes())
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Arc<HostNode>) -> Result<Arc<HostNode>> {
        climb::parent(self, cx, dir)
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Arc<HostNode>, out: &mut NameBuf) -> Result<()> {
        climb::name_of(self, cx, dir, out)
    }

    fn create(&self, _: &Cx<'_>, at: At<'_, HostNode>, new: NewInode<'_>) -> Result<Arc<HostNode>> {
        let (dir, name) = (at.dir, at.name.as_bytes());
        let kind = new.kind.file_type();
        self.check_mode(kind, new.mode)?;
        // Drives nothing: an overlay's mark of what is removed.
        let driven = matches!(new.kind, NewKind::CharDevice(1..) | NewKind::BlockDevice(_));
        if driven && !self.devices {
            return Err(Errno::PERM);
        }
        let held = dir.fd()?;
        self.pool.check_room()?;
        let new_one = Made { kind, since: sys::coarse_time().sec };
        sys::create(held.as_fd(), name, &new)?;
        let node = self.find(dir, name).inspect_err(|_| new_one.undo(held.as_fd(), name))?;
        // Anything else is not to be given away.
        if new_one.may_be(node.kind(), node.born()) {
            let made = node.fd()?;
            self.settle(made.as_fd(), &new).inspect_err(|_| undo(held.as_fd(), name, made.as_fd()))?;
        }
        Ok(node)
    }

    fn create_open(
        &self,
        _: &Cx<'_>,
        at: At<'_, HostNode>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<HostNode>> {
        self.check_mode(FileType::Regular, new.mode)?;
        let dir = at.dir.fd()?;
        let create = || sys::create_file(dir.as_fd(), at.name.as_bytes(), new.mode.raw(), access);
        let descriptor = Arc::new(self.pool.open(create)?);
        let made = descriptor.as_fd();
        self.settle(made, &new).inspect_err(|_| undo(dir.as_fd(), at.name.as_bytes(), made))?;
        let node = HostNode::opened(&self.pool, Arc::clone(&descriptor), access, None);
        Ok((node, self.file(descriptor, new.mode)))
    }

    fn link(&self, _: &Cx<'_>, at: At<'_, HostNode>, target: &Arc<HostNode>) -> Result<()> {
        let (inode, dir, name) = (target.fd()?, at.dir.fd()?, at.name.as_bytes());
        match (sys::link(inode.as_fd(), dir.as_fd(), name), target.way()) {
            // Not from what it is held by: from a name that it has, then.
            (Err(Errno::STALE), Some(way)) => {
                let from = way.find_last_directory()?;
                sys::link_named(inode.as_fd(), from.as_fd(), way.last_name(), dir.as_fd(), name)
            }
            (linked, _) => linked,
        }
    }

    fn remove(&self, _: &Cx<'_>, at: At<'_, HostNode>, what: Remove) -> Result<()> {
        sys::remove(at.dir.fd()?.as_fd(), at.name.as_bytes(), what)
    }

    fn rename(&self, _: &Cx<'_>, from: At<'_, HostNode>, to: At<'_, HostNode>, how: Rename) -> Result<()> {
        let (old, new) = (from.dir.fd()?, to.dir.fd()?);
        sys::rename(old.as_fd(), from.name.as_bytes(), new.as_fd(), to.name.as_bytes(), how)
    }

    fn readlink(&self, _: &Cx<'_>, link: &Arc<HostNode>) -> Result<LinkTarget> {
        if !link.kind().is_symlink() {
            return Err(Errno::INVAL);
        }
        sys::read_link(link.fd()?.as_fd()).map(LinkTarget::Text)
    }

    fn getattr(&self, _: &Cx<'_>, inode: &Arc<HostNode>) -> Result<Attr> {
        Ok(self.attr(sys::look(inode.fd()?.as_fd())?))
    }

    /// Linux has a call for each; they are made in an order in which the first is the one that may well fail.
    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, set: &SetAttr) -> Result<()> {
        let SetAttr { mode, uid, gid, atime, mut mtime, size } = *set;
        if let Some(mode) = mode {
            self.check_mode(inode.kind(), mode)?;
        }
        if let Some(len) = size
            && self.truncate(cx, inode, len, mtime.is_some())?
            && mtime == Some(SetTime::Now)
        {
            mtime = None;
        }
        let held = inode.fd()?;
        // A change of nothing is one for the time of the last change.
        if uid.is_some() || gid.is_some() || *set == SetAttr::default() {
            sys::set_owner(held.as_fd(), uid, gid)?;
        }
        if let Some(mode) = mode {
            sys::set_mode(held.as_fd(), mode)?;
        }
        if atime.is_some() || mtime.is_some() {
            sys::set_times(held.as_fd(), atime, mtime)?;
        }
        Ok(())
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, access: Access) -> Result<Arc<dyn File>> {
        if inode.kind() != FileType::Regular {
            return Err(Errno::NXIO);
        }
        let (descriptor, stat) = self.content(cx, inode, access)?;
        Ok(self.file(Arc::new(descriptor), stat.attr.mode))
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Arc<HostNode>) -> Result<Box<dyn DirStream>> {
        if !dir.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        let held = dir.fd()?;
        let keeps_atime = cx.keeps_atime();
        Ok(Box::new(HostListing::new(self.pool.open(|| sys::open_directory(held.as_fd(), keeps_atime))?)))
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, data_only: bool) -> Result<()> {
        let held = inode.fd()?;
        match inode.kind() {
            FileType::Directory => {
                sys::sync(self.pool.open(|| sys::open_directory(held.as_fd(), true))?, data_only)
            }
            FileType::Regular if held.handle().access.is_some() => sys::sync(held, data_only),
            FileType::Regular => sys::sync(self.content(cx, inode, Access::READ)?.0, data_only),
            _ => Ok(()),
        }
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<HostNode>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<HostNode>> {
        runs::resolve(self, cx, dir, run, want)
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<HostNode>,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<HostNode>> {
        runs::open(self, cx, dir, run, access)
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, name: &[u8]) -> Result<Arc<[u8]>> {
        self.check_xattr(cx, name, XattrUse::Read)?;
        sys::get_xattr(inode.fd()?.as_fd(), name)
    }

    fn set_xattr(
        &self,
        cx: &Cx<'_>,
        inode: &Arc<HostNode>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        self.check_xattr(cx, name, XattrUse::Set)?;
        sys::set_xattr(inode.fd()?.as_fd(), name, value, how)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let names = sys::list_xattr(inode.fd()?.as_fd())?;
        let shown = |name: &&[u8]| self.check_xattr(cx, name, XattrUse::Read).is_ok();
        names.split(|&byte| byte == 0).filter(shown).for_each(emit);
        Ok(())
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Arc<HostNode>, name: &[u8]) -> Result<()> {
        self.check_xattr(cx, name, XattrUse::Remove)?;
        sys::remove_xattr(inode.fd()?.as_fd(), name)
    }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host")
            .field("root", &self.root.id())
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}
