//! `/bin`: programs of the embedder's as a small filesystem, for guests to find and execute.
//!
//! [`Commands`] is one directory of executables, which nobody can change; `content.rs` has what is in them.

mod content;

pub use content::CommandContent;

use core::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use vnode_core::fs::{
    Access, At, Caps, DirEntry, DirStream, FIRST_COOKIE, File, Filesystem, Inode, InodeId, LinkTarget,
    NewInode, Remove, Rename,
};
use vnode_core::{Attr, Cx, Errno, FileType, Mode, Name, NameBuf, Result, SetAttr, StatFs, Timespec};

use content::Content;

/// The inode of the root; each file's is its index after it.
const ROOT_INO: u64 = 1;

/// An inode of [`Commands`].
pub struct CommandNode {
    /// Nothing for the root.
    file: Option<usize>,
}

impl CommandNode {
    fn ino(&self) -> u64 {
        self.file.map_or(ROOT_INO, |file| ROOT_INO + 1 + file as u64)
    }
}

impl Inode for CommandNode {
    fn id(&self) -> InodeId {
        InodeId(self.ino(), 0)
    }

    fn kind(&self) -> FileType {
        if self.file.is_some() { FileType::Regular } else { FileType::Directory }
    }
}

/// The filesystem to mount at `/bin`, read-only: executables (mode 0755) of user 0, each with its name.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::{FilesystemRef, MountFlags, Namespace};
/// use vnode_kernel::Files;
/// use vnode_kernel::commands::{CommandContent, Commands};
/// use vnode_memory::Memory;
///
/// let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
/// let content = CommandContent::Bytes(Arc::from(*b"\0asm\x01\0\0\0"));
/// let commands = Commands::new([(b"true".to_vec(), content)])?;
/// namespace.mount_at(b"/bin", &FilesystemRef::new(commands), MountFlags::empty())?;
/// assert_eq!(Files::of(&namespace).read("/bin/true", 100)?, b"\0asm\x01\0\0\0");
/// # Ok::<(), vnode_core::Errno>(())
/// ```
pub struct Commands {
    root: Arc<CommandNode>,
    /// By name.
    files: Arc<[(NameBuf, Content)]>,
    /// When it was first looked at: the time of what has none of its own.
    made: OnceLock<Timespec>,
}

impl Commands {
    /// These programs.
    ///
    /// # Errors
    /// `EEXIST`: two have one name. `EINVAL`, `ENAMETOOLONG`: what is no name.
    pub fn new(programs: impl IntoIterator<Item = (Vec<u8>, CommandContent)>) -> Result<Self> {
        let mut files = Vec::new();
        for (name, content) in programs {
            files.push((NameBuf::from(Name::new(&name)?), Content::new(content)));
        }
        files.sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        if files.windows(2).any(|pair| pair[0].0.as_bytes() == pair[1].0.as_bytes()) {
            return Err(Errno::EXIST);
        }
        let root = Arc::new(CommandNode { file: None });
        Ok(Commands { root, files: files.into(), made: OnceLock::new() })
    }

    fn content(&self, node: &CommandNode) -> Option<&Content> {
        Some(&self.files.get(node.file?)?.1)
    }
}

impl Filesystem for Commands {
    type Inode = CommandNode;

    /// Files of the host may be on a slow disk.
    fn caps(&self) -> Caps {
        let mut caps = Caps::READ_ONLY;
        caps.set(Caps::BLOCKING, self.files.iter().any(|(_, content)| content.is_of_host()));
        caps
    }

    fn root(&self) -> Arc<CommandNode> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _: &Cx<'_>) -> Result<StatFs> {
        let files = 1 + self.files.len() as u64;
        Ok(StatFs { block_size: 4096, name_max: 255, files, read_only: true, ..StatFs::default() })
    }

    fn lookup(&self, _: &Cx<'_>, at: At<'_, CommandNode>) -> Result<Arc<CommandNode>> {
        let found = self.files.binary_search_by(|(name, _)| name.as_bytes().cmp(at.name.as_bytes()));
        found.map(|file| Arc::new(CommandNode { file: Some(file) })).map_err(|_| Errno::NOENT)
    }

    fn parent(&self, _: &Cx<'_>, _: &Arc<CommandNode>) -> Result<Arc<CommandNode>> {
        Ok(Arc::clone(&self.root))
    }

    fn name_of(&self, _: &Cx<'_>, _: &Arc<CommandNode>, _: &mut NameBuf) -> Result<()> {
        Ok(())
    }

    fn create(&self, _: &Cx<'_>, _: At<'_, CommandNode>, _: NewInode<'_>) -> Result<Arc<CommandNode>> {
        Err(Errno::ROFS)
    }

    fn link(&self, _: &Cx<'_>, _: At<'_, CommandNode>, _: &Arc<CommandNode>) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn remove(&self, _: &Cx<'_>, _: At<'_, CommandNode>, _: Remove) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn rename(&self, _: &Cx<'_>, _: At<'_, CommandNode>, _: At<'_, CommandNode>, _: Rename) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn readlink(&self, _: &Cx<'_>, _: &Arc<CommandNode>) -> Result<LinkTarget> {
        Err(Errno::INVAL)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<CommandNode>) -> Result<Attr> {
        let made = *self.made.get_or_init(|| cx.now());
        let attr = Attr::bare(inode.ino(), inode.kind(), Mode::from_raw(0o755));
        let attr = Attr { atime: made, mtime: made, ctime: made, btime: Some(made), ..attr };
        match self.content(inode) {
            None => Ok(Attr { nlink: 2, ..attr }),
            Some(content) => content.describe(attr),
        }
    }

    fn setattr(&self, _: &Cx<'_>, _: &Arc<CommandNode>, _: &SetAttr) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn open(&self, _: &Cx<'_>, inode: &Arc<CommandNode>, access: Access) -> Result<Arc<dyn File>> {
        if access.contains(Access::WRITE) {
            return Err(Errno::ROFS);
        }
        self.content(inode).ok_or(Errno::ISDIR)?.open()
    }

    fn open_dir(&self, _: &Cx<'_>, dir: &Arc<CommandNode>) -> Result<Box<dyn DirStream>> {
        if dir.file.is_some() { Err(Errno::NOTDIR) } else { Ok(Box::new(Names(Arc::clone(&self.files)))) }
    }
}

struct Names(Arc<[(NameBuf, Content)]>);

impl DirStream for Names {
    fn list(
        &mut self,
        _: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let from = usize::try_from(cookie.saturating_sub(FIRST_COOKIE)).unwrap_or(usize::MAX);
        for (file, (name, _)) in self.0.iter().enumerate().skip(from) {
            let node = CommandNode { file: Some(file) };
            let next = FIRST_COOKIE + file as u64 + 1;
            if emit(DirEntry { name: name.as_bytes(), ino: node.ino(), kind: node.kind(), next }).is_break() {
                break;
            }
        }
        Ok(())
    }
}
