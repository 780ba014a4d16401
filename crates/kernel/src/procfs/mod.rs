//! `/proc`: what the processes of a tree tell of themselves (`fs/proc/base.c` in Linux).
//!
//! * `self`: a link to the calling process's directory, which is named after its number.
//! * `N/fd`: a link for each open descriptor; `N/cwd`, `N/root`, `N/exe`: links as well. They lead by no text but to
//!   what is open (`links.rs`).
//! * `N/environ`, `N/cmdline`, `N/status`: files (`content.rs`).
//!
//! Which processes there are is the [`ProcessTable`]'s to know.
//!
//! Invariants: nothing here keeps a process alive, which would keep itself alive by a descriptor of its own directory.
//! What leads to a process's files is for itself, and for others only as `ptrace(2)` would allow and as far as they
//! could reach it by a path anyway.

mod content;
mod entry;
mod links;
pub(crate) mod streams;

use core::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use vnode_core::fs::{
    Access, At, Caps, DirEntry, DirStream, FIRST_COOKIE, File, Filesystem, LinkTarget, NewInode, Remove,
    Rename,
};
use vnode_core::{Attr, Cx, Errno, FileType, Name, NameBuf, Result, SetAttr, StatFs, Timespec};

pub use entry::ProcNode;
use entry::{Entry, IN_PROCESS};

use crate::processes::ProcessTable;
use crate::rights::Rights;

/// `f_type` of Linux's procfs (`statfs(2)`).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The filesystem to mount at `/proc`.
///
/// A process that is to be seen is in the [`ProcessTable`] that it was made with. Numbers must be different in it, for
/// `self` goes by the number of the process that makes the call.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::{Errno, FilesystemRef, MountFlags, Namespace, Policy};
/// use vnode_kernel::devices::Devices;
/// use vnode_kernel::procfs::Procfs;
/// use vnode_kernel::{Process, ProcessTable};
/// use vnode_memory::Memory;
///
/// let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
/// let processes = Arc::new(ProcessTable::new());
/// let procfs = FilesystemRef::new(Procfs::new(processes.clone()));
/// namespace.mount_at(b"/proc", &procfs, MountFlags::empty())?;
/// namespace.mount_at(b"/dev", &FilesystemRef::new(Devices::new()), MountFlags::empty())?;
///
/// let root = namespace.root().clone();
/// let process = Process::builder(namespace).pid(7).policy(Policy::Posix).preopen("/", root).build()?;
/// let process = Arc::new(process);
/// processes.add(&process)?;
/// assert_eq!(*process.readlink_at(3, b"/proc/self")?, *b"7");
/// assert_eq!(*process.readlink_at(3, b"/dev/fd/3")?, *b"/");
/// # Ok::<(), Errno>(())
/// ```
pub struct Procfs {
    processes: Arc<ProcessTable>,
    root: Arc<ProcNode>,
    /// When it was first looked at: the time of everything in it.
    made: OnceLock<Timespec>,
}

impl Procfs {
    /// What these processes tell.
    pub fn new(processes: Arc<ProcessTable>) -> Self {
        Procfs { processes, root: Arc::new(ProcNode::root()), made: OnceLock::new() }
    }

    fn child(&self, cx: &Cx<'_>, dir: &ProcNode, name: &[u8]) -> Result<ProcNode> {
        match dir.entry() {
            Entry::Root if name == b"self" => {
                self.processes.process(cx.pid()).ok_or(Errno::NOENT)?;
                Ok(ProcNode::self_link())
            }
            Entry::Root => {
                let process = self.processes.process(number(name)?).ok_or(Errno::NOENT)?;
                Ok(ProcNode::of(&process, Entry::Process))
            }
            Entry::Process => {
                let process = dir.process()?;
                let (_, entry) = IN_PROCESS.iter().find(|known| known.0 == name).ok_or(Errno::NOENT)?;
                Ok(ProcNode::of(&process, *entry))
            }
            Entry::Fds => {
                let (process, fd) = (dir.process()?, number(name)?);
                links::check_look(cx, &process)?;
                process.fds().get(fd, Rights::empty()).map_err(|_| Errno::NOENT)?;
                Ok(ProcNode::of(&process, Entry::Fd(fd)))
            }
            _ => Err(Errno::NOTDIR),
        }
    }
}

