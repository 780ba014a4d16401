//! Where open streams are: a filesystem of their own that is mounted nowhere (`pipefs`, `sockfs` in Linux).

use core::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use vnode_core::fs::{
    Access, At, Caps, DirEntry, DirStream, File, Filesystem, Inode, InodeId, LinkTarget, NewInode, Remove,
    Rename,
};
use vnode_core::{
    Attr, Cx, Errno, FileType, FilesystemRef, Mode, NameBuf, Namespace, Place, Result, SetAttr,
};

use crate::stream::Stream;

/// The inode of an open stream; the root has none.
pub(crate) struct StreamNode {
    open: Option<OpenStream>,
}

/// An open stream, its number, and what it may be opened for again.
#[derive(Clone)]
pub(crate) struct OpenStream {
    pub(crate) stream: Arc<dyn Stream>,
    pub(crate) ino: u64,
    pub(crate) access: Access,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Inode for StreamNode {
    fn id(&self) -> InodeId {
        InodeId(self.open.as_ref().map_or(0, |open| open.ino), 0)
    }

    fn kind(&self) -> FileType {
        self.open.as_ref().map_or(FileType::Directory, |open| open.stream.kind())
    }
}

/// The root of the filesystem of all streams.
static STREAMS: LazyLock<Place> = LazyLock::new(|| {
    let streams = Streams { root: Arc::new(StreamNode { open: None }) };
    Namespace::new(FilesystemRef::new(streams)).root().clone()
});

/// Where a stream is.
pub(crate) fn place_of(open: OpenStream) -> Place {
    STREAMS.with_inode(Arc::new(StreamNode { open: Some(open) }))
}

/// The stream that a place is, if it is one.
pub(crate) fn stream_at(place: &Place) -> Option<&OpenStream> {
    place.inode_as::<StreamNode>()?.open.as_ref()
}

/// What `fstat(2)` tells of a stream.
///
/// # Errors
/// None that a filesystem without a medium could have.
pub(crate) fn attr(kind: FileType, ino: u64, cx: &Cx<'_>) -> Result<Attr> {
    let who = cx.credentials();
    Ok(Attr { dev: STREAMS.attr(cx)?.dev, uid: who.uid, gid: who.gid, ..bare(kind, ino) })
}

fn bare(kind: FileType, ino: u64) -> Attr {
    let mode = if kind == FileType::Socket { 0o777 } else { 0o600 };
    Attr::bare(ino, kind, Mode::from_raw(mode))
}

struct Streams {
    root: Arc<StreamNode>,
}

/// Nothing but attributes: a stream is opened by the kernel, and the root is reached by nobody.
impl Filesystem for Streams {
    type Inode = StreamNode;

    fn caps(&self) -> Caps {
        Caps::SPECIAL
    }

    fn root(&self) -> Arc<StreamNode> {
        Arc::clone(&self.root)
    }

    fn lookup(&self, _: &Cx<'_>, _: At<'_, StreamNode>) -> Result<Arc<StreamNode>> {
        Err(Errno::NOENT)
    }

    fn parent(&self, _: &Cx<'_>, _: &Arc<StreamNode>) -> Result<Arc<StreamNode>> {
        Ok(Arc::clone(&self.root))
    }

    fn name_of(&self, _: &Cx<'_>, _: &Arc<StreamNode>, _: &mut NameBuf) -> Result<()> {
        Ok(())
    }

    fn create(&self, _: &Cx<'_>, _: At<'_, StreamNode>, _: NewInode<'_>) -> Result<Arc<StreamNode>> {
        Err(Errno::PERM)
    }

    fn link(&self, _: &Cx<'_>, _: At<'_, StreamNode>, _: &Arc<StreamNode>) -> Result<()> {
        Err(Errno::PERM)
    }

    fn remove(&self, _: &Cx<'_>, _: At<'_, StreamNode>, _: Remove) -> Result<()> {
        Err(Errno::NOENT)
    }

    fn rename(&self, _: &Cx<'_>, _: At<'_, StreamNode>, _: At<'_, StreamNode>, _: Rename) -> Result<()> {
        Err(Errno::NOENT)
    }

    fn readlink(&self, _: &Cx<'_>, _: &Arc<StreamNode>) -> Result<LinkTarget> {
        Err(Errno::INVAL)
    }

    fn getattr(&self, _: &Cx<'_>, inode: &Arc<StreamNode>) -> Result<Attr> {
        Ok(match &inode.open {
            None => Attr::bare(0, FileType::Directory, Mode::empty()),
            Some(open) => Attr { uid: open.uid, gid: open.gid, ..bare(open.stream.kind(), open.ino) },
        })
    }

    fn setattr(&self, _: &Cx<'_>, _: &Arc<StreamNode>, _: &SetAttr) -> Result<()> {
        Err(Errno::PERM)
    }

    fn open(&self, _: &Cx<'_>, _: &Arc<StreamNode>, _: Access) -> Result<Arc<dyn File>> {
        Err(Errno::NXIO)
    }

    fn open_dir(&self, _: &Cx<'_>, _: &Arc<StreamNode>) -> Result<Box<dyn DirStream>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl DirStream for Nothing {
    fn list(&mut self, _: &Cx<'_>, _: u64, _: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}
