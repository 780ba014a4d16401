//! A filesystem of one empty directory: what stands where a path to a mount point has none.

use std::sync::Arc;

use crate::attr::{Attr, FileType, Mode, SetAttr, StatFs, Timespec};
use crate::cx::Cx;
use crate::errno::{Errno, Result};
use crate::fs::{
    Access, At, Caps, DirEntry, DirStream, File, Filesystem, Inode, InodeId, LinkTarget, NewInode, Remove,
    Rename,
};
use crate::path::NameBuf;
use core::ops::ControlFlow;

pub(crate) struct Synthetic {
    root: Arc<Root>,
    made: Timespec,
}

pub(crate) struct Root;

impl Inode for Root {
    fn id(&self) -> InodeId {
        InodeId(1, 0)
    }

    fn kind(&self) -> FileType {
        FileType::Directory
    }
}

struct Nothing;

impl DirStream for Nothing {
    fn list(&mut self, _: &Cx<'_>, _: u64, _: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}

impl Synthetic {
    pub(crate) fn new(made: Timespec) -> Self {
        Synthetic { root: Arc::new(Root), made }
    }
}

impl Filesystem for Synthetic {
    type Inode = Root;

    fn caps(&self) -> Caps {
        Caps::empty()
    }

    fn root(&self) -> Arc<Root> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _: &Cx<'_>) -> Result<StatFs> {
        Ok(StatFs { block_size: 4096, name_max: 255, files: 1, read_only: true, ..StatFs::default() })
    }

    fn lookup(&self, _: &Cx<'_>, _: At<'_, Root>) -> Result<Arc<Root>> {
        Err(Errno::NOENT)
    }

    fn parent(&self, _: &Cx<'_>, dir: &Arc<Root>) -> Result<Arc<Root>> {
        Ok(Arc::clone(dir))
    }

    fn name_of(&self, _: &Cx<'_>, _: &Arc<Root>, _: &mut NameBuf) -> Result<()> {
        Ok(())
    }

    fn create(&self, _: &Cx<'_>, _: At<'_, Root>, _: NewInode<'_>) -> Result<Arc<Root>> {
        Err(Errno::ROFS)
    }

    fn link(&self, _: &Cx<'_>, _: At<'_, Root>, _: &Arc<Root>) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn remove(&self, _: &Cx<'_>, _: At<'_, Root>, _: Remove) -> Result<()> {
        Err(Errno::NOENT)
    }

    fn rename(&self, _: &Cx<'_>, _: At<'_, Root>, _: At<'_, Root>, _: Rename) -> Result<()> {
        Err(Errno::NOENT)
    }

    fn readlink(&self, _: &Cx<'_>, _: &Arc<Root>) -> Result<LinkTarget> {
        Err(Errno::INVAL)
    }

    fn getattr(&self, _: &Cx<'_>, _: &Arc<Root>) -> Result<Attr> {
        Ok(Attr {
            nlink: 2,
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            btime: Some(self.made),
            ..Attr::bare(1, FileType::Directory, Mode::from_raw(0o755))
        })
    }

    fn setattr(&self, _: &Cx<'_>, _: &Arc<Root>, _: &SetAttr) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn open(&self, _: &Cx<'_>, _: &Arc<Root>, _: Access) -> Result<Arc<dyn File>> {
        Err(Errno::NXIO)
    }

    fn open_dir(&self, _: &Cx<'_>, _: &Arc<Root>) -> Result<Box<dyn DirStream>> {
        Ok(Box::new(Nothing))
    }

    fn sync(&self, _: &Cx<'_>, _: &Arc<Root>, _: bool) -> Result<()> {
        Ok(())
    }
}