/// A number as names have it: decimal, without anything in front.
fn number(name: &[u8]) -> Result<u32> {
    let digits = name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || name.first() != Some(&b'0'));
    let text = core::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
    if digits { text.parse().map_err(|_| Errno::NOENT) } else { Err(Errno::NOENT) }
}

impl Filesystem for Procfs {
    type Inode = ProcNode;

    fn caps(&self) -> Caps {
        Caps::SYMLINKS
    }

    fn root(&self) -> Arc<ProcNode> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _: &Cx<'_>) -> Result<StatFs> {
        Ok(StatFs { kind: PROC_SUPER_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn lookup(&self, cx: &Cx<'_>, at: At<'_, ProcNode>) -> Result<Arc<ProcNode>> {
        self.child(cx, at.dir, at.name.as_bytes()).map(Arc::new)
    }

    fn parent(&self, _: &Cx<'_>, dir: &Arc<ProcNode>) -> Result<Arc<ProcNode>> {
        match dir.entry() {
            Entry::Fds => Ok(Arc::new(ProcNode::of(&dir.process()?, Entry::Process))),
            _ => Ok(Arc::clone(&self.root)),
        }
    }

    fn name_of(&self, _: &Cx<'_>, dir: &Arc<ProcNode>, out: &mut NameBuf) -> Result<()> {
        match dir.entry() {
            Entry::Process => out.set(Name::new(dir.process()?.pid().to_string().as_bytes())?),
            Entry::Fds => out.set(Name::new(b"fd")?),
            _ => *out = NameBuf::new(),
        }
        Ok(())
    }

    /// Linux's procfs has no such operation, and looks the name up before it finds that.
    fn create(&self, cx: &Cx<'_>, at: At<'_, ProcNode>, _: NewInode<'_>) -> Result<Arc<ProcNode>> {
        self.child(cx, at.dir, at.name.as_bytes())?;
        Err(Errno::EXIST)
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, ProcNode>, _: &Arc<ProcNode>) -> Result<()> {
        self.child(cx, at.dir, at.name.as_bytes())?;
        Err(Errno::EXIST)
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, ProcNode>, what: Remove) -> Result<()> {
        let child = self.child(cx, at.dir, at.name.as_bytes())?;
        // What is a process's is immutable, which is found before its type (`may_delete`).
        match (what, child.entry()) {
            (Remove::Directory, Entry::SelfLink) => Err(Errno::NOTDIR),
            _ => Err(Errno::PERM),
        }
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, ProcNode>, to: At<'_, ProcNode>, how: Rename) -> Result<()> {
        self.child(cx, from.dir, from.name.as_bytes())?;
        self.child(cx, to.dir, to.name.as_bytes())?;
        if how == Rename::NoReplace { Err(Errno::EXIST) } else { Err(Errno::PERM) }
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Arc<ProcNode>) -> Result<LinkTarget> {
        match link.entry() {
            Entry::SelfLink => Ok(LinkTarget::Text(cx.pid().to_string().into_bytes().into())),
            _ => Ok(LinkTarget::Jump(Arc::new(links::Link::of(link)?))),
        }
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<ProcNode>) -> Result<Attr> {
        let made = *self.made.get_or_init(|| cx.now());
        let mut attr = Attr {
            atime: made,
            mtime: made,
            ctime: made,
            blksize: 1024,
            ..Attr::bare(inode.ino(), inode.entry().kind(), inode.mode())
        };
        match inode.entry() {
            Entry::Root => {
                attr.nlink = 2 + u32::try_from(self.processes.pids().len()).unwrap_or(u32::MAX - 2)
            }
            Entry::SelfLink => {}
            entry => {
                let process = inode.process()?;
                (attr.uid, attr.gid) = (process.credentials.uid, process.credentials.gid);
                match entry {
                    Entry::Process => attr.nlink = 3,
                    Entry::Fds => (attr.nlink, attr.size) = (2, process.fds().len() as u64),
                    // What `/proc` gives these links (`tid_fd_update_inode`, `proc_fd_link`).
                    Entry::Fd(_) => attr.size = 64,
                    _ => {}
                }
            }
        }
        Ok(attr)
    }

    fn setattr(&self, _: &Cx<'_>, inode: &Arc<ProcNode>, set: &SetAttr) -> Result<()> {
        // Emptied and resized are these files without effect (`O_TRUNC`).
        if set.size.is_some() && inode.entry().kind() == FileType::Regular {
            Ok(())
        } else {
            Err(Errno::PERM)
        }
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<ProcNode>, _: Access) -> Result<Arc<dyn File>> {
        let process = inode.process()?;
        match inode.entry() {
            Entry::Environ => {
                links::check_look(cx, &process)?;
                Ok(Arc::new(content::Text::environ(&process)))
            }
            Entry::Cmdline => Ok(Arc::new(content::Text::cmdline(&process))),
            Entry::Status => {
                let parent = self.processes.parent(process.pid()).unwrap_or(0);
                Ok(Arc::new(content::Text::status(&process, parent)))
            }
            _ => Err(Errno::NXIO),
        }
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Arc<ProcNode>) -> Result<Box<dyn DirStream>> {
        if dir.entry() == Entry::Fds {
            links::check_look(cx, &*dir.process()?)?;
        }
        if !dir.entry().kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        Ok(Box::new(Listing { dir: Arc::clone(dir), processes: Arc::clone(&self.processes) }))
    }
}

/// A listing. Cookies are what is listed, counted from [`FIRST_COOKIE`], so that what comes and goes moves nothing.
struct Listing {
    dir: Arc<ProcNode>,
    processes: Arc<ProcessTable>,
}

impl Listing {
    /// What is to be listed from a number on, with its name and its number.
    fn from(&self, cx: &Cx<'_>, at: u64) -> Option<(u64, Vec<u8>, ProcNode)> {
        let after = |at: u64| u32::try_from(at).ok();
        match self.dir.entry() {
            // `self` is 0, each process its number and 1.
            Entry::Root if at == 0 && self.processes.process(cx.pid()).is_some() => {
                Some((0, b"self".to_vec(), ProcNode::self_link()))
            }
            Entry::Root => {
                let mut from = after(at.saturating_sub(1))?;
                loop {
                    let pid = self.processes.next(from)?;
                    if let Some(process) = self.processes.process(pid) {
                        let node = ProcNode::of(&process, Entry::Process);
                        return Some((u64::from(pid) + 1, pid.to_string().into_bytes(), node));
                    }
                    from = pid.checked_add(1)?;
                }
            }
            Entry::Process => {
                let (name, entry) = IN_PROCESS.get(usize::try_from(at).ok()?)?;
                Some((at, name.to_vec(), ProcNode::of(&self.dir.process().ok()?, *entry)))
            }
            Entry::Fds => {
                let process = self.dir.process().ok()?;
                let fd = process.fds().next_open(after(at)?)?;
                Some((u64::from(fd), fd.to_string().into_bytes(), ProcNode::of(&process, Entry::Fd(fd))))
            }
            _ => None,
        }
    }
}

impl DirStream for Listing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut at = cookie.saturating_sub(FIRST_COOKIE);
        while let Some((found, name, node)) = self.from(cx, at) {
            at = found + 1;
            let (ino, kind) = (node.ino(), node.entry().kind());
            if emit(DirEntry { name: &name, ino, kind, next: FIRST_COOKIE + at }).is_break() {
                break;
            }
        }
        Ok(())
    }
}
